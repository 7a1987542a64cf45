"""How near the face encoder comes to what one core can multiply, and where the rest of its time goes.

The machine's limit is measured, not read from a data sheet: a large matrix product, in 8 bits (unsigned times signed,
as the encoder's layers) and in FP32, with ONNX Runtime and, where it is installed, OpenVINO; the faster one counts.
Everything runs on one thread, in turns, and processor time counts. MACs are those of the network: what a graph
multiplies by zeros on top of them is time lost.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time_ns
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.common import Floor, conclude, console, parser, show, workshop
from emer_edge.bundle import load_bundle
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.precision.macs import count_macs
from emer_edge.metrics.latency import LatencySummary, summarise
from emer_edge.model.emert import Emert
from emer_edge.report.table import Cell, Column

FLOOR = 80.0
SIDE = 1024
"""Rows, columns and depth of the large product: operands of 1 MB in INT8, which a core's own cache holds."""
RUNS = 3
_SHOWN = 12
Work = Callable[[], object]


def main() -> int:
    """Run it; return the exit code."""
    made = parser("The face encoder against a large matrix product on the same core.")
    made.add_argument("--rounds", type=int, default=60, help=f"turns of each candidate, {RUNS} runs each")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop, TemporaryDirectory(prefix="emer-edge-") as name:
        folder = Path(name)
        path = load_bundle(arguments.bundle or shop.bundle("int8")).part("cpu", "face_encoder").path
        full = face_encoder(Emert("nine").eval())
        (folder / "fp32.onnx").write_bytes(full.SerializeToString())
        macs = {mac.name: mac.macs for mac in count_macs(full)}
        times_of = in_turns(_candidates(path, folder), arguments.rounds)
        layers = profile(path, folder)
    total = {"encoder": sum(macs.values()), "product": SIDE**3}
    rates = {kernel: total[kernel.split()[0]] / (times.p50_ms * 1e6) for kernel, times in times_of.items()}
    limits = {
        kind: max(rate for kernel, rate in rates.items() if kernel.startswith(f"product {kind}"))
        for kind in ("INT8", "FP32")
    }
    shares = {kernel: 100 * rate / limits[kernel.split()[1].rstrip(",")] for kernel, rate in rates.items()}
    show(
        f"One thread: the encoder ({total['encoder'] / 1e6:.1f} MMAC) and a product of {SIDE}^3",
        (
            Column("What"),
            Column("p50", "ms", 3),
            Column("p99", "ms", 3),
            Column("rate", "GMAC/s", 1),
            Column("of the limit", "%", 1),
            Column("runs"),
        ),
        [(kernel, t.p50_ms, t.p99_ms, rates[kernel], shares[kernel], t.count) for kernel, t in times_of.items()],
    )
    lost = losses(layers, macs, limits["INT8"])
    _show_losses(lost)
    key = "encoder INT8, ONNX Runtime"
    return conclude(
        "limits",
        [Floor("INT8 encoder of the measured INT8 limit", shares[key], FLOOR, unit=" %")],
        {
            "macs": total,
            "latency": {kernel: times.to_dict() for kernel, times in times_of.items()},
            "gmac_per_s": rates,
            "limit_gmac_per_s": limits,
            "percent_of_limit": shares,
            "encoder_at_the_limit_ms": total["encoder"] / limits["INT8"] / 1e6,
            "layers": lost,
            "by_kind_lost_us": _by_kind(lost),
        },
    )


def in_turns(candidates: Mapping[str, Work], rounds: int) -> dict[str, LatencySummary]:
    """CPU time of every candidate, in an order drawn again each round."""
    durations: dict[str, list[int]] = {name: [] for name in candidates}
    names, rng = list(candidates), np.random.default_rng(0)
    for number in range(rounds + 1):
        for at in rng.permutation(len(names)):
            name = names[int(at)]
            for _ in range(RUNS):
                began_ns = process_time_ns()
                candidates[name]()
                if number:  # the first round warms up
                    durations[name].append(process_time_ns() - began_ns)
    return {name: summarise(duration) for name, duration in durations.items()}


def profile(path: Path, folder: Path, runs: int = 120) -> list[dict[str, Any]]:
    """ONNX Runtime's own profile of a part: name, operator and median microseconds of each node that it runs."""
    options = _options()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    crop = _crop()
    for _ in range(runs):
        session.run(None, {"face": crop})
    taken: dict[tuple[str, str], list[int]] = {}
    for event in json.loads(Path(session.end_profiling()).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time").split("_token_")[0]
            taken.setdefault((name, event["args"]["op_name"]), []).append(event["dur"])
    return [
        {"node": name, "op": op, "us": statistics.median(durations[len(durations) // 6 :])}
        for (name, op), durations in taken.items()
    ]


def losses(layers: list[dict[str, Any]], macs: Mapping[str, int], limit: float) -> list[dict[str, Any]]:
    """Microseconds of each node beyond what its MACs take at the limit (GMAC/s), the most first."""
    rows = []
    for layer in layers:
        count = macs.get(layer["node"], 0)
        rows.append(
            {
                **layer,
                "macs": count,
                "gmac_per_s": count / layer["us"] / 1e3,
                "lost_us": layer["us"] - count / limit / 1e3,
            }
        )
    return sorted(rows, key=lambda row: -row["lost_us"])


def _by_kind(lost: list[dict[str, Any]]) -> dict[str, float]:
    lost_us: dict[str, float] = {}
    for layer in lost:
        kind = _kind(layer["node"], layer["op"])
        lost_us[kind] = lost_us.get(kind, 0.0) + layer["lost_us"]
    return dict(sorted(lost_us.items(), key=lambda item: -item[1]))


def _kind(node: str, op: str) -> str:
    if "Conv" in op:
        return "first convolution" if node == "conv1" else f"convolutions of {node.split('.')[0]}"
    if op in ("Transpose", "NchwcReorder", "SpaceToDepth"):
        return "layouts"
    if op in ("QuantizeLinear", "DequantizeLinear"):
        return "quantising and dequantising"
    return {"QLinearAdd": "residual sums", "Add": "residual sums", "NhwcMaxPool": "pooling"}.get(op, "the end in FP32")


def _show_losses(lost: list[dict[str, Any]]) -> None:
    total = sum(layer["us"] for layer in lost)
    rows: list[tuple[Cell, ...]] = [
        (layer["node"], layer["op"], layer["us"], layer["gmac_per_s"] or None, layer["lost_us"])
        for layer in lost[:_SHOWN]
    ]
    show(
        f"Where {sum(layer['lost_us'] for layer in lost):.0f} of {total:.0f} us are lost, the {_SHOWN} greatest",
        (
            Column("Node"),
            Column("Operator"),
            Column("median", "us", 0),
            Column("rate", "GMAC/s", 0),
            Column("lost", "us", 0),
        ),
        rows,
    )
    console.print(
        "; ".join(f"{kind} {us:.0f} us" for kind, us in _by_kind(lost).items()), highlight=False, soft_wrap=True
    )


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return options


def _crop() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (1, 3, FACE_SIZE_PX, FACE_SIZE_PX)) / 255).astype(np.float32)


def _candidates(encoder: Path, folder: Path) -> dict[str, Work]:
    rng = np.random.default_rng(0)
    crop, square = {"face": _crop()}, {"x": rng.random((SIDE, SIDE), np.float32)}
    coarse = {"x": rng.integers(0, 256, (SIDE, SIDE), np.uint8)}
    graphs = {
        "encoder INT8": (encoder, crop),
        "encoder FP32": (folder / "fp32.onnx", crop),
        "product FP32": (_product(folder, "MatMul", rng), square),
        "product INT8 to INT32 (MatMulInteger)": (_product(folder, "MatMulInteger", rng), coarse),
        "product INT8 to INT8 (QLinearMatMul)": (_product(folder, "QLinearMatMul", rng), coarse),
    }
    work: dict[str, Work] = {}
    for name, (path, inputs) in graphs.items():
        session = onnxruntime.InferenceSession(str(path), _options(), providers=["CPUExecutionProvider"])
        work[f"{name}, ONNX Runtime"] = functools.partial(session.run, None, inputs)
    if find_spec("openvino") is None:
        console.print("left out: OpenVINO is not installed here (pip install openvino)", highlight=False)
        return work
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    others = {**graphs, "product INT8 to FP32": (_product(folder, "Q/DQ", rng), square)}
    for name, (path, inputs) in others.items():
        if "MatMul" in name:
            continue  # it has neither operator; its own form is the Q/DQ pair
        request = core.compile_model(core.read_model(str(path)), "CPU", settings).create_infer_request()
        work[f"{name}, OpenVINO"] = functools.partial(request.infer, inputs, share_inputs=True)
    return work


def _product(folder: Path, op: str, rng: np.random.Generator) -> Path:
    """A graph that multiplies `x` by a constant of the same size."""
    path = folder / f"{op.replace('/', '')}.onnx"
    if path.exists():
        return path
    constants: dict[str, Any] = {
        "w": rng.integers(-127, 128, (SIDE, SIDE), np.int8),
        "scale": np.array(1 / 255, np.float32),
        "step": np.array(1 / 127, np.float32),
        "out": np.array(0.1, np.float32),
        "zero": np.array(128, np.uint8),
        "none": np.array(0, np.int8),
    }
    given, answer = TensorProto.UINT8, TensorProto.UINT8
    if op == "MatMul":
        constants["w"] = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
        nodes = [helper.make_node(op, ["x", "w"], ["y"])]
        given = answer = TensorProto.FLOAT
    elif op == "MatMulInteger":
        nodes, answer = [helper.make_node(op, ["x", "w", "zero", "none"], ["y"])], TensorProto.INT32
    elif op == "QLinearMatMul":
        nodes = [helper.make_node(op, ["x", "scale", "zero", "w", "step", "none", "out", "zero"], ["y"])]
    else:
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
            helper.make_node("DequantizeLinear", ["w", "step", "none"], ["dw"]),
            helper.make_node("MatMul", ["dq", "dw"], ["y"]),
        ]
        given = answer = TensorProto.FLOAT
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", given, [SIDE, SIDE])],
        [helper.make_tensor_value_info("y", answer, [SIDE, SIDE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


if __name__ == "__main__":
    sys.exit(main())
