"""Saved sessions: the files that `emer-edge run --save FOLDER` writes of one person's run.

    FOLDER/PARTICIPANT/SESSION/session.json    participant, time, sensors, baseline, validation, summary
                               results.jsonl   one result per line, as they came
                               markers.jsonl   one marker per line, as they came

All of it is personal data: files have mode 0600, folders 0700, and `purge_participant` removes one person's. Lines are
written one by one, so a run that is killed loses only the line it was writing; `state` is `running` in that case.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, Validation
from emer_edge.data.recordings import read_description

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
        state: `running` or `ended`; an interrupted session stays `running`.
        started, ended: wall clock, ISO 8601 with UTC; `ended` is None until then.
        started_ns: host monotonic time at `started`: it maps the stamps of results and markers to the wall clock.
        version: of emer-edge.
        bundle, manifest_sha256, research_only: its name, the hash of its manifest, its restriction.
        camera, tracker: their descriptions, without passwords.
        display: that the gaze refers to.
        baseline_s: requested seconds, None without a baseline.
        apply_baseline: whether results hold `from_baseline`.
        baseline: None until it is complete.
        validation: of the gaze before the run.
        results, markers: how many were written; in an interrupted session, count the lines.
        summary: of the run, at its end.
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


@dataclass(frozen=True)
class SessionPlace:
    """Where a session is saved: the folder of all participants, and two valid IDs."""

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
        head: its `session.json`.
        results: as `Result.to_dict` made them.
        cut: lines that an interrupted run left unfinished, and that are skipped.
    """

    folder: Path
    head: SessionHead
    results: tuple[dict[str, Any], ...]
    markers: tuple[Marker, ...]
    cut: int


def check_id(kind: str, text: str) -> str:
    """Return an ID that can name a folder.

    Raises:
        ConfigurationError: not 1 to 64 ASCII letters, digits, dots, dashes and underscores, a letter or digit first.
    """
    if not _ID.fullmatch(text):
        raise ConfigurationError(
            f"a {kind} ID is 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first, not "
            f"{text!r}; use a pseudonym such as p017, not a name"
        )
    return text


def session_place(root: Path, participant: str, session: str) -> SessionPlace:
    """The place of a new session.

    Raises:
        ConfigurationError: an invalid ID, or a session that exists already.
    """
    place = SessionPlace(root, check_id("participant", participant), check_id("session", session))
    if place.folder.exists() or place.folder.is_symlink():
        raise ConfigurationError(f"{place.folder} holds a session already; choose another --session")
    return place


def open_session(folder: Path) -> SavedSession:
    """Read a session, an interrupted one too.

    Raises:
        DataError: no session, a newer schema, or invalid lines.
    """
    head = read_description(folder / SESSION_FILE, SessionHead, SESSION_SCHEMA, "session")
    results, cut_results = _lines(folder / RESULTS_FILE, dict[str, Any])
    markers, cut_markers = _lines(folder / MARKERS_FILE, Marker)
    return SavedSession(folder, head, tuple(results), tuple(markers), cut=cut_results + cut_markers)


def _is_session(folder: Path) -> bool:
    files = (folder / name for name in (SESSION_FILE, RESULTS_FILE, MARKERS_FILE))
    return folder.is_dir() and not folder.is_symlink() and any(file.is_file() for file in files)


def purge_participant(root: Path, participant: str) -> tuple[list[Path], list[Path]]:
    """Remove all sessions of a participant with everything in them, and the participant's folder, once empty.

    Returns:
        The session folders that were removed, and what else is in the participant's folder, which is no session and was
        not touched.

    Raises:
        ConfigurationError: an invalid ID.
        DataError: no such folder, no sessions of this participant in it, or files that can't be removed.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; name the one that `run --save` wrote to")
    own = root / check_id("participant", participant)
    is_folder = own.is_dir() and not own.is_symlink()
    content = sorted(own.iterdir()) if is_folder else []
    removed = [folder for folder in content if _is_session(folder)]
    if not removed and (content or not is_folder):
        raise DataError(f"{root} holds no sessions of participant {participant}; nothing was removed")
    try:
        for folder in removed:
            shutil.rmtree(folder)
        left = sorted(own.iterdir())
        if not left:
            own.rmdir()
    except OSError as error:
        raise DataError(
            f"can't remove {error.filename}: {error.strerror}; sessions of {participant} are left"
        ) from error
    return removed, left


def _lines(file: Path, kind: Any) -> tuple[list[Any], int]:
    """Decode a file of JSON lines; a last line without its end was cut when the run was interrupted."""
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
