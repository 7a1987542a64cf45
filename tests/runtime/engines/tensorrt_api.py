"""NVIDIA's Python API, release by release, as data: the names, and the arguments of calls, that the product may use.

How far it is known: about 30 of the names were looked for among the strings of NVIDIA's own binding wheels
(tensorrt_bindings 8.6.1, tensorrt_cu12_bindings 10.3.0, 10.9.0.34, 10.13.0.35 and 11.4.0.106), the others were not.
Names of arguments of 8.6 to 10.13 are as documentation, memory and NVIDIA's public sources, as read by others, have
them; no wheel confirms them. Those of 11 are compared by a test with the installed tensorrt_rtx, for six classes.
`None` among a class's members is an attribute that is read; `"set"` one that may be set.
"""

from __future__ import annotations

from typing import Any, Final

_CALLS: Final[dict[str, dict[str, Any]]] = {
    "Builder": {
        "": ("logger",),
        "create_network": ("flags",),
        "create_builder_config": (),
        "create_optimization_profile": (),
        "build_serialized_network": ("network", "config"),
    },
    "OnnxParser": {"": ("network", "logger"), "parse": ("model", "path"), "get_error": ("index",), "num_errors": None},
    "ParserError": {"desc": (), "node": (), "node_name": (), "node_operator": ()},
    "INetworkDefinition": {"num_inputs": None, "get_input": ("index",), "num_layers": None, "get_layer": ("index",)},
    "ILayer": {
        "name": None,
        "type": None,
        "num_inputs": None,
        "num_outputs": None,
        "get_input": ("index",),
        "get_output": ("index",),
        "precision": "set",
        "set_output_type": ("index", "dtype"),
    },
    "ITensor": {"name": None, "shape": None, "dtype": None},
    "IBuilderConfig": {
        "set_memory_pool_limit": ("pool", "pool_size"),
        "set_flag": ("flag",),
        "clear_flag": ("flag",),
        "add_optimization_profile": ("profile",),
        "create_timing_cache": ("serialized_timing_cache",),
        "set_timing_cache": ("cache", "ignore_mismatch"),
        "profiling_verbosity": "set",
        "progress_monitor": "set",
    },
    "ITimingCache": {"serialize": ()},
    "IOptimizationProfile": {"set_shape": ("input", "min", "opt", "max")},
    "Runtime": {"": ("logger",), "deserialize_cuda_engine": ("serialized_engine",)},
    "ICudaEngine": {
        "num_io_tensors": None,
        "get_tensor_name": ("index",),
        "get_tensor_mode": ("name",),
        "get_tensor_dtype": ("name",),
        "get_tensor_shape": ("name",),
        "get_tensor_profile_shape": ("name", "profile_index"),
        "create_execution_context": (),
        "create_engine_inspector": (),
    },
    "IExecutionContext": {
        "set_tensor_address": ("name", "memory"),
        "set_input_shape": ("name", "shape"),
        "execute_async_v3": ("stream_handle",),
    },
    "EngineInspector": {"get_engine_information": ("format",)},
}

_ENUMS: Final[dict[str, tuple[str, ...]]] = {
    "NetworkDefinitionCreationFlag": ("EXPLICIT_BATCH", "STRONGLY_TYPED"),
    "BuilderFlag": ("FP16", "INT8", "TF32", "OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "DataType": ("FLOAT", "HALF", "INT8", "INT32", "BOOL", "INT64"),
    "TensorIOMode": ("INPUT", "OUTPUT"),
    "LayerInformationFormat": ("JSON",),
    "LayerType": (
        "CONVOLUTION",
        "ACTIVATION",
        "CAST",
        "QUANTIZE",
        "DEQUANTIZE",
        "MATRIX_MULTIPLY",
        "CONSTANT",
        "SHUFFLE",
    ),
}

RELEASES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "8.6.1": {
        "without": (
            "IBuilderConfig.progress_monitor",
            "ParserError.node_name",
            "ParserError.node_operator",
            "IProgressMonitor",
            "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
            "DataType.INT64",
        )
    },
    "10.3.0": {"without": ()},
    "10.9.0": {"without": ()},
    "10.13.0": {"without": ()},
    "11.4.0": {
        "without": (
            "ILayer.precision",
            "ILayer.set_output_type",
            "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
            "BuilderFlag.FP16",
            "BuilderFlag.INT8",
            "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
            "BuilderFlag.PREFER_PRECISION_CONSTRAINTS",
        )
    },
}
"""Release -> what it lacks of the above."""

FLOAT_STATES: Final = ("10.3.0", "10.9.0", "10.13.0")
"""Releases held to give an LSTM without states FLOAT zeros: 10.1 and 10.6 do, 10.15 does not, between is not known."""


def members(release: str, name: str) -> dict[str, Any]:
    """What a class of a release has: name -> arguments, None (to read) or `set`."""
    lacks = RELEASES[release]["without"]
    return {key: value for key, value in _CALLS[name].items() if f"{name}.{key}" not in lacks}


def enums(release: str) -> dict[str, dict[str, int]]:
    """Enumeration -> member -> its number, in a release."""
    lacks = RELEASES[release]["without"]
    return {
        name: {member: at for at, member in enumerate(each for each in given if f"{name}.{each}" not in lacks)}
        for name, given in _ENUMS.items()
    }


def has(release: str, name: str) -> bool:
    """Whether a release has a class."""
    return name not in RELEASES[release]["without"]


class Checked:
    """An object of a release's class: what the class lacks, and calls with other arguments, fail as they would there.

    Args:
        release: of the package.
        kind: name of the class.
        behaviour: method or attribute -> what it does or is; a method without one returns None.
    """

    def __init__(self, release: str, kind: str, **behaviour: Any) -> None:
        object.__setattr__(self, "_known", members(release, kind))
        object.__setattr__(self, "_does", behaviour)
        object.__setattr__(self, "_kind", f"{kind} of {release}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self._known:
            raise AttributeError(f"{self._kind} has no {name}")
        arguments = self._known[name]
        if not isinstance(arguments, tuple):
            return self._does[name]

        def call(*given: Any, **named: Any) -> Any:
            unknown = set(named) - set(arguments[len(given) :])
            if unknown or len(given) + len(named) > len(arguments):
                raise TypeError(f"{self._kind}: {name}({', '.join(arguments)}) got {given} {named}")
            does = self._does.get(name)
            return does(*given, **named) if does is not None else None

        return call

    def __setattr__(self, name: str, value: Any) -> None:
        if self._known.get(name) != "set":
            raise AttributeError(f"{self._kind} has no {name} to set")
        self._does[name] = value
