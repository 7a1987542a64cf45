"""Reading a recording, an interrupted one too: up to its last whole chunk."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from emer_edge.core.errors import DataError
from emer_edge.core.packages import require
from emer_edge.runtime.recording import messages
from emer_edge.runtime.recording.mcap_writer import HEAD_NAME

_MAGIC: Final = b"\x89MCAP0\r\n"
_LONGEST: Final = 1 << 30  # of a record: a damaged length must not take the memory


class _Step(msgspec.Struct):
    end_ns: int


_TYPES: Final[dict[str, Any]] = {
    messages.SAMPLES: messages.SampleMessage,
    messages.FRAMES: messages.FrameMessage,
    messages.CAMERA: messages.ImageMessage,
    messages.RESULTS: dict,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message.

    Attributes:
        topic: of the message.
        sequence: its number in the topic, from 1.
        data: JSON.
    """

    topic: str
    sequence: int
    data: bytes

    def decode(self, kind: Any = None) -> Any:
        """The message as `kind`, by default that of its topic; raise DataError where it is something else."""
        try:
            return msgspec.json.decode(self.data, type=kind or _TYPES.get(self.topic, dict))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"message {self.sequence} of {self.topic} can't be read: {error}") from error


def is_mcap(path: Path) -> bool:
    """Whether a file is named as MCAP files are, or begins as they do."""
    return path.suffix.lower() == ".mcap" or begins_as_mcap(path)


def begins_as_mcap(path: Path) -> bool:
    """Whether a file begins as MCAP files do."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def breaks_off(path: Path) -> bool:
    """Whether a file lacks the end that MCAP files have: its run was killed, or the file was cut."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_MAGIC), os.SEEK_END)
            return file.read() != _MAGIC
    except OSError:
        return True


def read_head(path: Path, whole: bool = True) -> messages.RecordingHead:
    """The head of a recording.

    Args:
        path: the file.
        whole: search the whole file, as other programs may have moved the head; else only the beginning, where we
            write it.

    Raises:
        DataError: no such file, no MCAP file, or none that emer-edge wrote, or by a newer version.
        MissingExtraError: the package `mcap` is not installed.
    """
    require(f"reading {path}", ["mcap"], "mcap")
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
    require(f"reading {path}", ["mcap"], "mcap")
    from mcap.records import Channel, Message

    channels: dict[int, str] = {}
    for record in _records(path):
        if isinstance(record, Channel):
            channels[record.id] = record.topic
        elif isinstance(record, Message):
            topic = channels.get(record.channel_id, "")
            if topic in topics:
                yield Recorded(topic, record.sequence, record.data)


def recorded_steps_ns(path: Path, origin_ns: int) -> Iterator[int]:
    """Ends of the windows of a recording's results, counted from its origin."""
    for message in read_messages(path, {messages.RESULTS}):
        end_ns: int = message.decode(_Step).end_ns
        yield end_ns - origin_ns


def _head(path: Path, fields: dict[str, str]) -> messages.RecordingHead:
    try:
        schema = int(fields["schema"])
        if schema > (newest := messages.RECORD_SCHEMA):
            raise DataError(f"{path} has schema {schema}, this version reads up to {newest}; upgrade emer-edge")
        return msgspec.json.decode(fields["head"], type=messages.RecordingHead)
    except (KeyError, ValueError, RecursionError, msgspec.DecodeError) as error:
        raise DataError(f"{path} does not describe itself as recordings do: {error}") from error


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
            return  # it ends or is damaged here: all before is whole
