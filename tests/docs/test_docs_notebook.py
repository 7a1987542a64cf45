"""The notebook runs as it is, from a folder with nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from docs_pages import DOCS

NOTEBOOK = DOCS / "notebooks" / "session.ipynb"
# In a process of its own: a kernel's sockets, threads and warnings are none of the tests'.
_EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, timeout=600, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(book, sys.argv[3])
"""


def outputs_of(book: Path) -> tuple[list[str], int]:
    """What the cells of a notebook printed, and how many pictures they drew."""
    cells = [cell for cell in json.loads(book.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    printed = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    return printed.splitlines(), sum("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_the_notebook_runs_and_tells_the_conditions_apart(tmp_path: Path) -> None:
    for package in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        pytest.importorskip(package)
    done = tmp_path / "done.ipynb"
    environment = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    command = [sys.executable, "-c", _EXECUTE, str(NOTEBOOK), str(tmp_path), str(done)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    lines, pictures = outputs_of(done)
    assert pictures == 3
    compared = [line for line in lines if "B - A" in line]
    assert [line.partition(":")[0] for line in compared] == ["p001", "p002"]
    assert not [line for line in compared if "nan" in line or "(0" in line]


def test_the_notebook_is_kept_without_outputs_and_its_code_can_be_read() -> None:
    """Outputs would hold a machine's paths, and stale figures."""
    assert outputs_of(NOTEBOOK) == ([], 0)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    for cell in cells:
        compile("".join(cell["source"]), cell["id"], "exec")
