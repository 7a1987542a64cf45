"""Readers of files: each returns, or raises an EmerEdgeError that says something."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

from fuzz_mutations import Target, mutated, mutated_archive, mutated_json
from fuzz_seeds import (
    FOLDS,
    GAZEPOINT,
    LINES,
    RECORDING,
    TOML,
    cache_seeds,
    golden_seeds,
    guard_seeds,
    label_seeds,
    label_workbook_seeds,
    manifest_seeds,
    part_seeds,
    session_seeds,
    tobii_seeds,
    workbook_seeds,
)
from onnx_bytes import field, whole

from emer_edge.bundle.golden_file import read_golden
from emer_edge.bundle.guard_file import read_guard
from emer_edge.bundle.manifest import Manifest
from emer_edge.bundle.onnx_rule import check_part
from emer_edge.cli.config_file import read_config
from emer_edge.cli.run import run
from emer_edge.core.errors import DataError, EmerEdgeError
from emer_edge.core.samples import Display
from emer_edge.core.text import decode_text
from emer_edge.data.labels import open_labels
from emer_edge.data.layout import parse_folds
from emer_edge.data.recordings import open_recording, read_export
from emer_edge.data.sessions import MARKERS_FILE, RESULTS_FILE, SESSION_FILE, open_session
from emer_edge.data.sheets import load_entry, read_sheet
from emer_edge.data.tables import read_table
from emer_edge.runtime.trackers import TrackerOptions, open_tracker
from emer_edge.runtime.trackers.gazepoint import is_gazepoint_header, read_gazepoint_csv

_TOML_TOKENS = (b"x = [1, 2]\n", b"[[stream]]\n", b"[a.b]\n", b"x" * 300, b"= " + b"[" * 1500, b"1979-05-27T07:32:00Z",
                b"seconds = nan\n", b"threads = " + b"9" * 5000 + b"\n", b"0x", b"inf", b'"""', b"{a = 1}")  # fmt: skip
_ONNX_TOKENS = (field(4, "Loop"), field(5, field(6, b"")), field(13, b"x"), field(14, 1), field(25, b""), b"ORTM",
                field(7, "com.microsoft"), b"\xff" * 9, b"\x3b", b"\x3c", whole(1 << 40))  # fmt: skip
_ARCHIVE_TOKENS = (b"<c r='XFD1048576'><v>1</v></c>", b"<row r='1048576'>", b"XFD1048576", b"A900000", b't="s"',
                   b"<v>99999999999</v>", b"<f4", b"|O", b"(1000000000000,)", b"(99999,99999,99)",
                   b"'fortran_order': True", b"<f8", b"(-1,)")  # fmt: skip


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


def _gazepoint(path: Path) -> None:
    read_gazepoint_csv(read_table(path, gazepoint_header, ragged=True), Display())


def gazepoint_header(header: Sequence[str]) -> None:
    if not is_gazepoint_header(header):
        raise DataError("no header of Gazepoint's")


def _tracker_file(path: Path) -> None:
    with open_tracker(str(path), TrackerOptions(pace="fast", say=lambda text: None)) as tracker:
        list(tracker)


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


def _mutated_session(random: Random, data: bytes) -> bytes:
    parts = data.split(b"\n---\n")
    at = random.randrange(len(parts))
    parts[at] = mutated_json(random, parts[at]) if at == 0 else mutated(random, parts[at])
    return b"\n---\n".join(parts)


def _in_archive(random: Random, data: bytes) -> bytes:
    return mutated_archive(random, data, _ARCHIVE_TOKENS)


def _played(path: Path) -> None:
    """Play a file of lines; what comes is in order."""
    stamps = [sample.stamp_ns for sample in open_tracker(str(path), TrackerOptions(pace="fast", say=lambda text: None))]
    assert all(after > before for before, after in pairwise(stamps))


FILES: tuple[Target, ...] = (
    Target(
        "tracker-lines",
        lambda: (LINES, LINES.replace(b",", b"\t"), LINES.replace(b"time_us", b"time_s")),
        mutated,
        _file("l.csv", _played),
        200_000,
        ("emer_edge.runtime.trackers.files", "emer_edge.runtime.trackers.file_checks"),
    ),
    Target(
        "gazepoint-csv",
        lambda: (GAZEPOINT, GAZEPOINT.replace(b",", b"\t").replace(b"TIME(", b"TIMER(")),
        mutated,
        _file("g.csv", _gazepoint),
        1_000_000,
        ("emer_edge.runtime.trackers.gazepoint",),
    ),
    Target(
        "tobii-text",
        tobii_seeds,
        mutated,
        _file("t.tsv", _tobii),
        200_000,
        ("emer_edge.data.recordings", "emer_edge.data.tables", "emer_edge.data.sheets", "emer_edge.core.numbers"),
    ),
    Target("tobii-xlsx", workbook_seeds, _in_archive, _file("t.xlsx", _tobii), 50_000, ("emer_edge.data.workbooks",)),
    Target(
        "eye-sheet",
        tobii_seeds,
        mutated,
        _file("e.tsv", lambda path: read_sheet(path, use_cache=False)),
        200_000,
        ("emer_edge.data.sheets", "emer_edge.data.tables"),
    ),
    Target(
        "sheet-cache",
        cache_seeds,
        _in_archive,
        _file("e.npz", lambda path: load_entry(path, "stamp")),
        200_000,
        ("emer_edge.data.sheets",),
    ),
    Target(
        "session",
        session_seeds,
        _mutated_session,
        _file("session.json", _session),
        200_000,
        ("emer_edge.data.sessions",),
    ),
    Target("labels", label_seeds, mutated, _file("l.csv", _labels), 500_000, ("emer_edge.data.labels",)),
    Target(
        "labels-xlsx",
        label_workbook_seeds,
        _in_archive,
        _file("l.xlsx", _labels),
        50_000,
        ("emer_edge.data.workbooks",),
    ),
    Target(
        "text",
        lambda: (*tobii_seeds(), *label_seeds(), "编号,情绪\n".encode("gbk"), "µ;Größe\r".encode("cp1252")),
        mutated,
        _file("t.txt", lambda path: decode_text(path.read_bytes(), path).text.encode()),
        500_000,
        ("emer_edge.core.text",),
    ),
    Target(
        "tracker-file",
        lambda: (GAZEPOINT, LINES, LINES.replace(b",", b";").replace(b".", b","), *tobii_seeds()),
        mutated,
        _file("f.csv", _tracker_file),
        200_000,
        ("emer_edge.runtime.trackers.files", "emer_edge.core.numbers"),
    ),
    Target(
        "folds",
        lambda: (FOLDS,),
        mutated,
        _file("emer_set.txt", lambda path: parse_folds(path.read_bytes().decode("utf-8-sig", "replace"))),
        500_000,
        ("emer_edge.data.layout",),
    ),
    Target(
        "recording.json",
        lambda: (RECORDING,),
        mutated_json,
        _file("recording.json", _recording),
        1_000_000,
        ("emer_edge.data.recordings",),
    ),
    Target(
        "manifest.json",
        manifest_seeds,
        mutated_json,
        _file("manifest.json", lambda path: Manifest.from_json(path.read_bytes())),
        200_000,
        ("emer_edge.bundle.manifest",),
    ),
    Target(
        "run.toml",
        lambda: (TOML,),
        lambda random, data: mutated(random, data, _TOML_TOKENS),
        _file("run.toml", lambda path: read_config(path, run)),
        100_000,
        ("emer_edge.cli.config_file",),
    ),
    Target(
        "part.onnx",
        part_seeds,
        lambda random, data: mutated(random, data, _ONNX_TOKENS),
        _file("part.onnx", lambda path: check_part(path.read_bytes(), "part")),
        200_000,
        ("emer_edge.bundle.onnx_rule",),
    ),
    Target(
        "golden.npz",
        golden_seeds,
        _in_archive,
        _file("golden.npz", lambda path: read_golden(path.read_bytes())),
        200_000,
        ("emer_edge.bundle.golden_file",),
    ),
    Target(
        "guard.npz",
        guard_seeds,
        _in_archive,
        _file("guard.npz", lambda path: read_guard(path.read_bytes())),
        200_000,
        ("emer_edge.bundle.guard_file", "emer_edge.bundle.golden_file"),
    ),
)
