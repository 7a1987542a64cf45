"""ONNX Runtime on a graph that is still in memory: what measures ranges, layers and methods runs it here."""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime

__all__ = ["model_session"]


def model_session(model: onnx.ModelProto, threads: int = 0, optimised: bool = True) -> Any:
    """Load a graph for the CPU.

    Args:
        model: any graph; smaller than 2 GB.
        threads: intra-op threads; 0 takes one for each core.
        optimised: fuse operators as a run does; without, every tensor of the graph can be asked for as it stands.

    Returns:
        An `onnxruntime.InferenceSession`.
    """
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
