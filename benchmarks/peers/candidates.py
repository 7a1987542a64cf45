"""The candidates: functions from the shared material to a runner of one window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.peers import graphs
from benchmarks.peers.material import Inputs, Material, Outputs
from emer_edge.core.window import FACE_SLOTS
from emer_edge.runtime.session import Session

Kind = Literal["published", "peer", "ours"]


@dataclass(frozen=True)
class Runner:
    """A loaded network.

    Attributes:
        take: brings a window into the form that `run` wants; not timed.
        run: what one window costs; gives raw outputs, and this project's candidates what their users get.
    """

    take: Callable[[Inputs], Any]
    run: Callable[[Any], Outputs]


Build = Callable[[Material, int], Runner]
"""Material, threads -> a loaded network."""


@dataclass(frozen=True)
class Candidate:
    """One way to run the network.

    Attributes:
        name: for the command line and the results.
        title: for people.
        kind: the published way, a peer that computes the whole window, or this project.
        needs: packages that it imports.
        build: loads it.
        prepare: makes the graph that it loads, before anybody is timed.
    """

    name: str
    title: str
    kind: Kind
    needs: tuple[str, ...]
    build: Build
    prepare: Callable[[Material], object] | None = None


def _torch(how: Literal["eager", "compiled", "frozen"]) -> Build:
    def build(material: Material, threads: int) -> Runner:
        import torch

        torch.set_num_threads(threads)
        model: Any = material.model()
        if how != "eager":
            import torch._inductor.config

            torch._inductor.config.freezing = how == "frozen"
            model = torch.compile(model)

        def run(window: list[Any]) -> Outputs:
            with torch.no_grad():  # freezing refuses inference_mode, which is no faster
                return {name: output.numpy() for name, output in model(*window).items()}

        return Runner(lambda window: [torch.from_numpy(array) for array in window], run)

    return build


def _onnxruntime(graph: Callable[[Material], Path]) -> Build:
    def build(material: Material, threads: int) -> Runner:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(graph(material)), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return Runner(
            lambda window: dict(zip(graphs.INPUTS, window, strict=True)),
            lambda fed: dict(zip(names, session.run(names, fed), strict=True)),
        )

    return build


def _openvino(graph: Callable[[Material], Path], precision: str) -> Build:
    def build(material: Material, threads: int) -> Runner:
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
        }
        compiled = core.compile_model(core.read_model(str(graph(material))), "CPU", settings)
        request = compiled.create_infer_request()
        ports = {output.get_any_name(): output for output in compiled.outputs}

        def run(fed: dict[str, Any]) -> Outputs:
            answer = request.infer(fed, share_inputs=True)
            return {name: np.array(answer[port]) for name, port in ports.items()}

        return Runner(lambda window: dict(zip(graphs.INPUTS, window, strict=True)), run)

    return build


def _whole(material: Material, threads: int) -> Runner:
    session = Session(material.bundle, engine="onnxruntime", threads=threads)
    return Runner(lambda window: window, lambda window: session.predict(*window))


def _step(material: Material, threads: int) -> Runner:
    """A live step: the seven older faces of the window were encoded in earlier steps."""
    session = Session(material.bundle, engine="onnxruntime", threads=threads)

    def take(window: Inputs) -> tuple[Any, ...]:
        face, eye, gaze = window
        embeddings = np.stack([session.encode(face[0, slot : slot + 1]) for slot in range(FACE_SLOTS - 1)], axis=1)
        return embeddings, np.ascontiguousarray(face[0, -1:]), eye, gaze

    def run(step: tuple[Any, ...]) -> Outputs:
        older, crop, eye, gaze = step
        return session.fuse(np.concatenate([older, session.encode(crop)[None]], axis=1), eye, gaze)

    return Runner(take, run)


PUBLISHED, STEP = "eager", "step"

CANDIDATES = (
    Candidate(PUBLISHED, "eager PyTorch (the published way)", "published", ("torch",), _torch("eager")),
    Candidate("compiled", "torch.compile", "peer", ("torch",), _torch("compiled")),
    Candidate("frozen", "torch.compile, frozen", "peer", ("torch",), _torch("frozen")),
    Candidate(
        "ort-fp32", "ONNX Runtime FP32", "peer", ("onnxruntime",), _onnxruntime(graphs.whole_graph), graphs.whole_graph
    ),
    Candidate(
        "ort-int8",
        "ONNX Runtime INT8",
        "peer",
        ("onnxruntime", "onnx"),
        _onnxruntime(graphs.onnxruntime_int8),
        graphs.onnxruntime_int8,
    ),
    Candidate(
        "ov-fp32", "OpenVINO FP32", "peer", ("openvino",), _openvino(graphs.whole_graph, "f32"), graphs.whole_graph
    ),
    Candidate(
        "ov-bf16", "OpenVINO bf16", "peer", ("openvino",), _openvino(graphs.whole_graph, "bf16"), graphs.whole_graph
    ),
    Candidate(
        "ov-int8",
        "OpenVINO INT8 (NNCF)",
        "peer",
        ("openvino", "nncf"),
        _openvino(graphs.openvino_int8, "f32"),
        graphs.openvino_int8,
    ),
    Candidate(
        "ov-int8-bf16",
        "OpenVINO INT8 (NNCF), the rest bf16",
        "peer",
        ("openvino", "nncf"),
        _openvino(graphs.openvino_int8, "bf16"),
        graphs.openvino_int8,
    ),
    Candidate("bundle", "this bundle, whole window", "ours", ("onnxruntime",), _whole),
    Candidate(STEP, "this bundle, live step", "ours", ("onnxruntime",), _step),
)
