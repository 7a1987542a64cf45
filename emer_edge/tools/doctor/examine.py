"""All checks: the machine first, then a bundle on it with its golden inputs replayed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from emer_edge.bundle import Bundle, load_bundle, role_of
from emer_edge.bundle.golden_file import GOLDEN_NAME, LIMITS, Tensors
from emer_edge.core.errors import EmerEdgeError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.standard_streams import command
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.runtime.engines import CPU_ENGINE, Engine, EngineDriver, resolve_engine
from emer_edge.runtime.engines.base import first_run
from emer_edge.runtime.engines.timing import time_in_turns
from emer_edge.tools.doctor import host
from emer_edge.tools.doctor.host import Finding

_RUNS: Final = 5


def examine(
    bundle: str | Path | None = None,
    engine: str = "auto",
    threads: int = 1,
    progress: Progress = silent,
    *,
    root: Path = Path("/"),
) -> Iterator[Finding]:
    """Check this machine and, where one is given, a bundle on it; nothing is changed.

    A bundle's files are checked against their hashes, and its golden inputs are replayed through every part in the
    engine at hand.

    Args:
        bundle: a bundle's folder.
        engine: name of an engine, or `auto`.
        threads: intra-op threads of CPU engines.
        progress: shows the building of engines, which TensorRT needs once per machine.
        root: folder of the machine's `dev`, `etc`, `proc`, `sys` and `var`.

    Yields:
        Findings as they are made; a failed check is itself a finding.

    Raises:
        ConfigurationError: no engine has that name.
    """
    driver = resolve_engine(engine)
    for look in (host.look_at_machine, host.look_at_board, host.look_at_groups, host.look_at_devices):
        yield from look(root)
    yield from host.look_at_resources(root, builds=driver.builds)
    if bundle is None:
        return
    try:
        opened = load_bundle(bundle)
    except EmerEdgeError as error:
        yield Finding("bundle", "problem", str(error), "copy or export the bundle again")
        return
    manifest = opened.manifest
    size_mb = manifest.total_bytes / 1e6
    yield Finding("bundle", "ok", f"{opened.path}: {len(manifest.files)} files of {size_mb:.0f} MB as exported")
    if manifest.gate.verdict != "passed":
        message = f"{manifest.gate.verdict} when it was exported; see {opened.path}/report.html"
        yield Finding("accuracy gate", "warning", message, command("bench", opened.path, "--data", "FOLDER"))
    else:
        yield Finding("accuracy gate", "ok", f"passed on {manifest.gate.windows} windows when it was exported")
    yield from replay_golden(opened, driver, threads, progress)


def replay_golden(
    bundle: Bundle, driver: EngineDriver, threads: int = 1, progress: Progress = silent
) -> Iterator[Finding]:
    """Run every part on its golden inputs; one finding per part.

    Args:
        bundle: the bundle.
        driver: the engine that runs its parts.
        threads: intra-op threads of CPU engines.
        progress: shows the building of engines.
    """
    if GOLDEN_NAME not in bundle.manifest.files:
        message = f"{bundle.path} has no {GOLDEN_NAME}: an older export"
        yield Finding("replay", "warning", message, "export the bundle again")
        return
    try:
        golden = bundle.golden()
    except EmerEdgeError as error:
        yield Finding("replay", "problem", str(error), "export the bundle again")
        return
    variant = driver.variant
    for part in [name for role in golden.inputs for name in bundle.parts(variant) if role_of(name) == role]:
        given, expected = golden.inputs[role_of(part)], golden.outputs.get((variant, part))
        if expected is None:
            yield Finding(f"replay of {variant}/{part}", "problem", f"{GOLDEN_NAME} has no outputs for it")
            continue
        precision = bundle.manifest.precision.parts.get(f"{variant}/{part}", "fp32")
        try:
            read = bundle.part(variant, part)
            loaded = driver.open(read, threads, progress)
            first_run(loaded, read)
        except EmerEdgeError as error:
            yield Finding(f"replay of {variant}/{part}", "problem", str(error), f"--engine {CPU_ENGINE} runs anywhere")
            continue
        try:
            yield _compared(f"{variant}/{part}", loaded, precision, given=given, expected=expected)
        finally:
            loaded.close()


def _compared(
    key: str, engine: Engine, precision: Literal["fp32", "fp16", "int8"], *, given: Tensors, expected: Tensors
) -> Finding:
    subject = f"replay of {key}"
    try:
        got = engine.run(given)
        taken_ms = float(np.median(time_in_turns({key: partial(engine.run, given)}, _RUNS)[key])) / 1e6
    except EmerEdgeError as error:
        return Finding(subject, "problem", str(error))
    missing = sorted(name for name in expected if name not in got or got[name].shape != expected[name].shape)
    if missing:
        return Finding(subject, "problem", f"it does not give {', '.join(missing)} in the shape it had at export")
    errors = {name: largest_error(got[name], expected[name]) for name in expected}
    name, largest = max(errors.items(), key=lambda item: np.inf if np.isnan(item[1]) else item[1])
    limit = LIMITS[precision]
    message = (
        f"{precision} on {engine.device}: largest difference {largest:.2g} of {name}'s largest value (allowed "
        f"{limit:g}), {taken_ms:.2f} ms for {len(next(iter(given.values())))} inputs"
    )
    if largest <= limit:
        return Finding(subject, "ok", message)
    fix = "this engine computes something else than the bundle does: don't trust its results; update it"
    return Finding(subject, "problem", message, fix)
