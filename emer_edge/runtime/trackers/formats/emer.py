"""The `emer` wire format: binary packets for firmware authors (docs/emer-wire-format.md, docs/firmware/emer_tracker.h).

A packet, little endian::

    offset  type   what
    0       u8     version, 1
    1       u8     flags; bit 0: the time is a u64, else a u32 that wraps every 71.6 minutes; other bits 0
    2       u16    sequence number, +1 per sample, wraps
    4       u32    mask: which fields follow
    8       u32/64 the device's clock in microseconds
    ...            the fields, in the order of their bits, without padding
    last 2  u16    CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, no reflection, no final xor) of all before it

    bit  field                                                 type
    0, 1 gaze of the left, right eye                           2 x f32: fraction of the display, origin top left, y down
    2, 3 position of the left, right eye                       3 x f32: DACS mm
    4, 5 pupil diameter of the left, right eye                 f32: mm
    6, 7 gaze direction of the left, right eye                 3 x f32: unit vector, DACS axes
    8    validity                                              u8: bit 0 left, bit 1 right

It is COBS encoded (Cheshire and Baker, 1999), so that no byte is 0, and a 0 ends it. NaN means missing. Without the
validity field an eye is valid where its gaze is finite.

How it grows: a new field takes the next higher bit, so its bytes lie behind all that are known here, where they are
left alone and counted as `unsupported`; a change of anything else raises the version, and such packets are skipped.
"""

from __future__ import annotations

import binascii
import math
import struct
from functools import cache
from itertools import accumulate
from typing import Final

from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.codec import FIELDS, Counters, SampleEncoder, SequenceFollower, StreamFormat, reading

VERSION: Final = 1
MAX_PACKET: Final = 254
"""Longest packet an encoder may make, so that COBS adds exactly one byte."""

_MAX_BUFFER: Final = 4096
_TIME64: Final = 0x01
_HEADER: Final = struct.Struct("<BBHI")
_FLOATS: Final = (2, 2, 3, 3, 1, 1, 3, 3)  # of bits 0 to 7
_VALIDITY: Final = 1 << 8
_KNOWN: Final = (1 << 9) - 1
_NAMES: Final = tuple(f"{eye} {name}" for name in FIELDS for eye in ("left", "right"))  # of bits 0 to 7
_SHORTEST: Final = _HEADER.size + 4 + 2
_LATEST_US: Final = 1 << 53
_SEQUENCES: Final = 1 << 16


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE; `crc16(b"123456789")` is 0x29B1."""
    return binascii.crc_hqx(data, 0xFFFF)


def cobs_encode(data: bytes) -> bytes:
    """Consistent overhead byte stuffing, without the 0 that ends a packet."""
    out = bytearray()
    blocks = data.split(b"\0")
    for number, block in enumerate(blocks):
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
            if not block and number == len(blocks) - 1:
                return bytes(out)
        out.append(len(block) + 1)
        out += block
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """Undo `cobs_encode`; None where `data` is no COBS."""
    out = bytearray()
    at, end = 0, len(data)
    while at < end:
        code = data[at]
        stop = at + code
        if code == 0 or stop > end:
            return None
        out += data[at + 1 : stop]
        at = stop
        if code < 0xFF and at < end:
            out.append(0)
    return bytes(out)


def encode_sample(sample: TrackerSample, sequence: int, display: Display, time_bits: int = 64) -> bytes:
    """One sample as a whole packet with its ending 0; fields that both eyes lack are left out.

    Args:
        sample: `device_ns` is sent in microseconds (`stamp_ns` where it is None), gaze as fraction of `display`.
        sequence: number of the sample; its low 16 bits are sent.
        display: what `gaze_px` refers to.
        time_bits: 64, or 32 for a clock that wraps.
    """
    eyes = (sample.left, sample.right)
    fields: tuple[list[float], ...] = (
        [n for eye in eyes for n in (eye.gaze_px[0] / display.width_px, eye.gaze_px[1] / display.height_px)],
        [n for eye in eyes for n in eye.position_mm],
        [eye.pupil_mm for eye in eyes],
        [n for eye in eyes for n in eye.direction],
    )
    mask = _VALIDITY
    payload = b""
    for pair, numbers in enumerate(fields):
        if any(map(math.isfinite, numbers)):
            mask |= 0b11 << 2 * pair
            payload += struct.pack(f"<{len(numbers)}f", *numbers)
    payload += bytes([int(sample.left.valid) | int(sample.right.valid) << 1])
    time_us = (sample.stamp_ns if sample.device_ns is None else sample.device_ns) // 1000
    wide = time_bits == 64
    time = struct.pack("<Q" if wide else "<I", time_us & ((1 << time_bits) - 1))
    packet = _HEADER.pack(VERSION, _TIME64 if wide else 0, sequence & 0xFFFF, mask) + time + payload
    return cobs_encode(packet + struct.pack("<H", crc16(packet))) + b"\0"


class EmerDecoder:
    """Decoder of the `emer` format (see `Decoder`)."""

    def __init__(self, display: Display) -> None:
        self.counters = Counters()
        self.fields: set[str] = set()
        self._display = display
        self.buffer = bytearray()
        self._cut = False  # inside a packet that has grown too long
        self._sequence = SequenceFollower(self.counters, _SEQUENCES)
        self._time_us: int | None = None

    def feed(self, data: bytes, arrival_ns: int) -> list[TrackerSample]:
        """Decode the packets that `data` completes."""
        samples: list[TrackerSample] = []
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._append(piece)
            packet = self._packet(bytes(self.buffer)) if self.buffer else None
            self.buffer.clear()
            self._cut = False
            sample = None if packet is None else self._unpack(packet, arrival_ns)
            if sample is not None:
                samples.append(sample)
        self._append(rest)
        return samples

    def _append(self, piece: bytes) -> None:
        self.buffer += piece
        if len(self.buffer) > _MAX_BUFFER:
            self.counters.overlong += not self._cut
            self._cut = True
            del self.buffer[: -MAX_PACKET - 1]  # a whole packet may yet end it

    def _packet(self, encoded: bytes) -> bytes | None:
        """The packet in the bytes between two zeros, or None where none can be read."""
        packet = None if self._cut else cobs_decode(encoded)
        if packet is None or len(packet) < _SHORTEST:
            self.counters.garbage += not self._cut
        elif not _crc_holds(packet):
            self.counters.bad_crc += 1
        elif packet[0] != VERSION or packet[1] & ~_TIME64:
            self.counters.unsupported += 1
            return None
        elif not _length_holds(packet):
            self.counters.garbage += 1
            return None
        else:
            return packet
        # A bit error in the ending 0 merges two packets, of which only the first is damaged.
        return _last_packet(encoded)

    def _unpack(self, packet: bytes, arrival_ns: int) -> TrackerSample | None:
        _, flags, sequence, mask = _HEADER.unpack_from(packet)
        wide = bool(flags & _TIME64)
        (time_us,) = struct.unpack_from("<Q" if wide else "<I", packet, _HEADER.size)
        if time_us > _LATEST_US:
            self.counters.garbage += 1
            return None
        self.counters.unsupported += bool(mask & ~_KNOWN)
        time_us = self._continued(time_us, wide)
        if self._time_us is not None and time_us < self._time_us:
            self._sequence.restart()  # the tracker has restarted: nothing was lost
        self._time_us = time_us
        if self._sequence.repeats(sequence, time_us):
            return None
        self.counters.samples += 1
        return self._sample(packet, _HEADER.size + (8 if wide else 4), mask, time_us * 1000, arrival_ns=arrival_ns)

    def _continued(self, time_us: int, wide: bool) -> int:
        """Continue a 32-bit clock beyond its wrap; a small step backwards stays one."""
        if wide or self._time_us is None:
            return time_us
        step = (time_us - self._time_us) & 0xFFFFFFFF
        return self._time_us + step if step < 1 << 31 else (self._time_us & ~0xFFFFFFFF) | time_us

    def _sample(self, packet: bytes, at: int, mask: int, device_ns: int, arrival_ns: int) -> TrackerSample:
        layout, places, names = _layout(mask & _KNOWN)
        self.fields |= names
        numbers = layout.unpack_from(packet, at)
        values = [numbers[place] for place in places]
        at += layout.size
        validity = packet[at] if mask & _VALIDITY else None

        def eye(side: int) -> EyeReading:
            gaze, place, pupil, ray = values[side::2]
            size = pupil[0] if pupil else math.nan
            valid = None if validity is None else bool(validity >> side & 1)
            return reading(
                self._display, self.counters, gaze=gaze, position_mm=place, direction=ray, pupil_mm=size, valid=valid
            )

        return TrackerSample(device_ns, arrival_ns, arrival_ns, left=eye(0), right=eye(1))


@cache
def _layout(mask: int) -> tuple[struct.Struct, tuple[slice, ...], frozenset[str]]:
    """The floats of a mask, the places among them of the fields of bits 0 to 7, and the names of those that it has."""
    counts = [count if mask >> bit & 1 else 0 for bit, count in enumerate(_FLOATS)]
    ends = list(accumulate(counts))
    places = tuple(slice(end - count, end) for end, count in zip(ends, counts, strict=True))
    names = frozenset(name for name, count in zip(_NAMES, counts, strict=True) if count)
    return struct.Struct(f"<{ends[-1]}f"), places, names


def _crc_holds(packet: bytes) -> bool:
    return crc16(packet[:-2]) == int.from_bytes(packet[-2:], "little")


def _length_holds(packet: bytes, exact: bool = False) -> bool:
    """Whether the packet is as long as its mask says; unknown fields may make it longer, unless `exact`."""
    _, flags, _, mask = _HEADER.unpack_from(packet)
    known = _HEADER.size + (8 if flags & _TIME64 else 4) + _layout(mask & _KNOWN)[0].size + bool(mask & _VALIDITY) + 2
    if mask & ~_KNOWN:
        return not exact and len(packet) >= known
    return len(packet) == known


def _last_packet(encoded: bytes) -> bytes | None:
    """A whole packet of this version, without unknown fields, at the end of damaged bytes, or None."""
    for start in range(max(0, len(encoded) - MAX_PACKET - 1), len(encoded) - _SHORTEST):
        if encoded[start + 1] != VERSION:
            continue
        packet = cobs_decode(encoded[start:])
        if packet is None or len(packet) < _SHORTEST or packet[0] != VERSION or packet[1] & ~_TIME64:
            continue
        if _length_holds(packet, exact=True) and _crc_holds(packet):
            return packet
    return None


class EmerEncoder(SampleEncoder):
    """SampleEncoder of the `emer` format."""

    def encode(self, sample: TrackerSample) -> bytes:
        """Return a packet."""
        return encode_sample(sample, self._next(), self._display)


EMER: Final = StreamFormat(
    name="emer",
    help="this project's binary packets, for firmware authors",
    decoder=lambda parameters, display: EmerDecoder(display),
    encoder=EmerEncoder,
)
