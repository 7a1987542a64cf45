"""Each part where it is fastest: all parts of a bundle timed on all engines here, and what may run together compared.

Combinations are those that the bundle's manifest lists, so their result has passed the gate at export. Each is run from
end to end on the golden inputs, and left out where this machine computes something else than the exporting one did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Final, cast

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from emer_edge.bundle import Bundle, Variant, role_of
from emer_edge.bundle.golden_file import LIMITS, Golden, Tensors
from emer_edge.core.errors import EngineError, MissingExtraError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import FACE_SLOTS
from emer_edge.metrics.latency import summarise
from emer_edge.metrics.prediction_metrics import largest_error
from emer_edge.runtime.engines.base import Engine, first_run
from emer_edge.runtime.engines.kept_choice import SCHEMA, KeptChoice, TimedCombination, TimedPart, facts_of, mode_now
from emer_edge.runtime.engines.placing import drivers_of
from emer_edge.runtime.engines.registry import open_engine
from emer_edge.runtime.engines.timing import time_in_turns

_THREADS: Final = 1


def time_parts(
    bundle: Bundle, *, progress: Progress = silent, say: Callable[[str], None] = lambda text: None
) -> KeptChoice:
    """Time every part in every precision on every engine that runs here, in turns, and compare the combinations.

    Args:
        bundle: with golden inputs.
        progress: reports the building of engines, and the rounds.
        say: reports a part that is refused.

    Raises:
        BundleError: an older bundle without golden inputs.
        EngineError: no combination can run here as it did at export.
    """
    golden, drivers = bundle.golden(), drivers_of("auto")
    precisions = bundle.manifest.precision.parts
    roles = [*bundle.manifest.roles, *bundle.manifest.detector.parts]
    with ExitStack() as stack:
        timed: dict[str, TimedPart] = {}
        opened: dict[str, Engine] = {}
        works: dict[str, Callable[[], object]] = {}
        for key in (key for role in roles for key in bundle.keys_of(role)):
            driver = next((each for each in drivers if each.variant == key.partition("/")[0]), None)
            if driver is None:
                continue
            precision, given = precisions.get(key, "fp32"), golden.inputs[role_of(key.partition("/")[2])]
            timed[key] = TimedPart(key=key, engine=driver.name, device="", precision=precision)
            try:
                part = bundle.part_of(key)
                engine = open_engine(driver.name, part, _THREADS, progress)
                stack.enter_context(closing(engine))
                refused = _disagreement(first_run(engine, part, given), golden, key, LIMITS[precision])
            except (EngineError, MissingExtraError) as error:
                refused = str(error)
            if refused:
                timed[key] = replace(timed[key], refused=refused)
                say(f"{key} is left out on {driver.title}: {refused}")
                continue
            opened[key] = engine
            one = {name: array[:1] for name, array in given.items()}
            works[key] = partial(engine.run, one)
            checks = tuple(driver.checks(engine, one, LIMITS[precision]))
            timed[key] = replace(timed[key], device=engine.device, check=checks)
        for key, durations_ns in time_in_turns(works, progress=progress).items():
            times = summarise(durations_ns)
            timed[key] = replace(timed[key], p50_ms=times.p50_ms, p90_ms=times.p90_ms, runs=times.count)
        rows = _combinations(bundle, golden, opened, timed)
    for row in rows:
        if not row.agrees:
            difference = f"{row.difference:.2g} from the outputs at export, allowed {row.allowed:g}"
            say(f"{' + '.join(row.parts.values())} is left out: it differs by {difference}")
    if not any(row.agrees for row in rows):
        raise EngineError(
            f"no combination of the parts of {bundle.path} runs here as it did at export: emer-edge doctor"
        )
    return KeptChoice(
        schema=SCHEMA,
        facts=facts_of(drivers),
        power_mode=mode_now(),
        threads=_THREADS,
        parts=tuple(timed.values()),
        combinations=tuple(sorted(rows, key=lambda row: row.step_ms)),
    )


def _disagreement(got: Mapping[str, NDArray[Any]], golden: Golden, key: str, allowed: float) -> str:
    """Why a part's outputs are not those of export; empty where they are."""
    variant, _, part = key.partition("/")
    difference = _difference(got, golden.outputs.get((cast(Variant, variant), part), {}))
    if difference is None or difference <= allowed:
        return ""
    return f"it differs by {difference:.2g} of the largest output from export, allowed {allowed:g}"


def _difference(got: Mapping[str, NDArray[Any]], expected: Tensors) -> float | None:
    """The largest difference as a share of an output's largest value; infinite where one is missing or not finite."""
    if not expected:
        return None
    errors = [
        largest_error(got[name], expected[name])
        if name in got and got[name].shape == expected[name].shape and np.isfinite(got[name]).all()
        else float("inf")
        for name in expected
    ]
    return max(errors)


def _combinations(
    bundle: Bundle, golden: Golden, opened: Mapping[str, Engine], timed: Mapping[str, TimedPart]
) -> list[TimedCombination]:
    """Run the manifest's combinations whose parts all run here, from faces to heads."""
    manifest, rows = bundle.manifest, []
    embeddings: dict[str, NDArray[np.float32]] = {}
    for number, combination in enumerate(manifest.all_combinations):
        if not set(combination.parts.values()) <= set(opened):
            continue
        got: Tensors = {}
        for network in manifest.all_networks:
            encoder, fusion = combination.parts[network.encoder], combination.parts[network.fusion]
            given = golden.inputs[network.fusion]
            if encoder not in embeddings:
                embeddings[encoder] = opened[encoder].run(golden.inputs[network.encoder])["embedding"]
            faces = embeddings[encoder].reshape(-1, FACE_SLOTS, embeddings[encoder].shape[1])
            outputs = opened[fusion].run(given | {"embeddings": np.ascontiguousarray(faces, np.float32)})
            got |= {head: np.asarray(outputs[head], np.float32) for head in network.heads}
        rows.append(
            TimedCombination(
                parts=combination.parts,
                step_ms=sum(timed[key].p50_ms or 0.0 for key in combination.parts.values()),
                difference=_difference(got, golden.ends.get(number, {})),
                allowed=max(LIMITS[timed[key].precision] for key in combination.parts.values()),
            )
        )
    return rows
