"""ONNX Runtime on the CPU: the default where there is no GPU.

One intra-op thread by default and no spinning: a step takes a few milliseconds twice a second, so a thread that spins
between steps would burn a core for nothing. Graph optimisation ALL is what makes the INT8 encoder fast.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import CPU, Part
from emer_edge.core.errors import EngineError
from emer_edge.core.onnxruntime_config import session_config
from emer_edge.runtime.engines.base import FIRST_RUN_S, EngineDriver, Shape, within

_NAME: Final = "onnxruntime"

FIRST_SAFE_AT_EXIT: Final = (1, 28)
"""Version from which on a process ends on ARM as elsewhere.

Older ones write past the end of a table of cores, which comes out when the library is taken down: `free(): invalid
pointer`, and SIGABRT after a good run. It was reported for 1.21.0 on JetPack 6.2 (issue 24092 of microsoft/onnxruntime)
and for 1.24.2 on Orin (28301, April 2026); Python 3.10, which JetPack 6 has, gets none after 1.23.2. Which release was
the first with the bound that its source has today could not be determined: all before this are taken for unsafe.
"""


def crashes_at_exit() -> bool:
    """Whether this machine's ONNX Runtime may crash at the end of a process."""
    if platform.machine() != "aarch64":
        return False
    try:
        numbers = re.findall(r"\d+", version(_NAME))[:2]
    except PackageNotFoundError:
        return False
    return tuple(map(int, numbers)) < FIRST_SAFE_AT_EXIT


class OnnxRuntimeEngine:
    """An `Engine` on ONNX Runtime's CPU provider.

    Raises:
        EngineError: ONNX Runtime can't be imported or refuses the part.
    """

    name = _NAME
    parallel = True

    def __init__(self, part: Part, threads: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"ONNX Runtime can't be imported ({error}); install it with: pip install onnxruntime"
            ) from None
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_mem_pattern = False  # planned blocks would hold 12 MB of a run, and make nothing faster
        options.enable_cpu_mem_arena = False  # nor would memory that is kept for the next run: 23 MB
        for key, value in session_config().items():
            options.add_session_config_entry(key, value)
        options.log_severity_level = 4  # what fails raises; its own log would be a second message, in colours
        try:
            # Parts hold nothing to fold. One that did would be computed while it is loaded, for hours perhaps; versions
            # up to 1.23 at least (Python 3.10's last) load under Python's lock, where no deadline is heard.
            make = partial(
                onnxruntime.InferenceSession,
                part.content,
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=["ConstantFolding"],
            )
            self._session: Any = within(FIRST_RUN_S, f"the loading of {part.path}", make)
        except EngineError:
            raise
        except Exception as error:  # its exceptions share no public base
            raise EngineError(f"ONNX Runtime {version(_NAME)} refuses {part.path}: {_first_line(error)}") from None
        self._session._model_bytes = None  # which it would hold for good
        self._path = part.path
        self.device = f"CPU, {threads} thread{'s' if threads != 1 else ''}"
        self.inputs: dict[str, Shape] = {tensor.name: _shape(tensor.shape) for tensor in self._session.get_inputs()}
        self.outputs: dict[str, Shape] = {tensor.name: _shape(tensor.shape) for tensor in self._session.get_outputs()}

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs; raise EngineError when ONNX Runtime refuses the inputs or the engine is closed."""
        if self._session is None:
            raise EngineError(f"the engine of {self._path} is closed; open the bundle again")
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed to run {self._path}: {_first_line(error)}") from None
        return dict(zip(self.outputs, values, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _shape(dimensions: list[Any]) -> Shape:
    return tuple(dimension if isinstance(dimension, int) else None for dimension in dimensions)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


DRIVER: Final = EngineDriver(
    name=_NAME,
    title="ONNX Runtime",
    help="ONNX Runtime on the CPU",
    variant=CPU,
    open=lambda part, threads, progress: OnnxRuntimeEngine(part, threads),  # nothing is built: no progress
    why_not=lambda: "it needs the package onnxruntime" if find_spec(_NAME) is None else None,
    package="onnxruntime",
    facts=lambda: f"ONNX Runtime {version(_NAME)}",
    rank=1,
    fix="pip install onnxruntime",
)
