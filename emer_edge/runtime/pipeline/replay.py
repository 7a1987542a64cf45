"""Finite streams played as fast as they can be read, nothing dropped: the fast pace, and offline scoring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from time import monotonic_ns
from typing import Final

from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.cameras.mcap import RecordedCamera
from emer_edge.runtime.evidence import Evidence, HopWindow
from emer_edge.runtime.pipeline.core import PipelineCore, Stepper, no_result
from emer_edge.runtime.recording.mcap_reader import recorded_steps_ns
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.trackers.files import RecordedTracker

_ROUNDING_NS: Final = 1_000_000  # media times are rounded: 360 frames at 30 fps are 12 s


class Replay:
    """Feeds two finite streams of one person in the order of arrival, up to one step after the other.

    Args:
        evidence: takes the items.
        frames: the camera's, in order of arrival.
        samples: the tracker's, in order of arrival.
        periods_ns: time that the last frame and the last sample stand for.
        steps_ns: ends of a recorded run's windows, counted from its lattice's start at 0; None: every hop.
        eyes: whether there is an eye tracker.

    Attributes:
        begins_ns: when both streams have begun; None where one that there is has no item.
        frames, samples: items fed so far.
    """

    def __init__(
        self,
        evidence: Evidence,
        frames: Iterable[Frame],
        samples: Iterable[TrackerSample],
        *,
        periods_ns: tuple[int, int],
        steps_ns: Iterable[int] | None = None,
        eyes: bool = True,
    ) -> None:
        self._evidence, self._steps_ns = evidence, steps_ns
        self._frames, self._samples = iter(frames), iter(samples)
        self._frame, self._sample = next(self._frames, None), next(self._samples, None)
        self._periods_ns = periods_ns
        self._limit_ns: int | None = None
        self.begins_ns: int | None = None
        self.frames = self.samples = 0
        if steps_ns is not None:
            self.begins_ns = 0
        elif self._frame is not None and (self._sample is not None or not eyes):
            self.begins_ns = max(item.stamp_ns for item in (self._frame, self._sample) if item is not None)

    @classmethod
    def of(cls, core: PipelineCore, camera: Camera, tracker: Tracker) -> Replay:
        """Play opened files; a recording of a run that both sources play has that run's steps."""
        frame_ns, sample_ns = (round(NANOSECONDS / max(rate_hz, 1.0)) for rate_hz in (camera.fps, tracker.rate_hz))
        steps_ns = _recorded_steps(camera, tracker, core.evidence.spec.hop_ns)
        periods_ns, eyes = (frame_ns, sample_ns), not tracker.absent
        return cls(core.evidence, camera, tracker, periods_ns=periods_ns, steps_ns=steps_ns, eyes=eyes)

    def steps(self, origin_ns: int) -> Iterator[int]:
        """Start the lattice and yield the end of each window once its items are fed; cut it before the next.

        The lattice ends with the shorter stream: with its last item and one period.
        """
        if self.begins_ns is None:
            return
        evidence = self._evidence
        evidence.start(origin_ns if self._steps_ns is None else 0)
        hop_ns = evidence.spec.hop_ns
        for end_ns in count(evidence.origin_ns + hop_ns, hop_ns) if self._steps_ns is None else self._steps_ns:
            self._feed(end_ns)
            if self._over(end_ns):
                return
            yield end_ns

    def _over(self, end_ns: int) -> bool:
        return self._steps_ns is None and self._limit_ns is not None and end_ns > self._limit_ns

    def _feed(self, end_ns: int) -> None:
        """Give the evidence what had arrived when the step for `end_ns` was due."""
        due_ns = end_ns + self._evidence.allowance_ns
        while not self._over(end_ns):
            frame, sample = self._frame, self._sample
            first_ns = due_ns if sample is None else min(due_ns, sample.arrival_ns)
            if frame is not None and frame.arrival_ns <= first_ns:
                self._evidence.on_frame(frame)
                self.frames += 1
                self._frame = next(self._frames, None)
                if self._frame is None:
                    self._end(frame.stamp_ns + self._periods_ns[0])
            elif sample is not None and sample.arrival_ns <= due_ns:
                self._evidence.on_samples([sample])
                self.samples += 1
                self._sample = next(self._samples, None)
                if self._sample is None:
                    self._end(sample.stamp_ns + self._periods_ns[1])
            else:
                return

    def _end(self, limit_ns: int) -> None:
        limit_ns += _ROUNDING_NS
        self._limit_ns = limit_ns if self._limit_ns is None else min(self._limit_ns, limit_ns)


def replayed(
    stepper: Stepper, cores: Sequence[PipelineCore], replays: Sequence[Replay], hops_at_once: int = 1
) -> Iterator[Result]:
    """Give the results of people who are played on one lattice, which starts when all of them have begun.

    Args:
        stepper: takes the steps.
        cores: one for each person.
        replays: one for each core, in the same order.
        hops_at_once: hops whose windows share the calls of the engines; results come after the last of them.

    Raises:
        DataError: not one result, because nobody has both images and samples for as long as a hop.
    """
    begins_ns = [replay.begins_ns for replay in replays if replay.begins_ns is not None]
    steps = [replay.steps(max(begins_ns, default=0)) for replay in replays]
    ends_ns = [next(step, None) for step in steps]
    if all(end_ns is None for end_ns in ends_ns):
        raise no_result((replay.frames, replay.samples) for replay in replays)
    windows: list[tuple[PipelineCore, HopWindow]] = []
    since_ns = hops = 0
    while due := [end_ns for end_ns in ends_ns if end_ns is not None]:
        since_ns = since_ns if windows else monotonic_ns()
        end_ns = min(due)
        at = [number for number, own_ns in enumerate(ends_ns) if own_ns == end_ns]
        windows += [(cores[number], cores[number].cut(end_ns)) for number in at]
        hops += 1
        if hops % hops_at_once == 0:
            yield from stepper.results(windows, since_ns)
            windows = []
        for number in at:
            ends_ns[number] = next(steps[number], None)
    if windows:
        yield from stepper.results(windows, since_ns)


def _recorded_steps(camera: Camera, tracker: Tracker, hop_ns: int) -> Iterator[int] | None:
    """Ends of the windows of a recording that both sources play, or None: they play none, or one with other hops."""
    if not isinstance(camera, RecordedCamera) or camera.head.hop_ns != hop_ns:
        return None
    if not (isinstance(tracker, RecordedTracker) and camera.recording.samefile(tracker.recording)) and not (
        tracker.absent and camera.head.tracker == tracker.source
    ):
        return None
    return recorded_steps_ns(camera.recording, camera.head.origin_ns)
