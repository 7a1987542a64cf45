"""Everything that reads bytes from outside, as functions that a fuzzer calls: they return, or they have failed.

A decoder of a stream raises nothing at all, keeps little, and decodes the next intact frames after any bytes. A reader
of a file returns or raises an EmerEdgeError.
"""

from __future__ import annotations

import io
import os
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
from fuzz_mutations import Mutate, mutated, mutated_archive, mutated_json

from emer_edge.bundle.golden import read_golden
from emer_edge.bundle.manifest import (
    BundledHead,
    CalibrationRecord,
    DataRecord,
    DetectorRecord,
    FaceRecord,
    FileRecord,
    GateRecord,
    Manifest,
    NetworkRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.cli.config_file import config_defaults
from emer_edge.cli.run import run
from emer_edge.data import sheets
from emer_edge.data.labels import open_labels
from emer_edge.data.layout import parse_folds
from emer_edge.data.recordings import open_recording
from emer_edge.data.sessions import MARKERS_FILE, RESULTS_FILE, SESSION_FILE, SessionHead, open_session
from emer_edge.data.sheets import read_sheet
from emer_edge.data.tobii import read_export
from emer_edge.errors import EmerEdgeError
from emer_edge.runtime.cameras.records import Kind, Record, Records, packed
from emer_edge.runtime.simulate import simulated_samples
from emer_edge.runtime.simulate.encoders import ENCODERS, IscanEncoder
from emer_edge.runtime.trackers.base import Decoder
from emer_edge.runtime.trackers.csv_lines import CSV_HEADER, CsvDecoder
from emer_edge.runtime.trackers.emer import EmerDecoder
from emer_edge.runtime.trackers.formats import FormatFinder
from emer_edge.runtime.trackers.gazepoint_file import read_gazepoint_csv
from emer_edge.runtime.trackers.iscan import MARK, IscanDecoder
from emer_edge.runtime.trackers.iviewx import IviewxDecoder, start_commands
from emer_edge.runtime.trackers.lsl_channels import Channel, ChannelReader
from emer_edge.runtime.trackers.opengaze_text import OpenGazeDecoder
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.labels import EMOTIONS
from emer_edge.spec.markers import Marker
from emer_edge.spec.samples import Display, EyeReading, TrackerSample
from emer_edge.spec.window import WindowSpec

DISPLAY = Display()
_TRACKERS = "emer_edge.runtime.trackers."
HELD_BYTES = 8192
"""What a decoder may keep of bytes that have not become a sample."""


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    Attributes:
        name: of the decoder or reader.
        seeds: valid inputs to start from.
        mutate: makes an input of one of them.
        one: takes an input; any exception is a failure. The random numbers only cut it into pieces.
        inputs: how many are asked for.
        modules: what a coverage-guided engine instruments.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    mutate: Mutate
    one: Callable[[bytes, Random], None]
    inputs: int
    modules: tuple[str, ...] = ()


def samples(count: int, x: float = 0.25, first: int = 0) -> list[TrackerSample]:
    """Samples of both eyes with everything; gaze at fraction `x` of the width."""
    made = []
    for number in range(first, first + count):
        gaze_px, position_mm = (x * DISPLAY.width_px, 300.0), (260.0, 150.0, 600.0)
        eye = EyeReading(gaze_px, (300.0, 80.0), (0.0, 0.0, -1.0), position_mm, 3.4, valid=True)
        time_ns = (number + 1) * 8_000_000
        made.append(TrackerSample(time_ns, time_ns, time_ns, eye, eye))
    return made


# Streams.


def _pieces(data: bytes, random: Random) -> list[bytes]:
    """`data` as a line hands it over: at once, in a few pieces, or byte by byte."""
    how = random.random()
    if how < 0.4 or not data:
        return [data]
    if how < 0.45:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(1, 6)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _gaze_x(sample: TrackerSample) -> float:
    return round(sample.left.gaze_px[0] / DISPLAY.width_px, 2)


def _held(decoder: Any) -> int:
    lines = getattr(decoder, "_lines", None)
    return len(decoder._buffer) if lines is None else lines.held


def _stream(
    make: Callable[[], Decoder], end: bytes, intact: Callable[[], bytes], numbers: tuple[float, ...]
) -> Callable[[bytes, Random], None]:
    """Feeds a decoder; then `intact` frames, whose gaze must come out as `numbers`.

    Half of the time `end` ends the last frame before them; without it the first of them may be taken for its rest.
    """

    def one(data: bytes, random: Random) -> None:
        decoder = make()
        for piece in _pieces(data, random):
            decoder.feed(piece, 0)
            assert _held(decoder) <= HELD_BYTES, f"it keeps {_held(decoder)} bytes"
        ended = not end or random.random() < 0.5
        found = tuple(_gaze_x(each) for each in decoder.feed(end * ended + intact(), 1))
        wanted = numbers if ended else numbers[1:]
        assert found[-len(wanted) :] == wanted, f"of intact frames at {wanted} it decodes {found}"

    return one


def _encoded(name: str, chosen: list[TrackerSample]) -> list[bytes]:
    encoder = ENCODERS[name](DISPLAY, 120.0)
    encoder.receive(start_commands())
    return [encoder.encode(each) for each in chosen]


@cache
def _stream_seeds(name: str) -> tuple[bytes, ...]:
    name = "iscan" if name == "iscan-2" else name
    some = list(islice(simulated_samples(seed=5), 40))
    streams = [some[:1], some[:4], some[36:], samples(3)]
    if name in ("opengaze", "csv"):  # long lines
        streams = [some[:1], some[:2], some[38:], samples(2)]
    if name == "iscan-3":
        encoder = IscanEncoder(DISPLAY, 3)
        return tuple(b"".join(encoder.encode(each) for each in chosen) for chosen in streams)
    return tuple(b"".join(_encoded(name, chosen)) for chosen in streams)


@cache
def _emer_end() -> bytes:
    encoder = ENCODERS["emer"](DISPLAY, 120.0)
    for each in samples(777):
        encoder.encode(each)  # numbers that no seed has
    return b"".join(encoder.encode(each) for each in samples(2, 0.75, 50_000))


@cache
def _csv_end() -> bytes:
    rows = _encoded("csv", samples(1000, 0.75, 50_000))[-2:]
    header = f"{CSV_HEADER}\n".encode()
    return 3 * header + b"".join(rows)  # a new header counts when it comes twice; the first may end a damaged line


@cache
def _text_end(name: str) -> bytes:
    return b"".join(_encoded(name, samples(1000, 0.75, 50_000))[-2:])


@cache
def _iscan_end(items: int) -> bytes:
    encoder = IscanEncoder(DISPLAY, items)
    return b"".join(encoder.encode(each) for x in (0.75, 0.5, 0.1) for each in samples(1, x)) + MARK


_TOKENS = {
    "csv": (CSV_HEADER.encode() + b"\n", b"x,y\n1,2\n", b"time_s;x;y\n", b"x_px\ty_px\n", b"left_x,left_y\n0.5,0.5\n"),
    "opengaze": (b"<REC ", b" />\r\n", b'<ACK ID="SCREEN_SIZE" WIDTH="1e9" />\r\n', b'CNT="', b'TIME="1e300"',
                 b'LPOGX="nan"', b'LPMM="', b'TIME_TICK="99999999999999999999"', b'USER="x"'),
    "iviewx": (b"ET_SPL ", b"ET_CHG 1\r\n", b" b ", b" l ", b" r ", b"ET_SPL 1 l 1 1 1 1 1 1 1\r\n"),
}  # fmt: skip


def _decoder_target(
    name: str,
    make: Callable[[], Decoder],
    end: bytes,
    intact: Callable[[], bytes],
    numbers: tuple[float, ...] = (0.75, 0.75),
    module: str = "",
) -> Target:
    tokens = _TOKENS.get(name, ())
    return Target(
        name,
        lambda: _stream_seeds(name),
        lambda random, data: mutated(random, data, tokens),
        _stream(make, end, intact, numbers),
        1_000_000,
        (f"{_TRACKERS}{module or name.partition('-')[0]}", f"{_TRACKERS}lines", f"{_TRACKERS}readings"),
    )


def _finder(data: bytes, random: Random) -> None:
    finder = FormatFinder(DISPLAY)
    for piece in _pieces(data, random):
        if finder.feed(piece, 0) is not None:
            return
    for each in finder._candidates:
        assert _held(each.decoder) <= HELD_BYTES


def _any_seed() -> tuple[bytes, ...]:
    return tuple(each for name in ("emer", "csv", "opengaze", "iviewx", "iscan") for each in _stream_seeds(name))


def _records(data: bytes, random: Random) -> None:
    records = Records()
    try:
        for piece in _pieces(data, random):
            records.feed(piece)
    except EmerEdgeError:
        return
    assert len(records._rest) < 1 << 17


def _record_seeds() -> tuple[bytes, ...]:
    image = Record(Kind.IMAGE, height=480, width=640, slot_bytes=921_600, number=7, stamp_ns=10**12)
    opened = Record(Kind.OPENED, text={"fps": 30.0, "size": [640, 480], "mode": "MJPG", "clock": "capture"})
    failed = Record(Kind.FAILED, text={"error": "x" * 300})
    return (packed(image) * 4, packed(opened) + packed(image) * 2, packed(failed))


def _channels(data: bytes, random: Random) -> None:
    """Labels and metadata of an LSL stream, and numbers in it: a line a channel, five words, then a value."""
    rows = [line.split("|") for line in data.decode("utf-8", "replace").split("\n")][:64]
    channels = [Channel(*(row + [""] * 5)[:5]) for row in rows]
    values = [_float(row[-1]) for row in rows]
    try:
        reader = ChannelReader(channels, DISPLAY, None, lambda text: None)
    except EmerEdgeError:
        return
    for _ in range(3):
        reader.read(values, None, 0)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float(struct.unpack("<d", text.encode("utf-8", "replace")[:8].ljust(8, b"\xf0"))[0])


def _channel_seeds() -> tuple[bytes, ...]:
    parts = ("x|ScreenX|normalized", "y|ScreenY|normalized", "pos_x|PositionX|mm", "pos_y|PositionY|mm")
    parts = (*parts, "pos_z|PositionZ|mm", "pupil|Diameter|mm", "valid|Validity|")
    whole = [f"{eye}_{label}|{eye}|{rest}|DACS|0.5" for eye in ("left", "right") for label, rest in (
        each.split("|", 1) for each in parts)]  # fmt: skip
    gazepoint = [f"{name}||||||0.5" for name in ("LPOGX", "LPOGY", "LPOGV", "RPOGX", "RPOGY", "LPMM", "CNT", "TIME")]
    return "\n".join(whole).encode(), "\n".join(gazepoint).encode(), b"gaze_x|||pixels||900\ngaze_y|||pixels||nan"


# Files.


@cache
def _folder() -> Path:
    """A folder in memory that goes with the process."""
    memory = Path("/dev/shm")
    _folder.kept = tempfile.TemporaryDirectory(  # type: ignore[attr-defined]
        prefix="emer-edge-fuzz-", dir=memory if os.access(memory, os.W_OK) else None
    )
    return Path(_folder.kept.name)  # type: ignore[attr-defined]


def _file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Random], None]:
    def one(data: bytes, random: Random) -> None:
        path = _folder() / name
        path.write_bytes(data)
        try:
            read(path)
        except EmerEdgeError as error:
            assert str(error), "an error without words"  # noqa: PT017

    return one


def _recording(path: Path) -> None:
    for name in ("video.avi", "tracker.tsv"):
        (path.parent / name).touch()
    open_recording(path.parent)


def _session(path: Path) -> None:
    """What is in the file: session.json, then results, then markers, between lines of dashes."""
    parts = [*path.read_bytes().split(b"\n---\n"), b"", b""]
    for name, content in zip((SESSION_FILE, RESULTS_FILE, MARKERS_FILE), parts, strict=False):
        (path.parent / name).write_bytes(content)
    open_session(path.parent)


def _tobii(path: Path) -> None:
    export = read_export(path)
    list(export.samples())
    assert export.rows.shape[1] == 39


def _labels(path: Path) -> None:
    table = open_labels(path, view="er")
    try:
        order = table.code_order(None)
    except EmerEdgeError:
        order = {}
    for name in list(table.cells)[:20]:
        try:
            table.labels(name, order)
        except EmerEdgeError:
            continue


def _eye_row(number: int) -> list[str]:
    cells = [f"{each:.3f}" for each in np.random.default_rng(number).uniform(-400, 900, 39)]
    cells[14:16] = ["Valid", "Valid"] if number % 3 else ["Invalid", ""]
    cells[32] = ("Fixation", "Saccade", "Unclassified", "EyesNotFound")[number % 4]
    return cells


def _table(rows: int = 3) -> list[list[str]]:
    head = ["Recording timestamp [μs]", "Eyetracker timestamp [μs]", "Sensor", *COLUMN_KEYS]
    made = [[str(8333 * at), str(9 * 10**6 + 8333 * at), "Eye Tracker", *_eye_row(at)] for at in range(rows)]
    mouse = [["5", "", "Mouse", *[""] * 39]]
    return [head, *made[:1], *mouse, *made[1:]]


def _text(rows: list[list[str]], separator: str, newline: str = "\n", encoding: str = "utf-8") -> bytes:
    return (newline.join(separator.join(row) for row in rows) + newline).encode(encoding)


@cache
def _tobii_seeds() -> tuple[bytes, ...]:
    rows = _table()
    comma = [[cell.replace(".", ",") for cell in row] for row in rows]
    return _text(rows, "\t"), _text(comma, "\t", "\r\n", "utf-8-sig"), _text(comma, ";", "\r\n", "utf-16")


def _workbook(rows: list[list[str]]) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_numbers": True}) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)
    return buffer.getvalue()


@cache
def _workbook_seeds() -> tuple[bytes, ...]:
    return (_workbook(_table()),)


@cache
def _label_seeds() -> tuple[bytes, ...]:
    head = ["ID", "ER_Emotion", "ER_Valence", "FER_Emotion", "FER_Arousal", "FER_Intensity"]
    words = enumerate(("happiness", "fear"))
    rows = [head, *([f"{number}_film_happy", word, "0.25", word, "-0.5", "2"] for number, word in words)]
    codes = [["id", "Emotion", "Valence"], ["1_a_sad", "0", "1"], ["2_b_sad", "3", "-1"], ["2_b_sad", "4", "-1"]]
    return _text(rows, ","), _text(rows, "\t", "\r\n", "utf-8-sig"), _text(codes, ";")


_GAZEPOINT = (
    b"MEDIA_ID,MEDIA_NAME,CNT,TIME(2023/05/04 10:11:12.345),TIMETICK(f=10000000),LPOGX,LPOGY,LPOGV,RPOGX,RPOGY,RPOGV,"
    b'LPMM,LPMMV,LEYEX,LEYEY,LEYEZ,LPUPILV,USER\n0,"a, b",1,0.00,100,0.4,0.5,1,0.5,0.5,1,3.2,1,0.01,0.02,0.6,1,\n'
    b"0,x,2,0.0166,166766,0.4,0.5,1,0.5,0.5,1,3.2,1,0.01,0.02,0.6,1,\n0,x,3,0.0333,333433,0.4,0.5,0,0.5,0.5,1,,,,,,,\n"
)

_RECORDING = (
    b'{"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": 0.5, "participant": "p1", "display": '
    b'{"width_px": 1920, "height_px": 1080, "width_mm": 527.0, "height_mm": 296.0}, "stimulus": {"left_px": 0, '
    b'"top_px": 0, "width_px": 100.0, "height_px": 90}}'
)

_TOML = (
    b'bundle = "demo.emer"\ncamera = "0"\ntracker = "/dev/ttyUSB0?format=emer"\nseconds = 1.5\nthreads = 1\n'
    b'# a comment\nparticipant = "p1"\ndisplay = "1920x1080,527x296mm"\n'
)
_TOML_TOKENS = (b"x = [1, 2]\n", b"[[stream]]\n", b"[a.b]\n", b"x" * 300, b"= " + b"[" * 1500, b"1979-05-27T07:32:00Z",
                b"seconds = nan\n", b"threads = " + b"9" * 5000 + b"\n", b"0x", b"inf", b'"""', b"{a = 1}")  # fmt: skip

_FOLDS = (
    b"# folds\nset1: 1_a_happy 2_b_sad\nset2\n3_c_fear\n4_d_anger.mp4\nset3/5_e_neutral\n6_f_happy, 4\ntrain: 7_g\n"
)


@cache
def _golden_seeds() -> tuple[bytes, ...]:
    buffer = io.BytesIO()
    ones = np.ones((1, 2, 3), np.float32)
    names = ("in/fusion/eye", "out/cpu/fusion/er-7", "out/tensorrt/fusion/er-7")
    np.savez_compressed(buffer, **dict.fromkeys(names, ones))  # type: ignore[arg-type]
    return (buffer.getvalue(),)


@cache
def _cache_seeds() -> tuple[bytes, ...]:
    kept = {
        "stamp": np.arange(3),
        "rows": np.ones((2, 39), np.float32),
        "times_ns": np.arange(2),
        "seen": np.ones(2, bool),
    }
    made = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, timed=np.array(True), **kept)
        made.append(buffer.getvalue())
    return tuple(made)


@cache
def _session_seeds() -> tuple[bytes, ...]:
    head = SessionHead(
        schema=1, participant="p1", session="s1", state="ended", started="2026-01-01T10:00:00+00:00", started_ns=5,
        version="0", bundle="b", manifest_sha256="00", research_only=True, camera="0", tracker="lsl://",
        display=DISPLAY, baseline_s=30.0, summary={"windows": 3},
    )  # fmt: skip
    marker = msgspec.json.encode(Marker("start", 5, "keyboard"))
    return (b"\n---\n".join((msgspec.json.encode(head), b'{"a": 1}\n{"a": [1, {}]}\n', marker + b"\n")),)


def _mutated_session(random: Random, data: bytes) -> bytes:
    parts = data.split(b"\n---\n")
    at = random.randrange(len(parts))
    parts[at] = mutated_json(random, parts[at]) if at == 0 else mutated(random, parts[at])
    return b"\n---\n".join(parts)


def _archive_tokens() -> tuple[bytes, ...]:
    return (b"<c r='XFD1048576'><v>1</v></c>", b"<row r='1048576'>", b"XFD1048576", b"A900000",
            b't="s"', b"<v>99999999999</v>", b"<f4", b"|O",
            b"(1000000000000,)", b"(99999,99999,99)", b"'fortran_order': True", b"<f8", b"(-1,)")  # fmt: skip


_TOKENS_IN_ARCHIVES = _archive_tokens()


def _in_archive(random: Random, data: bytes) -> bytes:
    return mutated_archive(random, data, _TOKENS_IN_ARCHIVES)


@cache
def _manifest_seeds() -> tuple[bytes, ...]:
    """A manifest with every record in it."""
    whole = Manifest(
        schema=1,
        name="small",
        created="2026-01-02T03:04:05Z",
        versions={"emer-edge": "0.1.0"},
        heads=(BundledHead(name="er-7", classes=EMOTIONS, temperature=1.5), BundledHead(name="er-valence")),
        window=WindowSpec(),
        events="causal",
        eye_columns=COLUMN_KEYS,
        face=FaceRecord(template_px=((38.0, 52.0), (74.0, 52.0), (56.0, 72.0), (42.0, 92.0), (71.0, 92.0))),
        detector=DetectorRecord(kind="centerface", height_px=256, width_px=320),
        precision=PrecisionRecord(requested="int8", parts={"cpu/fusion": "int8"}, int8_macs={"cpu/step": 0.9}),
        gate=GateRecord(verdict="passed", fp32={"er-7/war": 0.5}),
        verification=VerificationRecord(inputs="seeded", largest_error={"cpu/fusion": 1e-6}),
        files={"cpu/fusion.onnx": FileRecord(sha256="00", bytes=7)},
        eye_quantiles={COLUMN_KEYS[0]: (0.0, 1.0)},
        display=Display(),
        calibration=CalibrationRecord(method="minmax", windows=3, clip_hashes=("a",), source="data"),
        data=DataRecord(fingerprint="f", salt="s", fold=1, training_hashes=("a",), selection_hashes=("b",)),
        networks=(NetworkRecord(heads=("er-7",)), NetworkRecord(heads=("er-valence",), fusion="fusion_b")),
    )
    return (whole.to_json(),)


TARGETS: dict[str, Target] = {
    each.name: each
    for each in (
        _decoder_target("emer", lambda: EmerDecoder(DISPLAY), b"\0", _emer_end),
        _decoder_target("csv", lambda: CsvDecoder(DISPLAY), b"\n", _csv_end, module="csv_lines"),
        _decoder_target("opengaze", lambda: OpenGazeDecoder(DISPLAY), b"\r\n", lambda: _text_end("opengaze")),
        _decoder_target("iviewx", lambda: IviewxDecoder(DISPLAY), b"\r\n", lambda: _text_end("iviewx")),
        _decoder_target("iscan-2", lambda: IscanDecoder(DISPLAY), b"", lambda: _iscan_end(2), (0.75, 0.5, 0.1)),
        _decoder_target("iscan-3", lambda: IscanDecoder(DISPLAY, 3), b"", lambda: _iscan_end(3), (0.75, 0.5, 0.1)),
        Target("format-finder", _any_seed, mutated, _finder, 100_000, (f"{_TRACKERS}formats",)),
        Target("lsl-channels", _channel_seeds, mutated, _channels, 1_000_000, (f"{_TRACKERS}lsl_channels",)),
        Target("camera-records", _record_seeds, mutated, _records, 1_000_000, ("emer_edge.runtime.cameras.records",)),
        Target(
            "gazepoint-csv",
            lambda: (_GAZEPOINT, _GAZEPOINT.replace(b",", b"\t").replace(b"TIME(", b"TIMER(")),
            mutated,
            _file("g.csv", lambda path: read_gazepoint_csv(path, DISPLAY)),
            1_000_000,
            (f"{_TRACKERS}gazepoint_file", f"{_TRACKERS}gazepoint"),
        ),
        Target(
            "tobii-text",
            _tobii_seeds,
            mutated,
            _file("t.tsv", _tobii),
            200_000,
            ("emer_edge.data.tobii", "emer_edge.data.tables", "emer_edge.data.sheets"),
        ),
        Target("tobii-xlsx", _workbook_seeds, _in_archive, _file("t.xlsx", _tobii), 50_000, ("emer_edge.data.tables",)),
        Target(
            "eye-sheet",
            _tobii_seeds,
            mutated,
            _file("e.tsv", lambda path: read_sheet(path, use_cache=False)),
            200_000,
            ("emer_edge.data.sheets", "emer_edge.data.tables"),
        ),
        Target(
            "sheet-cache",
            _cache_seeds,
            _in_archive,
            _file("e.npz", lambda path: sheets._load(path, np.arange(3))),
            200_000,
            ("emer_edge.data.sheets",),
        ),
        Target(
            "session",
            _session_seeds,
            _mutated_session,
            _file("session.json", _session),
            200_000,
            ("emer_edge.data.sessions",),
        ),
        Target("labels", _label_seeds, mutated, _file("l.csv", _labels), 500_000, ("emer_edge.data.labels",)),
        Target(
            "folds",
            lambda: (_FOLDS,),
            mutated,
            _file("emer_set.txt", lambda path: parse_folds(path.read_bytes().decode("utf-8-sig", "replace"))),
            500_000,
            ("emer_edge.data.layout",),
        ),
        Target(
            "recording.json",
            lambda: (_RECORDING,),
            mutated_json,
            _file("recording.json", _recording),
            1_000_000,
            ("emer_edge.data.recordings",),
        ),
        Target(
            "manifest.json",
            _manifest_seeds,
            mutated_json,
            _file("manifest.json", lambda path: Manifest.from_json(path.read_bytes())),
            200_000,
            ("emer_edge.bundle.manifest",),
        ),
        Target(
            "run.toml",
            lambda: (_TOML,),
            lambda random, data: mutated(random, data, _TOML_TOKENS),
            _file("run.toml", lambda path: config_defaults(path, run)),
            100_000,
            ("emer_edge.cli.config_file",),
        ),
        Target(
            "golden.npz",
            _golden_seeds,
            _in_archive,
            _file("golden.npz", read_golden),
            200_000,
            ("emer_edge.bundle.golden",),
        ),
    )
}


def make_input(target: Target, seed: int, number: int) -> tuple[bytes, Random]:
    """Input `number` of a target: the same for the same seed, whatever came before."""
    random = Random(f"{seed}/{target.name}/{number}")
    return target.mutate(random, random.choice(target.seeds())), random
