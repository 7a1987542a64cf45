"""A bundle whose part never ends: the command says so, and leaves with its own exit code while it still computes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from onnx_bytes import field, model, node, tensor

RUN = """
import sys
from emer_edge.runtime.engines import base
base.FIRST_RUN_S = 0.5
from emer_edge.cli import main
sys.argv = ["emer-edge", "run", *sys.argv[1:]]
main()
"""


@pytest.mark.case("a part that computes for hours", before="waited, and aborted at exit", source="seen")
def test_a_part_that_does_not_end_ends_the_command(bundle: Path, video: Path, tracker: Path) -> None:
    side, squared = 1500, [node("MatMul", f"m{at} m{at}", f"m{at + 1}") for at in range(200)]
    small = [field(5, tensor("tall", (side, 1))), field(5, tensor("wide", (1, side)))]
    slow = model(*small, node("MatMul", "tall wide", "m0"), *squared, node("Add", "x m200"), size=side)
    (bundle / "cpu/face_encoder.onnx").write_bytes(slow)
    manifest = json.loads((bundle / "manifest.json").read_text())
    record = {"sha256": hashlib.sha256(slow).hexdigest(), "bytes": len(slow)}
    manifest["files"]["cpu/face_encoder.onnx"] = record
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    options = ["--camera", video, "--tracker", tracker, "--offset-ms", 0, "--engine", "onnxruntime"]
    command = [sys.executable, "-c", RUN, *map(str, [bundle, *options])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (message,) = done.stderr.splitlines()
    assert "the first run of" in message
    assert "face_encoder.onnx has not ended after 0.5 s; don't use this bundle here" in message
