"""`emer-edge bench`: latency, memory and the seven protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from emer_edge.cli.shared_options import DataOption, EngineOption, ForceOption, ThreadsOption

_ON_SCREEN = (
    "class_protocols", "value_protocols", "pairs", "gap", "film_decoding", "trackers", "speed", "single_stream",
    "ratios", "streams", "live", "loading",
)  # fmt: skip


def bench(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Bundles to compare; found as `run` finds one.")] = None,
    data: DataOption = None,
    folds: Annotated[
        str, typer.Option(help="Fold to score, or one for each bundle: 1 or 1,2,3,4,5. Default: the unseen one.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for report.json, report.html, predictions.csv (with --data) and the tables."),
    ] = None,
    tracker_profile: Annotated[
        str,
        typer.Option(
            help="Also score the clips as a lesser tracker would give them: gazepoint, serial-xy, ... or all."
        ),
    ] = "",
    probes: Annotated[
        list[str] | None,
        typer.Option(
            help="Probes on the clips of --data, several with commas: ablations (no eyes, no face, streams exchanged "
            "between clips; about 0.1 s per clip), films (can the film be decoded from the eyes, how far does it alone "
            "get; seconds), robustness (tracker noise, lost samples, darkness, things before the face: curves; "
            "encodes crops anew, about 1 to 3 s per clip), all, or none.",
            show_default=",".join(DEFAULT_PROBES),
        ),
    ] = None,
    probe_clips: Annotated[
        int, typer.Option(min=1, help="Clips that robustness is measured on at most, spread over the participants.")
    ] = ProbeOptions.clips,
    draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="Random draws of windows per clip, one random item of each slot as in training: their mean and SD "
            "stand beside newest-in-slot and live windows.",
        ),
    ] = ScoringOptions.draws,
    loader: Annotated[
        Loader,
        typer.Option(
            help="The draws of the published per-batch reduction: default, or published for windows as "
            "the authors' loader draws them (frames by last digit, gaze apart from eyes, Tobii's own events)."
        ),
    ] = ScoringOptions.loader,
    workers: Annotated[
        str,
        typer.Option(
            help="Processes that score the clips of --data, each with one thread and a bundle of its own in memory: a "
            "number, or auto for one per core. Figures are the same to the last digit."
        ),
    ] = str(WorkerOptions.workers),
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Score clips on the workers of a Dask cluster (extra `distributed`), tcp://HOST:8786. Bundle and data "
            "must lie under the same paths there; images never travel, gaze and predictions do.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of every draw; the same seed gives the same figures.")
    ] = ScoringOptions.seed,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each part.")] = LatencyOptions.repeats,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before them.")] = LatencyOptions.warmup,
    starts: Annotated[
        int, typer.Option(min=0, help="Processes started to time the first result, cold and warm; 0 starts none.")
    ] = LatencyOptions.starts,
    streams: Annotated[
        str, typer.Option(help="Numbers of people at once for which a step is timed: 1,2,4,8; empty for none.")
    ] = ",".join(map(str, LatencyOptions.streams)),
    min_seconds: Annotated[
        float, typer.Option(min=0, help="Minimum length of a closed loop by MLPerf's SingleStream rules.")
    ] = LatencyOptions.min_seconds,
    min_queries: Annotated[
        int,
        typer.Option(
            min=0, help="Its minimum number of queries: 64 claim a p90, 662 a p99; 0, and 0 seconds, skip it."
        ),
    ] = LatencyOptions.min_queries,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="At least 600 s per closed loop, as MLPerf requires; two loops per bundle.")
    ] = False,
    stream_seconds: Annotated[
        float, typer.Option(min=0, help="Length of the live run on simulated sensors; 0 skips it.")
    ] = LatencyOptions.stream_s,
    against: Annotated[
        Path | None,
        typer.Option(
            help="An older report.json: show what changed since, and exit 1 when something got worse or is missing."
        ),
    ] = None,
    max_regression: Annotated[
        float, typer.Option(min=0.1, help="By how many per cent a figure may be worse than in --against.")
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

    Bundles of one precision, each with a fold of its own, are put together: five of them are five-fold figures, fifteen
    compare fp32, fp16 and int8 on the same clips.

    An interrupted run goes on after the last bundle that it finished scoring, and the last probe of it, when the same
    command is given again.
    """
    from emer_edge.bench.against import moved_table, verdict_of
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
    numbers = fold_numbers(folds)
    with progress_bars() as report:
        dataset = None
        if data is not None:
            choices = DataChoices(
                view, classes, label_column, strict=strict, keep_folds=keep_folds, sheet_rate=sheet_rate
            )
            dataset = open_dataset(data, choices, report)
        options = BenchOptions(
            bundles=tuple(bundles) if bundles else (open_bundle(None, report).path,),
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
        moved = moved_table(measured.against)
        if moved.rows:
            console.print(to_rich(moved))
        for line in verdict_of(measured.against):
            say(line)
        if not measured.against.passed:
            raise typer.Exit(1)
