"""`--save FOLDER` or `session:FOLDER?participant=ID`: a saved session as of `emer_edge.data.sessions`.

Every line is written as it comes, and synced every two seconds. The folder takes its name when all files are in it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from emer_edge import __version__
from emer_edge.core.errors import ConfigurationError, DataError, OutputExistsError
from emer_edge.core.results import Result
from emer_edge.core.session_facts import Marker
from emer_edge.core.standard_streams import command, to_json
from emer_edge.core.whole_file import Syncing, Target, claim, name_folder, unfinished_folder, whole_file
from emer_edge.data import sessions
from emer_edge.runtime.clock.mapping import WallClock, monotonic_ns
from emer_edge.runtime.options import Source
from emer_edge.runtime.outputs.base import Host, Output, blamed, retention_of, target_of
from emer_edge.runtime.pipeline import Summary

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True)
class SessionOptions:
    """Where sessions are saved.

    Attributes:
        root: the folder of all participants.
        session: ID of all participants' sessions; the date and time by default.
        participant: of a run of one person; that of its source by default.
        retention_days: older sessions in the folder are deleted first; None keeps them.
    """

    root: Path
    session: str | None = None
    participant: str | None = None
    retention_days: float | None = None


class SessionFolder(Output):
    """Writes a session during the run, into a folder that must not exist; says at the end what was written."""

    name = "session"
    keeps = once = True
    queued = MappingProxyType({"marker": 1000})  # from other threads, and before `begin`, too

    def __init__(self, options: sessions.SessionPlace, host: Host) -> None:
        self._stream, self._place, self._say = host.own, options, host.say
        self._files: dict[str, int] = {}
        self._counts = {sessions.RESULTS_FILE: 0, sessions.MARKERS_FILE: 0}
        self._head: sessions.SessionHead | None = None
        self._whole = True

    @classmethod
    def parse(cls, address: str) -> SessionOptions:
        """The options of `session:FOLDER?participant=ID&session=ID&retention-days=DAYS`."""
        folder, parameters = target_of(address, path=True)
        try:
            days = retention_of(parameters)
            if not folder or set(parameters) - {"participant", "session"}:
                raise ValueError
        except ValueError:
            raise ConfigurationError(
                f"{address}: write session:FOLDER?participant=ID&session=ID&retention-days=DAYS"
            ) from None
        return SessionOptions(Path(folder), parameters.get("session"), parameters.get("participant"), days)

    @classmethod
    def settle(cls, options: SessionOptions, sources: Sequence[Source]) -> Sequence[sessions.SessionPlace]:
        """FOLDER/PARTICIPANT/SESSION, or SESSION-STREAM where two streams are of one participant.

        Raises:
            ConfigurationError: a person without a participant, and as `session_place`.
        """
        people = [source.participant or (None if source.name else options.participant) for source in sources]
        missing = [source.name for source, person in zip(sources, people, strict=True) if person is None]
        if named := ", ".join(filter(None, missing)):
            raise ConfigurationError(
                f"--save needs a participant of every person: add participant to the [[stream]] {named}"
            )
        if missing:
            raise ConfigurationError("--save needs to know the participant: add --participant with a pseudonym")
        session = options.session or datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
        shared = Counter(people)
        places = []
        sessions.check_retention(options.retention_days)
        for source, participant in zip(sources, people, strict=True):
            own = f"{session}-{source.name}" if shared[participant] > 1 else session
            try:
                place = sessions.session_place(options.root, str(participant), own)
                places.append(replace(place, retention_days=options.retention_days))
            except ConfigurationError as error:
                raise blamed(source, error) from None
        return places

    def begin(self) -> None:
        """Make the folder and its files; ConfigurationError where that can't be, or another run has just done it."""
        folder = self._place.folder
        if self._place.retention_days is not None:
            sessions.expire_sessions(self._place.root, self._place.retention_days, self._say)
        target = Target(folder)
        try:
            for parent in (self._place.root, folder.parent):
                parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with unfinished_folder(target) as unfinished:
                unfinished.chmod(0o700)
                self._folder = os.open(unfinished, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                files = {name: os.open(name, _FLAGS, 0o600, dir_fd=self._folder) for name in self._counts}
                claim(files[sessions.RESULTS_FILE])
                self._clock = WallClock()
                head = self._first_head()
                self._write_head(head)
                name_folder(unfinished, target)
            self._syncing = Syncing(*files.values(), self._folder, folders=[folder.parent, self._place.root])
            self._head, self._files = head, files
        except (FileExistsError, OutputExistsError) as error:
            raise ConfigurationError(f"{folder} is there already; choose another --session or --save") from error
        except OSError as error:
            raise ConfigurationError(f"can't save the session in {folder}: {error.strerror or error}") from error

    def result(self, result: Result) -> bool:
        """Write a result, and the head again once the baseline is complete."""
        self._line(sessions.RESULTS_FILE, to_json(result.to_dict()))
        if self._head is None:
            return True
        jump_ns = self._clock.jump_ns()
        if jump_ns:
            self._head.clock_jumps.append(sessions.ClockJump(monotonic_ns(), round(jump_ns * 1e-9, 3)))
            self._say(f"the wall clock was set by {jump_ns * 1e-9:+.1f} s; the session's times go on as they began")
        if jump_ns or (self._head.baseline is None and self._stream.baseline is not None):
            self._head.baseline = self._stream.baseline
            with self._saving():
                self._write_head(self._head)
        return True

    def marker(self, marker: Marker) -> None:
        """Write a marker."""
        self._line(sessions.MARKERS_FILE, to_json(marker))

    def end(self, summary: Summary | None) -> None:
        """Write the end into the head."""
        if self._head is None:
            return
        results, markers = self._counts[sessions.RESULTS_FILE], self._counts[sessions.MARKERS_FILE]
        self._head.state, self._head.ended = "ended", self._clock.text(monotonic_ns())
        self._head.results, self._head.markers = results, markers
        self._head.baseline = self._stream.baseline
        if summary is not None:
            in_head = ("baseline", "validation")
            self._head.summary = {name: value for name, value in summary.to_dict().items() if name not in in_head}
        try:
            with self._saving():
                try:
                    self._write_head(self._head)
                finally:
                    self._syncing.close()
        finally:
            for descriptor in (*self._files.values(), self._folder):  # the last of them ends the claim
                os.close(descriptor)
        if self._whole:
            whose = ("--participant", self._place.participant, "--sessions", self._place.root)
            purge = command("purge", *whose)
            saved = f"saved {results} results and {markers} markers in {self._place.folder}"
            self._say(f"{saved}; {purge} removes this person's sessions")

    def _line(self, name: str, line: bytes) -> None:
        data = line + b"\n"
        with self._saving():
            self._syncing.check()
            while data:  # in one call where the system takes it in one, so that lines of two processes could not mix
                data = data[os.write(self._files[name], data) :]
        self._counts[name] += 1

    @contextmanager
    def _saving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._whole = False
            raise DataError(f"can't save the session in {self._place.folder} any more ({error.strerror})") from error

    def _write_head(self, head: sessions.SessionHead) -> None:
        if self._files:
            there = os.stat(self._place.folder / sessions.RESULTS_FILE)  # a folder that has gone is not made again
            if not os.path.samestat(there, os.fstat(self._files[sessions.RESULTS_FILE])):
                raise FileNotFoundError(2, "another folder has taken its place")
        with whole_file(Path(f"/proc/self/fd/{self._folder}", sessions.SESSION_FILE), private=True) as unfinished:
            unfinished.write_bytes(msgspec.json.format(to_json(head), indent=2) + b"\n")

    def _first_head(self) -> sessions.SessionHead:
        stream, place = self._stream, self._place
        manifest = stream.bundle.manifest
        camera, tracker = stream.described
        return sessions.SessionHead(
            schema=sessions.SESSION_SCHEMA,
            participant=place.participant,
            session=place.session,
            state="running",
            started=self._clock.text(self._clock.started_ns),
            started_ns=self._clock.started_ns,
            version=__version__,
            bundle=manifest.name,
            manifest_sha256=stream.bundle.manifest_sha256,
            research_only=manifest.research_only,
            camera=camera,
            tracker=tracker,
            display=stream.display,
            baseline_s=stream.source.baseline.seconds,
            apply_baseline=stream.source.baseline.apply,
            validation=stream.validation,
        )
