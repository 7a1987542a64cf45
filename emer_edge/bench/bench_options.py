"""The options of one run of bench, each default written once.

Light to import: the command line takes its defaults from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.packages import require
from emer_edge.metrics import RESAMPLES

if TYPE_CHECKING:
    from emer_edge.data.dataset import EmerDataset
    from emer_edge.signals.profiles import TrackerProfile

MLPERF_SECONDS: Final = 600.0
"""The shortest closed loop that MLPerf allows."""

Loader = Literal["default", "published"]
Probe = Literal["ablations", "films", "robustness"]
PROBES: Final[tuple[Probe, ...]] = get_args(Probe)
DEFAULT_PROBES: Final[tuple[Probe, ...]] = ("ablations", "films")
"""Probes of scored clips by default: all that encode no crop again."""

_ADDRESS: Final = re.compile(r"(tcp|tls)://[^\s/]+:\d+")


@dataclass(frozen=True, kw_only=True)
class LatencyOptions:
    """What to time.

    Attributes:
        engine: `onnxruntime`, `tensorrt`, or `auto`; scores are computed in it, too.
        threads: intra-op threads of CPU engines.
        repeats, warmup: durations measured of each part, and runs before them.
        rests: live steps after a pause.
        starts: processes started with the bundle out of the page cache, and as many with it there.
        streams: numbers of people at once for which a step is timed, and the live pipeline run.
        min_seconds, min_queries: of a SingleStream run; 0 of both leaves it out.
        stream_s: length of each live run on simulated sensors, real time (a window has to fill first), one stream
            first, then as many as `streams` names; 0 leaves them out.

    Raises:
        ConfigurationError: a number that makes no sense.
    """

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

    def __post_init__(self) -> None:
        if self.repeats < 1 or self.threads < 1 or any(stream < 1 for stream in self.streams):
            raise ConfigurationError("repeats, threads and streams are at least 1")
        if min([self.warmup, self.rests, self.starts, self.min_seconds, self.min_queries, self.stream_s]) < 0:
            raise ConfigurationError("warm-up, rests, starts, seconds and queries are at least 0")


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How clips are read and what is worked out of the answers.

    Attributes:
        draws: random draws of windows per clip that are scored, at least 1.
        loader: the draws of the published reduction; `published` adds the reading of that name.
        resamples: bootstrap draws of an interval.
        seed: of every draw.
        profiles: trackers through which the clips are scored too.

    Raises:
        ConfigurationError: no draws, or an unknown loader.
    """

    draws: int = 10
    loader: Loader = "default"
    resamples: int = RESAMPLES
    seed: int = 0
    profiles: tuple[TrackerProfile, ...] = ()

    def __post_init__(self) -> None:
        if self.draws < 1 or self.seed < 0:
            raise ConfigurationError(f"draws are at least 1 and a seed at least 0, not {self.draws} and {self.seed}")
        if self.loader not in get_args(Loader):
            raise ConfigurationError(f"the loader is default or published, not {self.loader!r}")
        if self.resamples < 1:
            raise ConfigurationError(f"resamples are at least 1, not {self.resamples}")


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """Which probes run on the scored clips.

    Attributes:
        probes: which; None means `DEFAULT_PROBES` where there are clips.
        clips: that robustness is measured on at most, spread over the participants.

    Raises:
        ConfigurationError: no clips.
    """

    probes: tuple[Probe, ...] | None = None
    clips: int = 60

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ConfigurationError(f"robustness needs at least 1 clip, not {self.clips}")

    @property
    def requested(self) -> tuple[Probe, ...]:
        """Those that were named, or the default ones."""
        return DEFAULT_PROBES if self.probes is None else self.probes


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Who scores clips.

    Attributes:
        workers: processes of this machine, each with one thread; 0 and 1 score in this one.
        scheduler: address of a Dask scheduler whose workers score clips; None uses no other machine.

    Raises:
        ConfigurationError: fewer than none, both, or an address that is none.
        MissingExtraError: a scheduler is named, and Dask is not installed.
    """

    workers: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigurationError(f"workers are a number from 0 on, not {self.workers}")
        if self.scheduler is None:
            return
        if self.workers > 1:
            raise ConfigurationError(
                "clips are scored by --workers of this machine or by those of a --scheduler, not by both"
            )
        if not _ADDRESS.fullmatch(self.scheduler):
            raise ConfigurationError(
                f"a scheduler's address is tcp://HOST:PORT or tls://HOST:PORT, for example tcp://host:8786, not "
                f"{self.scheduler!r}"
            )
        require("--scheduler", ("distributed",), "distributed")


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure.

    Attributes:
        bundles: folders of bundles, at least one.
        data: an opened EMER data set, or the root of one whose labels need no explanation; None leaves accuracy out.
        folds: the fold to score of each bundle, or one for all; empty takes what each bundle has never seen.
        output: folder for `report.json`, `report.html` and the tables; None writes nothing.
        force: replace a report that is there.
        against: an older report to compare with; None compares with nothing.
        max_regression: share by which a figure may be worse than in that one.
        latency, scoring, probing, work: see their classes.
    """

    bundles: tuple[Path, ...]
    data: EmerDataset | Path | None = None
    folds: tuple[int, ...] = ()
    output: Path | None = None
    force: bool = False
    against: Path | None = None
    max_regression: float = 0.10
    latency: LatencyOptions = LatencyOptions()
    scoring: ScoringOptions = ScoringOptions()
    probing: ProbeOptions = ProbeOptions()
    work: WorkerOptions = WorkerOptions()

    def __post_init__(self) -> None:
        if not self.bundles:
            raise ConfigurationError("name at least one bundle to measure")
        if self.folds and len(self.folds) not in (1, len(self.bundles)):
            raise ConfigurationError(
                f"{len(self.folds)} folds for {len(self.bundles)} bundles: name one fold, or one for each bundle"
            )
        if not self.max_regression > 0:
            raise ConfigurationError("the regression that is allowed is above 0")
        needs = {
            "folds are of a data set": self.folds,
            "tracker profiles are scored on a data set": self.scoring.profiles,
            "probes run on clips": self.probing.probes,
            "workers and a scheduler score clips": self.work.workers > 1 or self.work.scheduler is not None,
        }
        for what, given in needs.items():
            if given and self.data is None:
                raise ConfigurationError(f"{what}: name a data set with --data")

    def fold(self, at: int) -> int | None:
        """The fold to score of bundle number `at`, where one was named."""
        return None if not self.folds else self.folds[at if len(self.folds) > 1 else 0]


def probes_named(words: Iterable[str]) -> tuple[Probe, ...]:
    """Read `ablations`, `films,robustness`, `all` or `none`, from one word or several.

    Raises:
        ConfigurationError: an unknown name, or `none` beside others.
    """
    named = [part.strip() for word in words for part in word.split(",") if part.strip()]
    unknown = [name for name in named if name not in (*PROBES, "all", "none")]
    if unknown:
        raise ConfigurationError(
            f"there is no probe {', '.join(unknown)}; there are {', '.join(PROBES)}, besides all and none"
        )
    if "none" in named and set(named) != {"none"}:
        raise ConfigurationError("probes are none or some, not both")
    return PROBES if "all" in named else cast("tuple[Probe, ...]", tuple(probe for probe in PROBES if probe in named))
