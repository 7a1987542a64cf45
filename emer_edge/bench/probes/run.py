"""Which probes are asked for, and all of them on one bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from emer_edge.bench.accuracy.encoded import EncodedWindows
from emer_edge.bench.accuracy.known import owner
from emer_edge.bench.probes.ablations import ablate
from emer_edge.bench.probes.films import known_clips, probe_films
from emer_edge.bench.probes.judging import Judge, targets_of
from emer_edge.bench.probes.robustness import PROBE_CLIPS, robustness
from emer_edge.bench.records import Probes
from emer_edge.bench.spreading.base import Spread
from emer_edge.data.clips import Clip
from emer_edge.errors import ConfigurationError
from emer_edge.metrics.intervals import RESAMPLES
from emer_edge.runtime.session import Session
from emer_edge.spec.progress import Progress, silent

__all__ = [
    "DEFAULT_PROBES",
    "PROBES",
    "PROBE_CLIPS",
    "Probe",
    "ProbeOptions",
    "film_notes",
    "joined_probes",
    "probe_bundle",
    "probes_named",
]

Probe = Literal["ablations", "films", "robustness"]
PROBES: Final[tuple[Probe, ...]] = get_args(Probe)
DEFAULT_PROBES: Final[tuple[Probe, ...]] = ("ablations", "films")
"""What is asked of scored clips by default: all that encodes no crop again."""


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What to probe.

    Attributes:
        probes: which; none by default.
        clips: that robustness is measured on at most, spread over the participants.
        resamples: bootstrap draws of an interval.
        seed: of all draws.

    Raises:
        ConfigurationError: no clips.
    """

    probes: tuple[Probe, ...] = ()
    clips: int = PROBE_CLIPS
    resamples: int = RESAMPLES
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ConfigurationError(f"robustness needs at least 1 clip, not {self.clips}")


def probes_named(words: Iterable[str]) -> tuple[Probe, ...]:
    """Read `ablations`, `films,robustness`, `all` or `none`, from one word or several.

    Raises:
        ConfigurationError: an unknown name, or `none` beside others.
    """
    named = [each.strip() for word in words for each in word.split(",") if each.strip()]
    unknown = [each for each in named if each not in (*PROBES, "all", "none")]
    if unknown:
        raise ConfigurationError(
            f"there is no probe {', '.join(unknown)}; there are {', '.join(PROBES)}, besides all and none"
        )
    if "none" in named and set(named) != {"none"}:
        raise ConfigurationError("probes are none or some, not both")
    return PROBES if "all" in named else cast("tuple[Probe, ...]", tuple(each for each in PROBES if each in named))


def probe_bundle(
    session: Session,
    windows: EncodedWindows,
    clips: Sequence[Clip],
    options: ProbeOptions,
    progress: Progress = silent,
    spread: Spread | None = None,
) -> Probes | None:
    """Run the probes asked for on clips that the bundle has never seen.

    Args:
        session: the loaded bundle.
        windows: these clips.
        clips: all clips of their data set, to tell which films the bundle was trained on.
        options: which probes.
        progress: told of ablations and clips.
        spread: who encodes crops again; this process by default.

    Returns:
        None where no probe is asked for.

    Raises:
        DataError: a label is a class that the bundle lacks, or a clip can't be read.
        WorkerError: a process or machine that shares the work ended, or can't be used.
    """
    if not options.probes:
        return None
    manifest = session.bundle.manifest
    owners = [owner(each) for each in windows.clips]
    judge = Judge(targets_of(manifest.heads, windows.clips), owners, options.resamples, options.seed)
    before = session.fuse(windows.face, windows.eye, windows.gaze)
    return Probes(
        seed=options.seed,
        ablations=ablate(session.fuse, windows, judge, manifest.window, manifest.events, progress=progress)
        if "ablations" in options.probes
        else (),
        films=probe_films(before, windows, judge, known_clips(manifest, clips, progress))
        if "films" in options.probes
        else None,
        curves=robustness(session, windows, judge, before, options.clips, progress=progress, spread=spread)
        if "robustness" in options.probes
        else (),
    )


def joined_probes(found: Sequence[Probes]) -> Probes | None:
    """One record of several that were asked one after the other; None of none."""
    if not found:
        return None
    return Probes(
        seed=found[0].seed,
        ablations=tuple(ablation for each in found for ablation in each.ablations),
        films=next((each.films for each in found if each.films is not None), None),
        curves=tuple(curve for each in found for curve in each.curves),
    )


def film_notes(named: Iterable[tuple[str, Probes | None]]) -> list[str]:
    """What a reader has to know of bundles' figures for the films' sake: a sentence for all that it is true of."""
    told: dict[str, list[str]] = {}
    for bundle, probes in named:
        films = None if probes is None else probes.films
        if films is not None and films.note is not None:
            told.setdefault(f"{films.note}: {films.reason}", []).append(bundle)
    return [f"bundle{'s' if len(names) > 1 else ''} {', '.join(names)} {what}" for what, names in told.items()]
