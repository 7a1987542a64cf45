"""`--lsl-out NAME`: results as a stream of the Lab Streaming Layer, for recorders such as LabRecorder.

One float channel a class probability, value and part of the gap, labelled in the metadata; NaN where there is no
emotion. The first channel is the state: 0 ok, 1 filling, 2 no_face, 3 no_gaze, 4 stale. Samples are stamped with their
window's end in LSL's clock; of a fast replay, with the moment they are sent.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from emer_edge.bundle import Manifest
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.pipeline import Stream, Summary
from emer_edge.runtime.recording.messages import STATE_CODES, result_channels, result_row
from emer_edge.runtime.trackers.lsl import import_pylsl
from emer_edge.spec.results import Result

__all__ = ["LslResults", "check_name"]

_LONGEST_NAME: Final = 100


def check_name(name: str) -> None:
    """Raise ConfigurationError for a stream's name that can't be announced."""
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise ConfigurationError(f"an LSL stream's name is 1 to {_LONGEST_NAME} printable characters, not {name!r}")


class LslResults:
    """An outlet of results.

    Args:
        stream: whose results.
        name: of the LSL stream.

    Attributes:
        name: `lsl`.

    Raises:
        MissingExtraError: pylsl is not installed.
        TrackerError: liblsl is not.
        ConfigurationError: a name that can't be announced.
    """

    name = "lsl"

    def __init__(self, stream: Stream, name: str) -> None:
        check_name(name)
        self._pylsl = import_pylsl()
        self._announced, self._live = name, stream.machine.pace == "real"
        self._manifest: Manifest = stream.bundle.manifest
        self._heads = {each.name: tuple(each.classes) for each in self._manifest.heads}
        self._whose = stream.name
        self._outlet: Any = None
        self._ahead_s = 0.0

    def begin(self) -> None:
        """Announce the stream."""
        pylsl = self._pylsl
        channels = result_channels(self._heads)
        info = pylsl.StreamInfo(
            self._announced,
            "Emotion",
            len(channels),
            pylsl.IRREGULAR_RATE,
            pylsl.cf_float32,
            f"emer-edge-{self._announced}",
        )
        described = info.desc()
        described.append_child_value("manufacturer", "emer-edge")
        described.append_child_value("bundle", self._manifest.name)
        if self._whose is not None:
            described.append_child_value("stream", self._whose)
        described.append_child_value("states", ", ".join(f"{code} {each.value}" for each, code in STATE_CODES.items()))
        described.append_child_value("hop_s", f"{self._manifest.window.hop_ns * 1e-9:g}")
        listed = described.append_child("channels")
        for label, unit in channels:
            channel = listed.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        self._outlet = pylsl.StreamOutlet(info)
        self._ahead_s = pylsl.local_clock() - monotonic()

    def result(self, result: Result) -> bool:
        """Send a result; nobody needs to listen."""
        stamp_s = result.end_ns * 1e-9 + self._ahead_s if self._live else self._pylsl.local_clock()
        self._outlet.push_sample(result_row(result.to_dict(), self._heads), stamp_s)
        return True

    def end(self, summary: Summary | None) -> None:
        """Take the stream back."""
        self._outlet = None
