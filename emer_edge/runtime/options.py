"""Options of a run, per person and of the machine; every default is written here, once.

The command line, its configuration file and Python make the same objects, and they travel whole to the rooms that read
them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.samples import Display, StimulusRect

if TYPE_CHECKING:
    from emer_edge.runtime.cameras.base import Camera
    from emer_edge.runtime.trackers.base import Tracker

Subject = Literal["largest", "center", "left", "right"]
SUBJECTS: Final[tuple[Subject, ...]] = get_args(Subject)
"""Who is followed at first: the largest face, the one nearest to the middle, the leftmost or the rightmost one."""

Pace = Literal["real", "fast"]
PACES: Final[tuple[Pace, ...]] = get_args(Pace)

DETECT_EVERY: Final = 5
"""Frames from look to look where nobody says."""

LONGEST_BASELINE_S: Final = 3600.0
LARGEST_OFFSET_MS: Final = 4e12  # of times since 1970, until 2096
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class FaceOptions:
    """Whose face is read, and how often it is looked for.

    Attributes:
        subject: who is followed when several faces are seen at first, as the camera sees them.
        detect_every: faces are looked for at least on every n-th frame; None: on every fifth, of a live camera's calm
            face less often.

    Raises:
        ConfigurationError: an unknown subject, or `detect_every` below 1.
    """

    subject: Subject = "largest"
    detect_every: int | None = None

    def __post_init__(self) -> None:
        if self.subject not in SUBJECTS:
            known = f"{', '.join(SUBJECTS[:-1])} or {SUBJECTS[-1]}"
            raise ConfigurationError(f"the subject is {known}, not {self.subject!r}")
        if self.detect_every is not None and self.detect_every < 1:
            raise ConfigurationError(
                f"detection runs on every frame or every n-th, n at least 1, not {self.detect_every}"
            )


@dataclass(frozen=True)
class WindowOptions:
    """When a window is read.

    Attributes:
        arrival_allowance_ms: the step for a window ending at T runs at T + this, on what was stamped up to T and has
            arrived by then.

    Raises:
        ConfigurationError: less than nothing, or more than a second.
    """

    arrival_allowance_ms: float = 50.0

    def __post_init__(self) -> None:
        if not 0 <= self.arrival_allowance_ms <= 1000:
            raise ConfigurationError(f"the arrival allowance must be 0 to 1000 ms, not {self.arrival_allowance_ms:g}")

    @property
    def allowance_ns(self) -> int:
        """The same in nanoseconds."""
        return round(self.arrival_allowance_ms * 1e6)


@dataclass(frozen=True)
class BaselineOptions:
    """What results are compared with.

    Attributes:
        seconds: of valid data that the baseline is measured on; None: none is.
        apply: whether results carry their distance from it (`from_baseline`).

    Raises:
        ConfigurationError: a length no baseline can have, or one that is applied without being measured.
    """

    seconds: float | None = None
    apply: bool = False

    def __post_init__(self) -> None:
        if self.seconds is None and self.apply:
            raise ConfigurationError("a baseline can be applied only where one is measured: add --baseline 30s")
        if self.seconds is not None and not 0 < self.seconds <= LONGEST_BASELINE_S:
            raise ConfigurationError(f"a baseline takes up to {LONGEST_BASELINE_S:g} s, not {self.seconds:g} s")


@dataclass(frozen=True)
class Source:
    """One person: where the data come from, who it is, and how they are read.

    Attributes:
        camera: index (`0`), device path, address or video (see `open_camera`), or an opened camera.
        tracker: serial device, address or file (see `open_tracker`), or an opened tracker; None or `none`: there is
            none, and the FER heads alone are read, where the bundle can do that.
        name: of the stream, in every one of its results: up to 64 letters, digits, dots, dashes and underscores; None
            where the run reads this person alone.
        participant: a pseudonym; None: nobody has said who it is.
        consent_id: what the consent to be filmed is filed as.
        offset_ms: added to a tracker file's times so that they match the video's.
        display: the display the gaze falls on; None: the bundle's training display.
        stimulus: frame of the MCS columns; None: the whole display.
        faces, window, baseline: options of their own.

    Raises:
        ConfigurationError: a name that no stream can have, or an offset that is no number.
    """

    camera: str | Camera = "0"
    tracker: str | Tracker | None = None
    _: KW_ONLY
    name: str | None = None
    participant: str | None = None
    consent_id: str | None = None
    offset_ms: float | None = None
    display: Display | None = None
    stimulus: StimulusRect | None = None
    faces: FaceOptions = FaceOptions()
    window: WindowOptions = WindowOptions()
    baseline: BaselineOptions = BaselineOptions()

    def __post_init__(self) -> None:
        if self.tracker == "none":
            object.__setattr__(self, "tracker", None)
        if self.offset_ms is not None and not abs(self.offset_ms) <= LARGEST_OFFSET_MS:
            raise ConfigurationError(f"an offset is at most {LARGEST_OFFSET_MS:g} ms, not {self.offset_ms:g} ms")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a stream can't be called {self.name!r}: names are up to 64 letters, digits, dots, dashes and "
                "underscores, and begin with a letter or a digit"
            )

    def seen_on(self, trained: Display | None) -> Display:
        """The display the gaze falls on, where `trained` is the one in training."""
        return self.display or trained or Display()


@dataclass(frozen=True)
class MachineOptions:
    """What a run is computed with, for all its people.

    Attributes:
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        pace: `real`, or `fast` to replay files as fast as they can be read, with nothing dropped.
        loop: whether files start over when they end; every source must be one.

    Raises:
        ConfigurationError: another pace, or a fast replay without end.
    """

    engine: str = "auto"
    threads: int = 1
    pace: Pace = "real"
    loop: bool = False

    def __post_init__(self) -> None:
        if self.pace not in PACES:
            raise ConfigurationError(f"the pace is {' or '.join(PACES)}, not {self.pace!r}")
        if self.loop and self.pace == "fast":
            raise ConfigurationError("--loop plays files over and over as they were recorded: use --pace real")


def check_sources(sources: Sequence[Source]) -> None:
    """Raise ConfigurationError on people who can't be read in one run."""
    if not sources:
        raise ConfigurationError("a run needs at least one stream")
    names = Counter(source.name for source in sources)
    if len(sources) > 1 and None in names:
        raise ConfigurationError("of several sources, each needs a name of its own")
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ConfigurationError(f"two streams are called {twice[0]}; each needs a name of its own")
    if len({source.window for source in sources}) > 1:
        raise ConfigurationError("all streams of a run share its steps: give each the same arrival allowance")
