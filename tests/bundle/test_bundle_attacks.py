"""Bundles of strangers: folders and manifests made by hand to be more than one export of one person."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx_bytes import PART, model, node
from test_bundle import edit, manifest

from emer_edge.bundle import BundleWriter, load_bundle
from emer_edge.bundle.artefact import Part
from emer_edge.core.errors import BundleError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with BundleWriter(tmp_path / "small.emer") as writer:
        writer.add("cpu/fusion.onnx", PART)
        writer.add("report.json", b"{}")
        return writer.commit(manifest()).path


def linked_manifest(bundle: Path) -> None:
    shutil.move(bundle / "manifest.json", bundle.parent / "elsewhere.json")
    (bundle / "manifest.json").symlink_to(bundle.parent / "elsewhere.json")


def linked_file(bundle: Path) -> None:
    shutil.move(bundle / "report.json", bundle / "cpu" / "other")
    (bundle / "report.json").symlink_to("cpu/other")
    edit(bundle, lambda document: document["files"].update({"cpu/other": document["files"]["report.json"]}))


def linked_folder(bundle: Path) -> None:
    shutil.move(bundle / "cpu", bundle.parent / "cpu")
    (bundle / "cpu").symlink_to(bundle.parent / "cpu")


def pipe(bundle: Path) -> None:
    (bundle / "report.json").unlink()
    os.mkfifo(bundle / "report.json")


def folder(bundle: Path) -> None:
    (bundle / "report.json").unlink()
    (bundle / "report.json").mkdir()


def longer(bundle: Path) -> None:
    with (bundle / "cpu/fusion.onnx").open("ab") as file:
        file.write(b"\0")


def foreign_part(bundle: Path) -> None:
    content = model(node("Loop"))
    (bundle / "cpu/fusion.onnx").write_bytes(content)
    record = {"sha256": Part.of(bundle / "cpu/fusion.onnx").sha256, "bytes": len(content)}
    edit(bundle, lambda document: document["files"].update({"cpu/fusion.onnx": record}))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (
            lambda bundle: (bundle / "cpu/extra.onnx").write_bytes(PART),
            r"holds 'cpu/extra.onnx', which its manifest does",
        ),
        (lambda bundle: (bundle / ".hidden").touch(), r"holds '.hidden', which its manifest does not list"),
        (lambda bundle: (bundle / "home").symlink_to("/home"), r"holds 'home', which its manifest does not list"),
        (linked_manifest, r"lacks manifest.json: it is a link"),
        (linked_file, r"lacks report.json: it is a link"),
        (linked_folder, r"holds 'cpu', which its manifest does not list"),
        (pipe, r"report.json is no file, or is larger"),
        (folder, r"lacks report.json: Is a directory"),
        (longer, r"cpu/fusion.onnx is no file, or is larger than \d+ bytes"),
        (foreign_part, r"cpu/fusion.onnx holds the operator 'Loop', which no export writes"),
    ],
)
def test_a_folder_that_is_more_than_an_export_is_refused(
    bundle: Path, attack: Callable[[Path], object], message: str
) -> None:
    attack(bundle)
    with pytest.raises(BundleError, match=message) as refused:
        load_bundle(bundle)
    assert "\n" not in str(refused.value)


def test_a_folder_that_becomes_a_link_while_it_is_read_is_not_followed(bundle: Path, monkeypatch: Any) -> None:
    """The list of files is right, and then one is exchanged: what is opened is not what the link points to."""

    def exchanged(*_: object) -> None:
        linked_folder(bundle)

    monkeypatch.setattr("emer_edge.bundle.artefact.check_names", exchanged)
    with pytest.raises(BundleError, match=r"lacks cpu/fusion.onnx: it is a link"):
        load_bundle(bundle)


def text_of(bundle: Path, old: str, new: str) -> None:
    path = bundle / "manifest.json"
    text = json.dumps(json.loads(path.read_text()))
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"name": "small"', '"name": "small", "name": "other"', "the key 'name' is there twice"),
        ('"temperature": 1.5', '"temperature": NaN', "NaN is no number"),
        ('"temperature": 1.5', '"temperature": 1e999', "1e999 is no number"),
        ('"temperature": 1.5', f'"temperature": {"9" * 5000}', "99999999999999999999 is no number"),
        ('"name": "small"', f'"name": "{"x" * 5000}"', "has more than 1000 letters"),
        ('"name": "small"', '"name": "\\u001b]0;root\\u0007"', "can't be shown"),
        ('"name": "small"', '"name": "\\ud800"', "can't be shown"),
        ('"name": "small"', '"name": ' + "[" * 100_000, "recursion"),
        ('"er-valence"', '"er-7"', "named twice"),
        ('"surprise"', '"happiness"', "er-7 has 7 different classes"),
        ('"length_ns": 12000000000', '"length_ns": 12000000000000', "up to 600 s long"),
        ('"hops_per_slot": 3', '"hops_per_slot": 30000', "hops of 10 ms or more"),
        ('"width_px": 1920', '"width_px": 19200000', "display must be up to"),
        ('"width_mm": 527.0', '"width_mm": -1', "a size above zero"),
        ("[38.0, 52.0]", "[38.0, 520.0]", "must lie in a crop"),
        ("[38.0, 52.0]", "[74.0, 52.0]", "must hold 5 landmarks, not 4"),
        ('"height_px": 256', '"height_px": 25600', "4096"),
        ('"score": 0.5', '"score": 2', "< 1"),
        ('"eye_quantiles": {}', '"eye_quantiles": {"nothing": [1, 2, 3, 4, 5, 6, 7]}', "eye_quantiles must hold 7"),
        ('"gap_quantiles": []', '"gap_quantiles": [0.5, 0.1]', "gap_quantiles must hold 101"),
        ('"report.json"', f'"{"x" * 300}"', "names a file 'xxxx.*', which no export writes"),
        ('"report.json"', '"report\\u202enosj."', "can't be shown"),
        ('"report.json"', '"manifest.json"', "which no export writes"),
        ('"bytes": 2', '"bytes": 99999999999', "files must have up to"),
        ('"bytes": 2', '"bytes": -2', ">= 0"),
        ('"sha256": "', '"sha256": "G', "regex"),
    ],
)
def test_a_manifest_out_of_range_is_one_clear_error(bundle: Path, old: str, new: str, message: str) -> None:
    text_of(bundle, old, new)
    with pytest.raises(BundleError, match=message) as refused:
        load_bundle(bundle)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_progress_is_shown_for_a_large_bundle(bundle: Path, monkeypatch: Any) -> None:
    steps: list[tuple[str, int, int]] = []
    load_bundle(bundle, progress=lambda *step: steps.append(step))
    assert steps == []
    monkeypatch.setattr("emer_edge.bundle.artefact._LARGE_BYTES", 0)
    load_bundle(bundle, progress=lambda *step: steps.append(step))
    assert len(steps) == 2
