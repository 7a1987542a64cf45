"""What the forms of the fusion part cost, which runs at every hop, and how far their outputs are from torch.

Two networks: the nine-head one, which standardises its columns (demo weights), and the published discrete one, which
reads raw columns (random weights: their speed and error mean something). The forms take turns in an order drawn anew
each round, in one process, one thread; each run that counts follows one of the same form that does not. What TensorRT's
builder makes of them is `tensorrt_forms`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from benchmarks.common import Floor, conclude, show
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.parts.unrolled_lstms import unroll_lstms
from emer_edge.export.precision.dynamic import quantisable_products, quantise_products
from emer_edge.export.verification import seeded_windows
from emer_edge.metrics.latency import summarise
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.model.checkpoint import load_checkpoint, load_demo_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.report.table import Cell, Column
from emer_edge.runtime.engines import open_engine

SHIPPED = "LSTM operator"
SMALL = "INT8, LSTMs and wide products"
TOLERANCE = 1e-5
Inputs = dict[str, NDArray[np.float32]]


def main() -> int:
    """Run it; return the exit code."""
    made = argparse.ArgumentParser(description="Speed and error of the forms that the fusion part can be written in.")
    made.add_argument("--work", type=Path, help="nothing is built: there for the sake of benchmarks.all")
    made.add_argument("--checkpoint", type=Path, help="a checkpoint of emer-edge train; the demo weights by default")
    made.add_argument("--rounds", type=int, default=400, help="runs of each form")
    arguments = made.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    own = load_checkpoint(arguments.checkpoint)[0] if arguments.checkpoint else load_demo_checkpoint()[0]
    networks = {"nine heads, standardised": own, "discrete, raw columns": Emert("discrete", ("er-7",)).eval()}
    floors: list[Floor] = []
    figures: dict[str, Any] = {}
    for name, model in networks.items():
        with TemporaryDirectory(prefix="emer-edge-") as folder:
            figures[name] = _network(name, model, Path(folder), arguments.rounds)
        forms = figures[name]["forms"]
        worst = max(measured["error"] for form, measured in forms.items() if not form.startswith("INT8"))
        floors.append(Floor(f"{name}: largest FP32 error, share of output", worst, TOLERANCE, at_least=False))
        if SMALL in forms:
            ratio = forms[SHIPPED]["p50_ms"] / forms[SMALL]["p50_ms"]
            floors.append(Floor(f"{name}: INT8 against FP32", ratio, 1.3, unit=" times"))
    return conclude("fusion_forms", floors, figures)


def _network(name: str, model: Emert, folder: Path, rounds: int) -> dict[str, Any]:
    inputs = _inputs(model, 4)
    expected = _torch(model, inputs)
    parts = _forms(model, folder)
    paths = {}
    for number, (form, part) in enumerate(parts.items()):
        paths[form] = folder / f"{number}.onnx"
        paths[form].write_bytes(part.SerializeToString())
    engines = {form: open_engine("onnxruntime", path) for form, path in paths.items()}
    errors = {"torch, eager": 0.0}
    for form, engine in engines.items():
        one_by_one = [engine.run({key: value[at : at + 1] for key, value in inputs.items()}) for at in range(4)]
        got = {head: np.concatenate([outputs[head] for outputs in one_by_one]) for head in expected}
        errors[form] = max(largest_error(got[head], expected[head]) for head in expected)
    one = {key: value[:1] for key, value in inputs.items()}
    work: dict[str, Callable[[], object]] = {"torch, eager": lambda: _torch(model, one)}
    work |= {form: partial(engine.run, one) for form, engine in engines.items()}
    times = _in_turns(work, rounds)
    rows: list[tuple[Cell, ...]] = []
    forms: dict[str, dict[str, Any]] = {}
    for form, taken in times.items():
        summary = summarise(taken)
        ratio = summary.p50_ms / summarise(times[SHIPPED]).p50_ms
        nodes = len(parts[form].graph.node) if form in parts else None
        size = paths[form].stat().st_size if form in paths else None
        forms[form] = {**summary.to_dict(), "ratio": ratio, "error": errors[form], "nodes": nodes, "bytes": size}
        rows.append(
            (
                form,
                summary.p50_ms,
                summary.p90_ms,
                ratio,
                100 * errors[form],
                nodes,
                None if size is None else size / 1e6,
            )
        )
    columns = (
        Column("form"),
        Column("median", "ms", 3),
        Column("p90", "ms", 3),
        Column(f"against {SHIPPED}", digits=2),
        Column("largest error", "% of output", 5),
        Column("nodes", digits=0),
        Column("size", "MB", 2),
    )
    show(f"Fusion of one window: {name}", columns, rows, f"{rounds} runs each, in turns, one thread.")
    return {"forms": forms}


def _forms(model: Emert, folder: Path) -> dict[str, onnx.ModelProto]:
    operator = fusion(model)
    parts = {
        "as torch exports it": _traced(model, folder / "traced.onnx"),
        SHIPPED: operator,
        "LSTM operator, batch of 1 fixed": _fixed(operator),
        "LSTMs unrolled": unroll_lstms(operator),
    }
    if able := quantisable_products(operator):
        lstms = [form for form in able if "lstm" in form]
        first = [lstm for lstm in lstms if lstm.endswith(".0")]
        parts |= {
            "INT8, LSTMs": quantise_products(operator, [form for form in able if form not in lstms]),
            "INT8, all but the first LSTM layers": quantise_products(operator, first),
            SMALL: quantise_products(operator),
            "INT8, LSTMs and wide products, batch of 1 fixed": _fixed(quantise_products(operator)),
        }
    return parts


class _Fusion(torch.nn.Module):
    """Fusion as a module of its own, which is what torch traces."""

    def __init__(self, model: Emert) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: torch.Tensor, eye: torch.Tensor, gaze: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.model.fuse(embeddings, eye, gaze).values())


def _traced(model: Emert, path: Path) -> onnx.ModelProto:
    part = _Fusion(model).eval()
    given = tuple(torch.from_numpy(value) for value in _inputs(model, 1).values())
    names = ["embeddings", "eye", "gaze"]
    torch.onnx.export(
        part, given, path, dynamo=False, opset_version=17, input_names=names, output_names=list(model.head_names)
    )
    return onnx.load(path)


def _fixed(part: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(part)
    for value in (*copy.graph.input, *copy.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return copy


def _inputs(model: Emert, count: int) -> Inputs:
    face, eye, gaze = seeded_windows(count)
    with torch.inference_mode():
        embeddings = model.encode(torch.from_numpy(face.reshape(-1, *face.shape[2:]))).numpy()
    return {"embeddings": embeddings.reshape(count, -1, embeddings.shape[1]), "eye": eye, "gaze": gaze}


def _torch(model: Emert, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
    with torch.inference_mode():
        outputs = model.fuse(*(torch.from_numpy(value) for value in inputs.values()))
    return {name: output.numpy() for name, output in outputs.items()}


def _in_turns(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[int]]:
    rng = np.random.default_rng(0)
    taken: dict[str, list[int]] = {name: [] for name in work}
    names = list(work)
    for _ in range(rounds):
        for at in rng.permutation(len(names)):
            work[names[at]]()
            began_ns = time.perf_counter_ns()
            work[names[at]]()
            taken[names[at]].append(time.perf_counter_ns() - began_ns)
    return taken


if __name__ == "__main__":
    sys.exit(main())
