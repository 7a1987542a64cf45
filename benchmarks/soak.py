"""An hour of a live run whose sensors and outputs fail at random: memory, threads, latency, every result's state."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic_ns

from benchmarks.common import RESULTS, conclude, console, parser, workshop
from benchmarks.endurance.figures import percentiles
from benchmarks.endurance.journal import Journal, read_journal
from benchmarks.endurance.soak_run import Soak
from benchmarks.endurance.soak_verdicts import Judged, judge, plot
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.report import write_whole


def main() -> int:
    """Run it; return the exit code."""
    made = parser(
        "Run for an hour with a camera, a tracker and outputs that fail at random; judge memory, threads, latency and "
        "every result's state. Observations go to a journal beside the result at once."
    )
    made.add_argument("--minutes", type=float, default=60.0, help="how long, from the first result on")
    made.add_argument("--seed", type=int, default=0, help="of the faults")
    made.add_argument("--output", type=Path, default=RESULTS / "soak.json", help="result; beside it .svg and .jsonl")
    made.add_argument("--nice", type=int, help="niceness of this script and all it starts; below 0 needs root")
    made.add_argument(
        "--judge", type=Path, metavar="JSONL", help="judge the journal of a run, also of one that was cut off"
    )
    arguments = made.parse_args()
    if arguments.judge:
        return verdict(arguments.judge, arguments.output)
    if arguments.nice is not None:
        os.setpriority(os.PRIO_PROCESS, 0, arguments.nice)
    journal = Journal(arguments.output.with_suffix(".jsonl"))
    with (
        ending_on_signals(),
        workshop(arguments.work) as shop,
        tempfile.TemporaryDirectory(prefix="emer-edge-soak-") as folder,
    ):
        soaked(arguments, load_bundle(arguments.bundle or shop.bundle("int8")), Path(folder), journal)
    return verdict(journal.path, arguments.output)


def soaked(arguments: argparse.Namespace, bundle: Bundle, folder: Path, journal: Journal) -> None:
    """Run it, and print its state once a minute; an early end is left to the verdict."""
    seen = 0

    def minute() -> None:
        nonlocal seen
        run = Judged(list(journal.entries))
        objections = run.violations(seen)
        results, seen = run.results[seen:], len(run.results)
        totals = percentiles([result["total_ms"] for result in results])
        sample = run.samples[-1]
        states = ", ".join(f"{count} {name}" for name, count in Counter(result["state"] for result in results).items())
        console.print(
            f"{run.seconds(monotonic_ns()) / 60:5.1f} min  RSS {sample['rss_mb']:.1f} MB  {sample['threads']} threads  "
            f"{sample['fds']} fds  p50 {totals.get('p50', 0):.2f} ms  p99 {totals.get('p99', 0):.2f} ms  {states}",
            highlight=False,
            soft_wrap=True,
        )
        for objection in objections:
            console.print(f"  not explained: {objection}", highlight=False, soft_wrap=True, markup=False)

    console.print(f"soaking {bundle.path} for {arguments.minutes:g} min; the journal is {journal.path}", soft_wrap=True)
    try:
        Soak(bundle, arguments.minutes * 60, arguments.seed, folder, journal, minute).run()
    except KeyboardInterrupt:
        console.print("broken off; judging what there is")
    except Exception:  # whatever it is, an hour's figures must not go with it
        console.print_exception()
    finally:
        journal.close()


def verdict(journal: Path, output: Path) -> int:
    """Judge a journal, write result and plot, and return the exit code."""
    entries = read_journal(journal)
    shares = [entry["others_share"] for entry in entries if "others_share" in entry]  # since the start, each of them
    if not shares:
        sys.exit(f"{journal} holds no run with a record of what other programs used")
    floors, figures = judge(entries)
    for figure in figures["violations"]:
        console.print(f"not explained: {figure}", highlight=False, soft_wrap=True, markup=False)
    return conclude(
        "soak",
        floors,
        figures,
        output,
        others_share=shares[-1],
        beside=lambda: write_whole(output.with_suffix(".svg"), plot(entries)),
    )


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Have SIGTERM end the run as Ctrl-C does."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
