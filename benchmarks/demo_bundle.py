"""Make the demo bundle that the package carries: `make demo-bundle`, and the last step of `make demo-weights`.

The demo weights in INT8, exported as `emer-edge export` does it, for CPUs alone: what runs after
`pip install '.[desktop]'`, without torch. A few minutes on two cores. `tests/test_demo_bundle.py` tells when it is to
be made again: new demo weights, another schema of manifests, another version.

The detectors' weights are kept as FP16 and computed with as FP32, which halves their 15 MB; an export keeps them FP32.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import onnx
from msgspec.structs import replace
from onnx import TensorProto, helper, numpy_helper

import emer_edge
from emer_edge.bundle import CPU, Bundle, BundleWriter, file_of, load_bundle
from emer_edge.bundle.golden_file import GOLDEN_NAME, LIMITS, Golden, write_golden
from emer_edge.bundle.guard_file import GUARD_NAME, write_guard
from emer_edge.core.whole_file import scratch_folder
from emer_edge.demo import READY
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.exporter import export_bundle
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.runtime.engines import CPU_ENGINE, open_engine

WEIGHTS: Final = Path(emer_edge.__file__).parent / "model" / "assets" / "demo.safetensors"
SIZE_LIMIT: Final = 25_000_000
"""Bytes that the bundle may take in the package, detector included."""
WEIGHTS_KEY: Final = "demo weights"
"""In the manifest's versions: the hash of the weights."""
_SMALL: Final = 1024  # numbers of a tensor that isn't worth a Cast
Value = TypeVar("Value")


def main() -> int:
    """Make it again; return the exit code."""
    with scratch_folder() as folder:
        export_bundle(ExportOptions(output=folder / READY.name), _say)
        made = for_cpus(load_bundle(folder / READY.name), READY)
    size = size_of(made)
    sys.stderr.write(f"wrote {READY}: {size:,} bytes; commit it\n")
    if size > SIZE_LIMIT:
        sys.stderr.write(f"it may take {SIZE_LIMIT:,}\n")
    return int(size > SIZE_LIMIT)


def for_cpus(bundle: Bundle, path: Path) -> Bundle:
    """Write the CPU's half of a bundle to `path`, with the hash of the demo weights; replace what is there."""
    manifest, golden = bundle.manifest, bundle.golden()
    ours = {number: each for number, each in enumerate(manifest.combinations) if _for_cpus(each.parts.values())}
    precision = replace(
        manifest.precision, parts=_own(manifest.precision.parts), int8_macs=_own(manifest.precision.int8_macs)
    )
    verification = replace(manifest.verification, largest_error=_own(manifest.verification.largest_error))
    guard = manifest.guard and replace(manifest.guard, limits=_own(manifest.guard.limits))
    halved = replace(
        manifest,
        versions={**manifest.versions, WEIGHTS_KEY: hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()},
        detector=replace(manifest.detector, source=f"{manifest.detector.source}; weights rounded to FP16"),
        precision=precision,
        verification=verification,
        combinations=tuple(ours.values()),
        guard=guard,
    )
    outputs = {key: tensors for key, tensors in golden.outputs.items() if key[0] == CPU}
    ends = {at: golden.ends[number] for at, number in enumerate(ours) if number in golden.ends}
    with BundleWriter(path, force=True) as writer:
        for name in manifest.files:
            if name.startswith((f"{CPU}/", "report.")):
                writer.add(name, bundle.content(name))
        for part in manifest.detector.parts:
            file = writer.file(file_of(CPU, part))
            file.write_bytes(with_halved_weights(file.read_bytes()))
            with closing(open_engine(CPU_ENGINE, file)) as engine:
                now = engine.run(golden.inputs[part])
            worst = max(largest_error(now[name], before) for name, before in outputs[CPU, part].items())
            if worst > LIMITS["fp16"]:
                sys.exit(f"{part} differs by {worst:.2g} of its largest output with weights in FP16")
            outputs[CPU, part] = {name: now[name] for name in outputs[CPU, part]}
        writer.add(GOLDEN_NAME, write_golden(Golden(golden.inputs, outputs, ends)))
        if guard is not None:
            writer.add(GUARD_NAME, write_guard(_own(bundle.guard())))
        return writer.commit(halved)


def with_halved_weights(content: bytes) -> bytes:
    """An FP32 part whose large weights are FP16 and become FP32 when it is loaded."""
    model = onnx.load_from_string(content)
    kept, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= _SMALL:
            half = f"{tensor.name}.fp16"
            casts.append(helper.make_node("Cast", [half], [tensor.name], name=half, to=TensorProto.FLOAT))
            tensor = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half)
        kept.append(tensor)
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def size_of(bundle: Bundle) -> int:
    """Bytes of all its files."""
    return sum(file.stat().st_size for file in bundle.path.rglob("*") if file.is_file())


def _own(given: Mapping[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in given.items() if _for_cpus([key])}


def _for_cpus(keys: Iterable[str]) -> bool:
    return all(key.startswith(f"{CPU}/") for key in keys)


def _say(label: str, done: int, total: int) -> None:
    if done == total:
        sys.stderr.write(f"{label}: done\n")


if __name__ == "__main__":
    sys.exit(main())
