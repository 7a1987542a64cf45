"""The step of a bundle against the published way and against whole windows in other engines, one and two threads.

All take the same windows and start from the same checkpoint; each lives in a process of its own and they take turns.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, Floor, Workshop, conclude, console, show, workshop
from benchmarks.peers.candidates import CANDIDATES, PUBLISHED, STEP
from benchmarks.peers.contest import RUNS, Contest, held, prepared
from benchmarks.peers.material import Material, gather, versions
from benchmarks.peers.verdict import RIGHT, Agreement, agreements
from emer_edge.metrics.latency import summarise
from emer_edge.report import write_whole
from emer_edge.report.bars import Bar, bars
from emer_edge.report.table import Cell, Column, Estimate

OVER_PUBLISHED = 20.0
OVER_PEERS = 4.0
_PARTICIPANTS, _SEED = 30, 7
_SHOWN = (
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "first_p50_ms",
    "cpu_p50_ms",
    "times_published",
    "times_of_step",
    "times_of_step_cpu",
)


def main() -> int:
    """Run it; return the exit code."""
    arguments = _arguments()
    with workshop(arguments.work) as shop:
        material = _material(shop, arguments)
        chosen = [
            candidate
            for candidate in CANDIDATES
            if candidate.name in (*arguments.only, PUBLISHED, STEP) or not arguments.only
        ]
        left_out = prepared(chosen, material)
        contests: dict[int, Contest] = {}
        for threads in arguments.threads:
            able = [candidate for candidate in chosen if candidate.name not in left_out]
            contests[threads] = held(able, material, threads, arguments.rounds)
            left_out |= contests[threads].left_out
        agreed = agreements(material, contests[arguments.threads[0]].durations_ns, PUBLISHED)
        name = material.bundle.manifest.name
    for candidate, why in left_out.items():
        console.print(f"left out: {candidate}: {why}", highlight=False, soft_wrap=True)
    figures = {threads: _figures(contest) for threads, contest in contests.items()}
    for threads, figures_of in figures.items():
        _show(threads, figures_of, agreed)
    _show_agreement(agreed)
    floors = _floors(figures, agreed)
    return conclude(
        "peers",
        floors,
        {
            "threads": {str(threads): figure for threads, figure in figures.items()},
            "agreement": {candidate: agreed[candidate].to_dict() for candidate in agreed},
            "left_out": left_out,
            "titles": {candidate.name: candidate.title for candidate in CANDIDATES},
            "rounds": arguments.rounds,
            "runs_per_turn": RUNS,
            "bundle": name,
            "versions": versions(),
        },
        beside=lambda: _plot(figures, agreed),
    )


def _arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    made.add_argument("--bundle", type=Path, help="INT8 bundle of the checkpoint; exported when left out")
    made.add_argument("--checkpoint", type=Path, help="the network; one behind a ResNet-18 when left out")
    made.add_argument("--data", type=Path, help="EMER-layout clips to take windows from; synthesised when left out")
    made.add_argument("--work", type=Path, help="folder for what is built; temporary by default")
    made.add_argument("--rounds", type=int, default=40, help=f"turns of each candidate, {RUNS} runs each")
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads; floors are of 1")
    made.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"some of {', '.join(one.name for one in CANDIDATES)}; {PUBLISHED} and {STEP} always take part",
    )
    arguments = made.parse_args()
    if unknown := sorted(set(arguments.only) - {candidate.name for candidate in CANDIDATES}):
        made.error(f"no candidate is called {', '.join(unknown)}")
    if arguments.rounds < 2:
        made.error("--rounds must be at least 2: ratios are compared between turns")
    if arguments.checkpoint and not (arguments.data or arguments.bundle):
        made.error("a checkpoint of your own needs --bundle, or --data to calibrate one on")
    return arguments


def _material(shop: Workshop, arguments: argparse.Namespace) -> Material:
    clips, exported = shop.folder / "peer-clips", shop.folder / "peer.emer"
    data = arguments.data or shop.make(
        clips, "synth", str(clips), "--participants", str(_PARTICIPANTS), "--seed", str(_SEED)
    )
    bundle = arguments.bundle
    checkpoint = arguments.checkpoint or shop.checkpoint()
    if bundle is None:
        source = ("--checkpoint", str(checkpoint), "--data", str(arguments.data or shop.data()))
        bundle = shop.make(exported, "export", "--precision", "int8", *source, "--output", str(exported))
    return gather(shop.folder / "peers", bundle, checkpoint, data)


def _figures(contest: Contest) -> dict[str, Any]:
    """Candidate -> percentiles of all its runs, the median of its turns' first runs, and how often faster it is."""
    figures_of: dict[str, Any] = {}
    clocks = {name: [[run[0] for run in turn] for turn in turns] for name, turns in contest.durations_ns.items()}
    published = {at: statistics.median(turn) for at, turn in enumerate(clocks[PUBLISHED])}
    for name, turns in clocks.items():
        ratios = sorted(published[at] / statistics.median(turn) for at, turn in enumerate(turns))
        figures_of[name] = {
            **summarise(duration for turn in turns for duration in turn).to_dict(),
            "first_p50_ms": statistics.median(turn[0] for turn in turns) / 1e6,
            "cpu_p50_ms": statistics.median(run[1] for turn in contest.durations_ns[name] for run in turn) / 1e6,
            "over_published": {
                "lowest": ratios[0],
                "quartiles": statistics.quantiles(ratios, n=4, method="inclusive"),
                "highest": ratios[-1],
            },
        }
    for figures in figures_of.values():
        figures["times_published"] = figures_of[PUBLISHED]["p50_ms"] / figures["p50_ms"]
        figures["times_of_step"] = figures["p50_ms"] / figures_of[STEP]["p50_ms"]
        figures["times_of_step_cpu"] = figures["cpu_p50_ms"] / figures_of[STEP]["cpu_p50_ms"]
    return figures_of


def _show(threads: int, figures: dict[str, Any], agreed: dict[str, Agreement]) -> None:
    titles = {candidate.name: candidate.title for candidate in CANDIDATES}
    speed: list[tuple[Cell, ...]] = [
        (
            titles[name] + ("" if agreed[name].right else ", WRONG"),
            *(figure[key] for key in _SHOWN),
            figure["count"],
        )
        for name, figure in figures.items()
    ]
    show(
        f"One window, {_threads(threads)}, in turns of {RUNS} runs, ms",
        (
            Column("Candidate"),
            *(Column(name, "", 2) for name in ("p50", "p90", "p99", "first", "CPU")),
            *(Column(name, "", 1) for name in ("published /", "/ step", "/ step CPU")),
            Column("runs"),
        ),
        speed,
        "first: median of the turns' first runs. published /: how often faster than the published way. / step: how "
        "often slower than the live step. CPU: median processor time, which a busy machine changes little.",
    )


def _show_agreement(agreed: dict[str, Agreement]) -> None:
    titles = {candidate.name: candidate.title for candidate in CANDIDATES}
    show(
        f"Against eager FP32 on {next(iter(agreed.values())).windows} windows, the class head that differs most",
        (
            Column("Candidate"),
            Column("same class", "%", 1),
            Column("of"),
            Column("largest difference of a probability", "", 4),
            Column("of a value", "", 4),
        ),
        [
            (
                titles[name],
                agreement.same_class,
                agreement.head,
                agreement.probability_difference,
                agreement.value_difference,
            )
            for name, agreement in agreed.items()
        ],
        f"Below {RIGHT:g} % a candidate is wrong, and its speed counts for no floor.",
    )


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _plot(figures: dict[int, dict[str, Any]], agreed: dict[str, Agreement]) -> None:
    items = [
        Bar(
            candidate.title + ("" if agreed[candidate.name].right else " (wrong)"),
            Estimate(figures_of[candidate.name]["p50_ms"]),
            _threads(threads),
        )
        for candidate in CANDIDATES
        for threads, figures_of in figures.items()
        if candidate.name in figures_of
    ]
    path = write_whole(RESULTS / "peers.svg", bars("What a result costs", "ms, median", items, digits=1))
    console.print(f"wrote {path}", highlight=False)


def _floors(figures: dict[int, dict[str, Any]], agreed: dict[str, Agreement]) -> list[Floor]:
    floors = []
    if 1 in figures:
        one = figures[1]
        floors.append(
            Floor(
                "step over the published way, one thread", one[STEP]["times_published"], OVER_PUBLISHED, unit=" times"
            )
        )
        peers = [
            candidate.name
            for candidate in CANDIDATES
            if candidate.kind == "peer" and candidate.name in one and agreed[candidate.name].right
        ]
        if peers:
            fastest = min(peers, key=lambda name: one[name]["p50_ms"])
            floors.append(
                Floor(
                    f"step over the fastest whole-window peer that is right ({fastest}), one thread",
                    one[fastest]["times_of_step"],
                    OVER_PEERS,
                    unit=" times",
                )
            )
    floors.append(Floor("windows that outputs were compared on", agreed[STEP].windows, 200))
    floors.append(Floor("the step names the class that eager FP32 names", agreed[STEP].same_class, RIGHT, unit=" %"))
    return floors


if __name__ == "__main__":
    sys.exit(main())
