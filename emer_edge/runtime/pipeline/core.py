"""One person's pipeline without threads, and the step: items go in, and at each hop a result comes out.

Live runs, fast replays and offline scoring take their steps here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.results import Result, State
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Baseline
from emer_edge.data.windows import stack_faces
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.baseline_meter import BaselineMeter
from emer_edge.runtime.compose import compose, standing_notes
from emer_edge.runtime.evidence import Evidence, HopWindow
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, Look
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.options import Source
from emer_edge.runtime.say import Say
from emer_edge.runtime.session import Session

STEP_STAGES: Final = ("wait", "encode", "fuse", "total")
"""What a step consists of: `wait` is hop deadline to its start, `total` hop deadline to its last result."""

STAGES: Final = ("detect", "align", *STEP_STAGES)

AGES: Final = ("face age", "sample age")
"""How old the newest evidence is when its window ends."""

HOPS_AT_ONCE: Final = 24
"""Windows of one person that may be cut before their results are asked for."""


class PipelineCore:
    """Synchronous and deterministic: the same items give the same results.

    A face is encoded once, at its hop's step, and reused by every window it falls in.

    Args:
        session: the loaded bundle.
        rate_hz: the tracker's nominal rate.
        source: how this person is read.
        notes: put into every result beside the bundle's own.
        say: told once of eye columns that can't be right, and of a subject that is chosen anew; None tells nobody.
        markers: deals markers out to the results; None: there are none.
        detector: finds the faces; the session's own by default.

    Attributes:
        evidence: both streams, and the lattice (`evidence.start`).
        latencies: stage -> its latencies; `face age` and `sample age` beside the `STAGES`.
        states: state -> results in it.
        dropped: place -> count; a caller adds its own places.
        troubles: what is wrong with a source now; put into the results while it lasts.
    """

    def __init__(
        self,
        session: Session,
        rate_hz: float,
        source: Source = Source(),
        *,
        notes: tuple[str, ...] = (),
        say: Say | None = None,
        markers: MarkerLog | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        manifest = self._manifest = session.bundle.manifest
        self.evidence = Evidence(manifest, detector or session.detector, rate_hz, source, say=say)
        self.notes = (*standing_notes(manifest), *notes, *self.evidence.columns.notes(manifest.display))
        self._stream, self._say = source.name, say
        self._markers = markers or MarkerLog()
        self._meter: BaselineMeter | None = None
        if source.baseline.seconds is not None:
            self._meter = BaselineMeter(source.baseline, manifest.window.length_ns, rate_hz)
        self._said: set[str] = set()
        self._embeddings = np.zeros((manifest.window.hops + HOPS_AT_ONCE + 1, session.embedding_width), np.float32)
        self.latencies = {each: LatencyRecorder() for each in (*STAGES, *AGES)} | self.evidence.faces.latencies
        self.states = dict.fromkeys(State, 0)
        self.dropped: dict[str, int] = {}
        self.troubles: tuple[str, ...] = ()

    @property
    def baseline(self) -> Baseline | None:
        """The session's baseline; None until it is complete, and where none was asked for."""
        return None if self._meter is None else self._meter.baseline

    def on_frame(self, frame: Frame) -> None:
        """Take a camera frame, in order of time."""
        self.evidence.on_frame(frame)

    def on_sample(self, sample: TrackerSample) -> None:
        """Take a tracker sample, in order of time."""
        self.evidence.on_sample(sample)
        if self._meter is not None:
            self._meter.on_sample(sample)

    def on_look(self, frame: Frame, look: Look | None) -> None:
        """Take a camera frame and what `evidence.faces.finder` has seen in it, in order of time."""
        self.evidence.on_look(frame, look)

    def cut(self, end_ns: int) -> HopWindow:
        """Cut the window that ends at `end_ns`: the first part of a step."""
        window = self.evidence.cut(end_ns)
        self._tell()
        return window

    def keep(self, window: HopWindow, embedding: NDArray[np.float32]) -> None:
        """Keep the embedding (width,) of the window's new face."""
        self._embeddings[(window.faces_taken - 1) % len(self._embeddings)] = embedding

    def embeddings_of(self, window: HopWindow) -> NDArray[np.float32]:
        """Embeddings (8, width) of the window's face slots."""
        return self._embeddings[window.face_numbers % len(self._embeddings)]

    def finish(
        self,
        window: HopWindow,
        outputs: Mapping[str, NDArray[np.float32]] | None,
        shared_ns: Mapping[str, int],
        since_ns: int,
    ) -> Result:
        """Make the result: the last part of a step.

        Args:
            window: from `cut`.
            outputs: head -> (C,) float32, None where the window's state is not `ok`.
            shared_ns: stage -> what it took for all streams.
            since_ns: host time from which `total` counts.
        """
        stages_ms = {} if window.face is None else _look_ms(window.face)
        stages_ms |= {stage: duration_ns * 1e-6 for stage, duration_ns in shared_ns.items()}
        if window.face is None:
            stages_ms.pop("encode", None)
        if outputs is None:
            stages_ms.pop("fuse", None)
        stages_ms["total"] = (monotonic_ns() - since_ns) * 1e-6
        markers, crosses = self._markers.take(window.end_ns, self._manifest.window.length_ns)
        result = compose(
            self._manifest,
            window,
            outputs,
            stages_ms=stages_ms,
            dropped=self.drops(),
            notes=(*self.notes, *self.troubles, *(() if self._meter is None else self._meter.notes())),
            markers=markers,
            crosses=crosses,
            stream=self._stream,
        )
        if self._meter is not None:
            result = self._meter.on_result(result)
        self._count(result)
        for listener in self.evidence.listeners:
            listener("result", result)
        return result

    def drops(self) -> dict[str, int]:
        """Place -> what was lost there since the start, places without losses left out."""
        places = {
            **self.dropped,
            "markers": self._markers.dropped,
            "samples out of order": self.evidence.eyes.out_of_order,
            "frames after their step": self.evidence.faces.late,
        }
        return {place: count for place, count in places.items() if count}

    def _tell(self) -> None:
        """Say what is wrong with the eye columns, each thing once in a run."""
        for fault in self.evidence.columns.faults:
            if self._say is not None and fault.key not in self._said:
                self._said.add(fault.key)
                self._say(fault.text)

    def _count(self, result: Result) -> None:
        self.states[result.state] += 1
        for stage in STEP_STAGES:
            if stage in result.stages_ms:
                self.latencies[stage].record(round(result.stages_ms[stage] * 1e6))
        for age, value_ms in zip(AGES, (result.face_age_ms, result.sample_age_ms), strict=True):
            if value_ms is not None:
                self.latencies[age].record(round(value_ms * 1e6))


class Stepper:
    """Takes steps, all crops in one encoder call, all windows in one fusion call. Not for two threads at once.

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
            cores: one for each stream; they share a lattice.
            end_ns: a lattice point, later than any stepped before.
            due_ns: host time at which the step was due, from which `wait` and `total` count; without it `total` counts
                from now, and nothing is known of a wait.
        """
        began_ns = monotonic_ns()
        wait_ns = {} if due_ns is None else {"wait": max(0, began_ns - due_ns)}
        windows = [(core, core.cut(end_ns)) for core in cores]
        return self.results(windows, began_ns if due_ns is None else due_ns, wait_ns)

    def results(
        self,
        windows: Sequence[tuple[PipelineCore, HopWindow]],
        since_ns: int,
        wait_ns: Mapping[str, int] | None = None,
    ) -> list[Result]:
        """Give the results of windows, in their order.

        Args:
            windows: each core's in ascending order, at most `HOPS_AT_ONCE` of one.
            since_ns: host time from which `total` counts.
            wait_ns: the stage `wait` where that is known.
        """
        shared_ns = dict(wait_ns or {})
        faces = [(core, window, window.face) for core, window in windows if window.face is not None]
        if faces:
            encode_ns = monotonic_ns()
            embeddings = self._session.encode(stack_faces([face.crop for _, _, face in faces]))
            for (core, window, _), embedding in zip(faces, embeddings, strict=True):
                core.keep(window, embedding)
            shared_ns["encode"] = monotonic_ns() - encode_ns
        whole = [(core, window) for core, window in windows if window.state is State.OK]
        outputs = {}
        if whole:
            fuse_ns = monotonic_ns()
            outputs = self._session.fuse(
                np.stack([core.embeddings_of(window) for core, window in whole]),
                np.stack([window.eye.eye for _, window in whole]),
                np.stack([window.eye.gaze for _, window in whole]),
            )
            shared_ns["fuse"] = monotonic_ns() - fuse_ns
        results, at = [], 0
        for core, window in windows:
            found = None
            if window.state is State.OK:
                found, at = {name: each[at] for name, each in outputs.items()}, at + 1
            results.append(core.finish(window, found, shared_ns, since_ns))
        for stage, duration_ns in shared_ns.items():
            self.latencies[stage].record(duration_ns)
        self.latencies["total"].record(monotonic_ns() - since_ns)
        return results


def _look_ms(face: FaceCandidate) -> dict[str, float]:
    return {"detect": face.detect_ns * 1e-6, "align": face.align_ns * 1e-6}
