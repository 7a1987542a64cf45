"""A report on a set of EMER's size: 121 participants, 1,331 synthetic clips, five folds, two precisions.

With `--data ROOT` (`make bench-data DATA=ROOT`) the same on EMER itself, or on any data set with five folds; the
backbone is trained too where there is a GPU. What is left then is one file to send back, `send-back.json` in the work
folder: figures and counts, looked through for names, paths and clips (`benchmarks.send_back`).

Synthesises the set, trains one network per fold (frozen backbone), exports each in FP32 and INT8 (a bundle in FP16
computes in FP32 on a CPU), and has `emer-edge bench` score every network on the fold it has never seen, in two reports:
all ten bundles beside each other, and the five in INT8 with degraded inputs (robustness). Finished steps and the cost
of each (`spent.json`) are kept in `--work`, so an interrupted run continues.
"""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import emer_edge
from benchmarks.common import RESULTS, Floor, Spent, Workshop, conclude, console, parser, run_measured
from benchmarks.send_back import CONTENTS, document, refuse_names, write
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.data.dataset import EmerDataset

PARTICIPANTS, CLIPS = 121, 11
FOLDS = (1, 2, 3, 4, 5)
PRECISIONS = ("fp32", "int8")
LONGEST_H = 2.0
CORES = 2
REPORTS = "full-size"
# Ten networks of one architecture need no long timing each; `emer-edge bench` alone times more.
TIMING = ("--repeats", "50", "--min-seconds", "2", "--stream-seconds", "10", "--starts", "1", "--streams", "")
UNTIMED = (
    "--repeats=1",
    "--warmup=1",
    "--min-seconds=0",
    "--min-queries=0",
    "--stream-seconds=0",
    "--starts=0",
    "--streams=",
)


class Ledger:
    """The cost of each step, kept in the work folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.spent: dict[str, Spent] = {}
        if path.exists():
            self.spent = {name: Spent(**load) for name, load in json.loads(path.read_text()).items()}

    def enter(self, spent: dict[str, Spent]) -> None:
        """Enter steps and write the ledger."""
        self.spent |= spent
        self._path.write_text(json.dumps({name: asdict(spent) for name, spent in self.spent.items()}, indent=2) + "\n")


def main() -> int:
    """Run it; return the exit code."""
    made = parser("The full-size synthetic set: five folds in two precisions, and bench's reports on them.")
    made.set_defaults(work=Path("bench-data"))
    made.add_argument("--at-once", type=int, default=CORES, help="folds made at the same time, each on one core")
    made.add_argument("--data", type=Path, help="root of EMER, or of another data set; a synthetic one by default")
    arguments = made.parse_args()
    given: Path | None = arguments.data
    dataset = None if given is None else EmerDataset.open(given)  # refused now, not after hours
    folder: Path = arguments.work
    folder.mkdir(parents=True, exist_ok=True)
    made_of, known = folder / "made-of", "synthetic" if dataset is None else dataset.fingerprint
    if made_of.exists() and made_of.read_text() != known:
        sys.exit(f"{folder} holds networks of another data set: remove it, or name another folder with --work")
    made_of.write_text(known)
    training = ("--frozen-backbone",) if given is None or not _has_gpu() else ()
    shop = Workshop(folder, PARTICIPANTS, CLIPS, given=given, training=training)
    ledger = Ledger(folder / "spent.json")
    shop.data()

    def make_fold(fold: int) -> None:
        shop.checkpoint(fold)
        ledger.enter(dict(shop.spent))
        for precision in PRECISIONS:
            shop.bundle(precision, fold)
            ledger.enter(dict(shop.spent))

    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(make_fold, FOLDS))

    def report(name: str, precisions: tuple[str, ...], *choices: str) -> None:
        bundles = [str(shop.bundle_path(precision, fold)) for precision in precisions for fold in FOLDS]
        output = str(folder / REPORTS / name)
        given = ("--data", str(shop.data()), "--workers", str(arguments.at_once), "--output", output)
        console.print(f"measuring for {REPORTS}/{name}", highlight=False)
        code, cost = run_measured([sys.executable, "-m", "emer_edge", "bench", *bundles, *given, "--force", *choices])
        if code != 0:
            sys.exit(f"emer-edge bench ended with code {code}")
        ledger.enter({f"report {name}": cost})

    report("protocols", PRECISIONS, "--probes", "ablations,films", *TIMING)
    report("robustness", ("int8",), "--probes", "robustness", *UNTIMED)
    if dataset is not None:
        return send_back(folder, dataset, training)
    by_clock = sum(spent.wall_s for spent in ledger.spent.values())
    by_cpu = sum(spent.cpu_s for spent in ledger.spent.values())
    console.print(f"{by_clock / 60:.0f} minutes of wall-clock time in all steps; {by_cpu / 60:.0f} of CPU time")
    floors = [Floor("CPU time over two cores", by_cpu / CORES / 3600, LONGEST_H, at_least=False, unit=" h")]
    figures = {
        "participants": PARTICIPANTS,
        "clips": PARTICIPANTS * CLIPS,
        "folds_at_once": arguments.at_once,
        "not_timed": sorted(
            {path.name for path in folder.iterdir()} - {"spent.json", "made-of", REPORTS} - set(ledger.spent)
        ),
        "spent": {name: asdict(spent) for name, spent in sorted(ledger.spent.items())},
    }
    return conclude("full_size", floors, figures, beside=lambda: publish(folder / REPORTS))


def send_back(folder: Path, dataset: EmerDataset, training: tuple[str, ...]) -> int:
    """Write the one file that may leave, and say what is in it; return the exit code."""
    reports = [
        BenchReport.from_json((folder / REPORTS / name / "report.json").read_bytes())
        for name in ("protocols", "robustness")
    ]
    about = {
        "what": "five folds of emer-edge bench, figures alone",
        "emer-edge": emer_edge.__version__,
        "training": " ".join(training) or "all weights",
    }
    made = document(about, *reports)
    names = {clip.name for clip in dataset.clips} | {each.name for each in dataset.skipped}
    searched = refuse_names(made, dataset.root, {clip.participant for clip in dataset.clips}, names)
    path = folder / "send-back.json"
    write(path, made)
    console.print(f"wrote {path}, the one file to send back. It holds:", highlight=False)
    for name, holds in CONTENTS.items():
        console.print(f"  {name}: {holds}", highlight=False, soft_wrap=True)
    console.print(f"and none of {searched} names of clips, participants, folders, user and machine", highlight=False)
    return 0


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def publish(reports: Path) -> None:
    """Put the reports among the results."""
    shutil.rmtree(RESULTS / REPORTS, ignore_errors=True)
    shutil.copytree(reports, RESULTS / REPORTS)


if __name__ == "__main__":
    sys.exit(main())
