"""What a run of several streams was asked to put out: whose data each stream's files are, and with whose consent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from emer_edge.data.sessions import asked_place
from emer_edge.errors import ConfigurationError
from emer_edge.runtime.outputs.registry import Wanted
from emer_edge.runtime.recording.keep import RecordOptions, asked_recording, recording_path

__all__ = ["Keeping", "Whose", "wanted_of_streams"]


@dataclass(frozen=True)
class Whose:
    """Who a stream shows.

    Attributes:
        participant: a pseudonym, None where it names none.
        consent_id: what the consent to be filmed is filed as.
    """

    participant: str | None = None
    consent_id: str | None = None


@dataclass(frozen=True)
class Keeping:
    """What is stored of a run, as the flags say it for all streams.

    Attributes:
        save: folder of sessions.
        record: folder of recordings.
        video, lossless: whether images are recorded, and as whole.
        session: ID of all participants' sessions; the date and time by default.
        retention_days: see `RecordOptions`.
        participant, consent_id: given for all; refused unless every stream names its own.
    """

    save: Path | None = None
    record: Path | None = None
    video: bool = False
    lossless: bool = False
    session: str | None = None
    retention_days: float | None = None
    participant: str | None = None
    consent_id: str | None = None


def wanted_of_streams(wanted: Wanted, people: Mapping[str, Whose], keeping: Keeping) -> Wanted:
    """Give each stream its own session, recording and LSL stream.

    Sessions are FOLDER/PARTICIPANT/SESSION, or SESSION-STREAM where two streams are of one participant; recordings
    FOLDER/TIME-STREAM.mcap; LSL streams NAME-STREAM.

    Args:
        wanted: what the whole run was asked for.
        people: stream -> whose it is.
        keeping: what is stored.

    Raises:
        ConfigurationError: what a stream would have to say of its person is missing, or was said for all of them; a
            recording that is no folder; and see `asked_place` and `asked_recording`.
    """
    _each_names_its_own("participant", keeping.participant, {name: each.participant for name, each in people.items()})
    _each_names_its_own("consent-id", keeping.consent_id, {name: each.consent_id for name, each in people.items()})
    _all_name("participant", "--save", keeping.save is not None, {n: each.participant for n, each in people.items()})
    _all_name("consent-id", "--record-video", keeping.video, {name: each.consent_id for name, each in people.items()})
    record = keeping.record
    if record is not None and not record.is_dir():
        raise ConfigurationError(
            f"--record {record} is no folder; several streams are recorded as a file each: mkdir -p {record}"
            if not record.exists()
            else f"--record {record} is a file; several streams are recorded as a file each: name a folder"
        )
    stem = None if record is None else recording_path(record).stem
    session = keeping.session or datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    shared = Counter(each.participant for each in people.values())
    streams = {}
    for name, each in people.items():
        own = f"{session}-{name}" if each.participant is not None and shared[each.participant] > 1 else session
        asked = keeping.session if keeping.save is None else own
        try:
            streams[name] = Wanted(
                session=None
                if keeping.save is None and record is not None
                else asked_place(keeping.save, each.participant, asked),
                record=_recording(keeping, None if record is None else record / f"{stem}-{name}.mcap", each),
                lsl=None if wanted.lsl is None else f"{wanted.lsl}-{name}",
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"stream {name}: {error}") from None
    return replace(wanted, lsl=None, streams=streams)


def _recording(keeping: Keeping, path: Path | None, whose: Whose) -> RecordOptions | None:
    return asked_recording(
        path,
        keeping.video,
        keeping.lossless,
        whose.consent_id,
        whose.participant,
        keeping.session,
        keeping.retention_days,
    )


def _each_names_its_own(key: str, for_all: str | None, own: Mapping[str, str | None]) -> None:
    """Refuse what was said for all where a stream has not said it of its own person."""
    missing = [name for name, value in own.items() if value is None]
    if for_all is not None and missing:
        raise ConfigurationError(
            f"--{key} is one person's, and this run reads several: put {key} into the [[stream]] tables, each with its "
            f"own; missing in {', '.join(missing)}"
        )


def _all_name(key: str, flag: str, needed: bool, own: Mapping[str, str | None]) -> None:
    missing = [name for name, value in own.items() if value is None]
    if needed and missing:
        raise ConfigurationError(
            f"{flag} needs a {key} of every person: add {key} to the [[stream]] {', '.join(missing)}"
        )
