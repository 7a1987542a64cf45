"""Small valid files of every kind that is read, which mutations start from."""

from __future__ import annotations

import io
import json
from datetime import datetime
from functools import cache

import msgspec
import numpy as np
from onnx_bytes import PART, field, model, node, tensor

from emer_edge.bundle.guard_file import KnownFaces, write_guard
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
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import Display
from emer_edge.core.session_facts import Marker
from emer_edge.core.window import WindowSpec
from emer_edge.data.sessions import SessionHead


def _eye_row(number: int) -> list[str]:
    cells = [f"{item:.3f}" for item in np.random.default_rng(number).uniform(-400, 900, 39)]
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
def tobii_seeds() -> tuple[bytes, ...]:
    rows = _table()
    comma = [[cell.replace(".", ",") for cell in row] for row in rows]
    thousands = [[f'"1,{cell}"' if cell[:1].isdigit() and len(cell) == 7 else cell for cell in row] for row in rows]
    names = [f'"{cell}"'.replace(" [", "\n[") for cell in rows[0]]
    return (
        _text(rows, "\t"),
        _text(comma, "\t", "\r\n", "utf-8-sig"),
        _text(comma, ";", "\r\n", "utf-16"),
        _text([["sep=,"], ["a title"], *thousands], ",", "\r"),
        _text([names, *comma[1:]], ";", "\n", "gbk"),
    )


def _workbook(rows: list[list[str]]) -> bytes:
    import xlsxwriter

    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_numbers": True}) as book:
        book.set_properties({"created": datetime(2026, 1, 1)})  # the same bytes whenever they are made
        sheet = book.add_worksheet()
        for at, row in enumerate(rows):
            sheet.write_row(at, 0, row)
        sheet.write_formula(len(rows), 60, "=1+1", None, "#DIV/0!")
        book.add_worksheet().hide()
    return buffer.getvalue()


@cache
def workbook_seeds() -> tuple[bytes, ...]:
    return (_workbook(_table()),)


@cache
def label_workbook_seeds() -> tuple[bytes, ...]:
    rows = [["", "ER", "", "FER"], ["ID", "Emotion", "Valence", "Emotion"], ["1_a_sad", "sad", "0,5", "neutral"]]
    return (_workbook(rows),)


@cache
def label_seeds() -> tuple[bytes, ...]:
    head = ["ID", "ER_Emotion", "ER_Valence", "FER_Emotion", "FER_Arousal", "FER_Intensity"]
    words = enumerate(("happiness", "fear"))
    rows = [head, *([f"{number}_film_happy", word, "0.25", word, "-0.5", "2"] for number, word in words)]
    codes = [["id", "Emotion", "Valence"], ["1_a_sad", "0", "1"], ["2_b_sad", "3", "-1"], ["2_b_sad", "4", "-1"]]
    return _text(rows, ","), _text(rows, "\t", "\r\n", "utf-8-sig"), _text(codes, ";")


GAZEPOINT = (
    b"MEDIA_ID,MEDIA_NAME,CNT,TIME(2023/05/04 10:11:12.345),TIMETICK(f=10000000),LPOGX,LPOGY,LPOGV,RPOGX,RPOGY,RPOGV,"
    b'LPMM,LPMMV,LEYEX,LEYEY,LEYEZ,LPUPILV,USER\n0,"a, b",1,0.00,100,0.4,0.5,1,0.5,0.5,1,3.2,1,0.01,0.02,0.6,1,\n'
    b"0,x,2,0.0166,166766,0.4,0.5,1,0.5,0.5,1,3.2,1,0.01,0.02,0.6,1,\n0,x,3,0.0333,333433,0.4,0.5,0,0.5,0.5,1,,,,,,,\n"
)

LINES = (
    b"time_us,left_x,left_y,right_x,right_y,left_valid,confidence\n" + b"".join(
        b"%d,0.4,0.5,0.4,0.5,%d,0.9\n" % (time, time % 2)
        for time in (-20_000, -11_667, -3_333, 5_000, 5_000, 13_333, 10**15)
    )
)  # fmt: skip

RECORDING = (
    b'{"schema": 1, "video": "video.avi", "tracker": "tracker.tsv", "offset_ms": 0.5, "participant": "p1", "display": '
    b'{"width_px": 1920, "height_px": 1080, "width_mm": 527.0, "height_mm": 296.0}, "stimulus": {"left_px": 0, '
    b'"top_px": 0, "width_px": 100.0, "height_px": 90}}'
)

TOML = (
    b'bundle = "demo.emer"\ncamera = "0"\ntracker = "/dev/ttyUSB0?format=emer"\nseconds = 1.5\nthreads = 1\n'
    b'# a comment\nparticipant = "p1"\ndisplay = "1920x1080,527x296mm"\n'
)

FOLDS = b"# folds\nset1: 1_a_happy 2_b_sad\nset2\n3_c_fear\n4_d_anger.mp4\nset3/5_e_neutral\n6_f_happy, 4\ntrain: 7_g\n"


@cache
def part_seeds() -> tuple[bytes, ...]:
    constant = field(5, tensor("w", (4,)))
    kept = field(5, field(1, "axis") + field(3, 1) + field(20, 2))
    return PART, model(node("Add", "x w"), constant), model(node("Softmax", "x", "y", kept))


def golden_seeds() -> tuple[bytes, ...]:
    buffer = io.BytesIO()
    ones = np.ones((1, 2, 3), np.float32)
    names = ("in/fusion/eye", "out/cpu/fusion/er-7", "out/tensorrt/fusion/er-7")
    np.savez_compressed(buffer, **dict.fromkeys(names, ones))  # type: ignore[arg-type]
    return (buffer.getvalue(),)


@cache
def guard_seeds() -> tuple[bytes, ...]:
    known = KnownFaces(np.zeros(8, np.float32), np.ones((32, 8), np.float32), np.ones(33, np.float32))
    return (write_guard({"cpu/face_encoder": known}),)


@cache
def cache_seeds() -> tuple[bytes, ...]:
    told = {"stamp": "stamp", "timed": True, "clock": "us", "lost": {}, "notes": ["is short"], "told_hz": 0.0}
    kept = {
        "told": np.array(json.dumps(told)),
        "rows": np.ones((2, 39), np.float32),
        "times_ns": np.arange(2),
        "seen": np.ones(2, bool),
    }
    made = []
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, **kept)
        made.append(buffer.getvalue())
    return tuple(made)


@cache
def session_seeds() -> tuple[bytes, ...]:
    head = SessionHead(
        schema=1, participant="p1", session="s1", state="ended", started="2026-01-01T10:00:00+00:00", started_ns=5,
        version="0", bundle="b", manifest_sha256="00", research_only=True, camera="0", tracker="lsl://",
        display=Display(), baseline_s=30.0, summary={"windows": 3},
    )  # fmt: skip
    marker = msgspec.json.encode(Marker("start", 5, "keyboard"))
    return (b"\n---\n".join((msgspec.json.encode(head), b'{"a": 1}\n{"a": [1, {}]}\n', marker + b"\n")),)


@cache
def manifest_seeds() -> tuple[bytes, ...]:
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
        files={"cpu/fusion.onnx": FileRecord(sha256="0" * 64, bytes=7)},
        eye_quantiles={COLUMN_KEYS[0]: (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)},
        display=Display(),
        calibration=CalibrationRecord(method="minmax", windows=3, clip_hashes=("a",), source="data"),
        data=DataRecord(fingerprint="f", salt="s", fold=1, training_hashes=("a",), selection_hashes=("b",)),
        networks=(NetworkRecord(heads=("er-7",)), NetworkRecord(heads=("er-valence",), fusion="fusion_b")),
    )
    return (whole.to_json(),)
