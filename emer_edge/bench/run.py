"""The whole benchmark: every bundle in turn, then what they say together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec

from emer_edge.bench.accuracy.encoded import DRAWS, Loader, ReadingPlan
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.accuracy.known import data_notes, fold_of, refuse_known_clips
from emer_edge.bench.accuracy.predictions import FILE_NAME, write_predictions
from emer_edge.bench.accuracy.scoring import ScoredFold, score_fold
from emer_edge.bench.accuracy.sets import fold_sets, pair_sets
from emer_edge.bench.against import MAX_REGRESSION, compare, read_report
from emer_edge.bench.facts import facts_of
from emer_edge.bench.latency.bundles import time_bundles
from emer_edge.bench.latency.environment import describe, temperature_c
from emer_edge.bench.latency.measure import LatencyOptions
from emer_edge.bench.pages import card_of, page_of, tables_of
from emer_edge.bench.probes.run import (
    DEFAULT_PROBES,
    PROBE_CLIPS,
    Probe,
    ProbeOptions,
    film_notes,
    joined_probes,
    probe_bundle,
)
from emer_edge.bench.records import BenchReport, Origin, Probes
from emer_edge.bench.spreading.base import Spread
from emer_edge.bench.spreading.choice import Spreading
from emer_edge.bundle import Bundle, load_bundle
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import ConfigurationError, OutputExistsError
from emer_edge.metrics.intervals import RESAMPLES
from emer_edge.report.csv import to_csv
from emer_edge.report.files import write_whole
from emer_edge.report.latex import to_latex
from emer_edge.runtime.session import Session
from emer_edge.signals.profiles import TrackerProfile
from emer_edge.spec.progress import Progress, silent

__all__ = ["BenchOptions", "run_bench", "write_report"]


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure.

    Attributes:
        bundles: folders of bundles, at least one.
        data: an opened EMER data set, or the root of one whose labels need no explanation; None leaves accuracy out.
        folds: the fold to score of each bundle, or one for all; empty takes what each bundle has never seen.
        output: folder for `report.json`, `report.html` and the tables; None writes nothing.
        force: replace a report that is there.
        engine: `onnxruntime`, `tensorrt`, or `auto`.
        threads: intra-op threads of CPU engines.
        repeats, warmup, rests, starts, streams, min_seconds, min_queries: see `LatencyOptions`.
        stream_s: length of the streaming run, real time; 0 leaves it out. A window has to fill first.
        against: an older report to compare with; None compares with nothing.
        max_regression: share by which a figure may be worse than in that one.
        profiles: trackers through which the clips are scored too.
        probes: what else is asked of the scored clips; None asks for `DEFAULT_PROBES` where there are data.
        probe_clips: clips that robustness is measured on at most.
        draws: random draws of windows a clip.
        loader: whose draws the published reduction is taken over.
        resamples: bootstrap draws of an interval.
        seed: of every draw.
        workers: processes that score clips, each with one thread; 0 and 1 score in this one.
        scheduler: address of a Dask scheduler whose workers score clips; None asks no other machine.
    """

    bundles: tuple[Path, ...]
    data: EmerDataset | Path | None = None
    folds: tuple[int, ...] = ()
    output: Path | None = None
    force: bool = False
    engine: str = "auto"
    threads: int = 1
    repeats: int = 200
    warmup: int = 20
    rests: int = 10
    starts: int = 3
    streams: tuple[int, ...] = (1, 2, 4, 8)
    min_seconds: float = 10.0
    min_queries: int = 64
    stream_s: float = 20.0
    against: Path | None = None
    max_regression: float = MAX_REGRESSION
    profiles: tuple[TrackerProfile, ...] = ()
    probes: tuple[Probe, ...] | None = None
    probe_clips: int = PROBE_CLIPS
    draws: int = DRAWS
    loader: Loader = "default"
    resamples: int = RESAMPLES
    seed: int = 0
    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ConfigurationError("name at least one bundle to measure")
        if self.folds and len(self.folds) not in (1, len(self.bundles)):
            raise ConfigurationError(
                f"{len(self.folds)} folds for {len(self.bundles)} bundles: name one fold, or one for each bundle"
            )
        if self.folds and self.data is None:
            raise ConfigurationError("folds are of a data set: name it with --data")
        if self.profiles and self.data is None:
            raise ConfigurationError("tracker profiles are scored on a data set: name it with --data")
        if self.probes and self.data is None:
            raise ConfigurationError("probes are asked of clips: name a data set with --data")
        if self.resamples < 1 or not self.max_regression > 0:
            raise ConfigurationError("resamples are at least 1, and the regression that is allowed is above 0")
        if (self.workers > 1 or self.scheduler is not None) and self.data is None:
            raise ConfigurationError("workers and a scheduler score clips: name a data set with --data")
        _ = self.latency, self.spreading
        _ = self.plan, self.probing  # refused now, not after the first bundle

    @property
    def latency(self) -> LatencyOptions:
        """What is timed, and how often; ConfigurationError for numbers that make no sense."""
        return LatencyOptions(
            engine=self.engine,
            threads=self.threads,
            repeats=self.repeats,
            warmup=self.warmup,
            rests=self.rests,
            starts=self.starts,
            streams=self.streams,
            min_seconds=self.min_seconds,
            min_queries=self.min_queries,
            stream_s=self.stream_s,
        )

    @property
    def plan(self) -> ReadingPlan:
        """How windows are read from clips; ConfigurationError for no draws or an unknown loader."""
        return ReadingPlan(draws=self.draws, loader=self.loader, seed=self.seed)

    @property
    def probing(self) -> ProbeOptions:
        """Which probes, and of how many clips; ConfigurationError for no clips."""
        probes = DEFAULT_PROBES if self.probes is None else self.probes
        return ProbeOptions(probes=probes, clips=self.probe_clips, resamples=self.resamples, seed=self.seed)

    @property
    def spreading(self) -> Spreading:
        """Who scores clips; ConfigurationError for workers here and elsewhere both, MissingExtraError without Dask."""
        return Spreading(workers=self.workers, scheduler=self.scheduler)

    def fold(self, at: int) -> int | None:
        """The fold asked for of bundle number `at`."""
        return None if not self.folds else self.folds[at if len(self.folds) > 1 else 0]


def run_bench(options: BenchOptions, progress: Progress = silent) -> BenchReport:
    """Measure the bundles, one after the other, and write the report where one is asked for.

    Whatever can be refused is refused before the first measurement. Scores and probes of finished bundles
    outlive an interruption in the user's cache: the same call goes on after them.

    Raises:
        OutputExistsError: there is a report in the output folder.
        BundleError, EngineError, DataError, MissingExtraError: a bundle or the data set can't be used; DataError too
            when a bundle was trained on clips that it is to be scored on, or the older report can't be read.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    if options.output is not None:
        _check_output(options.output, options.force)
    older = None if options.against is None else read_report(options.against)
    bundles = [load_bundle(each) for each in options.bundles]
    environment = describe()
    scored: list[ScoredFold] = []
    probed: list[Probes | None] = []
    kept = Kept()
    notes: list[str] = []
    dataset: EmerDataset | None = None
    if options.data is not None:
        folds = [fold_of(bundle.manifest, options.fold(at)) for at, bundle in enumerate(bundles)]
        dataset = EmerDataset.open(options.data, progress=progress) if isinstance(options.data, Path) else options.data
        for bundle, fold in zip(bundles, folds, strict=True):
            refuse_known_clips(bundle.manifest, dataset.fold(fold))
        notes = data_notes([each.manifest for each in bundles], dataset)
        for bundle, fold in zip(bundles, folds, strict=True):
            done, asked, told = _scored(bundle, fold, dataset, options, kept, progress)
            scored.append(done)
            probed.append(asked)
            notes += told
        notes += film_notes((bundle.manifest.name, asked) for bundle, asked in zip(bundles, probed, strict=True))
    accuracies = [each.accuracy for each in scored] if scored else [None] * len(bundles)
    timed = time_bundles(bundles, environment, options.latency, progress)
    records = [
        msgspec.structs.replace(record, accuracy=accuracy, probes=probes, origin=Origin.of(bundle.manifest))
        for bundle, record, accuracy, probes in zip(
            bundles, timed.records, accuracies, probed or [None] * len(bundles), strict=True
        )
    ]
    report = BenchReport(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        options={
            "data": None if dataset is None else str(dataset.root),
            "engine": options.engine,
            "threads": options.threads,
            "repeats": options.repeats,
            "warmup": options.warmup,
            "rests": options.rests,
            "starts": options.starts,
            "streams": ", ".join(map(str, options.streams)) or None,
            "min_seconds": options.min_seconds,
            "min_queries": options.min_queries,
            "stream_s": options.stream_s,
            "profiles": ", ".join(each.name for each in options.profiles) or None,
            "probes": ", ".join(options.probing.probes) if dataset is not None else None,
            "probe_clips": options.probe_clips,
            "draws": options.draws,
            "loader": options.loader,
            "resamples": options.resamples,
            "seed": options.seed,
            "workers": options.workers,
            "scheduler": options.scheduler,
        },
        environment=msgspec.structs.replace(environment, temperature_after_c=temperature_c()),
        conditions=timed.conditions,
        data=None if dataset is None else facts_of(dataset),
        bundles=tuple(records),
        ratios=timed.ratios,
        sets=fold_sets(scored, options.plan, options.resamples, progress),
        pairs=pair_sets(scored, options.resamples, options.seed),
        notes=tuple(notes),
    )
    if options.against is not None and older is not None:
        found = compare(report, older, options.against, options.max_regression)
        report = msgspec.structs.replace(report, against=found)
    if options.output is not None:
        write_report(report, options.output, options.force)
        if scored:
            write_predictions(options.output, scored, options.plan)
    kept.forget()
    return report


def write_report(report: BenchReport, folder: Path, force: bool = False) -> list[Path]:
    """Write `report.json`, `report.html`, `model-card.md`, and every table as CSV and LaTeX; return their paths.

    Raises:
        OutputExistsError: there is a report and `force` is false.
        ConfigurationError: the folder can't be written to.
    """
    _check_output(folder, force)
    written = [write_whole(folder / "report.html", page_of(report))]
    written.append(write_whole(folder / "model-card.md", card_of(report)))
    for name, table in tables_of(report).items():
        written.append(write_whole(folder / "tables" / f"{name}.csv", to_csv(table)))
        written.append(write_whole(folder / "tables" / f"{name}.tex", to_latex(table, f"tab:{name}")))
    return [write_whole(folder / "report.json", report.to_json()), *written]


def _check_output(folder: Path, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; name a folder for the report")
    for name in ("report.json", "report.html", FILE_NAME):
        if (folder / name).exists() and not force:
            raise OutputExistsError(folder / name)


def _scored(
    bundle: Bundle, fold: int, dataset: EmerDataset, options: BenchOptions, kept: Kept, progress: Progress
) -> tuple[ScoredFold, Probes | None, tuple[str, ...]]:
    """A bundle's scores and probes, and what is to be said of the machines that worked them out."""
    with (
        Session(bundle, options.engine, options.threads) as session,
        options.spreading.over(session, dataset.fold(fold)) as spread,
    ):
        scored = score_fold(
            session, dataset, fold, options.resamples, options.plan, progress, options.profiles, kept, spread
        )
        seen = hashlib.sha256(scored.windows.face.tobytes() + scored.windows.eye.tobytes()).hexdigest()
        found: list[Probes] = []
        for probe in options.probing.probes:
            asked = replace(options.probing, probes=(probe,))
            key = kept.key_of(bundle.path, session.engine_name, session.device, dataset.fingerprint, seen, asked)
            ask = partial(_asked, session, scored, dataset, asked, progress, spread)
            found += kept.record(key, tuple[Probes, ...], ask)
        return scored, joined_probes(found), spread.notes


def _asked(
    session: Session,
    scored: ScoredFold,
    dataset: EmerDataset,
    options: ProbeOptions,
    progress: Progress,
    spread: Spread,
) -> tuple[Probes, ...]:
    found = probe_bundle(session, scored.windows, dataset.clips, options, progress, spread)
    return () if found is None else (found,)
