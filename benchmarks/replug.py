"""Camera, tracker and both are unplugged from a run and plugged in again, ten times each."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.common import TESTS, Floor, conclude, parser, show, workshop
from emer_edge.bundle import load_bundle
from emer_edge.report.table import Cell, Column

sys.path[:0] = [str(TESTS), str(TESTS / "runtime")]  # the tests' rig and its judge

WAYS = (("camera",), ("tracker",), ("camera", "tracker"))


def main() -> int:
    """Run it; return the exit code."""
    from replug_rig import Rig, states, violations

    made = parser("Unplug and plug in a run's camera and tracker; judge every window by what its sensors showed.")
    made.add_argument("--cycles", type=int, default=10, help="of each: camera, tracker, both")
    made.add_argument("--away", type=float, default=2.0, help="seconds without")
    arguments = made.parse_args()
    rows: list[tuple[Cell, ...]] = []
    figures: dict[str, object] = {"away_s": arguments.away}
    wrong, silent, unmarked, lost = [], 0, 0, 0
    with workshop(arguments.work) as shop, tempfile.TemporaryDirectory() as folder:
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        for way in WAYS:
            outcome = Rig(bundle, Path(folder)).run([way] * arguments.cycles, arguments.away, 1.0)
            wrong += violations(outcome, bundle.manifest.window.length_ns)
            silent += sum(_sentences(cycle.said) != 2 * len(way) for cycle in outcome.cycles)
            unmarked += sum(cycle.marked_ns is None for cycle in outcome.cycles)
            lost += sum(cycle.ok_ns is None for cycle in outcome.cycles)
            for number, cycle in enumerate(outcome.cycles, 1):
                marked_s = _seconds(cycle.pulled_ns, cycle.marked_ns)
                rows.append((" and ".join(way), number, marked_s, _seconds(cycle.plugged_ns, cycle.ok_ns)))
            figures["+".join(way)] = {
                "states": dict(states(outcome)),
                "windows": len(outcome.results),
                "cycles": [asdict(cycle) for cycle in outcome.cycles],
            }
    show(
        "Unplugged and plugged in again",
        (
            Column("what"),
            Column("cycle"),
            Column("first window marked after", "s", 2),
            Column("next emotion after", "s", 2),
        ),
        rows,
        f"Away for {arguments.away:g} s each time. Marked: since unplugging. Emotion: since plugging in.",
    )
    figures["violations"] = wrong
    for sentence in wrong[:10]:
        print(sentence)
    floors = [
        Floor("windows with evidence that no sensor showed then", len(wrong), 1, at_least=False),
        Floor("cycles in which loss or return was not reported once", silent, 1, at_least=False),
        Floor("cycles without a marked window", unmarked, 1, at_least=False),
        Floor("cycles without a recovery", lost, 1, at_least=False),
    ]
    return conclude("replug", floors, figures)


def _seconds(from_ns: int, to_ns: int | None) -> float | None:
    return None if to_ns is None else (to_ns - from_ns) * 1e-9


def _sentences(said: list[str]) -> int:
    return sum(line.startswith("lost the ") or " is back after " in line for line in said)


if __name__ == "__main__":
    sys.exit(main())
