"""Options of a recording, and deletion by age and by participant. Only our own files are touched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Literal

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.packages import require
from emer_edge.data.images import import_cv2
from emer_edge.data.sessions import check_id
from emer_edge.runtime.recording.mcap_reader import read_head
from emer_edge.runtime.recording.messages import RecordingHead
from emer_edge.runtime.say import Say

Images = Literal["none", "jpeg", "lossless"]
_DAY_S: Final = 86_400.0
_LONGEST_ID: Final = 200


@dataclass(frozen=True)
class RecordOptions:
    """Options of a recording.

    Attributes:
        path: a file that does not exist yet, or a folder, in which the file is named by the time.
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
        if self.retention_days is not None and not 0 < self.retention_days <= 36_525:
            raise ConfigurationError(f"recordings are kept for 0 to 36525 days, not {self.retention_days:g}")


def recording_path(path: Path) -> Path:
    """The file to record into: `path`, or, of a folder, one in it that is named by the time."""
    if not path.is_dir():
        return path
    return path / f"{datetime.now(timezone.utc).strftime('%Y-%m-%dT%H-%M-%S.%fZ')}.mcap"


def own_recordings(folder: Path) -> Iterator[tuple[Path, RecordingHead]]:
    """Recordings of emer-edge in a folder, not below it, in order of name.

    Raises:
        DataError: no such folder.
        MissingExtraError: the package `mcap` is not installed.
    """
    require("reading recordings", ["mcap"], "mcap")
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name the one that `run --record` wrote to")
    for path in sorted(folder.glob("*.mcap")):
        if path.is_file() and not path.is_symlink():
            try:
                yield path, read_head(path, whole=False)
            except DataError:
                continue  # not ours


def expire(folder: Path, days: float, say: Say) -> list[Path]:
    """Delete the recordings in a folder that were last written more than `days` ago; return them.

    A file that can't be deleted is reported, and left.
    """
    oldest_s = time.time() - days * _DAY_S
    removed = []
    for path, _ in own_recordings(folder):
        try:
            if path.stat().st_mtime < oldest_s:
                path.unlink()
                removed.append(path)
        except OSError as error:
            say(f"can't delete {path}, which is older than {days:g} days: {error.strerror or error}")
    if removed:
        say(f"deleted {len(removed)} recordings older than {days:g} days from {folder}")
    return removed


def purge_recordings(folder: Path, participant: str) -> list[Path]:
    """Delete a participant's recordings in a folder; return them.

    Raises:
        ConfigurationError: an invalid ID.
        DataError: no such folder, no recording of this participant in it, or one that can't be deleted.
        MissingExtraError: the package `mcap` is not installed.
    """
    check_id("participant", participant)
    paths = [path for path, head in own_recordings(folder) if head.participant == participant]
    if not paths:
        raise DataError(f"{folder} holds no recordings of participant {participant}; nothing was deleted")
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            raise DataError(f"can't delete {path}: {error.strerror}; recordings of {participant} are left") from error
    return paths
