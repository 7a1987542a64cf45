"""One step of all streams: every window cut at T, all crops in one encoder call, all windows in one fusion call."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

import numpy as np

from emer_edge.data.windows import stack_faces
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.session import Session
from emer_edge.spec.results import Result, State

if TYPE_CHECKING:
    from emer_edge.runtime.pipeline.core import PipelineCore

__all__ = ["STEP_STAGES", "Stepper"]

STEP_STAGES: Final = ("wait", "encode", "fuse", "total")
"""What a step consists of: `wait` is hop deadline to its start, `total` hop deadline to its last result."""


class Stepper:
    """Takes the steps of cores that share a lattice. Not to be used by two threads at once.

    Args:
        session: the loaded bundle, which the cores share.

    Attributes:
        latencies: one of the `STEP_STAGES` -> its latencies, a duration a step.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.latencies = {each: LatencyRecorder() for each in STEP_STAGES}

    def step(self, cores: Sequence[PipelineCore], end_ns: int, due_ns: int | None = None) -> list[Result]:
        """Give each core's result of the window that ends at `end_ns`, in their order.

        Args:
            cores: one for each stream.
            end_ns: a lattice point, later than any stepped before.
            due_ns: host time at which the step was due, from which `wait` and `total` count; without it `total` counts
                from now, and nothing is known of a wait.
        """
        began_ns = monotonic_ns()
        shared_ns: dict[str, int] = {} if due_ns is None else {"wait": max(0, began_ns - due_ns)}
        windows = [core.cut(end_ns) for core in cores]
        faces = [(core, each, each.face) for core, each in zip(cores, windows, strict=True) if each.face is not None]
        if faces:
            encode_ns = monotonic_ns()
            embeddings = self._session.encode(stack_faces([face.crop for _, _, face in faces]))
            for (core, window, _), embedding in zip(faces, embeddings, strict=True):
                core.keep(window, embedding)
            shared_ns["encode"] = monotonic_ns() - encode_ns
        whole = [(core, each) for core, each in zip(cores, windows, strict=True) if each.state is State.OK]
        outputs = {}
        if whole:
            fuse_ns = monotonic_ns()
            outputs = self._session.fuse(
                np.stack([core.embeddings_of(window) for core, window in whole]),
                np.stack([window.eye.eye for _, window in whole]),
                np.stack([window.eye.gaze for _, window in whole]),
            )
            shared_ns["fuse"] = monotonic_ns() - fuse_ns
        row = {id(core): at for at, (core, _) in enumerate(whole)}
        since_ns = began_ns if due_ns is None else due_ns
        results = []
        for core, window in zip(cores, windows, strict=True):
            at = row.get(id(core))
            found = None if at is None else {name: each[at] for name, each in outputs.items()}
            results.append(core.finish(window, found, shared_ns, since_ns))
        for stage, duration_ns in shared_ns.items():
            self.latencies[stage].record(duration_ns)
        self.latencies["total"].record(monotonic_ns() - since_ns)
        return results
