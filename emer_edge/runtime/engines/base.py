"""What every inference engine offers, and the record by which it is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from math import prod
from typing import Any, Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Part, Variant
from emer_edge.core.errors import EngineError
from emer_edge.core.progress import Progress

Shape = tuple[int | None, ...]
"""Dimensions of a tensor; None where any size is taken."""


FIRST_RUN_S: Final = 60.0  # and for loading where nothing is built; the slowest board takes seconds
LEFT_BEHIND: Final[list[str]] = []  # work that did not end; libraries can't be taken down around it

Outcome = TypeVar("Outcome")


class Engine(Protocol):
    """One part of a bundle, loaded and ready.

    Attributes:
        name: the name it is registered under.
        device: what it computes on, for people.
        inputs, outputs: tensor name -> shape, in the order of the graph.
        parallel: whether several threads may run it at once.
    """

    name: str
    parallel: bool
    device: str
    inputs: dict[str, Shape]
    outputs: dict[str, Shape]

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs; raise EngineError when the engine refuses the inputs."""
        ...

    def close(self) -> None:
        """Free the engine's memory; may be called twice."""
        ...


class InTurn:
    """An engine that several threads may run though it can't serve them at once: each waits for its turn."""

    parallel = True

    def __init__(self, engine: Engine) -> None:
        self.name, self.device = engine.name, engine.device
        self.inputs, self.outputs = engine.inputs, engine.outputs
        self._engine = engine
        self._turn = threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
        """Compute all outputs, once the other threads are done."""
        with self._turn:
            return self._engine.run(inputs)

    def close(self) -> None:
        """Free the engine's memory."""
        self._engine.close()


def within(seconds: float, what: str, work: Callable[..., Outcome], *given: Any) -> Outcome:
    """Do what an engine may never end, in a thread of its own that is left behind then; raise EngineError after it."""
    outcome: Future[Outcome] = Future()

    def do() -> None:
        try:
            outcome.set_result(work(*given))
        except BaseException as error:  # for the thread that waits
            outcome.set_exception(error)

    threading.Thread(target=do, name=what, daemon=True).start()
    if not wait([outcome], seconds).done:
        LEFT_BEHIND.append(what)
        raise EngineError(f"{what} has not ended after {seconds:g} s; don't use this bundle here")
    return outcome.result()


def first_run(engine: Engine, part: Part, inputs: Mapping[str, NDArray[np.float32]] | None = None) -> dict[str, Any]:
    """Run a part for the first time, on zeros by default; EngineError where it does not end in `FIRST_RUN_S`."""
    shapes = {name: [size or 1 for size in shape] for name, shape in engine.inputs.items()}
    if sum(map(prod, shapes.values())) > 1 << 26:  # a detector's image has 2^18
        raise EngineError(f"{part.path} takes inputs of {shapes}, as no part does; don't use this bundle")
    inputs = inputs or {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return within(FIRST_RUN_S, f"the first run of {part.path}", engine.run, inputs)


def shareable(engine: Engine) -> Engine:
    """The engine, for several threads."""
    return engine if engine.parallel else InTurn(engine)


Factory = Callable[[Part, int, Progress], Engine]
"""Loads an ONNX part: its content, the number of intra-op threads, and progress of a build."""


@dataclass(frozen=True)
class EngineDriver:
    """One engine: all that others know of it.

    Attributes:
        name: what `--engine` calls it.
        title: its name, for people.
        help: what it computes on, in a few words, for `--help`.
        variant: which variant of a bundle it runs.
        open: loads a part.
        why_not: says why it can't run parts on this machine, None where it can; asking must be cheap.
        package: the Python package that it needs.
        builds: it builds plans of parts before it can run them, which takes minutes and memory.
        facts: what its times belong to: its version and its GPU; empty where nothing changes them.
        checks: lines for a shell that check an opened part by other tools: engine, its inputs, the difference allowed.
        rank: `auto` takes the usable engine of the highest rank; one of rank 0 has to be named.
        fix: how to install what it lacks.
        fix_on_jetson: how a Jetson gets it, where that is worth a warning; else empty.
    """

    name: str
    title: str
    help: str
    variant: Variant
    open: Factory
    why_not: Callable[[], str | None]
    package: str
    builds: bool = False
    facts: Callable[[], str] = lambda: ""
    checks: Callable[[Engine, Mapping[str, NDArray[np.float32]], float], tuple[str, ...]] = lambda *given: ()
    rank: int = 0
    fix: str = ""
    fix_on_jetson: str = ""
