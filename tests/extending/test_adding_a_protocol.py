"""A protocol is one entry of `emer_edge.core.heads.PROTOCOLS`: labels, network, checkpoint, export and bench follow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import emer_edge

ENTRY = 'Protocol("ER-intensity", (ValueHead("er-intensity", "ER_Intensity", *INTENSITY_RANGE),))'

PROGRAM = """
import sys, types
from pathlib import Path
import numpy as np

source, entry, folder = Path(sys.argv[1]), sys.argv[2] + ",", Path(sys.argv[3])
text = source.read_text()
assert text.count("PROTOCOLS: Final = (") == 1
heads = types.ModuleType("emer_edge.core.heads")
heads.__file__ = str(source)
sys.modules["emer_edge.core.heads"] = heads
exec(compile(text.replace("PROTOCOLS: Final = (", "PROTOCOLS: Final = (\\n    " + entry), str(source), "exec"),
     heads.__dict__)
assert [protocol.name for protocol in heads.PROTOCOLS][0] == "ER-intensity" and len(heads.HEADS) == 10

from emer_edge.data.labels import open_labels
(folder / "labels.csv").write_text("ID,ER_Intensity\\na,2.5\\n")
table = open_labels(folder / "labels.csv")
assert table.heads == ("er-intensity",)
assert table.labels("a", {}) == {"er-intensity": 2.5}
(folder / "one.csv").write_text("ID,Intensity\\na,1.5\\n")
assert open_labels(folder / "one.csv", view="er").heads == ("er-intensity",)

import torch
from emer_edge.export.parts.fusion import fusion
from emer_edge.model.checkpoint import load_checkpoint, save_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata, check_heads, variant_of
from emer_edge.core.window import WindowSpec
from emer_edge.training.losses import overall, scores, task_loss
model = Emert("nine").eval()
assert "er-intensity" in model.head_names
metadata = CheckpointMetadata(variant="nine", heads=model.head_names, classes=model.classes, standardised=True,
                              events="causal", window=WindowSpec())
save_checkpoint(folder / "ten.pt", model, metadata)
model, metadata = load_checkpoint(folder / "ten.pt")
assert metadata.heads == tuple(heads.HEADS)
assert {item.name for item in fusion(model).graph.output} == set(heads.HEADS)
assert variant_of("er-intensity") == "intensity"
assert check_heads("intensity", ("er-7", "er-intensity")) == ("er-7", "er-intensity")
rows = {"er-intensity": np.array([[1.0], [2.0]], np.float32)}
scored = scores(rows, {"er-intensity": np.array([1.0, 1.0], np.float32)})
assert scored == {"er-intensity/mae": 0.5} and abs(overall(scored) - (1 - 0.5 / 3)) < 1e-6

from emer_edge.bench.accuracy.judged import protocol_of
from emer_edge.export.judging.gate import compare
from emer_edge.export.judging.workshop import Truth
assert protocol_of("er-intensity") == "ER-intensity"
truth = Truth({"er-intensity": np.array([1.0, 2.0])}, ("a", "b"), np.arange(2))
assert [item.name for item in compare(rows, rows, truth)] == ["er-intensity/mae"]
print("followed")
"""


def test_one_entry_is_all_that_a_protocol_takes(tmp_path: Path) -> None:
    source = Path(emer_edge.__file__).parent / "core" / "heads.py"
    command = [sys.executable, "-c", PROGRAM, str(source), ENTRY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "followed\n"


def test_the_page_shows_the_entry() -> None:
    page = Path(__file__).parents[2] / "docs" / "extending.md"
    assert f"```python\n{ENTRY}\n```" in page.read_text("utf-8")
