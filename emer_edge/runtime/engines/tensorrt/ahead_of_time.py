"""Building all engines of a bundle ahead of time: on a board's first boot, into an image, or as a check."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec.structs import replace as replace_struct

from emer_edge.bundle import TENSORRT, Bundle
from emer_edge.bundle.tensorrt_rule import ensure_buildable
from emer_edge.core.errors import BundleError, EngineError
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.board import read_memory
from emer_edge.runtime.engines.tensorrt.builder import BuildOptions
from emer_edge.runtime.engines.tensorrt.cuda import find_gpu
from emer_edge.runtime.engines.tensorrt.plan_cache import PlanCache, new_plan, read_private
from emer_edge.runtime.engines.tensorrt.toolkit import UNKNOWN, advice, describe_machine, load_toolkit


@dataclass(frozen=True)
class PartBuild:
    """One part's engine.

    Attributes:
        part: `face_encoder` and so on.
        seconds: time it took; that of the first time where it was there already.
        plan_bytes: its size.
        built: it was built now.
        path: where it is kept; None for a check that was thrown away.
        refused: why there is none; empty where there is.
    """

    part: str
    seconds: float
    plan_bytes: int
    built: bool
    path: Path | None
    refused: str = ""


@dataclass(frozen=True)
class BundleBuild:
    """What became of a bundle's engines.

    Attributes:
        package: package and version.
        device: the GPU they are for, in words.
        runnable: they are for this machine and in its cache.
        parts: one a part.
    """

    package: str
    device: str
    runnable: bool
    parts: tuple[PartBuild, ...]


def build_bundle(
    bundle: Bundle,
    options: BuildOptions | None = None,
    *,
    output: Path | None = None,
    timing_cache: Path | None = None,
    progress: Progress = silent,
    say: Callable[[str], None] | None = None,
) -> BundleBuild:
    """Build the engines of all tensorrt parts.

    With a GPU, and none named in the options, they go into this user's cache, where `run` finds them. Without one (or
    for another GPU) `tensorrt_rtx` still builds: that is a check, and its plans are thrown away unless `output` keeps
    them. A part that is refused ends a check; with a GPU it is said, and the others are built.

    Args:
        bundle: its parts are built.
        options: package, batch sizes, caps.
        output: folder to write the plans and their sidecars to as well.
        timing_cache: a file of kernel timings to begin with and to write back, for packages that have such.
        progress: reports every build.
        say: reports what is done and why.

    Raises:
        BundleError: no parts for TensorRT, or parts that break the rule of `emer_edge.bundle.tensorrt_rule`.
        ConfigurationError: options that the package does not know.
        EngineError: no TensorRT, too little memory, no folder `output`, or a part is refused, in TensorRT's words.
    """
    options, say = options or BuildOptions(), say or logging.getLogger("emer_edge").warning
    names = bundle.parts(TENSORRT)
    if not names:
        raise BundleError(f"{bundle.path} has no parts for TensorRT; export it again")
    ensure_buildable({name: bundle.part(TENSORRT, name).content for name in names})
    if output is not None:  # before minutes of building, not after
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"the folder {output} can't be made: {error.strerror}") from None
    toolkit = load_toolkit(options.package)
    options = replace(options, package=toolkit.can.package)
    gpu = find_gpu()
    machine = describe_machine(toolkit.can, gpu)
    runnable = gpu is not None and options.compute_capability is None
    warning = advice(read_memory())
    if warning:
        say(f"memory is short: {warning}")
    if not runnable:
        what = f"for {options.compute_capability}" if options.compute_capability else "as there is no NVIDIA GPU here"
        say(
            f"building with {toolkit.can.label} as a check, {what}: the plans are "
            + (f"written to {output}" if output else "thrown away")
        )
    if not runnable and options.compute_capability is not None:
        number = options.compute_capability.removeprefix("SM")
        machine = replace_struct(machine, gpu=UNKNOWN, compute_capability=f"{number[:-1]}.{number[-1:]}")
    if timing_cache is not None and not toolkit.can.timing_cache:
        say(f"{toolkit.can.label} keeps no kernel timings, so {timing_cache} is left alone")
        timing_cache = None
    cache = PlanCache(machine, say=say, timing_cache=timing_cache)
    done = []
    for name in names:
        part = bundle.part(TENSORRT, name)
        target = output / f"{name}.plan" if output is not None else None
        if runnable:
            try:
                kept = cache.get(part, options, progress)
            except EngineError as error:
                say(f"{name} has no engine: {error}")
                done.append(PartBuild(name, 0.0, 0, built=False, path=None, refused=str(error)))
                continue
        else:
            known = (timing_cache and read_private(timing_cache)) or b""
            kept = replace(new_plan(part, options, machine, progress, timing_cache=known)[0], path=target)
        done.append(PartBuild(name, kept.sidecar.seconds, len(kept.plan), built=kept.built, path=kept.path))
        if target is not None:
            try:
                kept.write(target)
            except OSError as error:
                raise EngineError(f"{target} can't be written: {error}") from None
    return BundleBuild(toolkit.can.label, gpu.name if gpu else "no GPU", runnable, tuple(done))
