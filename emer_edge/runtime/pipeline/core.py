"""One person's pipeline without threads, the step, and the result: items go in, one result per hop comes out.

Live runs, fast replays and offline scoring take their steps here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import monotonic_ns
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import DataError
from emer_edge.core.public_text import public
from emer_edge.core.results import UNLIKE, Result, State
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Baseline
from emer_edge.data.images import stack_faces
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.baseline_meter import BaselineMeter
from emer_edge.runtime.evidence import NO_TRACKER, Evidence, HopWindow
from emer_edge.runtime.faces import FaceCandidate, FaceDetector, Look
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.options import Source
from emer_edge.runtime.pipeline.embedder import Embedder
from emer_edge.runtime.pipeline.readings import reading, standing_notes
from emer_edge.runtime.say import Say
from emer_edge.runtime.session import Session
from emer_edge.signals.no_eyes import no_eyes

STEP_STAGES: Final = ("wait", "encode", "fuse", "total")
"""What a step consists of: `wait` is deadline to start, `total` the step latency: deadline to its last result.

`encode` is mostly done before the step is due, and then no part of `total`."""

STAGES: Final = ("detect", "align", *STEP_STAGES)

AGES: Final = ("face age", "sample age")
"""Age of the newest evidence at its window's end."""

END_TO_END: Final = "end to end"
"""The newest frame's capture to its result: its age at the window's end, the arrival allowance, and `total`."""


def no_result(items: Iterable[tuple[int, int]]) -> DataError:
    """The error of a run that ended without one result; `items` are the images and samples of each person."""
    counts = ", ".join(f"{images} images and {samples} samples" for images, samples in items)
    return DataError(f"no result: of {counts} there are not both for as long as a hop; do their times meet?")


Given = tuple[Mapping[str, NDArray[np.float32]] | None, float | None]
"""Of a window: head -> (C,) float32, None where it is not read, and its `Result.face_distance`."""

HOPS_AT_ONCE: Final = 24
"""Windows of one person that may be cut before their results are computed."""


class PipelineCore:
    """Synchronous and deterministic: the same items give the same results.

    A face is encoded once, before its hop's step or in it, and reused by every window it falls in.

    Args:
        session: the loaded bundle.
        rate_hz: the tracker's nominal rate.
        source: how this person is read.
        eyes: whether there is an eye tracker.
        notes: put into every result beside the bundle's own.
        say: reports eye columns that can't be right, once, and a subject that is chosen anew; None disables it.
        markers: deals markers out to the results.
        detector: finds the faces; the session's own by default.

    Attributes:
        evidence: both streams, and the lattice (`evidence.start`).
        embedder: may encode a crop before its step.
        latencies: stage -> its latencies; beside the `STAGES` the `AGES` and `END_TO_END`.
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
        eyes: bool = True,
        notes: tuple[str, ...] = (),
        say: Say | None = None,
        markers: MarkerLog | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        manifest = self._manifest = session.bundle.manifest
        self.evidence = Evidence(manifest, detector or session.detector, rate_hz, source, eyes=eyes, say=say)
        self.embedder = Embedder(session)
        self._engines = session.engines
        watched = self.evidence.columns.notes(manifest.display) if eyes else (NO_TRACKER,)
        self.notes = (*standing_notes(manifest, causal=eyes), *session.said, *notes, *watched)
        self._stream, self._say = source.name, say
        self._allowance_ms = source.window.arrival_allowance_ms
        self._markers = markers or MarkerLog()
        self._meter: BaselineMeter | None = None
        if source.baseline.seconds is not None:
            self._meter = BaselineMeter(source.baseline, manifest.window.length_ns, rate_hz)
            self.evidence.listeners.append(self._meter.listen)
        self._reported: set[str] = set()
        self._embeddings = np.zeros((manifest.window.hops + HOPS_AT_ONCE + 1, session.embedding_width), np.float32)
        names = (*STAGES, *AGES, END_TO_END)
        self.latencies = {name: LatencyRecorder() for name in names} | self.evidence.faces.finder.latencies
        self.states = dict.fromkeys(State, 0)
        self.dropped: dict[str, int] = {}
        self.troubles: tuple[str, ...] = ()

    @property
    def baseline(self) -> Baseline | None:
        """The session's baseline; None until it is complete, and without `BaselineOptions.seconds`."""
        return None if self._meter is None else self._meter.baseline

    @property
    def unfinished(self) -> tuple[str, ...]:
        """What was asked for and is not there (yet): a baseline that lacks valid data."""
        if self._meter is None or self._meter.baseline is not None:
            return ()
        return (f"{self._meter.notes()[0]}: it was not completed, and results were compared with nothing",)

    def on_frame(self, frame: Frame) -> None:
        """Take a camera frame, in order of time."""
        self.evidence.on_frame(frame)

    def on_samples(self, samples: Sequence[TrackerSample]) -> None:
        """Take tracker samples, in order of time."""
        self.evidence.on_samples(samples)

    def on_look(self, frame: Frame, look: Look | None) -> None:
        """Take a camera frame and what `evidence.faces.finder` has seen in it, in order of time."""
        self.evidence.on_look(frame, look)

    def cut(self, end_ns: int) -> HopWindow:
        """Cut the window that ends at `end_ns`: the first part of a step."""
        window = self.evidence.cut(end_ns)
        for fault in self.evidence.faults:
            self._say_once(fault.key, fault.text)
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
        given: Given,
        shared_ns: Mapping[str, int],
        since_ns: int,
    ) -> Result:
        """Make the result: the last part of a step.

        Args:
            window: from `cut`.
            given: what the session makes of it.
            shared_ns: stage -> what it took for all streams.
            since_ns: host time from which `total` counts.
        """
        stages_ms = {stage: duration_ns * 1e-6 for stage, duration_ns in shared_ns.items()}
        if window.face is None:
            stages_ms.pop("encode", None)
        else:
            face_ms = {"detect": window.face.detect_ns * 1e-6, "align": window.face.align_ns * 1e-6}
            stages_ms = face_ms | stages_ms
        if not window.read:
            stages_ms.pop("fuse", None)
        stages_ms["total"] = (monotonic_ns() - since_ns) * 1e-6
        read = reading(self._manifest, *given, window.state, blind=window.without_eyes)
        metered = self._meter.notes() if self._meter else ()
        taken = self._markers.take(window.end_ns, self._manifest.window.length_ns) if self._markers.count else ((), ())
        result = Result(
            end_ns=window.end_ns,
            state=window.state,
            filling_s=window.filling_s,
            begin_ns=max(self.evidence.origin_ns, window.end_ns - self._manifest.window.length_ns),
            **read,
            face_age_ms=window.face_age_ms,
            sample_age_ms=window.sample_age_ms,
            face_slots=int(window.face_covered.sum()),
            eye_slots=int(window.eye.covered.sum()),
            degraded=window.degraded,
            stages_ms=stages_ms,
            dropped=self.drops(),
            notes=tuple(map(public, (*self.notes, *self.troubles, *metered, *window.notes))),
            markers=taken[0],
            crosses=taken[1],
            engines=self._engines,
            stream=self._stream,
        )
        if result.unlike:
            result = replace(result, notes=(*result.notes, UNLIKE))
            self._say_once(UNLIKE, f"{UNLIKE}: its gap is compared with nothing; faces like this one were not measured")
        if self._meter is not None:
            result = self._meter.on_result(result)
        self._count(result)
        for listener in self.evidence.listeners:
            listener("result", result)
        return result

    def drops(self) -> dict[str, int]:
        """Place -> items lost there since the start, those above zero."""
        places = {
            **self.dropped,
            "markers": self._markers.dropped,
            "samples out of order": self.evidence.eyes.out_of_order,
            "frames after their step": self.evidence.faces.late,
        }
        return {place: count for place, count in places.items() if count}

    def _say_once(self, key: str, text: str) -> None:
        if self._say is not None and key not in self._reported:
            self._reported.add(key)
            self._say(text)

    def _count(self, result: Result) -> None:
        self.states[result.state] += 1
        for stage in STEP_STAGES:
            if stage in result.stages_ms:
                self.latencies[stage].record(round(result.stages_ms[stage] * 1e6))
        for age, value_ms in zip(AGES, (result.face_age_ms, result.sample_age_ms), strict=True):
            if value_ms is not None:
                self.latencies[age].record(round(value_ms * 1e6))
        if result.face_age_ms is not None:
            whole_ms = result.face_age_ms + self._allowance_ms + result.stages_ms["total"]
            self.latencies[END_TO_END].record(round(whole_ms * 1e6))


class Stepper:
    """Takes steps: all crops in one encoder call, all windows in one fusion call. Not for two threads at once.

    Attributes:
        latencies: one of the `STEP_STAGES` -> its latencies, one duration per step.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.latencies = {stage: LatencyRecorder() for stage in STEP_STAGES}

    def step(self, cores: Sequence[PipelineCore], end_ns: int, due_ns: int | None = None) -> list[Result]:
        """Give each core's result of the window that ends at `end_ns`, in their order.

        Args:
            cores: one for each stream; they share a lattice.
            end_ns: a lattice point, later than any stepped before.
            due_ns: host time at which the step was due, from which `wait` and `total` count; without it `total` counts
                from now and there is no `wait`.
        """
        began_ns = monotonic_ns()
        wait_ns = {} if due_ns is None else {"wait": max(0, began_ns - due_ns)}
        windows = [(core, core.cut(end_ns)) for core in cores]
        return self.results(windows, began_ns if due_ns is None else due_ns, wait_ns)

    def results(
        self, windows: Sequence[tuple[PipelineCore, HopWindow]], since_ns: int, wait_ns: Mapping[str, int] | None = None
    ) -> list[Result]:
        """Give the results of windows, in their order.

        Args:
            windows: each core's in ascending order, at most `HOPS_AT_ONCE` of one.
            since_ns: host time from which `total` counts.
            wait_ns: the stage `wait` where that is known.
        """
        shared_ns = dict(wait_ns or {})
        faces: list[tuple[PipelineCore, HopWindow, FaceCandidate]] = []
        for core, window in windows:
            if window.face is not None and (made := core.embedder.made(window.face)) is not None:
                core.keep(window, made[0])
                shared_ns["encode"] = max(made[1], shared_ns.get("encode", 0))
            elif window.face is not None:
                faces.append((core, window, window.face))
        if faces:
            encode_ns = monotonic_ns()
            embeddings = self._session.encode(stack_faces([face.crop for _, _, face in faces]))
            for (core, window, _), embedding in zip(faces, embeddings, strict=True):
                core.keep(window, embedding)
            shared_ns["encode"] = monotonic_ns() - encode_ns
        whole = [(core, window) for core, window in windows if window.read]
        rows: Iterator[Given] = iter(())
        if whole:
            fuse_ns = monotonic_ns()
            held = np.stack([core.embeddings_of(window) for core, window in whole])
            eye, gaze = no_eyes(len(whole))
            for at, (_, window) in enumerate(whole):
                if not window.without_eyes:
                    eye[at], gaze[at] = window.eye.eye, window.eye.gaze
            outputs, distances = self._session.fuse(held, eye, gaze), self._session.face_distance(held)
            shared_ns["fuse"] = monotonic_ns() - fuse_ns
            each_of = ({name: values[at] for name, values in outputs.items()} for at in range(len(whole)))
            rows = zip(each_of, [None] * len(whole) if distances is None else distances.tolist(), strict=True)
        results = [
            core.finish(window, next(rows) if window.read else (None, None), shared_ns, since_ns)
            for core, window in windows
        ]
        for stage, duration_ns in shared_ns.items():
            self.latencies[stage].record(duration_ns)
        self.latencies["total"].record(monotonic_ns() - since_ns)
        return results
