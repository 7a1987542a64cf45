"""An engine, `plain`: ONNX Runtime without graph optimisations, to see what those change."""

from importlib.util import find_spec

from emer_edge.core.errors import EngineError
from emer_edge.runtime.engines import EngineDriver


class PlainEngine:
    """One part of a bundle, loaded: maps float32 arrays by tensor name to arrays by tensor name."""

    name = "plain"
    parallel = True  # several threads may run it at once

    def __init__(self, part, threads, progress):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(part.content, options, providers=["CPUExecutionProvider"])
        self.device = "CPU, as exported"
        self.inputs = {tensor.name: _shape(tensor) for tensor in self._session.get_inputs()}
        self.outputs = {tensor.name: _shape(tensor) for tensor in self._session.get_outputs()}

    def run(self, inputs):
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:
            raise EngineError(f"the engine plain failed: {error}") from None
        return dict(zip(self.outputs, values, strict=True))

    def close(self):
        self._session = None


def _shape(tensor):
    return tuple(size if isinstance(size, int) else None for size in tensor.shape)


def _why_not():
    """Why it can't run on this machine; None where it can."""
    return None if find_spec("onnxruntime") else "it needs the package onnxruntime"


PLAIN = EngineDriver(
    name="plain",
    title="ONNX Runtime without optimisations",
    help="ONNX Runtime without graph optimisations",
    variant="cpu",
    open=PlainEngine,
    why_not=_why_not,
    package="onnxruntime",
)
