"""One subject's pipeline without threads: items go in, and at each hop a result comes out."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.baseline import BaselineMeter
from emer_edge.runtime.compose import compose, standing_notes
from emer_edge.runtime.evidence import ARRIVAL_ALLOWANCE_NS, Evidence, HopWindow
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, Look, Subject
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.pipeline.stepping import STEP_STAGES, Stepper
from emer_edge.runtime.say import Say
from emer_edge.runtime.session import Session
from emer_edge.spec.results import Result, State
from emer_edge.spec.samples import Display, Frame, StimulusRect, TrackerSample

__all__ = ["AGES", "STAGES", "PipelineCore"]

STAGES: Final = ("detect", "align", "wait", "encode", "fuse", "total")
"""`wait` is hop deadline to the step's start, `total` hop deadline to result."""

AGES: Final = ("face age", "sample age")
"""How old the newest evidence is when its window ends."""


class PipelineCore:
    """Synchronous and deterministic: the same items give the same results.

    A face is encoded once, at its hop's step, and reused by every window it falls in.

    Args:
        session: the loaded bundle.
        rate_hz: the tracker's nominal rate.
        display: what gaze pixels refer to; the bundle's training display by default.
        stimulus: frame of the MCS columns; the whole display by default.
        notes: put into every result beside the bundle's own.
        detect_every: detection runs at least on every n-th frame.
        allowance_ns: the step for T runs at T + this.
        say: told once of eye columns that can't be right, and of a subject that is chosen anew; None tells nobody.
        subject: who is followed at first.
        markers: deals markers out to the results; None: there are none.
        baseline: measures the session's baseline; None: nobody asked for one.
        detector: finds the faces; the session's own by default.
        stream: whose results these are, where one run reads several people.

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
        display: Display | None = None,
        stimulus: StimulusRect | None = None,
        notes: tuple[str, ...] = (),
        detect_every: int = 5,
        allowance_ns: int = ARRIVAL_ALLOWANCE_NS,
        say: Say | None = None,
        subject: Subject = "largest",
        markers: MarkerLog | None = None,
        baseline: BaselineMeter | None = None,
        detector: FaceDetector | None = None,
        stream: str | None = None,
    ) -> None:
        manifest = session.bundle.manifest
        display = display or manifest.display or Display()
        detector = detector or session.detector
        self.evidence = Evidence(
            manifest, detector, rate_hz, display, stimulus, detect_every, allowance_ns, subject, say
        )
        self._stepper = Stepper(session)
        self._stream = stream
        self._manifest = manifest
        self.notes = (*standing_notes(manifest), *notes, *self.evidence.columns.notes(manifest.display))
        self._markers = markers or MarkerLog()
        self._baseline = baseline
        self._say = say
        self._said: set[str] = set()
        self._embeddings = np.zeros((manifest.window.hops + 2, session.embedding_width), np.float32)
        self.latencies = {each: LatencyRecorder() for each in (*STAGES, *AGES)} | self.evidence.faces.latencies
        self.states = dict.fromkeys(State, 0)
        self.dropped: dict[str, int] = {}
        self.troubles: tuple[str, ...] = ()

    def on_frame(self, frame: Frame) -> None:
        """Take a camera frame, in order of time."""
        self.evidence.on_frame(frame)

    def on_sample(self, sample: TrackerSample) -> None:
        """Take a tracker sample, in order of time."""
        self.evidence.on_sample(sample)
        if self._baseline is not None:
            self._baseline.on_sample(sample)

    def on_look(self, frame: Frame, look: Look | None) -> None:
        """Take a camera frame and what `evidence.faces.finder` has seen in it, in order of time."""
        self.evidence.on_look(frame, look)

    def step(self, end_ns: int, due_ns: int | None = None) -> Result:
        """Give the result of the window that ends at `end_ns`; see `Stepper`."""
        return self._stepper.step((self,), end_ns, due_ns)[0]

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
        notes = (*self.notes, *self.troubles, *(() if self._baseline is None else self._baseline.notes()))
        markers, crosses = self._markers.take(window.end_ns, self._manifest.window.length_ns)
        result = compose(
            self._manifest, window, outputs, stages_ms, self.drops(), notes, markers, crosses, self._stream
        )
        if self._baseline is not None:
            result = self._baseline.on_result(result)
        self._count(result)
        for tap in self.evidence.taps:
            tap.on_step(result)
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


def _look_ms(face: FaceCandidate) -> dict[str, float]:
    return {"detect": face.detect_ns * 1e-6, "align": face.align_ns * 1e-6}
