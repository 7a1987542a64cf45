"""Saved sessions: what `emer-edge run --save FOLDER` keeps of one person's run.

    FOLDER/PARTICIPANT/SESSION/session.json    who, when, with what, the baseline, the validation, how it ended
                               results.jsonl   a result a line, as they came
                               markers.jsonl   a marker a line, as they came

All of it is personal data: files have mode 0600, folders 0700, and `purge_participant` removes one person's. Lines are
written one by one, so a run that is killed leaves all but the line it was writing; `state` is `running` in that case.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, Validation

SESSION_FILE: Final = "session.json"
RESULTS_FILE: Final = "results.jsonl"
MARKERS_FILE: Final = "markers.jsonl"
SESSION_SCHEMA: Final = 1

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SessionHead(msgspec.Struct, forbid_unknown_fields=True):
    """`session.json`.

    Attributes:
        schema: of this file.
        participant, session: IDs.
        state: `running`, or `ended` where the run came to its end; a session that is not running and says so was broken
            off.
        started, ended: wall clock, ISO 8601 with UTC; `ended` is None until then.
        started_ns: host monotonic time at `started`; it ties the stamps of results and markers to the wall clock.
        version: of emer-edge.
        bundle: its name.
        manifest_sha256: of the bundle's manifest.
        research_only: whether the bundle is.
        camera, tracker: what was opened, passwords left out.
        display: that the gaze refers to.
        baseline_s: seconds asked for, None without a baseline.
        apply_baseline: whether results hold `from_baseline`.
        baseline: None until it is complete.
        validation: of the gaze before the run.
        results, markers: how many were written; of a session that was broken off, count the lines.
        summary: what the run was like, at its end.
    """

    schema: int
    participant: str
    session: str
    state: str
    started: str
    started_ns: int
    version: str
    bundle: str
    manifest_sha256: str
    research_only: bool
    camera: str
    tracker: str
    display: Display
    baseline_s: float | None = None
    apply_baseline: bool = False
    baseline: Baseline | None = None
    validation: Validation | None = None
    ended: str | None = None
    results: int = 0
    markers: int = 0
    summary: dict[str, Any] | None = None


class _Schema(msgspec.Struct):
    schema: int


@dataclass(frozen=True)
class SessionPlace:
    """Where a session is saved.

    Attributes:
        root: the folder of all participants.
        participant, session: valid IDs.
    """

    root: Path
    participant: str
    session: str

    @property
    def folder(self) -> Path:
        """The session's own folder."""
        return self.root / self.participant / self.session


@dataclass(frozen=True)
class SavedSession:
    """An opened session.

    Attributes:
        folder: its folder.
        head: its `session.json`.
        results: its results, as `Result.to_dict` made them.
        markers: its markers.
        cut: lines that a broken run left unfinished, and that are left out.
    """

    folder: Path
    head: SessionHead
    results: tuple[dict[str, Any], ...]
    markers: tuple[Marker, ...]
    cut: int


def check_id(kind: str, text: str) -> str:
    """Return an ID that is fit to name a folder.

    Raises:
        ConfigurationError: one that is empty, longer than 64 characters, or holds anything but ASCII letters, digits,
            dots, dashes and underscores, or begins with one of these.
    """
    if not _ID.fullmatch(text):
        raise ConfigurationError(
            f"a {kind} ID is 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first, not "
            f"{text!r}; use a pseudonym such as p017, not a name"
        )
    return text


def session_place(root: Path, participant: str, session: str) -> SessionPlace:
    """Name the place of a new session.

    Raises:
        ConfigurationError: an ID that is none, or a session that is there already.
    """
    place = SessionPlace(root, check_id("participant", participant), check_id("session", session))
    if place.folder.exists() or place.folder.is_symlink():
        raise ConfigurationError(f"{place.folder} holds a session already; choose another --session")
    return place


def open_session(folder: Path) -> SavedSession:
    """Read a session, a broken one too.

    Raises:
        DataError: no session, a newer schema, or lines that no run has written.
    """
    head = _head(folder / SESSION_FILE)
    results, cut_results = _lines(folder / RESULTS_FILE, dict[str, Any])
    markers, cut_markers = _lines(folder / MARKERS_FILE, Marker)
    return SavedSession(folder, head, tuple(results), tuple(markers), cut=cut_results + cut_markers)


def participant_sessions(root: Path, participant: str) -> Iterator[Path]:
    """Folders of a participant's sessions, in order of their IDs.

    Raises:
        ConfigurationError: an ID that is none.
    """
    of_one = root / check_id("participant", participant)
    if of_one.is_dir() and not of_one.is_symlink():
        for each in sorted(of_one.iterdir()):
            if each.is_dir() and not each.is_symlink() and _is_session(each):
                yield each


def purge_participant(root: Path, participant: str) -> tuple[list[Path], list[Path]]:
    """Remove all sessions of a participant: their folders with everything in them, and the participant's, once empty.

    Returns:
        The session folders that were removed, and what else is left in the participant's folder, which is nobody's
        session and was not touched.

    Raises:
        ConfigurationError: an ID that is none.
        DataError: no such folder, no sessions of this participant in it, or files that can't be removed.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; say where `run --save` put the sessions")
    removed = list(participant_sessions(root, participant))
    of_one = root / participant
    if not removed and not (of_one.is_dir() and not of_one.is_symlink() and not any(of_one.iterdir())):
        raise DataError(f"{root} holds no sessions of participant {participant}; nothing was removed")
    try:
        for each in removed:
            shutil.rmtree(each)
        left = sorted(of_one.iterdir())
        if not left:
            of_one.rmdir()
    except OSError as error:
        raise DataError(
            f"can't remove {error.filename}: {error.strerror}; sessions of {participant} are left"
        ) from error
    return removed, left


def _is_session(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (SESSION_FILE, RESULTS_FILE, MARKERS_FILE))


def _head(file: Path) -> SessionHead:
    try:
        content = file.read_bytes()
        schema = msgspec.json.decode(content, type=_Schema).schema
        if schema > SESSION_SCHEMA:
            raise DataError(f"{file} has schema {schema}, this version reads up to {SESSION_SCHEMA}; upgrade emer-edge")
        return msgspec.json.decode(content, type=SessionHead)
    except OSError as error:
        raise DataError(f"{file.parent} is no session: can't open {file.name}: {error.strerror or error}") from error
    except (msgspec.DecodeError, ConfigurationError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{file} is not a session's description: {error}") from error


def _lines(file: Path, kind: Any) -> tuple[list[Any], int]:
    """Decode a file of JSON lines; a last line without its end was being written when the run broke off."""
    try:
        *whole, last = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise DataError(f"can't open {file}: {error.strerror or error}") from error
    read = []
    for number, line in enumerate(whole, 1):
        try:
            read.append(msgspec.json.decode(line, type=kind))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{file}, line {number}: {error}") from error
    return read, int(bool(last))
