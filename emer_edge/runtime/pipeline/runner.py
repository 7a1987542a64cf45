"""The pipeline at real pace: an intake for each stream, one thread that takes the steps of all, and a ring of results.

The step for T runs at T + D of the monotonic clock on what had arrived by then. A step that is late by a hop or more is
skipped and counted, never queued.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Final

from emer_edge.core.results import Result
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.intake import Intake
from emer_edge.runtime.ring import Bell, Ring
from emer_edge.runtime.say import Say

_STEPS: Final = 16  # whose results wait for their reader
_NAP_S: Final = 0.1  # so that a stop asked for by a signal handler, which may not ring, is seen
_JOIN_S: Final = 3.0
_STUCK_NS: Final = 5 * NANOSECONDS


class LiveRunner:
    """Runs intakes until their files have ended, a source fails, or `stop` is called.

    Of several streams one that fails does not end the run: its results are `stale`, and say why.

    Args:
        stepper: takes the steps.
        intakes: one for each stream, which share the lattice; their sources are closed by `close`.
        bell: that the intakes ring.
        say: told in a sentence what is stuck or has failed.

    Attributes:
        stuck_steps: how often a step has not come back for 5 s.
    """

    def __init__(self, stepper: Stepper, intakes: Sequence[Intake], bell: Bell, say: Say) -> None:
        self._stepper, self._intakes, self._bell, self._say = stepper, tuple(intakes), bell, say
        self._results: Ring[list[Result]] = Ring(_STEPS)
        self._failure: BaseException | None = None
        self._told: set[int] = set()
        self._finished = False
        self._stopping = False
        self._came_round_ns = 0
        self._stuck = False
        self.stuck_steps = 0
        self._threads: list[threading.Thread] = []

    def start(self, origin_ns: int) -> None:
        """Start the lattice and the threads."""
        self._came_round_ns = monotonic_ns()
        for intake in self._intakes:
            intake.start(origin_ns)
        thread = threading.Thread(target=self._run, args=(origin_ns,), name="emer-edge steps", daemon=True)
        self._threads = [thread, *(each for intake in self._intakes for each in intake.threads)]
        thread.start()

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
        deadline_ns = monotonic_ns() + round(_JOIN_S * NANOSECONDS)
        for each in (*closers, *self._threads):
            if each is threading.current_thread():
                continue
            each.join(max(0.0, (deadline_ns - monotonic_ns()) / NANOSECONDS))
            if each.is_alive():
                ended = False
                self._say(f"the thread {each.name!r} has not ended within {_JOIN_S:g} s; it is left behind")
        return ended

    def _run(self, origin_ns: int) -> None:
        try:
            self._steps(origin_ns)
        except BaseException as error:  # must reach the reader of results, not die with the thread
            self._failure = error
        finally:
            self._finished = True

    def _steps(self, origin_ns: int) -> None:
        evidence = self._intakes[0].core.evidence
        hop_ns, allowance_ns = evidence.spec.hop_ns, evidence.allowance_ns
        end_ns = origin_ns + hop_ns
        while not self._stopping:
            self._came_round_ns = monotonic_ns()
            intakes = [each for each in self._intakes if not each.over(end_ns)]
            if self._over(intakes):
                return
            due_ns = end_ns + allowance_ns
            for intake in intakes:
                intake.accept(due_ns)
            now_ns = monotonic_ns()
            if now_ns < due_ns:
                with self._bell:
                    self._bell.wait(min((due_ns - now_ns) / NANOSECONDS, _NAP_S))
                continue
            late = (now_ns - due_ns) // hop_ns
            if late:
                end_ns, due_ns = end_ns + late * hop_ns, due_ns + late * hop_ns
                for intake in intakes:
                    intake.accept(due_ns)
            for intake in intakes:
                intake.before_step(late)
            self._publish(intakes, self._stepper.step([each.core for each in intakes], end_ns, due_ns))
            end_ns += hop_ns

    def _over(self, intakes: Sequence[Intake]) -> bool:
        """Whether nothing is left to step; raise what the last stream failed with."""
        going = [each for each in intakes if each.failure is None]
        for each in intakes:
            if each.failure is not None and id(each) not in self._told and len(self._intakes) > 1:
                self._told.add(id(each))
                each.say(f"this stream has failed, its results are stale from now on: {each.failure}")
        if not going:
            failures = [each.failure for each in intakes if each.failure is not None]
            if failures:
                raise failures[0]
            return True
        return False

    def _publish(self, intakes: Sequence[Intake], results: list[Result]) -> None:
        self._results.put(results)
        for intake in intakes:
            intake.core.dropped["results"] = self._results.dropped

    def _watch_steps(self) -> None:
        """Say once when the steps do not come round; called by the reader of results."""
        stuck_ns = monotonic_ns() - self._came_round_ns
        if stuck_ns < _STUCK_NS:
            if self._stuck:
                self._say("steps are taken again")
            self._stuck = False
        elif not self._stuck:
            self._stuck = True
            self.stuck_steps += 1
            self._say(f"a step has not ended for {stuck_ns / NANOSECONDS:.1f} s; does the engine hang?")
