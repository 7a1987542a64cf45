"""Reading a recording, one that was broken off too: up to its last whole chunk."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.core.errors import DataError
from emer_edge.core.packages import require
from emer_edge.runtime.recording.mcap_writer import HEAD_NAME
from emer_edge.runtime.recording.messages import (
    CAMERA,
    FRAMES,
    RECORD_SCHEMA,
    RESULTS,
    SAMPLES,
    FrameMessage,
    ImageMessage,
    RecordingHead,
    SampleMessage,
)

_MAGIC: Final = b"\x89MCAP0\r\n"
_LONGEST: Final = 1 << 30  # of a record: a damaged length must not take the memory


class _Step(msgspec.Struct):
    end_ns: int


_TYPES: Final[dict[str, Any]] = {SAMPLES: SampleMessage, FRAMES: FrameMessage, CAMERA: ImageMessage, RESULTS: dict}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message.

    Attributes:
        topic: where it was written.
        sequence: its number there, from 1.
        log_ns: its log time, Unix time.
        data: JSON.
    """

    topic: str
    sequence: int
    log_ns: int
    data: bytes

    def decode(self, kind: Any = None) -> Any:
        """The message: `kind`, by default what its topic holds; raise DataError where it is something else."""
        try:
            return msgspec.json.decode(self.data, type=kind or _TYPES.get(self.topic, dict))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"message {self.sequence} of {self.topic} can't be read: {error}") from error


def is_mcap(path: Path) -> bool:
    """Whether a file is named as MCAP files are, or begins as they do."""
    if path.suffix.lower() == ".mcap":
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read_head(path: Path, whole: bool = True) -> RecordingHead:
    """What a recording says about itself.

    Args:
        path: the file.
        whole: look for it in the whole file, as other programs may have moved it; else only where we write it, at the
            beginning.

    Raises:
        DataError: no such file, no MCAP file, or none that emer-edge wrote, or by a newer version.
        MissingExtraError: the package `mcap` is not installed.
    """
    _need_mcap(path)
    from mcap.records import Header, Metadata

    for record in _records(path):
        if isinstance(record, Metadata) and record.name == HEAD_NAME:
            return _head(path, dict(record.metadata))
        if not whole and not isinstance(record, (Header, Metadata)):
            break
    raise DataError(f"{path} is no recording of emer-edge: it lacks the metadata {HEAD_NAME!r}")


def read_messages(path: Path, topics: Collection[str]) -> Iterator[Recorded]:
    """Messages of some topics, in the order in which they were written.

    A file that ends in the middle of a chunk ends with the chunk before.

    Raises:
        DataError: no such file, or no MCAP file.
        MissingExtraError: the package `mcap` is not installed.
    """
    _need_mcap(path)
    from mcap.records import Channel, Message

    channels: dict[int, str] = {}
    for record in _records(path):
        if isinstance(record, Channel):
            channels[record.id] = record.topic
        elif isinstance(record, Message):
            topic = channels.get(record.channel_id, "")
            if topic in topics:
                yield Recorded(topic, record.sequence, record.log_time, record.data)


def recorded_steps_ns(path: Path, origin_ns: int) -> Iterator[int]:
    """Ends of the windows of a recording's results, counted from its origin."""
    for message in read_messages(path, {RESULTS}):
        end_ns: int = message.decode(_Step).end_ns
        yield end_ns - origin_ns


def _head(path: Path, fields: dict[str, str]) -> RecordingHead:
    try:
        schema = int(fields["schema"])
        if schema > RECORD_SCHEMA:
            raise DataError(f"{path} has schema {schema}, this version reads up to {RECORD_SCHEMA}; upgrade emer-edge")
        return msgspec.json.decode(fields["head"], type=RecordingHead)
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path} does not describe itself as recordings do: {error}") from error


def _need_mcap(path: Path) -> None:
    require(f"reading {path}", ["mcap"], "mcap")


def _records(path: Path) -> Iterator[Any]:
    import zstandard
    from mcap.exceptions import McapError
    from mcap.stream_reader import CRCValidationError, StreamReader

    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"can't open {path}: {error.strerror or error}") from error
    with file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise DataError(f"{path} is no MCAP file")
        file.seek(0)
        try:
            yield from StreamReader(file, record_size_limit=_LONGEST).records
        except (McapError, CRCValidationError, EOFError, MemoryError, struct.error, ValueError, zstandard.ZstdError):
            return  # broken off or damaged here: what lies before is whole
