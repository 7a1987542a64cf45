from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "first", ["import emer_edge", "from emer_edge.runtime.engines import open_engine"], ids=["package", "room"]
)
def test_onnx_runtime_starts_no_telemetry(first: str, tmp_path: Path) -> None:
    """Its telemetry keeps a session file in the temporary folder as soon as it is imported."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    code = f"{first}; import onnxruntime; onnxruntime.SessionOptions()"
    subprocess.run([sys.executable, "-c", code], env={**environment, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
