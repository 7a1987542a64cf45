"""The pipeline at real pace: the threads of each stream, and one thread that takes the steps of all of them.

    camera -> frames -> face thread -> looks -> step
    tracker -> samples ----------------------> step

Every arrow between threads is a ring (`emer_edge.runtime.ring`); the step reads a live tracker's own, and sleeps until
it is due, or a tenth of a second. Where faces take longer to find than frames to come, the face thread skips frames and
continues with the newest. The step for T runs at T + D of the monotonic clock on what had arrived by then; a step that
is late by a hop or more is skipped and counted, never queued. The lattices of several people are staggered, so that
their steps don't wait for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from time import sleep
from typing import Final

from emer_edge.core.results import Result
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.pipeline.core import Stepper, no_result
from emer_edge.runtime.pipeline.intake import Intake
from emer_edge.runtime.ring import Bell, Clock, Ring
from emer_edge.runtime.say import Say

_STEPS: Final = 16  # whose results wait for their reader
_NAP_S: Final = 0.25  # so that a stop asked for by a signal handler, which may not ring, is seen
_BETWEEN_S: Final = 0.01  # between two questions whether files are open again
_LEAD_NS: Final = 5_000_000  # before a step is due, what waits is worked off: the step is left with little


class LiveRunner:
    """Runs intakes until their files have ended, a source fails, or `stop` is called.

    Of several streams one that fails does not end the run: its results are `stale`, and say why.

    Args:
        stepper: takes the steps.
        intakes: one for each stream, which share the lattice; their sources are closed by `close`.
        bell: that the intakes ring.
        say: reports what is stuck or has failed.
        clock: host time.

    Attributes:
        stuck_steps: how often a step has not come back for `stuck_ns`.
        stuck_ns: after this long a step is reported as stuck.
        join_s: how long `close` waits for the threads.
    """

    stuck_ns = 5 * NANOSECONDS
    join_s = 6.0  # longer than a capture process may take to end its programs

    def __init__(
        self, stepper: Stepper, intakes: Sequence[Intake], bell: Bell, say: Say, *, clock: Clock = monotonic_ns
    ) -> None:
        self._stepper, self._intakes, self._bell, self._say = stepper, tuple(intakes), bell, say
        self._clock = clock
        self._results: Ring[list[Result]] = Ring(_STEPS)
        self._failure: BaseException | None = None
        self._reported: set[int] = set()
        self._finished = self._stopping = self._stuck = False
        self._came_round_ns = 0
        self.stuck_steps = 0
        self._stepping: list[threading.Thread] = []

    def start(self, origin_ns: int) -> None:
        """Start the lattice and the threads."""
        self._came_round_ns = self._clock()
        hop_ns = self._intakes[0].core.evidence.spec.hop_ns
        for number, intake in enumerate(self._intakes):
            intake.start(origin_ns + number * hop_ns // len(self._intakes))
        steps = threading.Thread(target=self._run, name="emer-edge steps", daemon=True)
        self._stepping = [steps]
        steps.start()

    @property
    def threads(self) -> list[threading.Thread]:
        """All threads of the run."""
        return [*self._stepping, *(thread for intake in self._intakes for thread in intake.threads)]

    def results(self) -> Iterator[Result]:
        """Results as they come; ends with the run, raising what a source failed with."""
        while True:
            finished = self._finished  # read before the ring: what came before the end must not be missed
            results = self._results.take(_NAP_S)
            if results is not None:
                yield from results
            elif finished:
                break
            else:
                self._watch_steps()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stopping = True
        for intake in self._intakes:
            intake.stop()

    def close(self) -> bool:
        """Stop, close the sources, and wait some seconds for the threads; return whether all have ended."""
        self.stop()
        closers = [
            threading.Thread(target=close, name=f"emer-edge closing the {source}", daemon=True)
            for intake in self._intakes
            for source, close in intake.closers().items()
        ]
        for closer in closers:
            closer.start()
        ended = True
        deadline_ns = monotonic_ns() + round(self.join_s * NANOSECONDS)
        for thread in (*closers, *self.threads):
            if thread is threading.current_thread():
                continue
            thread.join(max(0.0, (deadline_ns - monotonic_ns()) / NANOSECONDS))
            if thread.is_alive():
                ended = False
                self._say(f"the thread {thread.name!r} has not ended within {self.join_s:g} s; it is left behind")
        return ended

    def _run(self) -> None:
        try:
            self._steps()
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self._failure = error
        finally:
            self._finished = True

    def _steps(self) -> None:
        evidence = self._intakes[0].core.evidence
        hop_ns, allowance_ns = evidence.spec.hop_ns, evidence.allowance_ns
        ends_ns = {intake: intake.core.evidence.origin_ns + hop_ns for intake in self._intakes}
        stepped = False
        while not self._stopping:
            self._came_round_ns = self._clock()
            for intake in self._intakes:
                if (origin_ns := intake.started_over(ends_ns[intake])) is not None:
                    ends_ns[intake] = origin_ns + hop_ns
            intakes = [intake for intake in self._intakes if not intake.over(ends_ns[intake])]
            if self._over(intakes):
                if not stepped and not self._stopping:
                    raise no_result((one.frames, one.samples) for one in self._intakes)
                return
            if not intakes:  # all are between two passes of their files
                sleep(_BETWEEN_S)
                continue
            end_ns = min(ends_ns[intake] for intake in intakes)
            due_ns = end_ns + allowance_ns
            for intake in intakes:
                intake.accept(due_ns)
            now_ns = self._clock()
            if now_ns < due_ns:
                left_ns = due_ns - now_ns
                with self._bell:
                    wait_ns = left_ns - _LEAD_NS if left_ns > _LEAD_NS else left_ns
                    self._bell.wait(min(wait_ns / NANOSECONDS, _NAP_S))
                continue
            late = (now_ns - due_ns) // hop_ns
            if late:
                end_ns, due_ns = end_ns + late * hop_ns, due_ns + late * hop_ns
            stepping = [intake for intake in intakes if ends_ns[intake] + late * hop_ns == end_ns]
            for intake in stepping:
                intake.accept(due_ns)
                intake.before_step(late)
                ends_ns[intake] = end_ns + hop_ns
            self._results.put(self._stepper.step([intake.core for intake in stepping], end_ns, due_ns))
            for intake in stepping:
                intake.core.dropped["results"] = self._results.dropped
            stepped = True

    def _over(self, intakes: Sequence[Intake]) -> bool:
        """Whether nothing is left to step; raise what the last stream failed with."""
        failed = [(intake, intake.failure) for intake in intakes if intake.failure is not None]
        for intake, failure in failed:
            if id(intake) not in self._reported and len(self._intakes) > 1:
                self._reported.add(id(intake))
                intake.say(f"this stream has failed, its results are stale from now on: {failure}")
        if len(failed) < len(intakes) or any(intake.starts_over for intake in self._intakes):
            return False
        if failed:
            raise failed[0][1]
        return True

    def _watch_steps(self) -> None:
        """Report once when the steps do not come round; called by the reader of results."""
        stuck_ns = self._clock() - self._came_round_ns
        if stuck_ns < self.stuck_ns:
            if self._stuck:
                self._say("steps are taken again")
            self._stuck = False
        elif not self._stuck:
            self._stuck = True
            self.stuck_steps += 1
            self._say(f"a step has not ended for {stuck_ns / NANOSECONDS:.1f} s; does the engine hang?")
