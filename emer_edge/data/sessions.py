"""Saved sessions: the files that `emer-edge run --save FOLDER` writes of one person's run.

    FOLDER/PARTICIPANT/SESSION/session.json    participant, time, sensors, baseline, validation, summary
                               results.jsonl   one result per line, as they came
                               markers.jsonl   one marker per line, as they came

All of it is personal data: files have mode 0600, folders 0700, and `emer-edge purge` removes one person's. Lines are
written one by one, so a run that is killed loses only the line it was writing, and synced every two seconds, which is
what a power cut can cost; `state` is `running` in these cases. A run holds the lock (flock(2)) of its `results.jsonl`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.handles import held_folders, opened_in, unwritten
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Baseline, Marker, Validation
from emer_edge.core.whole_file import is_claimed
from emer_edge.data.recordings import read_description

SESSION_FILE: Final = "session.json"
RESULTS_FILE: Final = "results.jsonl"
MARKERS_FILE: Final = "markers.jsonl"
SESSION_SCHEMA: Final = 1
_FILES: Final = (SESSION_FILE, RESULTS_FILE, MARKERS_FILE)

_MOST_BYTES: Final = 1 << 26  # of a session.json that is asked whose it is

_EARLIEST: Final = datetime(2025, 1, 1, tzinfo=timezone.utc)  # no clock that is right says less
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ClockJump(msgspec.Struct):
    """The wall clock was set: when (host monotonic time), and by how much; negative: back."""

    at_ns: int
    seconds: float


class SessionHead(msgspec.Struct, forbid_unknown_fields=True):
    """`session.json`.

    Attributes:
        schema: of this file.
        participant, session: IDs.
        state: `running` or `ended`; an interrupted session stays `running`.
        started, ended: wall clock, ISO 8601 with UTC; `ended` is `started` and what the host's monotonic clock counted
            since, None until then.
        started_ns: host monotonic time at `started`: it maps the stamps of results and markers to the wall clock.
        clock_jumps: where the wall clock was set meanwhile, or the machine slept.
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
    clock_jumps: list[ClockJump] = []


@dataclass(frozen=True)
class SessionPlace:
    """Where a session is saved: the folder of all participants, two valid IDs, and how long others are kept."""

    root: Path
    participant: str
    session: str
    retention_days: float | None = None

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
        ConfigurationError: an invalid ID, a session that exists already, or a participant's folder that is a link.
    """
    place = SessionPlace(root, check_id("participant", participant), check_id("session", session))
    if place.folder.parent.is_symlink():
        raise ConfigurationError(
            f"{place.folder.parent} is a link, which purging does not follow; choose another --save"
        )
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


class _Kept(msgspec.Struct):
    """What of a head decides whether a session is kept, whatever its schema."""

    participant: str = ""
    started: str = ""


def own_sessions(root: Path) -> Iterator[tuple[Path, str, str, int]]:
    """Sessions in a folder and below it: their folder, participant, when they began, or '', and an open handle.

    They are known by their files. Where `session.json` can't be read, the participant is who the folder is named after.
    DataError as of `held_folders`.
    """
    for folder, _, names, handle in held_folders(root):
        kept = _Kept()
        with (
            suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError),
            opened_in(handle, SESSION_FILE) as file,
        ):
            kept = msgspec.json.decode(os.read(file, _MOST_BYTES), type=_Kept)
            if not kept.participant:
                continue
        if kept.participant or {RESULTS_FILE, MARKERS_FILE} & set(names):
            yield folder, kept.participant or folder.parent.name, kept.started, handle


def find_sessions(root: Path, participant: str) -> list[Path]:
    """Folders of a participant's sessions.

    Raises:
        ConfigurationError: an invalid ID.
        DataError: as `held_folders`, or a run is writing one of them.
    """
    check_id("participant", participant)
    found = []
    for folder, person, _, handle in own_sessions(root):
        if person == participant:
            with unwritten(handle, RESULTS_FILE, folder / RESULTS_FILE):
                found.append(folder)
    return sorted(found)


def remove_sessions(root: Path, paths: Sequence[Path]) -> list[Path]:
    """Remove the files of sessions below a folder, and their folders and the participants' where they are empty then.

    Returns:
        What is left in these folders: what emer-edge did not write, and links, which are not followed.

    Raises:
        DataError: a run is writing one of them, or something can't be removed.
    """
    sessions, others, emptied, left = set(paths), set[Path](), set[Path](), list[Path]()
    try:
        for place, inner, names, handle in held_folders(root):
            others |= {place} if SESSION_FILE in names else set()
            if place in sessions:
                with unwritten(handle, RESULTS_FILE, place / RESULTS_FILE):
                    for name in names:
                        if name in _FILES or name.startswith(f".{SESSION_FILE}."):
                            os.unlink(name, dir_fd=handle)
                left += [place / name for name in os.listdir(handle)]
                emptied.add(place)
            for name in {name for name in inner if place / name in emptied}:
                with suppress(OSError):  # it holds something
                    os.rmdir(name, dir_fd=handle)
            if any(session.parent == place for session in sessions):
                left += [place / each for each in os.listdir(handle) if place / each not in others]
                emptied.add(place)
        if root in emptied and not os.listdir(root):
            root.rmdir()
    except OSError as error:
        raise DataError(f"can't remove {error.filename}: {error.strerror}; sessions are left") from error
    return sorted(each for each in left if each not in emptied)


def expired(kept: Sequence[tuple[Path, str]], days: float, say: Callable[[str], None]) -> list[Path]:
    """Those that began more than some days ago, by the time that is written in them.

    None where the clock can't be right, which is said: it is before 2025, or one of them is from tomorrow or later.

    Args:
        kept: path and time of the beginning, ISO 8601.
        days: as of `check_retention`.
        say: hears of a wrong clock, and of what was made while it was wrong and is therefore left.
    """
    now, times = datetime.now(timezone.utc), [(path, _time_of(text)) for path, text in kept]
    newest = max(((time, path) for path, time in times if time is not None), default=None)
    why = "which is long past" if now < _EARLIEST else ""
    if newest is not None and newest[0] > now + timedelta(days=1):
        why = f"but {newest[1]} was begun on {newest[0]:%Y-%m-%d}"
    if why:
        say(f"nothing older than {days:g} days was deleted: this machine's clock says {now:%Y-%m-%d}, {why}; set it")
        return []
    if unknown := [path for path, time in times if time is None or time < _EARLIEST]:
        say(f"kept {len(unknown)} of unknown age, made while the clock was wrong: {unknown[0]}, ...")
    return [path for path, time in times if time is not None and _EARLIEST <= time < now - timedelta(days=days)]


def expire_sessions(root: Path, days: float, say: Callable[[str], None]) -> list[Path]:
    """Remove the sessions in a folder that began more than `days` ago and that no run is writing; return them."""
    try:
        kept = [(folder, started) for folder, _, started, _ in own_sessions(root)] if root.is_dir() else []
        removed = [folder for folder in expired(kept, days, say) if not is_claimed(folder / RESULTS_FILE)]
        remove_sessions(root, removed)
    except DataError as error:
        say(str(error))
        return []
    if removed:
        say(f"deleted {len(removed)} sessions older than {days:g} days from {root}")
    return removed


def check_retention(days: float | None) -> None:
    """Raise ConfigurationError for a number of days that nothing can be kept for."""
    if days is not None and not 0 < days <= 36_525:
        raise ConfigurationError(f"recordings and sessions are kept for 0 to 36525 days, not {days:g}")


def _time_of(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _lines(file: Path, kind: Any) -> tuple[list[Any], int]:
    """Decode a file of JSON lines; a last line without its end was cut when the run was interrupted.

    A power cut may leave zeros where the last lines were (the file's size reached the disk, its bytes did not).
    """
    try:
        *whole, last = (content := file.read_bytes()).rstrip(b"\0").split(b"\n")
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
    return read, int(bool(last) or content.endswith(b"\0"))
