"""`emer-edge bench`: latency, memory and the seven protocols."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from emer_edge.bench.bench_options import (
    DEFAULT_PROBES,
    MLPERF_SECONDS,
    BenchOptions,
    LatencyOptions,
    Loader,
    ProbeOptions,
    ScoringOptions,
    WorkerOptions,
    probes_named,
)
from emer_edge.cli.console import console, progress_bars, say
from emer_edge.cli.datasets import (
    ClassesOption,
    DataChoices,
    KeepFoldsOption,
    LabelColumnOption,
    SheetRateOption,
    StrictOption,
    ViewOption,
    open_dataset,
)
from emer_edge.cli.shared_options import DataOption, EngineOption, ForceOption, ThreadsOption, panel
from emer_edge.core.errors import ConfigurationError

if TYPE_CHECKING:
    from emer_edge.bench.records.report_records import Comparison

_COMPARE: Final = Path("compare")
_ON_SCREEN = (
    "class_protocols", "value_protocols", "pairs", "gap", "film_decoding", "trackers", "speed", "single_stream",
    "ratios", "streams", "live", "loading",
)  # fmt: skip

_scores, _times, _report = panel("Accuracy, with --data"), panel("Latency"), panel("Report")


def bench(
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Bundles to compare; by default that of `run`.", metavar="[BUNDLE]...")
    ] = None,
    data: DataOption = None,
    fold: Annotated[
        str, _scores("Fold to score, or one for each bundle: 1 or 1,2,3,4,5. Default: the unseen one.")
    ] = "",
    output: Annotated[
        Path | None,
        _report("Folder for report.json, report.html, predictions.csv (with --data) and the tables."),
    ] = None,
    tracker_profile: Annotated[
        str,
        _scores("Also score the clips as a lesser tracker would give them: gazepoint, serial-xy, ... or all."),
    ] = "",
    probes: Annotated[
        list[str] | None,
        _scores(
            "Probes on the clips of --data, several with commas: ablations (no eyes, no face, streams exchanged "
            "between clips; about 0.1 s per clip), films (can the film be decoded from the eyes, how far does it alone "
            "get; seconds), robustness (tracker noise, lost samples, darkness, things before the face: curves; "
            "encodes crops anew, about 1 to 3 s per clip), all, or none.",
            show_default=",".join(DEFAULT_PROBES),
        ),
    ] = None,
    probe_clips: Annotated[
        int, _scores("Clips that robustness is measured on at most, spread over the participants.", min=1)
    ] = ProbeOptions.clips,
    draws: Annotated[
        int,
        _scores(
            "Random draws of windows per clip, one random item of each slot as in training: their mean and SD "
            "stand beside newest-in-slot and live windows.",
            min=1,
        ),
    ] = ScoringOptions.draws,
    loader: Annotated[
        Loader,
        _scores(
            "The draws of the published per-batch reduction: default, or published for windows as "
            "the authors' loader draws them (frames by last digit, gaze apart from eyes, Tobii's own events)."
        ),
    ] = ScoringOptions.loader,
    workers: Annotated[
        str,
        _scores(
            "Processes that score the clips of --data, each with one thread and a bundle of its own in memory: a "
            "number, or auto for one per core. Figures are the same to the last digit."
        ),
    ] = str(WorkerOptions.workers),
    scheduler: Annotated[
        str | None,
        _scores(
            "Score clips on the workers of a Dask cluster (extra `distributed`), tcp://HOST:8786. Bundle and data "
            "must lie under the same paths there; images never travel, gaze and predictions do.",
            metavar="ADDRESS",
        ),
    ] = None,
    seed: Annotated[
        int, _scores("Of every draw; the same seed gives the same figures.", min=0, max=2**32 - 1)
    ] = ScoringOptions.seed,
    repeats: Annotated[int, _times("Timed runs of each part.", min=1)] = LatencyOptions.repeats,
    warmup: Annotated[int, _times("Runs before them.", min=0)] = LatencyOptions.warmup,
    starts: Annotated[
        int, _times("Processes started to time the first result, cold and warm; 0 starts none.", min=0)
    ] = LatencyOptions.starts,
    streams: Annotated[
        str, _times("Numbers of people at once for which a step is timed: 1,2,4,8; empty for none.")
    ] = ",".join(map(str, LatencyOptions.streams)),
    min_seconds: Annotated[
        float, _times("Minimum length of a closed loop by MLPerf's SingleStream rules.", min=0)
    ] = LatencyOptions.min_seconds,
    min_queries: Annotated[
        int,
        _times("Its minimum number of queries: 64 claim a p90, 662 a p99; 0, and 0 seconds, skip it.", min=0),
    ] = LatencyOptions.min_queries,
    mlperf: Annotated[
        bool, _times("At least 600 s per closed loop, as MLPerf requires; two loops per bundle.", "--mlperf")
    ] = False,
    stream_seconds: Annotated[
        float, _times("Length of the live run on simulated sensors; 0 skips it.", min=0)
    ] = LatencyOptions.stream_s,
    against: Annotated[
        Path | None,
        _report("An older report.json: show what changed since, and exit 1 when something got worse or is missing."),
    ] = None,
    max_regression: Annotated[
        float, _report("By how many per cent a figure may be worse than in --against.", min=0.1)
    ] = 100 * BenchOptions.max_regression,
    engine: EngineOption = LatencyOptions.engine,
    threads: ThreadsOption = LatencyOptions.threads,
    view: ViewOption = None,
    classes: ClassesOption = None,
    label_column: LabelColumnOption = None,
    sheet_rate: SheetRateOption = None,
    strict: StrictOption = False,
    keep_folds: KeepFoldsOption = False,
    force: ForceOption = False,
) -> None:
    """Measure bundles on this machine: parts, the whole step, a live run, and the seven protocols with --data.

    Clips that a bundle was trained on are refused: figures on them would mean nothing. Several bundles take turns, so
    that their times can be compared. With --against, the exit code is 1 when a figure is worse than --max-regression
    allows, when a bundle, head, part or metric of the older report is missing, or when nothing can be compared.

    `emer-edge bench compare OLD NEW...` measures nothing: it compares reports as --against does, each with the first.

    Bundles of one precision, each with a fold of its own, are put together: five of them are five-fold figures, fifteen
    compare fp32, fp16 and int8 on the same clips.

    An interrupted run goes on after the last bundle that it finished scoring, and the last probe of it, when the same
    command is given again.
    """
    if bundles and bundles[0] == _COMPARE:
        _compare(bundles[1:], max_regression / 100)
        return
    from emer_edge.bench.benchmark import run_bench
    from emer_edge.bench.pages import tables_of
    from emer_edge.cli.parsing import fold_numbers, stream_numbers, worker_number
    from emer_edge.demo import open_bundle
    from emer_edge.report.text_tables import to_rich
    from emer_edge.signals.profiles import profiles_named

    latency = LatencyOptions(
        engine=engine,
        threads=threads,
        repeats=repeats,
        warmup=warmup,
        rests=min(repeats, LatencyOptions.rests),
        starts=starts,
        streams=stream_numbers(streams),
        min_seconds=MLPERF_SECONDS if mlperf else min_seconds,
        min_queries=min_queries,
        stream_s=stream_seconds,
    )
    scoring = ScoringOptions(draws=draws, loader=loader, seed=seed, profiles=profiles_named(tracker_profile))
    probing = ProbeOptions(probes=None if probes is None else probes_named(probes), clips=probe_clips)
    work = WorkerOptions(workers=worker_number(workers), scheduler=scheduler)
    numbers = fold_numbers(fold)
    with progress_bars() as report:
        dataset = None
        if data is not None:
            choices = DataChoices(
                view, classes, label_column, strict=strict, keep_folds=keep_folds, sheet_rate=sheet_rate
            )
            dataset = open_dataset(data, choices, report)
        options = BenchOptions(
            bundles=tuple(bundles) if bundles else (open_bundle(None, report, say=say).path,),
            data=dataset,
            folds=numbers,
            output=output,
            force=force,
            against=against,
            max_regression=max_regression / 100,
            latency=latency,
            scoring=scoring,
            probing=probing,
            work=work,
        )
        measured = run_bench(options, report)
    for name, table in tables_of(measured).items():
        if name in _ON_SCREEN:
            console.print(to_rich(table))
    for warning in dict.fromkeys([*measured.notes, *(note for bundle in measured.bundles for note in bundle.notes)]):
        say(f"note: {warning}")
    if output is not None:
        answers = f", and every prediction on every clip in {output}/predictions.csv" if dataset is not None else ""
        say(f"wrote {output}/report.json, {output}/report.html and {output}/model-card.md{answers}")
    else:
        say("--output FOLDER writes all figures as a page, JSON, CSV and LaTeX, and a model card")
    if measured.against is not None:
        _judge([measured.against])


def _compare(reports: Sequence[Path], max_regression: float) -> None:
    """Compare reports with the first of them."""
    from emer_edge.bench.against import compare, read_report

    if len(reports) < 2:
        raise ConfigurationError("bench compare takes two or more reports: the folders that bench --output wrote")
    old, *others = map(read_report, reports)
    _judge([compare(new, old, reports[0], max_regression) for new in others], reports[1:])


def _judge(comparisons: Sequence[Comparison], names: Sequence[Path] = ()) -> None:
    """Print what moved, and exit with 1 where anything is worse, missing, or can't be compared."""
    from emer_edge.bench.against import moved_table, verdict_of
    from emer_edge.report.text_tables import to_rich

    for at, comparison in enumerate(comparisons):
        moved = moved_table(comparison)
        if moved.rows:
            console.print(to_rich(moved))
        for line in verdict_of(comparison):
            say(f"{names[at]}: {line}" if names else line)
    if not all(comparison.passed for comparison in comparisons):
        raise typer.Exit(1)
