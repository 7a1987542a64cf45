"""Options of a recording, and deletion by age and by participant. Only our own files are touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.handles import held_folders, opened_in, unwritten
from emer_edge.core.packages import require
from emer_edge.core.whole_file import is_claimed
from emer_edge.data.images import import_cv2
from emer_edge.data.sessions import check_id, check_retention, expired
from emer_edge.runtime.recording.mcap_reader import begins_as_mcap, read_head
from emer_edge.runtime.recording.messages import RecordingHead
from emer_edge.runtime.say import Say

Images = Literal["none", "jpeg", "lossless"]
MCAP: Final = ".mcap"
_LONGEST_ID: Final = 200


@dataclass(frozen=True)
class RecordOptions:
    """Options of a recording.

    Attributes:
        path: a file that does not exist yet and ends with .mcap, or a folder, in which the file is named by the time.
        images: `jpeg` keeps JPEG images to look at and the lossless crops that the network saw; `lossless` keeps whole
            images.
        consent_id: ID of the consent of the person in view; needed for images.
        participant, session: pseudonyms.
        retention_days: older recordings in the same folder are deleted first; None keeps them.
    """

    path: Path
    images: Images = "none"
    consent_id: str | None = None
    participant: str | None = None
    session: str | None = None
    retention_days: float | None = None

    def check(self) -> None:
        """Raise ConfigurationError for images without consent, an invalid ID or an invalid retention."""
        if self.images != "none":
            if not self.consent_id:
                raise ConfigurationError(
                    "images of a person are recorded only with their consent: add --consent-id with its ID"
                )
            import_cv2()
        elif self.consent_id is not None:
            raise ConfigurationError("--consent-id belongs to recorded images: add --record-video, or leave it out")
        if self.consent_id is not None and (len(self.consent_id) > _LONGEST_ID or not self.consent_id.isprintable()):
            raise ConfigurationError(f"a consent ID is up to {_LONGEST_ID} printable characters, on one line")
        for kind, text in (("participant", self.participant), ("session", self.session)):
            if text is not None:
                check_id(kind, text)
        check_retention(self.retention_days)


def record_target(text: str) -> Path:
    """What `--record` names: FILE.mcap, or a folder, which is there or ends with a slash.

    Raises:
        ConfigurationError: another name.
    """
    path = Path(text)
    if path.is_dir() or text.endswith("/") or path.suffix == MCAP:
        return path
    kind = f"not {path.suffix}" if path.suffix else "and a folder with a slash"
    raise ConfigurationError(
        f"--record {text}: the name of a recording ends with .mcap, {kind}: {path.with_suffix(MCAP)} or {path}/"
    )


def is_folder(path: Path) -> bool:
    """Whether recordings go into a folder, which need not be there, not into a file of this name."""
    return path.is_dir() or path.suffix != MCAP


def recording_path(path: Path) -> Path:
    """The file to record into: `path`, or, of a folder, one in it that is named by the time."""
    if not is_folder(path):
        return path
    return path / f"{datetime.now(timezone.utc).strftime('%Y-%m-%dT%H-%M-%S.%fZ')}{MCAP}"


def own_recordings(folder: Path) -> Iterator[tuple[Path, RecordingHead]]:
    """Recordings of emer-edge in a folder and below it, whatever they are called; links are not followed.

    Raises:
        DataError: as `held_folders`.
        MissingExtraError: the package `mcap` is not installed.
    """
    require("reading recordings", ["mcap"], "mcap")
    for place, _, names, handle in held_folders(folder):
        for name in sorted(names):
            with suppress(OSError), opened_in(handle, name) as file:
                same = Path(f"/proc/self/fd/{file}")  # whatever has the name by now
                if stat.S_ISREG(os.fstat(file).st_mode) and begins_as_mcap(same) and (head := _own_head(same)):
                    yield place / name, head


def _own_head(path: Path) -> RecordingHead | None:
    """The head, at the beginning or wherever another program has put it; None: not ours."""
    for whole in (False, True):
        with suppress(DataError):
            return read_head(path, whole=whole)
    return None


def expire(folder: Path, days: float, say: Say) -> list[Path]:
    """Delete the recordings in a folder that began more than `days` ago and that no run is writing; return them.

    A file that can't be deleted is reported, and left. A clock that can't be right deletes nothing.
    """
    removed = []
    try:
        kept = [(path, head.started) for path, head in own_recordings(folder)] if folder.is_dir() else []
        for path in expired(kept, days, say):
            if not is_claimed(path):
                remove_recordings(folder, [path])
                removed.append(path)
    except DataError as error:
        say(f"older than {days:g} days, but {error}")
    if removed:
        say(f"deleted {len(removed)} recordings older than {days:g} days from {folder}")
    return removed


def find_recordings(root: Path, participant: str) -> list[Path]:
    """A participant's recordings in a folder and below it.

    Raises:
        ConfigurationError: an invalid ID.
        DataError: no such folder, or a run is writing one of them.
        MissingExtraError: the package `mcap` is not installed.
    """
    check_id("participant", participant)
    paths = [path for path, head in own_recordings(root) if head.participant == participant]
    for path in paths:
        if is_claimed(path):
            raise DataError(f"a run is writing {path}: end it first; that was not removed")
    return sorted(paths)


def remove_recordings(root: Path, paths: Sequence[Path]) -> list[Path]:
    """Delete recordings below a folder; return what is left of them: those that another program has replaced by a link.

    Raises:
        DataError: a run is writing one of them, or one can't be deleted.
    """
    try:
        for place, _, names, handle in held_folders(root):
            for path in {place / name for name in names} & set(paths):
                with unwritten(handle, path.name, path):
                    os.unlink(path.name, dir_fd=handle)
    except OSError as error:
        raise DataError(f"can't delete {error.filename}: {error.strerror}; recordings are left") from error
    return [path for path in paths if path.exists()]
