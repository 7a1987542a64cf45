"""What `emer-edge build` measured on this machine, kept beside the plans: times of parts, and what may run together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from emer_edge.bundle import Bundle
from emer_edge.core.whole_file import write_private
from emer_edge.runtime.board import read_cpu, read_jetson, read_text
from emer_edge.runtime.engines.base import EngineDriver
from emer_edge.runtime.engines.tensorrt.plan_cache import engine_folder, read_private

SCHEMA: Final = 1


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class TimedPart(_Record, frozen=True):
    """One file of a bundle on one engine.

    Attributes:
        key: `tensorrt/face_encoder-fp16` and so on.
        engine, device, precision: what computed it, and in what.
        p50_ms, p90_ms: of one crop, window or image; None where it could not be timed.
        runs: how often it was run.
        refused: why it can't be used; empty where it can.
        check: lines for a shell that check plan and time by NVIDIA's own tools; empty without a plan.
    """

    key: str
    engine: str
    device: str
    precision: str
    p50_ms: float | None = None
    p90_ms: float | None = None
    runs: int = 0
    refused: str = ""
    check: tuple[str, ...] = ()


class TimedCombination(_Record, frozen=True):
    """Parts that may run together.

    Attributes:
        parts: as in the bundle's manifest.
        step_ms: what one crop and one window take, the sum of its parts' medians.
        difference: from the outputs at export, faces to heads, as a share of the largest; None in older bundles.
        allowed: how much that may be.
    """

    parts: dict[str, str]
    step_ms: float
    difference: float | None
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether this machine computes what the exporting one did."""
        return self.difference is None or self.difference <= self.allowed


class KeptChoice(_Record, frozen=True):
    """The times of one bundle on one machine.

    Attributes:
        schema: version of this layout.
        facts: engine -> what the times belong to.
        power_mode: in which they were taken; empty where the machine has none.
        threads: of CPU engines.
        parts: all that was timed, or refused.
        combinations: the fastest first.
    """

    schema: int
    facts: dict[str, str]
    power_mode: str
    threads: int
    parts: tuple[TimedPart, ...]
    combinations: tuple[TimedCombination, ...]

    @property
    def known(self) -> frozenset[str]:
        """The files that were tried."""
        return frozenset(part.key for part in self.parts)

    def fastest(self, keys: Iterable[str]) -> list[str]:
        """Those of some files that can be used, the fastest first."""
        times = {part.key: part.p50_ms for part in self.parts if not part.refused and part.p50_ms is not None}
        return sorted((key for key in keys if key in times), key=times.__getitem__)

    def chosen(self, roles: Sequence[Sequence[str]]) -> list[str]:
        """What `auto` takes: the fastest combination that agrees, and of each of `roles` the fastest file."""
        best = next((list(each.parts.values()) for each in self.combinations if each.agrees), [])
        return [*best, *(key for keys in roles for key in self.fastest(keys)[:1])]


def mode_now() -> str:
    """Number and name of the power mode that is set; empty where this machine has none."""
    jetson = read_jetson()
    return "" if jetson is None or jetson.mode is None else f"{jetson.mode.number} {jetson.mode.name}"


def facts_of(drivers: Sequence[EngineDriver]) -> dict[str, str]:
    """Engine -> what its times belong to: its version and its GPU."""
    return {driver.name: driver.facts() for driver in drivers}


def keep_choice(bundle: Bundle, choice: KeptChoice) -> Path:
    """Write what was measured beside the plans; return the file.

    Raises:
        OSError: it can't be written.
    """
    path = _path(bundle)
    write_private(path, msgspec.json.format(msgspec.json.encode(choice), indent=2) + b"\n")
    return path


def read_choice(bundle: Bundle, drivers: Sequence[EngineDriver]) -> KeptChoice | None:
    """What is kept of this bundle, this machine and these engines as they are now, None where nothing is.

    What is of no use any more is said in a sentence that names why.
    """
    path = _path(bundle)
    content = read_private(path)
    if content is None:
        return None
    try:
        kept = msgspec.json.decode(content, type=KeptChoice)
        then, now = kept.facts, facts_of(drivers)
        changed = [f"{then[name]} then, {now[name]} now" for name in now if name in then and then[name] != now[name]]
        if kept.schema == SCHEMA and not changed and set(now) <= set(then):
            return kept
        why = "; ".join(changed) or f"it has schema {kept.schema} and times of {', '.join(then)}"
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = str(error)
    logging.getLogger("emer_edge").warning("the times kept in %s are of no use here: %s", path, why)
    return None


def _path(bundle: Bundle) -> Path:
    manifest = bundle.manifest
    parts = sorted((name, file.sha256) for name, file in manifest.files.items() if name.endswith(".onnx"))
    here = (read_text(Path("/proc/device-tree/model")), read_cpu())
    digest = hashlib.sha256(repr((parts, manifest.all_combinations, here)).encode())
    return engine_folder() / f"choice-{digest.hexdigest()[:32]}.json"
