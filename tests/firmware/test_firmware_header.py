from __future__ import annotations

import math
import re
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import find_program

from emer_edge.core.samples import Display, EyeReading, TrackerSample
from emer_edge.runtime.trackers.formats.emer import EmerDecoder, cobs_encode, crc16, encode_sample

DOCS = Path(__file__).parents[2] / "docs"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wcast-qual")
FLOATS = (2, 2, 3, 3, 1, 1, 3, 3)
DISPLAY = Display(1024, 512, 512.0, 256.0)  # powers of two: fractions and pixels of float32 numbers are exact


def compiler(*names: str) -> str:
    program = find_program(*names)
    if program is None:
        pytest.skip(f"{names[0]} is not installed (make test-deps)")
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`encoder.c`, compiled strictly."""
    encoded = tmp_path_factory.mktemp("firmware") / "encoder"
    source = Path(__file__).with_name("encoder.c")
    command = [compiler("gcc", "cc", "clang"), "-std=c99", *STRICT, "-O2", f"-I{DOCS / 'firmware'}"]
    subprocess.run([*command, str(source), "-o", str(encoded)], check=True)
    return encoded


def output(program: Path, data: bytes, *arguments: str) -> bytes:
    return subprocess.run([program, *arguments], input=data, capture_output=True, check=True).stdout


def packets(program: Path, requests: list[bytes]) -> list[bytes]:
    out, encoded = output(program, b"".join(requests)), []
    while out:
        encoded.append(out[1 : 1 + out[0]])
        out = out[1 + out[0] :]
    assert len(encoded) == len(requests)
    return encoded


def request(wide: int, sequence: int, time_us: int, mask: int, fields: list[bytes], validity: int) -> bytes:
    """A sample as `encoder.c` reads it; `fields` are those of bits 0 to 7, as bytes."""
    return struct.pack("=BHQI", wide, sequence, time_us, mask) + b"".join(fields) + bytes([validity])


def reference(wide: int, sequence: int, time_us: int, mask: int, fields: list[bytes], validity: int) -> bytes:
    """The packet that the format's description asks for."""
    packet = struct.pack("<BBHI", 1, wide, sequence, mask)
    packet += struct.pack("<Q", time_us) if wide else struct.pack("<I", time_us & 0xFFFFFFFF)
    packet += b"".join(field for bit, field in enumerate(fields) if mask >> bit & 1)
    packet += bytes([validity]) * (mask >> 8 & 1)
    return cobs_encode(packet + struct.pack("<H", crc16(packet))) + b"\0"


bits32 = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from(
        [0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7F800001, 0x7F7FFFFF, 0x00000001, 0x3F800000]
    ),
)
any_sample = st.tuples(
    st.integers(0, 1),
    st.integers(0, 2**16 - 1),
    st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 2**32 - 1, 2**32, 2**53, 2**64 - 1])),
    st.integers(0, 0x1FF),
    st.tuples(*(st.binary(min_size=4 * n, max_size=4 * n) | st.lists(bits32, min_size=n, max_size=n).map(
        lambda words: struct.pack(f"<{len(words)}I", *words)) for n in FLOATS)).map(list),
    st.integers(0, 255),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(any_sample, min_size=1, max_size=20))
def test_every_mask_and_every_number_is_encoded_as_described(program: Path, calls: list[tuple]) -> None:
    encoded = packets(program, [request(*call) for call in calls])
    assert encoded == [reference(*call) for call in calls]
    assert all(packet.index(0) == len(packet) - 1 for packet in encoded)


def test_all_masks_with_the_largest_and_the_emptiest_fields(program: Path) -> None:
    for filling in (b"\0", b"\xff"):
        fields = [filling * 4 * count for count in FLOATS]
        calls = [(wide, 65_535, 2**64 - 1, mask, fields, 3) for mask in range(0x200) for wide in (0, 1)]
        assert packets(program, [request(*call) for call in calls]) == [reference(*call) for call in calls]


def test_an_unknown_bit_of_the_mask_sends_nothing(program: Path) -> None:
    fields = [bytes(4 * count) for count in FLOATS]
    assert packets(program, [request(1, 0, 0, mask, fields, 0) for mask in (0x200, 0x80000001)]) == [b"", b""]


fractions = st.floats(-0.875, 1.875, width=32) | st.just(math.nan)
distances = st.floats(-900, 900, width=32) | st.just(math.nan)


@st.composite
def readings(draw: st.DrawFn) -> EyeReading:
    gaze = (draw(fractions) * DISPLAY.width_px, draw(fractions) * DISPLAY.height_px)
    position = (draw(distances), draw(distances), draw(distances))
    pupil = draw(st.floats(1, 10, width=32) | st.just(math.nan))
    return EyeReading(gaze, position_mm=position, pupil_mm=pupil, valid=draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(readings(), readings()), min_size=1, max_size=12), st.integers(0, 2**16 - 1), st.booleans())
def test_c_and_python_make_the_same_bytes_and_the_decoder_gives_the_samples_back(
    program: Path, eyes: list[tuple[EyeReading, EyeReading]], first: int, wide: bool
) -> None:
    calls, sent, by_python = [], [], []
    for number, (left, right) in enumerate(eyes):
        sample = TrackerSample((2**32 - 30_000 + 8_333 * number) * 1000, 0, 0, left, right)
        sequence = (first + number) & 0xFFFF  # wraps
        sent.append(sample)
        by_python.append(encode_sample(sample, sequence, DISPLAY, 64 if wide else 32))
        both = [[*eye.gaze_px, *eye.position_mm, eye.pupil_mm, *eye.direction] for eye in (left, right)]
        for values in both:
            values[0] /= DISPLAY.width_px
            values[1] /= DISPLAY.height_px
        parts = ((0, 2), (2, 5), (5, 6), (6, 9))
        present = [any(math.isfinite(eye[at]) for eye in both for at in range(*part)) for part in parts]
        mask = 0x100 | sum(0b11 << 2 * at for at, sent in enumerate(present) if sent)
        fields = [struct.pack(f"<{end - at}f", *eye[at:end]) for at, end in parts for eye in both]
        calls.append(
            request(wide, sequence, (sample.device_ns or 0) // 1000, mask, fields, left.valid | right.valid << 1)
        )
    encoded = packets(program, calls)
    assert encoded == by_python
    decoder = EmerDecoder(DISPLAY)
    read = decoder.feed(b"".join(encoded), 5)
    assert decoder.counters.losses() == {}
    offset_ns = 0 if wide else (sent[0].device_ns or 0) // 1000 // 2**32 * 2**32 * 1000
    assert [sample.device_ns for sample in read] == [(sample.device_ns or 0) - offset_ns for sample in sent]
    for before, after in zip(sent, read, strict=True):
        for one, two in ((before.left, after.left), (before.right, after.right)):
            whole = not any(map(math.isnan, one.gaze_px))
            assert two.valid == (one.valid and whole)
            assert two.gaze_px == one.gaze_px if whole else math.isnan(two.gaze_px[0])
            known = not any(map(math.isnan, one.position_mm))
            assert two.position_mm == one.position_mm if known else math.isnan(two.position_mm[0])
            assert two.pupil_mm == one.pupil_mm or (math.isnan(one.pupil_mm) and math.isnan(two.pupil_mm))


blocks = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.tuples(st.integers(250, 260), st.integers(1, 255)).map(lambda run: bytes([run[1]]) * run[0]),
        st.sampled_from([b"\0", b"\0\0"]),
    ),
    max_size=6,
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=10))
def test_cobs_and_crc_agree_beyond_runs_of_254_bytes(program: Path, calls: list[bytes]) -> None:
    out = output(program, b"".join(struct.pack("=H", len(call)) + call for call in calls), "blocks")
    expected = [(cobs_encode(call), crc16(call)) for call in calls]
    assert out == b"".join(struct.pack("=HH", len(encoded), crc) + encoded for encoded, crc in expected)


def example() -> str:
    """The C code that docs/emer-wire-format.md shows."""
    (code,) = re.findall(r"```c\n(.*?)```", (DOCS / "emer-wire-format.md").read_text(), re.DOTALL)
    return str(code)


@pytest.mark.parametrize(
    ("names", "standard", "suffix"),
    [(("gcc", "cc", "clang"), "-std=c99", ".c"), (("g++", "c++", "clang++"), "-std=c++11", ".cpp")],
    ids=["c99", "c++11"],
)
def test_the_documents_example_sends_what_the_decoder_reads(
    tmp_path: Path, names: tuple[str, ...], standard: str, suffix: str
) -> None:
    around = """
    #include <stdio.h>
    {example}
    uint64_t micros(void) { static uint64_t now = 1000000U; return now += 8000U; }
    int eye_seen(float gaze[2], float *pupil_mm) { gaze[0] = 0.25F; gaze[1] = 0.5F; *pupil_mm = 3.5F; return 1; }
    void uart_write(const uint8_t *data, size_t size) { (void)fwrite(data, 1, size, stdout); }
    int main(void) { emer_init(&encoder); send_sample(); send_sample(); return 0; }
    """
    source, encoded = tmp_path / f"example{suffix}", tmp_path / "example"
    source.write_text(around.replace("{example}", example()))
    command = [compiler(*names), standard, "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{DOCS / 'firmware'}"]
    subprocess.run([*command, str(source), "-o", str(encoded)], check=True)
    assert len(example().strip().splitlines()) <= 25
    decoder = EmerDecoder(DISPLAY)
    one, two = decoder.feed(output(encoded, b""), 0)
    assert (one.device_ns, two.device_ns) == (1_008_000_000, 1_016_000_000)
    assert one.left.gaze_px == (256.0, 256.0)
    assert one.left.valid
    assert math.isnan(one.right.gaze_px[0])
    assert not one.right.valid
    assert decoder.fields == {"left gaze", "right gaze", "left pupil", "right pupil"}
    assert decoder.counters.losses() == {}
