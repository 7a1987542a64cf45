"""The whole benchmark: every bundle in turn, its probes, then what they say together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.accuracy.judged import data_notes, facts_of, fold_of, owner, refuse_known_clips
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.accuracy.predictions_csv import FILE_NAME, write_predictions
from emer_edge.bench.accuracy.scored_folds import ScoredFold, fold_sets, pair_sets, score_fold
from emer_edge.bench.against import compare, read_report
from emer_edge.bench.bench_options import BenchOptions, Probe, ScoringOptions
from emer_edge.bench.cluster import spread_clips
from emer_edge.bench.latency.machine_state import describe, look
from emer_edge.bench.latency.time_bundles import time_bundles
from emer_edge.bench.pages import card_of, page_of, tables_of
from emer_edge.bench.probes.ablations import ablate
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bench.probes.films import known_clips, probe_films
from emer_edge.bench.probes.robustness import robustness
from emer_edge.bench.records.probe_records import Probes
from emer_edge.bench.records.report_records import BenchReport, Origin
from emer_edge.bundle import load_bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target
from emer_edge.data.contents import contents_of_clips
from emer_edge.data.dataset import Clip, EmerDataset
from emer_edge.report import write_all
from emer_edge.report.text_tables import to_csv, to_latex
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread


def run_bench(options: BenchOptions, progress: Progress = silent) -> BenchReport:
    """Measure the bundles, one after the other, and write the report where `output` names a folder.

    Whatever can be refused is refused before the first measurement. Scores and probes of finished bundles
    outlive an interruption in the user's cache: the same call goes on after them.

    Raises:
        OutputExistsError: there is a report in the output folder.
        BundleError, EngineError, DataError, MissingExtraError: a bundle or the data set can't be used; DataError too
            when a bundle was trained on clips that it is to be scored on, or the older report can't be read.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    places = {} if options.output is None else _places(options.output, options.force)
    older = None if options.against is None else read_report(options.against)
    bundles = [load_bundle(bundle) for bundle in options.bundles]
    environment = describe()
    scored: list[ScoredFold] = []
    probed: list[Probes | None] = [None] * len(bundles)
    kept = Kept()
    notes: list[str] = []
    dataset: EmerDataset | None = None
    if options.data is not None:
        folds = [fold_of(bundle.manifest, options.fold(at)) for at, bundle in enumerate(bundles)]
        dataset = EmerDataset.open(options.data, progress=progress) if isinstance(options.data, Path) else options.data
        for bundle, fold in zip(bundles, folds, strict=True):
            refuse_known_clips(bundle.manifest, dataset.fold(fold))
        notes = data_notes([bundle.manifest for bundle in bundles], dataset)
        seen = contents_of_clips(dataset.clips, progress) if options.probing.requested else ""
        for at, (bundle, fold) in enumerate(zip(bundles, folds, strict=True)):
            with (
                Session(bundle, options.latency.engine, options.latency.threads) as session,
                spread_clips(session, dataset.fold(fold), options.work) as spread,
            ):
                done = score_fold(spread, dataset, fold, options.scoring, progress=progress, kept=kept)
                scored.append(done)
                probed[at] = _probed(spread, done.windows, dataset, options, seen=seen, kept=kept, progress=progress)
                notes += spread.notes
        notes += film_notes((bundle.manifest.name, probes) for bundle, probes in zip(bundles, probed, strict=True))
    timed = time_bundles(bundles, environment, options.latency, progress)
    accuracies = [fold.accuracy for fold in scored] if scored else [None] * len(bundles)
    records = tuple(
        msgspec.structs.replace(record, accuracy=accuracy, probes=probes, origin=Origin.of(bundle.manifest))
        for bundle, record, accuracy, probes in zip(bundles, timed.records, accuracies, probed, strict=True)
    )
    report = BenchReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        options=_requested(options, dataset),
        environment=msgspec.structs.replace(environment, temperature_after_c=look().temperature_c),
        conditions=timed.conditions,
        data=None if dataset is None else facts_of(dataset),
        bundles=records,
        ratios=timed.ratios,
        sets=fold_sets(scored, options.scoring, progress),
        pairs=pair_sets(scored, options.scoring),
        notes=tuple(notes),
    )
    if options.against is not None and older is not None:
        comparison = compare(report, older, options.against, options.max_regression)
        report = msgspec.structs.replace(report, against=comparison)
    if options.output is not None:
        write_report(report, options.output, options.force, places)
        if scored:
            write_predictions(options.output, scored, options.scoring, places[FILE_NAME])
    kept.forget()
    return report


def write_report(
    report: BenchReport, folder: Path, force: bool = False, places: Mapping[str, Target] | None = None
) -> list[Path]:
    """Write `report.json`, `report.html`, `model-card.md`, and every table as CSV and LaTeX; return their paths.

    Of several processes that write into one folder, the first to write `report.html` wins.

    Args:
        report: what to write.
        folder: where to.
        force: replace files.
        places: those of the folder as they were when the run began; by default as they are.

    Raises:
        OutputExistsError: one of the files exists and `force` is false, or has changed since the run began.
        ConfigurationError: the folder can't be written to.
    """
    places = places or _places(folder, force)
    pages: list[tuple[Path | Target, str | bytes]] = [
        (places["report.html"], page_of(report)), (places["model-card.md"], card_of(report))
    ]  # fmt: skip
    for name, table in tables_of(report).items():
        pages.append((Target.of(folder / "tables" / f"{name}.csv", force), to_csv(table)))
        pages.append((Target.of(folder / "tables" / f"{name}.tex", force), to_latex(table, f"tab:{name}")))
    *written, last = write_all([*pages, (places["report.json"], report.to_json())])
    return [last, *written]


def probe_bundle(
    spread: Spread,
    windows: EncodedWindows,
    clips: Sequence[Clip],
    probe: Probe,
    *,
    count: int,
    options: ScoringOptions,
    progress: Progress = silent,
) -> Probes:
    """Run one probe on clips that the bundle has never seen.

    Args:
        spread: the loaded bundle, and who encodes crops again.
        windows: these clips.
        clips: all clips of their data set, which show the films that the bundle was trained on.
        probe: which.
        count: clips that robustness is measured on at most.
        options: resamples and seed.
        progress: called with ablations and clips.

    Raises:
        DataError: a label is a class that the bundle lacks, or a clip can't be read.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    session, manifest = spread.session, spread.session.bundle.manifest
    owners = [owner(clip) for clip in windows.clips]
    judge = Judge(targets_of(manifest.heads, windows.clips), owners, options.resamples, options.seed)
    if probe == "ablations":
        ablations = ablate(
            session.fuse, windows, judge, spec=manifest.window, events=manifest.events, progress=progress
        )
        return Probes(seed=options.seed, ablations=ablations)
    if probe == "films":
        before = session.fuse(windows.face, windows.eye, windows.gaze)
        films = probe_films(before, windows, judge, known_clips(manifest, clips, progress))
        return Probes(seed=options.seed, films=films)
    return Probes(seed=options.seed, curves=robustness(spread, windows, judge, count=count, progress=progress))


def joined_probes(results: Sequence[Probes]) -> Probes | None:
    """One record of several probes that ran one after the other; None of none."""
    found: dict[str, Any] = {}
    for probes in results:
        found |= {name: one for name in ("ablations", "films", "curves") if (one := getattr(probes, name))}
    return Probes(seed=results[0].seed, **found) if results else None


def film_notes(named: Iterable[tuple[str, Probes | None]]) -> list[str]:
    """One sentence per warning about the films: the bundles that it holds for, and why."""
    notes: dict[str, list[str]] = {}
    for bundle, probes in named:
        films = None if probes is None else probes.films
        if films is not None and films.note is not None:
            notes.setdefault(f"{films.note}: {films.reason}", []).append(bundle)
    return [f"bundle{'s' if len(names) > 1 else ''} {', '.join(names)} {what}" for what, names in notes.items()]


def _probed(
    spread: Spread,
    windows: EncodedWindows,
    dataset: EmerDataset,
    options: BenchOptions,
    *,
    seen: str,
    kept: Kept,
    progress: Progress,
) -> Probes | None:
    """The probes that were requested for a bundle, each kept when it is finished, unless a clip is not as `seen`."""
    if not options.probing.requested:
        return None
    count, scoring = options.probing.clips, options.scoring
    results = []
    for probe in options.probing.requested:
        key = kept.key_of(spread.session, dataset.fingerprint, seen, (probe, count, scoring.resamples, scoring.seed))
        ask = partial(
            probe_bundle, spread, windows, dataset.clips, probe, count=count, options=scoring, progress=progress
        )
        results.append(kept.record(key, Probes, ask, lambda: contents_of_clips(dataset.clips) == seen))
    return joined_probes(results)


def _requested(options: BenchOptions, dataset: EmerDataset | None) -> dict[str, str | int | float | bool | None]:
    """The options as the report holds them: lists as text, in the order of the command line."""
    scoring = options.scoring
    return {
        "data": None if dataset is None else str(dataset.root),
        **asdict(options.latency),
        "streams": ", ".join(map(str, options.latency.streams)) or None,
        "profiles": ", ".join(profile.name for profile in scoring.profiles) or None,
        "probes": ", ".join(options.probing.requested) if dataset is not None else None,
        "probe_clips": options.probing.clips,
        **{name: getattr(scoring, name) for name in ("draws", "loader", "resamples", "seed")},
        **asdict(options.work),
    }


def _places(folder: Path, force: bool) -> dict[str, Target]:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; name a folder for the report")
    names = ("report.json", "report.html", "model-card.md", FILE_NAME)
    return {name: Target.of(folder / name, force) for name in names}
