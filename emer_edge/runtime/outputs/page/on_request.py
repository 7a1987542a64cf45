"""`--serve-record FOLDER`: recordings that a visitor of the page starts and ends during a run, each with a consent."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result
from emer_edge.data.sessions import check_retention
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Host, Output, retention_of, target_of
from emer_edge.runtime.outputs.recorder import Recorder
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.recording.keep import RecordOptions, expire, recording_path
from emer_edge.runtime.recording.mcap_writer import check_writable
from emer_edge.runtime.recording.messages import RecordingHead


class OnRequest(Output):
    """Records a stream, with JPEG images, into a new file of a folder from each `start` to its `stop`.

    Attributes:
        path: the file that is being written; None: nothing is recorded.
    """

    name = "record on request"
    keeps = once = True
    queued = MappingProxyType(dict(Recorder.queued))

    def __init__(self, options: RecordOptions, host: Host) -> None:
        self._folder, self._host = options.path, host
        if options.retention_days is not None:
            expire(options.path, options.retention_days, host.say)
        self._using = threading.Lock()
        self._recorder: Recorder | None = None
        self._failed = False
        self.path: Path | None = None

    @classmethod
    def parse(cls, address: str) -> RecordOptions:
        """The options of `onrequest:FOLDER?retention-days=DAYS`."""
        folder, parameters = target_of(address, path=True)
        try:
            days = retention_of(parameters)
            if parameters:
                raise ValueError
        except ValueError:
            raise ConfigurationError(f"{address}: write onrequest:FOLDER?retention-days=DAYS") from None
        return RecordOptions(Path(folder), retention_days=days)

    @classmethod
    def settle(cls, options: RecordOptions, sources: Sequence[Source]) -> Sequence[RecordOptions]:
        """Check the retention, and that recordings can be made in the folder, as `check_writable`."""
        check_retention(options.retention_days)
        check_writable(_file_in(options.path), new_folder=True)
        return [options] * len(sources)

    def start(self, consent_id: str) -> None:
        """Record from now on; from any thread.

        Raises:
            ConfigurationError: no valid consent ID, a recording that goes on or has failed, or no file can be made.
        """
        with self._using:
            if self.path is not None or self._failed:
                raise ConfigurationError("recording has failed in this run" if self._failed else "it records already")
            if not self._host.own.opened:
                raise ConfigurationError("the run has not begun; try again in a moment")
            path = _file_in(self._folder)
            path = path if self.stream is None else path.with_name(f"{path.stem}-{self.stream}{path.suffix}")
            participant = self._host.own.source.participant
            options = RecordOptions(path, "jpeg", consent_id=consent_id.strip(), participant=participant)
            options.check()
            check_writable(path, new_folder=True)
            self._recorder, self.path = _MidRun(options, self._host), path

    def stop(self) -> None:
        """Finish the file, where one is being written; from any thread. What is queued by then is not in it."""
        with self._using:
            recorder, self._recorder, self.path = self._recorder, None, None
            if recorder is not None:
                recorder.end(None)

    def frame(self, *item: Any) -> None:
        """Write a frame, and its image; OSError where the disk is full or gone, as for all items."""
        self._write("frame", item)

    def sample(self, *item: Any) -> None:
        """Write a sample."""
        self._write("sample", item)

    def result(self, *item: Any) -> bool:
        """Write a result."""
        self._write("result", item)
        return True

    def marker(self, *item: Any) -> None:
        """Write a marker."""
        self._write("marker", item)

    def end(self, summary: Summary | None) -> None:
        """Finish the file, where one is being written."""
        self.stop()

    def _write(self, kind: str, item: tuple[Any, ...]) -> None:
        with self._using:
            if self._recorder is None:
                return
            try:
                getattr(self._recorder, kind)(*item)
            except Exception:
                self._failed, self.path = True, None
                raise


class _MidRun(Recorder):
    """A recording whose time 0 is the last step before it began, so that it plays from there, not from the run's."""

    def __init__(self, options: RecordOptions, host: Host) -> None:
        super().__init__(options, host)
        core, now_ns = host.own.core, monotonic_ns()
        assert core is not None
        self._from_ns = now_ns - (now_ns - core.evidence.origin_ns) % host.own.bundle.manifest.window.hop_ns

    def result(self, result: Result) -> bool:
        """Write a result, unless its window has ended before the recording's time 0."""
        return result.end_ns <= self._from_ns or super().result(result)

    def _head(self, origin_ns: int, unix_offset_ns: int) -> RecordingHead:
        return super()._head(self._from_ns, unix_offset_ns)


def _file_in(folder: Path) -> Path:
    return folder / recording_path(Path()).name
