"""The output that saves a session (see `emer_edge.data.sessions`): every line leaves this process as it comes."""

from __future__ import annotations

import os
import threading
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge import __version__
from emer_edge.bundle.artefact import sha256_of
from emer_edge.data.sessions import (
    MARKERS_FILE,
    RESULTS_FILE,
    SESSION_FILE,
    SESSION_SCHEMA,
    SessionHead,
    SessionPlace,
)
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.pipeline import Stream, Summary
from emer_edge.runtime.say import Say
from emer_edge.spec.markers import Marker
from emer_edge.spec.results import Result
from emer_edge.spec.whole_file import write_private

__all__ = ["SessionFolder"]

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_EARLY: Final = 1000  # markers before the first result that are kept


class SessionFolder:
    """Writes a session as it goes. What can't be written is said once, and the run goes on.

    Args:
        stream: whose markers, baseline and validation are saved.
        place: where; its folder must not exist.
        say: told when writing fails, and what was written at the end.

    Attributes:
        name: `session`.
    """

    name = "session"

    def __init__(self, stream: Stream, place: SessionPlace, say: Say) -> None:
        self._stream, self._place, self._say = stream, place, say
        self._lock = threading.Lock()  # markers come from other threads
        self._files: dict[str, int] = {}
        self._counts = {RESULTS_FILE: 0, MARKERS_FILE: 0}
        self._head: SessionHead | None = None
        self._failed = False
        self._early: deque[Marker] = deque(maxlen=_EARLY)
        stream.markers.listen(self._marker)

    def begin(self) -> None:
        """Make the folder and its files.

        Raises:
            ConfigurationError: it can't be made, or another run has just made it.
        """
        folder = self._place.folder
        try:
            for each in (self._place.root, folder.parent):
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            files = {name: os.open(folder / name, _FLAGS, 0o600) for name in self._counts}
            self._head = self._first_head()
            self._write_head()
        except FileExistsError as error:
            raise ConfigurationError(
                f"{error.filename} is there already; choose another --session or --save"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"can't save the session in {folder}: {error.strerror or error}") from error
        with self._lock:
            self._files = files
            early, self._early = list(self._early), deque(maxlen=0)
        for marker in early:
            self._marker(marker)

    def result(self, result: Result) -> bool:
        """Write a result; and the head anew once the baseline is complete."""
        self._line(RESULTS_FILE, msgspec.json.encode(result.to_dict()))
        if self._head is not None and self._head.baseline is None and self._stream.baseline is not None:
            self._head.baseline = self._stream.baseline
            self._try_head()
        return True

    def end(self, summary: Summary | None) -> None:
        """Write how it ended."""
        if self._head is None:
            return
        with self._lock:
            files, self._files = self._files, {}
        for each in files.values():
            os.close(each)
        self._head.state, self._head.ended = "ended", _now()
        self._head.results, self._head.markers = self._counts[RESULTS_FILE], self._counts[MARKERS_FILE]
        self._head.baseline = self._stream.baseline
        self._head.summary = None if summary is None else _plain(summary)
        self._try_head()
        if not self._failed:
            counts = f"{self._counts[RESULTS_FILE]} results and {self._counts[MARKERS_FILE]} markers"
            self._say(
                f"saved {counts} in {self._place.folder}; emer-edge purge --participant {self._place.participant} "
                f"--sessions {self._place.root} removes this person's sessions"
            )

    def _marker(self, marker: Marker) -> None:
        with self._lock:
            if not self._files:
                self._early.append(marker)
                return
        self._line(MARKERS_FILE, msgspec.json.encode(marker))

    def _line(self, name: str, line: bytes) -> None:
        with self._lock:
            file = self._files.get(name)
            if file is None or self._failed:
                return
            try:
                _write_whole(file, line + b"\n")
                self._counts[name] += 1
            except OSError as error:
                self._fail(error)

    def _try_head(self) -> None:
        try:
            self._write_head()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True  # a line after one that is cut would be lost with it
            self._say(f"can't save the session in {self._place.folder} any more ({error.strerror}); the run goes on")

    def _write_head(self) -> None:
        content = msgspec.json.format(msgspec.json.encode(self._head), indent=2)
        write_private(self._place.folder / SESSION_FILE, content + b"\n")

    def _first_head(self) -> SessionHead:
        stream, place = self._stream, self._place
        manifest = stream.bundle.manifest
        camera, tracker = stream.described
        return SessionHead(
            schema=SESSION_SCHEMA,
            participant=place.participant,
            session=place.session,
            state="running",
            started=_now(),
            started_ns=monotonic_ns(),
            version=__version__,
            bundle=manifest.name,
            manifest_sha256=sha256_of(Path(stream.bundle.path) / "manifest.json"),
            research_only=manifest.research_only,
            camera=camera,
            tracker=tracker,
            display=stream.display,
            baseline_s=stream.source.baseline.seconds,
            apply_baseline=stream.source.baseline.apply,
            validation=stream.validation,
        )


def _write_whole(file: int, data: bytes) -> None:
    """Write in one call where the system takes it in one, so that lines of two processes could not mix."""
    while data:
        data = data[os.write(file, data) :]


def _plain(summary: Summary) -> dict[str, Any]:
    """A summary without what the head holds itself."""
    return {name: each for name, each in summary.to_dict().items() if name not in ("baseline", "validation")}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
