"""What every inference engine offers, and the record by which it is known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Variant
from emer_edge.core.progress import Progress

Shape = tuple[int | None, ...]
"""Dimensions of a tensor; None where any size is taken."""


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


def shareable(engine: Engine) -> Engine:
    """The engine, for several threads."""
    return engine if engine.parallel else InTurn(engine)


Factory = Callable[[Path, int, Progress], Engine]
"""Loads an ONNX part: its file, the number of intra-op threads, and progress of a build."""


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
