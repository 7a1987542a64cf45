"""Which engine computes each part of a bundle, and what is done where it can't.

A named engine computes all parts or refuses. `auto` takes the combination that `emer-edge build` found the fastest
here, or else the best engine's own variant; where a part can't be built or loaded it goes on to the next combination
that may run, on the CPU at last, and says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError, EngineError, MissingExtraError
from emer_edge.core.progress import Progress, silent
from emer_edge.runtime.engines.any_size import open_any_size, takes_any_size
from emer_edge.runtime.engines.base import Engine, EngineDriver, first_run
from emer_edge.runtime.engines.kept_choice import KeptChoice, mode_now, read_choice
from emer_edge.runtime.engines.registry import CPU_ENGINE, engines, open_engine, resolve_engine

_Placed = dict[str, tuple[EngineDriver, str]]
"""Part -> what computes it, and of which file: `tensorrt/fusion`."""


@dataclass(frozen=True)
class PlacedPart:
    """A part that is loaded.

    Attributes:
        key: its file, such as `tensorrt/face_encoder-fp16`.
        engine: name of what computes it.
        precision: what it computes in.
    """

    key: str
    engine: str
    precision: str

    def __str__(self) -> str:
        """`int8 on tensorrt`."""
        return f"{self.precision} on {self.engine}"


class Placer:
    """Loads the parts of a bundle. Not for two threads at once.

    Args:
        bundle: the bundle.
        engine: name of an engine, or `auto`.
        threads: intra-op threads of CPU engines.
        progress: reports the building of engines.
        parts: what computes each part of the networks, instead of choosing: `fusion` -> `cpu/fusion-int8`.

    Attributes:
        drivers: the engines that may compute, the preferred one first.
        placed: part -> where it was loaded.
        said: what a person has to know about it, one sentence each; the logger has had them too.

    Raises:
        ConfigurationError: no engine has that name, or fewer than one thread.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: str,
        threads: int = 1,
        *,
        progress: Progress = silent,
        parts: Mapping[str, str] | None = None,
    ) -> None:
        if threads < 1:
            raise ConfigurationError(f"an engine needs 1 thread or more, not {threads}")
        self.drivers = drivers_of(engine)
        self.placed: dict[str, PlacedPart] = {}
        self.said: list[str] = []
        self._bundle, self._threads, self._progress, self._parts = bundle, threads, progress, parts
        self._open: dict[tuple[str, str], Engine] = {}
        self._refused: set[tuple[str, str]] = set()
        self._kept: KeptChoice | None = None
        self._any_size = ""  # name of the part that is opened for images of any size

    def networks(self) -> dict[str, Engine]:
        """Load the networks' parts: `face_encoder`, `fusion` and so on -> engine.

        Raises:
            BundleError: the bundle has no parts for the engine.
            EngineError, MissingExtraError: a part is refused, and no other combination may run.
        """
        if self._parts is not None:
            return self._loaded([self._parts])
        first, path = f"{self.drivers[0].variant}/", self._bundle.path
        known = [combination.parts for combination in self._bundle.manifest.all_combinations]
        known.sort(key=lambda parts: -sum(key.startswith(first) for key in parts.values()))
        fitting = [parts for parts in known if self._fits(parts)]
        self._kept = read_choice(self._bundle, self.drivers)
        if self._kept is not None:
            timed = [each.parts for each in self._kept.combinations]
            agree = [each.parts for each in self._kept.combinations if each.agrees and each.parts in fitting]
            fitting = [*agree, *(parts for parts in fitting if parts not in timed)]
            then, now = self._kept.power_mode, mode_now()
            if then and now and then != now:
                self._say(
                    f"parts were timed in power mode {then}, this is {now}; to time them anew: emer-edge build {path}"
                )
        elif fitting and not any(key.startswith(first) for parts in fitting for key in parts.values()):
            self._say(f"{path} has no parts for {self.drivers[0].title}: all run on the CPU; export it again")
        elif len(fitting) > 1:
            self._say(f"the parts of {path} were not timed here; to use what is fastest: emer-edge build {path}")
        return self._loaded(fitting or known[:1])

    def detectors(self, names: Sequence[str]) -> list[Engine]:
        """Load parts of the face detector, each where it is fastest; errors as those of `networks`.

        On a CPU the first one takes images of any size, and stands for the others.
        """
        self._any_size = names[0]
        first = f"{self.drivers[0].variant}/"
        engines_of: list[Engine] = []
        for name in names:
            if engines_of and takes_any_size(engines_of[0]):
                self.placed[name] = self.placed[names[0]]
                engines_of.append(engines_of[0])
                continue
            keys = sorted(self._bundle.keys_of(name), key=lambda key: not key.startswith(first))
            if self._kept is not None:
                keys = [*self._kept.fastest(keys), *(key for key in keys if key not in self._kept.known)]
            keys = [key for key in keys if self._fits({name: key})] or [first + name]
            engines_of.append(self._loaded([{name: key} for key in keys])[name])
        return engines_of

    def close(self) -> None:
        """Free all engines; may be called twice."""
        for engine in self._open.values():
            engine.close()
        self._open.clear()

    def _say(self, sentence: str) -> None:
        self.said.append(sentence)
        logging.getLogger("emer_edge").warning(sentence)

    def _fits(self, parts: Mapping[str, str]) -> _Placed | None:
        """What computes each part, None where one has no file or no engine."""
        placed: _Placed = {}
        for role, key in parts.items():
            for driver in self.drivers if f"{key}.onnx" in self._bundle.manifest.files else ():
                if driver.variant == key.partition("/")[0] and (driver.name, key) not in self._refused:
                    placed.setdefault(role, (driver, key))
        return placed if len(placed) == len(parts) else None

    def _next(self, combinations: Sequence[Mapping[str, str]]) -> _Placed | None:
        return next(filter(None, map(self._fits, combinations)), None)

    def _loaded(self, combinations: Sequence[Mapping[str, str]]) -> dict[str, Engine]:
        """Load the first combination that can be; what it does not use of an earlier one is closed."""
        placed = self._next(combinations)
        if placed is None:
            for key in combinations[0].values():
                self._bundle.part_of(key)  # says what the bundle lacks
            raise EngineError(f"no engine here runs {', '.join(combinations[0].values())} of {self._bundle.path}")
        while True:
            for role, (driver, key) in placed.items():
                try:
                    self._load(driver, key)
                except (EngineError, MissingExtraError) as error:
                    self._refused.add((driver.name, key))
                    after = self._next(combinations)
                    if after is None:
                        raise
                    moved = {each: after[each][0] for each in after if after[each] != placed[each]}
                    where = ", ".join(f"{each} on {chosen.title}" for each, chosen in moved.items())
                    self._say(f"{role} can't run on {driver.title}, so it falls back: {where}; {error}")
                    placed = after
                    break
            else:
                break
        precisions = self._bundle.manifest.precision.parts
        for role, (driver, key) in placed.items():
            self.placed[role] = PlacedPart(key, driver.name, precisions.get(key, "fp32"))
        used = {(part.engine, part.key) for part in self.placed.values()}
        for spare in [each for each in self._open if each not in used]:
            self._open.pop(spare).close()
        return {role: self._open[driver.name, key] for role, (driver, key) in placed.items()}

    def _load(self, driver: EngineDriver, key: str) -> None:
        if (driver.name, key) not in self._open:
            part = self._bundle.part_of(key)
            if driver.name == CPU_ENGINE and key.partition("/")[2] == self._any_size:
                engine = open_any_size(driver.name, part, self._threads, self._progress)
            else:
                engine = open_engine(driver.name, part, self._threads, self._progress)
                first_run(engine, part)  # before it counts as open: one that hangs can't be closed
            self._open[driver.name, key] = engine


def drivers_of(engine: str) -> tuple[EngineDriver, ...]:
    """The engine of that name; of `auto` the best one that runs here, and the CPU's."""
    driver = resolve_engine(engine)
    return (driver,) if engine != "auto" or driver.name == CPU_ENGINE else (driver, engines()[CPU_ENGINE])
