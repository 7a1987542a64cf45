"""A report on a set of EMER's size: 121 participants, 1,331 synthetic clips, five folds, three precisions.

Synthesises the set, trains a network a fold (frozen backbone), exports each in FP32, FP16 and INT8, and has
`emer-edge bench` score every network on the fold it has never seen. Steps that are done are found in `--work` and not
done again, so an interrupted run goes on where it was; the time that each step took is kept there, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

from benchmarks.common import RESULTS, Floor, Workshop, conclude, console, parser

PARTICIPANTS, CLIPS = 121, 11
FOLDS = (1, 2, 3, 4, 5)
PRECISIONS = ("fp32", "fp16", "int8")
LONGEST_H = 2.0
REPORT = RESULTS / "full-size"


class Ledger:
    """Seconds that each step took, kept beside what it made; only steps that made something are entered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    def timed(self, step: str, made: Path, make: Callable[[], Path]) -> Path:
        """What `make` makes at `made`, timed if it was not there."""
        if made.exists():
            return made
        began = monotonic()
        path = make()
        self.enter(step, monotonic() - began)
        return path

    def enter(self, step: str, seconds: float) -> None:
        """Enter a step and write the ledger."""
        self.seconds[step] = round(seconds, 1)
        self._path.write_text(json.dumps(self.seconds, indent=2) + "\n")


def main() -> int:
    """Run it; return the exit code."""
    made = parser("The full-size synthetic set: five folds in three precisions, and bench's report on them.")
    made.set_defaults(work=Path("bench-data"))
    made.add_argument("--at-once", type=int, default=2, help="folds trained at the same time, each on one core")
    arguments = made.parse_args()
    folder: Path = arguments.work
    folder.mkdir(parents=True, exist_ok=True)
    shop = Workshop(folder, PARTICIPANTS, CLIPS)
    ledger = Ledger(folder / "seconds.json")
    began = monotonic()
    ledger.timed("synth", folder / "clips", shop.data)

    def fold(number: int) -> list[Path]:
        ledger.timed(f"train {number}", shop.checkpoint_path(number), lambda: shop.checkpoint(number))
        return [
            ledger.timed(
                f"export {number} {precision}",
                shop.bundle_path(precision, number),
                lambda precision=precision: shop.bundle(precision, number),  # type: ignore[misc]
            )
            for precision in PRECISIONS
        ]

    with ThreadPoolExecutor(arguments.at_once) as pool:
        bundles = [each for found in pool.map(fold, FOLDS) for each in found]
    console.print(f"all folds after {(monotonic() - began) / 60:.1f} minutes", highlight=False)
    bench_began = monotonic()
    command = [sys.executable, "-m", "emer_edge", "bench", *map(str, sorted(bundles))]
    command += ["--data", str(shop.data()), "--probes", "all", "--output", str(REPORT), "--force"]
    if subprocess.run(command, check=False).returncode != 0:
        return 1
    ledger.enter("bench", monotonic() - bench_began)
    cores = arguments.at_once
    # Steps found done were timed when they were made; folds run `at_once` side by side.
    hours = sum(each / (cores if step not in ("synth", "bench") else 1) for step, each in ledger.seconds.items()) / 3600
    floors = [Floor("hours for everything", hours, LONGEST_H, at_least=False, unit=" h")]
    figures = {
        "participants": PARTICIPANTS,
        "clips": PARTICIPANTS * CLIPS,
        "seconds": ledger.seconds,
        "folds_at_once": cores,
        "report": str(REPORT.relative_to(RESULTS.parent)),
        "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    return conclude("full_size", floors, figures)


if __name__ == "__main__":
    sys.exit(main())
