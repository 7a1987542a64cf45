"""`emer-edge bench`: latency, memory and the seven protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emer_edge.bench import options as asked
from emer_edge.cli.datasets import (
    ClassesOption,
    DataChoices,
    KeepFoldsOption,
    LabelColumnOption,
    StrictOption,
    ViewOption,
    open_dataset,
)
from emer_edge.cli.options import DataOption, EngineOption, ForceOption, ThreadsOption
from emer_edge.cli.progress import console, progress_bars, say

_ON_SCREEN = (
    "class_protocols", "value_protocols", "pairs", "gap", "film_decoding", "trackers", "speed", "single_stream",
    "ratios", "streams", "live", "loading",
)  # fmt: skip


def bench(
    bundles: Annotated[
        list[Path] | None, typer.Argument(help="Bundles to compare; found as `run` finds one.", show_default=False)
    ] = None,
    data: DataOption = None,
    folds: Annotated[
        str, typer.Option(help="Fold to score, or one for each bundle: 1 or 1,2,3,4,5. Default: the unseen one.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for report.json, report.html, predictions.csv (with --data) and the tables.",
            show_default=False,
        ),
    ] = None,
    tracker_profile: Annotated[
        str,
        typer.Option(help="Score the clips as a lesser tracker would give them too: gazepoint, serial-xy, ... or all."),
    ] = "",
    probes: Annotated[
        list[str] | None,
        typer.Option(
            help="What else to ask of the clips of --data, several with commas: ablations (no eyes, no face, streams "
            "exchanged between clips; about 0.1 s a clip), films (can the film be told from the eyes, how far does it "
            "alone get; seconds), robustness (tracker noise, lost samples, darkness, things before the face: curves; "
            "encodes crops anew, about 1 to 3 s a clip), all, or none.",
            show_default=",".join(asked.DEFAULT_PROBES),
        ),
    ] = None,
    probe_clips: Annotated[
        int, typer.Option(min=1, help="Clips that robustness is measured on at most, spread over the participants.")
    ] = asked.ProbeOptions.clips,
    draws: Annotated[
        int,
        typer.Option(
            min=1,
            help="Random draws of windows a clip, one random item of each slot as in training: their mean and SD stand "
            "beside newest-in-slot and live windows.",
        ),
    ] = asked.ScoringOptions.draws,
    loader: Annotated[
        asked.Loader,
        typer.Option(
            help="Whose draws the published per-batch reduction is taken over: default, or published for windows as "
            "the authors' loader draws them (frames by last digit, gaze apart from eyes, Tobii's own events)."
        ),
    ] = asked.ScoringOptions.loader,
    workers: Annotated[
        str,
        typer.Option(
            help="Processes that score the clips of --data, each with one thread and a bundle of its own in memory: a "
            "number, or auto for one a core. Figures are the same to the last digit."
        ),
    ] = str(asked.WorkerOptions.workers),
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Score clips on the workers of a Dask cluster (extra `distributed`), tcp://HOST:8786. Bundle and data "
            "must lie under the same paths there; images never travel, gaze and answers do.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Of every draw; the same seed gives the same figures.")
    ] = asked.ScoringOptions.seed,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each part.")] = asked.LatencyOptions.repeats,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before them.")] = asked.LatencyOptions.warmup,
    starts: Annotated[
        int,
        typer.Option(min=0, help="Processes started to see when the first result comes, cold and warm; 0 starts none."),
    ] = asked.LatencyOptions.starts,
    streams: Annotated[
        str, typer.Option(help="For how many people at once a step is timed: 1,2,4,8; empty for none.")
    ] = ",".join(map(str, asked.LatencyOptions.streams)),
    min_seconds: Annotated[
        float, typer.Option(min=0, help="Least length of a closed loop by MLPerf's SingleStream rules.")
    ] = asked.LatencyOptions.min_seconds,
    min_queries: Annotated[
        int,
        typer.Option(
            min=0, help="Its least number of queries: 64 claim a p90, 662 a p99; 0, and 0 seconds, leave it out."
        ),
    ] = asked.LatencyOptions.min_queries,
    mlperf: Annotated[
        bool, typer.Option("--mlperf", help="At least 600 s a closed loop, as MLPerf asks; two loops a bundle.")
    ] = False,
    stream_seconds: Annotated[
        float, typer.Option(min=0, help="Length of the live run on simulated sensors; 0 leaves it out.")
    ] = asked.LatencyOptions.stream_s,
    against: Annotated[
        Path | None,
        typer.Option(
            help="An older report.json: say what moved since, and exit 1 when something got worse.", show_default=False
        ),
    ] = None,
    max_regression: Annotated[
        float, typer.Option(min=0.1, help="By how many per cent a figure may be worse than in --against.")
    ] = 100 * asked.BenchOptions.max_regression,
    engine: EngineOption = asked.LatencyOptions.engine,
    threads: ThreadsOption = asked.LatencyOptions.threads,
    view: ViewOption = None,
    classes: ClassesOption = None,
    label_column: LabelColumnOption = None,
    strict: StrictOption = False,
    keep_folds: KeepFoldsOption = False,
    force: ForceOption = False,
) -> None:
    """Measure bundles on this machine: parts, the whole step, a live run, and the seven protocols with --data.

    Clips that a bundle was trained on are refused: figures on them would mean nothing. Several bundles take turns, so
    that their times can be compared. With --against, the exit code is 1 when a figure is worse than --max-regression
    allows.

    Bundles of one precision, each with a fold of its own, are put together: five of them are five-fold figures, fifteen
    compare fp32, fp16 and int8 on the same clips.

    An interrupted run goes on after the last bundle that it finished scoring, and the last probe of it, when the same
    command is given again.
    """
    from emer_edge.bench.against import moved_table, verdict_of
    from emer_edge.bench.benchmark import run_bench
    from emer_edge.bench.pages import tables_of
    from emer_edge.cli.parsing import fold_numbers, stream_numbers, worker_number
    from emer_edge.demo import default_bundle
    from emer_edge.report.text_tables import to_rich
    from emer_edge.signals.profiles import profiles_named

    latency = asked.LatencyOptions(
        engine=engine,
        threads=threads,
        repeats=repeats,
        warmup=warmup,
        rests=min(repeats, asked.LatencyOptions.rests),
        starts=starts,
        streams=stream_numbers(streams),
        min_seconds=asked.MLPERF_SECONDS if mlperf else min_seconds,
        min_queries=min_queries,
        stream_s=stream_seconds,
    )
    scoring = asked.ScoringOptions(draws=draws, loader=loader, seed=seed, profiles=profiles_named(tracker_profile))
    probing = asked.ProbeOptions(probes=None if probes is None else asked.probes_named(probes), clips=probe_clips)
    work = asked.WorkerOptions(workers=worker_number(workers), scheduler=scheduler)
    numbers = fold_numbers(folds)
    with progress_bars() as report:
        dataset = None
        if data is not None:
            choices = DataChoices(view, classes, label_column, strict=strict, keep_folds=keep_folds)
            dataset = open_dataset(data, choices, report)
        options = asked.BenchOptions(
            bundles=tuple(bundles) if bundles else (default_bundle(report),),
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
    for warning in dict.fromkeys([*measured.notes, *(note for each in measured.bundles for note in each.notes)]):
        say(f"note: {warning}")
    if output is not None:
        answers = f", and every answer on every clip in {output}/predictions.csv" if dataset is not None else ""
        say(f"wrote {output}/report.json, {output}/report.html and {output}/model-card.md{answers}")
    else:
        say("--output FOLDER writes all figures as a page, JSON, CSV and LaTeX, and a model card")
    if measured.against is not None:
        moved = moved_table(measured.against)
        if moved.rows:
            console.print(to_rich(moved))
        for line in verdict_of(measured.against):
            say(line)
        if measured.against.worse:
            raise typer.Exit(1)
