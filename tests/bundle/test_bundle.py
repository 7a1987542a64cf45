from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_bytes import PART

from emer_edge.bundle import BundleWriter, Manifest, load_bundle
from emer_edge.bundle.manifest import (
    BundledHead,
    DetectorRecord,
    FaceRecord,
    GateRecord,
    PrecisionRecord,
    VerificationRecord,
)
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import BundleError, OutputExistsError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import Display
from emer_edge.core.window import EVENT_CONSTANTS, WindowSpec


def manifest() -> Manifest:
    return Manifest(
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
        precision=PrecisionRecord(requested="fp32", parts={"cpu/fusion": "fp32"}),
        gate=GateRecord(verdict="not run"),
        verification=VerificationRecord(inputs="seeded", largest_error={}),
        files={},
        display=Display(),
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "small.emer"
    with BundleWriter(path) as writer:
        writer.add("cpu/fusion.onnx", PART)
        writer.add("report.json", b"{}")
        writer.commit(manifest())
    return path


def edit(bundle: Path, change: Any) -> None:
    path = bundle / "manifest.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_what_is_written_is_read_back(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert msgspec.structs.replace(loaded.manifest, files={}) == manifest()
    assert loaded.manifest.protocols == ("ER-7",)
    assert loaded.part("cpu", "fusion").content == PART
    assert sorted(os.listdir(bundle.parent)) == ["small.emer"]


def test_a_part_that_is_not_there_is_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"no tensorrt/fusion.onnx; it holds cpu/fusion.onnx, report.json"):
        load_bundle(bundle).part("tensorrt", "fusion")


def test_a_changed_byte_is_found(bundle: Path) -> None:
    (bundle / "cpu/fusion.onnx").write_bytes(PART[:-1] + b"\x12")
    with pytest.raises(BundleError, match=r"cpu/fusion.onnx is not the file that was exported"):
        load_bundle(bundle)


def test_a_missing_file_is_named(bundle: Path) -> None:
    (bundle / "report.json").unlink()
    with pytest.raises(BundleError, match=r"lacks report.json"):
        load_bundle(bundle)


def test_a_newer_schema_is_refused(bundle: Path) -> None:
    edit(bundle, lambda document: document.update(schema=4, future=True))
    with pytest.raises(BundleError, match=r"schema 4, this emer-edge reads up to 3; upgrade"):
        load_bundle(bundle)


@pytest.mark.case("a bundle of version 0.1.0, which holds one precision", before="read")
def test_an_older_bundle_is_read_and_its_variants_are_not_mixed(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    assert manifest.schema == 1
    assert [each.parts for each in manifest.all_combinations] == [
        {"face_encoder": "cpu/face_encoder", "fusion": "cpu/fusion"},
        {"face_encoder": "tensorrt/face_encoder", "fusion": "tensorrt/fusion"},
    ]


@pytest.mark.parametrize(
    "parts",
    [{"fusion": "cpu/fusion"}, {"face_encoder": "cpu/face_encoder", "fusion": "../fusion"}],
    ids=["a part is missing", "a file that the manifest does not have"],
)
def test_combinations_name_files_of_the_bundle(bundle: Path, parts: dict[str, str]) -> None:
    def change(document: dict[str, Any]) -> None:
        document["precision"]["parts"] = {"cpu/face_encoder": "fp32", "cpu/fusion": "fp32"}
        document["combinations"] = [{"parts": parts, "verdict": "passed"}]

    edit(bundle, change)
    with pytest.raises(BundleError, match="combinations must name a part of precision"):
        load_bundle(bundle)


@pytest.mark.parametrize("requested", ["int4", "fp16;int8", "", "fp16,"], ids=str)
def test_a_precision_that_is_none_is_refused(bundle: Path, requested: str) -> None:
    edit(bundle, lambda document: document["precision"].update(requested=requested))
    with pytest.raises(BundleError, match="not a valid manifest"):
        load_bundle(bundle)


@pytest.mark.parametrize("escape", ["../outside.onnx", "/etc/passwd", "cpu/../../outside.onnx", "..\\outside.onnx"])
def test_a_path_that_leaves_the_folder_is_refused(bundle: Path, escape: str) -> None:
    (bundle.parent / "outside.onnx").write_bytes(PART)
    edit(bundle, lambda document: document["files"].update({escape: document["files"]["cpu/fusion.onnx"]}))
    with pytest.raises(BundleError, match="leaves the folder"):
        load_bundle(bundle)


def test_a_link_that_leaves_the_folder_is_refused(bundle: Path) -> None:
    outside = bundle.parent / "outside.onnx"
    outside.write_bytes(PART)
    (bundle / "cpu/fusion.onnx").unlink()
    (bundle / "cpu/fusion.onnx").symlink_to(outside)
    with pytest.raises(BundleError, match="it is a link"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.pop("window"), "window"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["window"].update(length_ns=7), "7 ns"),
        (lambda d: d["heads"][0].update(temperature=0), "temperature"),
        (lambda d: d["heads"][0].update(name="er-9"), "er-9"),
        (lambda d: d["eye_columns"].pop(), "38"),
        (lambda d: d.update(events="future"), "events"),
        (lambda d: d.pop("schema"), "no schema"),
    ],
    ids=["missing", "unknown", "window", "temperature", "head", "columns", "events", "schema"],
)
def test_an_invalid_manifest_names_the_field(bundle: Path, change: Any, named: str) -> None:
    edit(bundle, change)
    with pytest.raises(BundleError, match=named):
        load_bundle(bundle)


@pytest.mark.parametrize("constants", [{}, {"smoothing_longest_ms": 80.0, "smoothing_sigmas": 4.0}])
def test_a_rule_of_other_constants_is_refused(bundle: Path, constants: dict[str, float]) -> None:
    edit(bundle, lambda document: document.update(events="causal-2", events_constants=EVENT_CONSTANTS["causal-2"]))
    assert load_bundle(bundle).manifest.events == "causal-2"
    edit(bundle, lambda document: document.update(events_constants=constants))
    with pytest.raises(BundleError, match=r"events causal-2 have the constants .*: export the bundle again"):
        load_bundle(bundle)


def test_an_existing_bundle_needs_force_and_is_replaced_whole(bundle: Path) -> None:
    with pytest.raises(OutputExistsError, match="--force"):
        BundleWriter(bundle)
    with BundleWriter(bundle, force=True) as writer:
        writer.add("cpu/face_encoder.onnx", PART)
        writer.commit(manifest())
    assert sorted(load_bundle(bundle).manifest.files) == ["cpu/face_encoder.onnx"]
    assert sorted(os.listdir(bundle.parent)) == ["small.emer"]


def test_force_never_replaces_what_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    with pytest.raises(BundleError, match="not a bundle"):
        BundleWriter(tmp_path / "thesis", force=True)


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with BundleWriter(tmp_path / "x.emer") as writer:
            writer.add("cpu/fusion.onnx", b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("there", ["nothing", "empty"])
def test_a_folder_without_a_bundle_is_said(tmp_path: Path, there: str) -> None:
    path = tmp_path / "x.emer"
    if there == "empty":
        path.mkdir()
    with pytest.raises(BundleError):
        load_bundle(path)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_one_clear_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(data)


@settings(max_examples=200, deadline=None)
@given(position=st.integers(0, 3000), byte=st.integers(0, 255))
def test_a_damaged_manifest_is_read_or_refused(position: int, byte: int) -> None:
    data = bytearray(manifest().to_json())
    data[position % len(data)] = byte
    with contextlib.suppress(BundleError):
        Manifest.from_json(bytes(data))
