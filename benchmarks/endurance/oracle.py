"""Which states a result may have, derived only from the times of the faults.

For each source two courses are followed: the hopeful one, in which evidence goes on for 0.2 s after a device has failed
and is back the moment that it works again, and the sad one, in which it stops at once and comes back as late as the
pauses between the run's tries allow. Counting covered slots and silence in both bounds what a window may hold, and with
the window's floors (6 of 8 face slots, 24 of 32 eye slots), the second of silence and the order of states that gives
the states a result may have. Away from a fault's edges that is one state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.endurance.faults import EFFECTS, Fault
from emer_edge.core.results import State
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS, NANOSECONDS, WindowSpec

__all__ = ["Course", "Oracle", "away_ns", "courses", "holes"]

_EDGE_NS: Final = 200_000_000  # from a device's failing to its last item, and other ways of an item
_SILENCE_NS: Final = NANOSECONDS
_FOREVER_NS: Final = 1 << 62

Span = tuple[int, int]


@dataclass(frozen=True)
class Course:
    """When a source gave nothing, spans of host time in order.

    Attributes:
        blind_surely, blind_maybe: no usable evidence can have come, or it may have been missing.
        silent_surely, silent_maybe: the same of items of any kind.
    """

    blind_surely: tuple[Span, ...]
    blind_maybe: tuple[Span, ...]
    silent_surely: tuple[Span, ...]
    silent_maybe: tuple[Span, ...]


def courses(faults: Iterable[Fault], stalls: Iterable[Span] = ()) -> dict[str, Course]:
    """Follow both sources through their faults; in a stall of the machine both may have been away."""
    spans_of: dict[str, list[list[Span]]] = {source: [[], [], [], []] for source in ("camera", "tracker")}
    for fault in faults:
        if fault.kind not in EFFECTS:
            continue
        effect = EFFECTS[fault.kind]
        to_ns = _FOREVER_NS if fault.to_ns is None else fault.to_ns
        back_ns = to_ns + round(effect.recovery_s((to_ns - fault.from_ns) / NANOSECONDS) * NANOSECONDS)
        blind_surely, blind_maybe, silent_surely, silent_maybe = spans_of[effect.source]
        blind_surely.append((fault.from_ns + _EDGE_NS, to_ns))
        blind_maybe.append((fault.from_ns - _EDGE_NS, back_ns))
        if effect.silent_after_s is not None:
            after_ns = round(effect.silent_after_s * NANOSECONDS)
            late_ns = 3 * _EDGE_NS if after_ns else _EDGE_NS
            silent_surely.append((fault.from_ns + after_ns + late_ns, to_ns))
            silent_maybe.append((fault.from_ns + after_ns - _EDGE_NS, back_ns))
    for stall in stalls:
        for times in spans_of.values():
            times[1].append((stall[0] - _EDGE_NS, stall[1] + 2 * _EDGE_NS))
            times[3].append((stall[0] - _EDGE_NS, stall[1] + 2 * _EDGE_NS))
    return {source: Course(*(_merged(span) for span in spans)) for source, spans in spans_of.items()}


class Oracle:
    """Judges results.

    Args:
        spec: the bundle's window.
        allowance_ns: the step for T runs at T + this.
        origin_ns: start of the lattice.
    """

    def __init__(self, spec: WindowSpec, allowance_ns: int, origin_ns: int) -> None:
        self._spec, self._allowance_ns, self.origin_ns = spec, allowance_ns, origin_ns

    def allowed(self, end_ns: int, course: dict[str, Course]) -> set[State]:
        """The states that the window ending at `end_ns` may have."""
        silences = [_silence_ns(times, end_ns + self._allowance_ns) for times in course.values()]
        if any(surely > _SILENCE_NS + _EDGE_NS for surely, _ in silences):
            return {State.STALE}
        states = {State.STALE} if any(maybe > _SILENCE_NS - _EDGE_NS for _, maybe in silences) else set()
        if end_ns < self.origin_ns + self._spec.length_ns:
            return states | {State.FILLING}
        face_low, face_high = self.face_slots(end_ns, course["camera"])
        eye_low, eye_high = self.eye_slots(end_ns, course["tracker"])
        floors = self._spec.min_face_slots, self._spec.min_eye_slots
        if face_low < floors[0]:
            states.add(State.NO_FACE)
        if face_high >= floors[0]:
            if eye_low < floors[1]:
                states.add(State.NO_GAZE)
            if eye_high >= floors[1]:
                states.add(State.OK)
        return states

    def face_slots(self, end_ns: int, course: Course) -> tuple[int, int]:
        """Fewest and most covered face slots: a slot with one whole hop of evidence is covered."""
        hop_ns, low, high = self._spec.hop_ns, 0, 0
        for first_ns, last_ns in self._slots(end_ns, FACE_SLOTS):
            hops = range(first_ns, last_ns, hop_ns)
            low += any(not _touched(course.blind_maybe, at, at + hop_ns) for at in hops)
            high += not _within(course.blind_surely, first_ns, last_ns)
        return low, high

    def eye_slots(self, end_ns: int, course: Course) -> tuple[int, int]:
        """Fewest and most covered eye slots."""
        low = high = 0
        for first_ns, last_ns in self._slots(end_ns, EYE_SLOTS):
            low += not _touched(course.blind_maybe, first_ns, last_ns)
            high += not _within(course.blind_surely, first_ns, last_ns)
        return low, high

    def objections(self, result: dict[str, Any], faults: Sequence[Fault], stalls: Sequence[Span] = ()) -> list[str]:
        """Objections to a result, as sentences; empty where it is right.

        Args:
            result: as `Result.to_dict` has it.
            faults: all of the run so far.
            stalls: of the machine that plays the devices.
        """
        end_ns, state = result["end_ns"], State(result["state"])
        since_ns = end_ns - self._spec.length_ns - 60 * NANOSECONDS
        near = [
            fault for fault in faults if fault.from_ns < end_ns + NANOSECONDS and (fault.to_ns or end_ns) > since_ns
        ]
        course = courses(near, [stall for stall in stalls if stall[1] > since_ns])
        objections = []
        allowed = self.allowed(end_ns, course)
        if state not in allowed:
            objections.append(f"is {state.value}, may be {' or '.join(sorted(state.value for state in allowed))}")
        if (state is State.OK) != bool(result["heads"]):
            objections.append(f"is {state.value} with {len(result['heads'])} heads")
        for source, age in (("camera", "face_age_ms"), ("tracker", "sample_age_ms")):
            since = away_ns(course[source].blind_surely, end_ns)
            if result[age] is not None and result[age] * 1e6 < since:
                objections.append(
                    f"has {age} {result[age]:.0f}, but the {source} has shown nothing for {since * 1e-6:.0f}"
                )
        if state is State.STALE:
            due_ns = end_ns + self._allowance_ns
            for source in course:
                reported = any(f"nothing from the {source}" in note for note in result["notes"])
                if reported and _silence_ns(course[source], due_ns)[1] <= _SILENCE_NS - _EDGE_NS:
                    objections.append(f"says that the {source} is silent, which it was not")
        at = f"window {(end_ns - self.origin_ns) / NANOSECONDS:.1f} s"
        return [f"{at} {text}{self._told(near, end_ns)}" for text in objections]

    def _slots(self, end_ns: int, count: int) -> list[Span]:
        slot_ns = self._spec.length_ns // count
        return [(end_ns - (at + 1) * slot_ns, end_ns - at * slot_ns) for at in range(count)]

    def _told(self, faults: Sequence[Fault], end_ns: int) -> str:
        def seconds(time_ns: int) -> str:
            return f"{(time_ns - self.origin_ns) / NANOSECONDS:.1f}"

        shown = [
            f"{fault.kind} {seconds(fault.from_ns)} to {'now' if fault.to_ns is None else seconds(fault.to_ns)} s"
            for fault in faults
            if fault.from_ns < end_ns
        ]
        return f" ({', '.join(shown[-3:])})" if shown else ""


def holes(ends_ns: Sequence[int], hop_ns: int) -> int:
    """How many hops between the first and the last window have no result."""
    return 0 if len(ends_ns) < 2 else (ends_ns[-1] - ends_ns[0]) // hop_ns - (len(ends_ns) - 1)


def away_ns(spans: Sequence[Span], at_ns: int) -> int:
    """How long a span has lasted at a time, 0 outside of all."""
    return next((at_ns - low for low, high in spans if low <= at_ns <= high), 0)


def _silence_ns(course: Course, due_ns: int) -> tuple[int, int]:
    """How long a source has been silent at a time, for sure and perhaps."""
    return away_ns(course.silent_surely, due_ns), away_ns(course.silent_maybe, due_ns)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for low, high in sorted(span for span in spans if span[1] > span[0]):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def _touched(spans: Sequence[Span], first_ns: int, last_ns: int) -> bool:
    return any(low < last_ns and first_ns < high for low, high in spans)


def _within(spans: Sequence[Span], first_ns: int, last_ns: int) -> bool:
    return any(low <= first_ns and last_ns <= high for low, high in spans)
