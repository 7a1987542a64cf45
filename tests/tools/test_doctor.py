from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from emer_edge.bundle import Bundle, BundleWriter
from emer_edge.bundle.golden_file import GOLDEN_NAME, Golden, write_golden
from emer_edge.cli.app import app
from emer_edge.export.verification import seeded_windows
from emer_edge.runtime.engines import open_engine
from emer_edge.tools.doctor import Finding, examine, worst
from emer_edge.tools.doctor.host import look_at_machine


def with_golden(bundle: Bundle, folder: Path, change: float = 0.0) -> Path:
    """The bundle once more, with golden outputs of its own parts, those of fusion moved by `change`."""
    face, eye, gaze = seeded_windows(1, 3)
    outputs = {}
    for name, given in (
        ("face_encoder", {"face": face[0]}),
        ("fusion", {"embeddings": np.zeros((1, 8, 128), np.float32), "eye": eye, "gaze": gaze}),
    ):
        engine = open_engine("onnxruntime", bundle.part("cpu", name))
        outputs[name] = (given, engine.run(given))
        engine.close()
    moved = {name: item + np.float32(change) for name, item in outputs["fusion"][1].items()}
    golden = Golden(
        {name: given for name, (given, _) in outputs.items()},
        {("cpu", "face_encoder"): outputs["face_encoder"][1], ("cpu", "fusion"): moved},
    )
    path = folder / "golden.emer"
    with BundleWriter(path) as writer:
        for relative in bundle.manifest.files:
            writer.add(relative, bundle.path / relative)
        writer.add(GOLDEN_NAME, write_golden(golden))
        writer.commit(msgspec.structs.replace(bundle.manifest, gate=bundle.manifest.gate))
    return path


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


def test_a_sound_bundle_replays_its_golden_inputs(bundle: Bundle, tmp_path: Path) -> None:
    findings = by_subject(list(examine(with_golden(bundle, tmp_path), "onnxruntime")))
    for part in ("face_encoder", "fusion"):
        finding = findings[f"replay of cpu/{part}"]
        assert finding.level == "ok", finding
        assert re.search(r"largest difference \S+ of \S+'s largest value \(allowed 0\.001\)", finding.message)
    assert findings["bundle"].level == "ok"
    assert findings["accuracy gate"].level == "warning"
    assert worst(findings.values()) == "warning"


def test_a_part_that_computes_something_else_is_a_problem(bundle: Bundle, tmp_path: Path) -> None:
    findings = by_subject(list(examine(with_golden(bundle, tmp_path, change=0.5), "onnxruntime")))
    assert findings["replay of cpu/face_encoder"].level == "ok"
    assert findings["replay of cpu/fusion"].level == "problem"
    assert "don't trust its results" in findings["replay of cpu/fusion"].fix


def test_a_bundle_without_golden_outputs_is_reported(bundle: Bundle) -> None:
    findings = by_subject(list(examine(bundle.path, "onnxruntime")))
    assert findings["replay"].level == "warning"
    assert GOLDEN_NAME in findings["replay"].message


def test_a_damaged_bundle_is_a_problem_not_an_error(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy.emer"
    shutil.copytree(bundle.path, copy)
    with (copy / "cpu/fusion.onnx").open("ab") as file:
        file.write(b"x")
    findings = by_subject(list(examine(copy, "onnxruntime")))
    assert findings["bundle"].level == "problem"
    assert "copy the bundle again" in findings["bundle"].message


@pytest.mark.parametrize(
    ("setting", "message"),
    [("1\n", "within its login session only"), ("0\n", "every process of its cgroup"), (None, "every process")],
    ids=["autogroup", "no-autogroup", "unknown"],
)
def test_what_a_niceness_ranks_against_is_reported(tmp_path: Path, setting: str | None, message: str) -> None:
    if setting is not None:
        path = tmp_path / "proc/sys/kernel/sched_autogroup_enabled"
        path.parent.mkdir(parents=True)
        path.write_text(setting)
    finding = by_subject(list(look_at_machine(tmp_path)))["priority"]
    assert finding.level == "ok"
    assert message in finding.message


@pytest.mark.parametrize(("change", "code"), [(0.0, 0), (0.5, 1)], ids=["sound", "wrong"])
def test_the_command_writes_json_and_exits_by_what_it_found(
    bundle: Bundle, tmp_path: Path, change: float, code: int
) -> None:
    path = with_golden(bundle, tmp_path, change)
    done = CliRunner().invoke(app, ["doctor", str(path), "--json", "--engine", "onnxruntime"])
    lines = [json.loads(splitline) for splitline in done.stdout.splitlines()]
    assert done.exit_code == code
    assert {"subject", "level", "message", "fix"} == set(lines[0])
    assert [line["level"] for line in lines if line["subject"] == "replay of cpu/fusion"] == [
        "problem" if code else "ok"
    ]
