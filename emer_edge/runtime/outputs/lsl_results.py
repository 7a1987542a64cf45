"""`--lsl-out NAME` or `lsl://NAME`: results as a stream of the Lab Streaming Layer, for recorders such as LabRecorder.

One float channel per class probability, value and part of the gap, labelled in the metadata; NaN where there is no
emotion. The first channel is the state: 0 ok, 1 filling, 2 no_face, 3 no_gaze, 4 stale. Samples are stamped with their
window's end in LSL's clock; of a fast replay, with the moment they are sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

from emer_edge.core.results import Result
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Host, Output, blamed, target_of
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.recording.messages import STATE_CODES, result_channels, result_row
from emer_edge.runtime.trackers.lsl import import_pylsl

_LONGEST_NAME: Final = 100


class LslResults(Output):
    """An outlet of results; the option is the name of its LSL stream.

    Raises:
        MissingExtraError: pylsl is not installed.
        TrackerError: liblsl is not installed.
    """

    name = "lsl"

    def __init__(self, options: str, host: Host) -> None:
        self._pylsl = import_pylsl()
        self._title, self._live = options, host.pipeline.machine.pace == "real"
        self._manifest = host.pipeline.bundle.manifest
        self._heads = {head.name: tuple(head.classes) for head in self._manifest.heads}
        self._of_stream = host.own.name
        self._outlet: Any = None
        self._ahead_s = 0.0

    @classmethod
    def parse(cls, address: str) -> str:
        """The name in `lsl://NAME`."""
        return target_of(address)[0]

    @classmethod
    def settle(cls, options: str, sources: Sequence[Source]) -> Sequence[str]:
        """NAME, or of named people NAME-STREAM; raise ConfigurationError for a name that can't be announced."""
        names = [options if source.name is None else f"{options}-{source.name}" for source in sources]
        for source, name in zip(sources, names, strict=True):
            if not options or not name.isprintable() or len(name) > _LONGEST_NAME:
                raise blamed(source, f"an LSL stream's name is 1 to {_LONGEST_NAME} printable characters, not {name!r}")
        return names

    def begin(self) -> None:
        """Announce the stream."""
        pylsl = self._pylsl
        channels = result_channels(self._heads)
        kind = ("Emotion", len(channels), pylsl.IRREGULAR_RATE, pylsl.cf_float32)
        info = pylsl.StreamInfo(self._title, *kind, f"emer-edge-{self._title}")
        description = info.desc()
        facts = {
            "manufacturer": "emer-edge",
            "bundle": self._manifest.name,
            "stream": self._of_stream,
            "states": ", ".join(f"{code} {state.value}" for state, code in STATE_CODES.items()),
            "hop_s": f"{self._manifest.window.hop_ns * 1e-9:g}",
        }
        for name, text in facts.items():
            if text is not None:
                description.append_child_value(name, text)
        all_channels = description.append_child("channels")
        for label, unit in channels:
            channel = all_channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
        self._outlet = pylsl.StreamOutlet(info)
        self._ahead_s = pylsl.local_clock() - monotonic()

    def result(self, result: Result) -> bool:
        """Send a result; no receiver is needed."""
        stamp_s = result.end_ns * 1e-9 + self._ahead_s if self._live else self._pylsl.local_clock()
        self._outlet.push_sample(result_row(result.to_dict(), self._heads), stamp_s)
        return True

    def end(self, summary: Summary | None) -> None:
        """End the stream."""
        self._outlet = None
