r"""A study with PsychoPy: a baseline, then stimuli of some seconds, marked in the session of emer-edge by LSL.

    emer-edge run NAME.emer --camera 0 --tracker /dev/ttyUSB0 --save sessions \
        --record recordings/ --participant p017 --session morning --baseline 30s --markers lsl://study
    python examples/psychopy_study.py --stimuli coast,storm --seconds 20
    emer-edge report sessions recordings --output report

Markers are `baseline start`, `baseline end`, `coast start`, `coast end` ...: what `emer-edge report` reads as stimuli.
A start is stamped at the display's flip that first shows its stimulus, by the LSL clock of this machine.

Needs `pip install psychopy pylsl`. With `--no-display` nothing is shown and PsychoPy is not imported: only the markers
are sent, at the same times, to try a setup before anybody sits there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import pylsl

COLOURS = ("steelblue", "darkorange", "seagreen", "indianred")


class Markers:
    """An LSL stream of markers, which begins to send when the run listens."""

    def __init__(self, name: str) -> None:
        info = pylsl.StreamInfo(name, "Markers", 1, 0.0, pylsl.cf_string, f"{name}-psychopy")
        self._outlet = pylsl.StreamOutlet(info)

    def wait(self, seconds: float) -> None:
        """Wait for the run; SystemExit where none listens."""
        if not self._outlet.wait_for_consumers(seconds):
            raise SystemExit(
                f"no run listens after {seconds:g} s; start `emer-edge run ... --markers lsl://study` first"
            )

    def send(self, label: str) -> None:
        """Send a marker of this moment."""
        self._outlet.push_sample([label], pylsl.local_clock())


Show = Callable[[str, float, Callable[[], None]], None]
"""Shows a stimulus for some seconds, and calls back at the flip that first shows it."""


def without_display() -> Show:
    """Nothing is shown; times are kept."""

    def show(name: str, seconds: float, shown: Callable[[], None]) -> None:
        shown()
        time.sleep(seconds)

    return show


def on_display(windowed: bool) -> Iterator[Show]:
    """A PsychoPy window, until the next item is asked for."""
    from psychopy import core, visual

    window = visual.Window(size=(800, 600), fullscr=not windowed, color="black", units="height", allowGUI=False)
    cross = visual.TextStim(window, text="+", height=0.1)
    colours: dict[str, str] = {}

    def show(name: str, seconds: float, shown: Callable[[], None]) -> None:
        colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
        film = cross if name == "baseline" else visual.Circle(window, radius=0.3, fillColor=colour, lineColor=None)
        window.callOnFlip(shown)
        clock = core.Clock()
        while clock.getTime() < seconds:
            film.draw()
            window.flip()

    yield show
    window.close()


def run(show: Show, markers: Markers, stimuli: list[str], seconds: float, baseline: float) -> None:
    """Show a baseline and all stimuli, each with its markers."""
    for name, lasts in (("baseline", baseline), *((name, seconds) for name in stimuli)):
        show(name, lasts, lambda name=name: markers.send(f"{name} start"))  # type: ignore[misc]
        markers.send(f"{name} end")


def main() -> None:
    """Read the command line and run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--stimuli", default="coast,storm", help="names, separated by commas")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each; windows are 12 s long")
    parser.add_argument("--baseline", type=float, default=20.0, help="seconds of the fixation cross before them")
    parser.add_argument("--stream", default="study", help="name of the LSL stream")
    parser.add_argument("--wait", type=float, default=60.0, help="seconds to wait for the run")
    parser.add_argument("--windowed", action="store_true", help="a window instead of the whole display")
    parser.add_argument("--no-display", action="store_true", help="send the markers only")
    given = parser.parse_args()
    markers = Markers(given.stream)
    markers.wait(given.wait)
    for show in [without_display()] if given.no_display else on_display(given.windowed):
        run(show, markers, given.stimuli.split(","), given.seconds, given.baseline)
    time.sleep(1.0)  # what was sent last gets there
    print("done")


if __name__ == "__main__":
    main()
