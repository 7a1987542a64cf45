"""Whether figures may come from the film instead of the person.

Everybody in a fold watches the same films, and folds keep people apart, not films: a network that tells the film from
the gaze, and knows what each film makes people feel, needs no person. Four questions bear on this: how far does the
film alone get, can it be told from the eyes, does the network do equally well on every film, and how well does it do
on films that it was never trained on. A network that does no better than guesses which know a film, or what it was
meant to induce, and nothing of the person, may have learnt the film.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.probes.ablations import film_of, strata
from emer_edge.bench.probes.effects import Judge, Outputs, Target, targets_of
from emer_edge.bench.probes.film_decoding import Decoded, decode, summarise
from emer_edge.bench.records import Estimated
from emer_edge.bench.records.probe_records import FilmBaseline, FilmDecoding, FilmFigures, FilmProbe
from emer_edge.bundle import Manifest
from emer_edge.core.heads import EMOTIONS, POLARITY_OF_EMOTION
from emer_edge.core.progress import Progress, silent
from emer_edge.data.dataset import Clip, clip_hash
from emer_edge.metrics.intervals import bootstrap
from emer_edge.metrics.prediction_metrics import war

UsualLabels = dict[str, dict[str, float]]
"""Head -> film -> its most frequent class index (in the target's order), or its mean value."""


def by_induced_emotion(targets: Sequence[Target], induced: Sequence[str | None]) -> Outputs:
    """The induced emotion, or its polarity, as the answer of every class head.

    Args:
        targets: heads.
        induced: (n,) what each clip's film induces, None where its name does not say.

    Returns:
        head -> (n, C) float32, one-hot; zeros for clips that say nothing.
    """
    found: Outputs = {}
    for target in targets:
        if target.classes:
            emotions = set(target.classes) <= set(EMOTIONS)
            words = [None if each is None else each if emotions else POLARITY_OF_EMOTION[each] for each in induced]
            rows = [[float(name == word) for name in target.classes] for word in words]
            found[target.name] = np.array(rows, np.float32)
    return found


def usual_labels(targets: Sequence[Target], films: Sequence[str | None], chosen: NDArray[np.bool_]) -> UsualLabels:
    """What each film's clips are labelled as a rule.

    Args:
        targets: heads and the labels of n clips.
        films: (n,) the film of each clip.
        chosen: (n,) which clips to learn from.
    """
    usual: UsualLabels = {}
    for target in targets:
        held: dict[str, list[float]] = {}
        for row, label in zip(target.rows, target.truth, strict=True):
            film = films[row]
            if chosen[row] and film is not None:
                held.setdefault(film, []).append(float(label))
        usual[target.name] = {
            film: Counter(each).most_common(1)[0][0] if target.classes else float(np.mean(each))
            for film, each in held.items()
        }
    return usual


def by_film(targets: Sequence[Target], usual: Sequence[UsualLabels], films: Sequence[str | None]) -> Outputs:
    """A film's usual label as the answer of every head.

    Args:
        targets: heads.
        usual: (n,) what is usual, as known for each clip.
        films: (n,) the film that each clip is taken for.

    Returns:
        head -> (n, C) one-hot or (n, 1) values, float32; zeros for clips of unknown films.
    """
    found: Outputs = {}
    for target in targets:
        rows = np.zeros((len(films), len(target.classes) or 1), np.float32)
        for at, (known, film) in enumerate(zip(usual, films, strict=True)):
            label = None if film is None else known[target.name].get(film)
            if label is not None:
                place, value = (int(label), 1.0) if target.classes else (0, label)
                rows[at, place] = value
        found[target.name] = rows
    return found


Indices = NDArray[np.int64]

MAY_DECODE: Final = "may decode the film"
PERMUTATIONS: Final = 200


def known_clips(manifest: Manifest, clips: Sequence[Clip], progress: Progress = silent) -> tuple[Clip, ...] | None:
    """The clips that a bundle was trained on, or that choices were made on; None where that can't be known.

    Raises:
        DataError: the frames of a clip can't be read.
    """
    if manifest.data is None:
        return None
    known = {*manifest.data.training_hashes, *manifest.data.selection_hashes}
    found = []
    for at, clip in enumerate(clips):
        if clip_hash(manifest.data.salt, clip) in known:
            found.append(clip)
        progress("looking up training clips", at + 1, len(clips))
    return tuple(found) or None


def probe_films(
    outputs: Outputs,
    windows: EncodedWindows,
    judge: Judge,
    known: Sequence[Clip] | None,
    permutations: int = PERMUTATIONS,
) -> FilmProbe:
    """Answer the four questions.

    Args:
        outputs: what the network says about these windows, head -> (n, C).
        windows: the clips and their eyes.
        judge: of these clips.
        known: from `known_clips`.
        permutations: of the decoding's chance.
    """
    clips = windows.clips
    films = [film_of(each) for each in clips]
    having = np.array([at for at, film in enumerate(films) if film is not None], np.int64)
    trained = None if known is None else _counts([film_of(each) for each in known])
    unseen = np.array([at for at in having if trained is not None and films[at] not in trained], np.int64)
    told = None
    if len(having):
        owners = [judge.owners[at] for at in having]
        features = summarise(windows.eye[having], windows.gaze[having])
        told = decode(features, [films[at] for at in having], owners, permutations=permutations, seed=judge.seed)
    figures = _figures_by_film(outputs, judge, clips, trained)
    note, reason = _verdict(figures, len(unseen), trained)
    whole = judge.effects(outputs, [outputs], unseen) if len(unseen) else {}
    return FilmProbe(
        note=note,
        reason=reason,
        decoding=None if told is None else _decoding(told, judge, having, len(figures)),
        baselines=tuple(_baselines(outputs, windows.clips, judge, known=known, told=told)),
        by_film=figures,
        over_films={
            target.name: Estimated.of(
                bootstrap(_mean, list(range(len(values))), values, resamples=judge.resamples, seed=judge.seed)
            )
            for target in judge.targets
            if (values := [each.heads[target.name] for each in figures if target.name in each.heads])
        },
        unseen_films={head: {name: each.value for name, each in found.items()} for head, found in whole.items()},
        unseen_clips=len(unseen),
    )


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.mean(values))


def _counts(films: Sequence[str | None]) -> dict[str, int]:
    return {film: films.count(film) for film in dict.fromkeys(films) if film is not None}


def _figures_by_film(
    outputs: Outputs, judge: Judge, clips: Sequence[Clip], trained: dict[str, int] | None
) -> tuple[FilmFigures, ...]:
    films = [film_of(each) for each in clips]
    found = []
    for group in sorted(strata(films), key=lambda each: str(films[each[0]])):
        film = str(films[group[0]])
        heads = {}
        for target in (each.among(group) for each in judge.targets):
            if len(target.rows):
                heads[target.name] = float(target.marks(outputs[target.name]).mean())
        found.append(
            FilmFigures(
                film=str(clips[group[0]].stimulus),
                induced=clips[group[0]].induced_emotion,
                clips=len(group),
                trained_on=None if trained is None else trained.get(film, 0),
                heads=heads,
            )
        )
    return tuple(found)


def _verdict(
    figures: Sequence[FilmFigures], unseen_clips: int, trained: dict[str, int] | None
) -> tuple[str | None, str]:
    if not figures:
        return MAY_DECODE, "the names of the clips tell no film"
    if trained is None:
        return MAY_DECODE, "nothing says which of these films it was trained on"
    new = sum(each.trained_on == 0 for each in figures)
    if not new:
        return MAY_DECODE, f"each of the {len(figures)} films scored was trained on too"
    return None, f"{new} of {len(figures)} films, {unseen_clips} clips, were never trained on"


def _decoding(told: Decoded, judge: Judge, having: Indices, films: int) -> FilmDecoding:
    owners = [judge.owners[at] for at in having]
    hits = told.hits.astype(np.int64)
    share = bootstrap(war, owners, np.ones_like(hits), hits, resamples=judge.resamples, seed=judge.seed)
    return FilmDecoding(
        films=films,
        clips=len(having),
        participants=len(set(owners)),
        folds=told.folds,
        features=told.features,
        share=Estimated.of(share),
        chance=float(told.chance.mean()),
        chance_sd=float(told.chance.std(ddof=1)),
        p=told.p,
        permutations=len(told.chance),
    )


def _baselines(
    outputs: Outputs, clips: Sequence[Clip], judge: Judge, *, known: Sequence[Clip] | None, told: Decoded | None
) -> list[FilmBaseline]:
    films = [film_of(each) for each in clips]
    having = [at for at, film in enumerate(films) if film is not None]
    induced = [each.induced_emotion for each in clips]
    found: list[FilmBaseline] = []

    def add(name: str, about: str, guess: Outputs, chosen: list[int]) -> None:
        heads = judge.effects(outputs, [guess], np.array(chosen, np.int64)) if chosen else {}
        if heads:
            found.append(FilmBaseline(name=name, about=about, clips=len(chosen), heads=heads))

    add(
        "induced emotion",
        "the emotion in the clip's name, or its polarity",
        by_induced_emotion(judge.targets, induced),
        [at for at, each in enumerate(induced) if each is not None],
    )
    usual = _usual(judge, known, films)
    source = "clips that the bundle was trained on" if known is not None else "other people's scored clips"
    add(
        "usual label",
        f"the film's most frequent label, or mean value, among {source}",
        by_film(judge.targets, usual, films),
        [at for at in having if _has(usual[at], films[at])],
    )
    if told is not None:
        taken: list[str | None] = [None] * len(films)
        names = list(dict.fromkeys(films[at] for at in having))
        for at, each in zip(having, told.told, strict=True):
            taken[at] = names[each]
        add(
            "film decoded from eyes",
            "the usual label of the film that the eyes are decoded as",
            by_film(judge.targets, usual, taken),
            [at for at in having if _has(usual[at], taken[at])],
        )
    return found


def _usual(judge: Judge, known: Sequence[Clip] | None, films: Sequence[str | None]) -> list[UsualLabels]:
    """(n,) what is usual for each film as far as may be known for each clip: nothing of its own person."""
    if known is not None:
        taught = targets_of(judge.targets, known)
        every = usual_labels(taught, [film_of(each) for each in known], np.ones(len(known), np.bool_))
        return [every] * len(films)
    owners = np.array(judge.owners)
    of_others = {each: usual_labels(judge.targets, films, owners != each) for each in dict.fromkeys(judge.owners)}
    return [of_others[each] for each in judge.owners]


def _has(usual: UsualLabels, film: str | None) -> bool:
    return film is not None and any(film in each for each in usual.values())
