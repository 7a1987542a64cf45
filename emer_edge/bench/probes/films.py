"""Whether figures may come from the film instead of the person.

Everybody in a fold watches the same films, and folds keep people apart, not films: a network that decodes the film
from the gaze, and knows what each film makes people feel, needs no person. Four questions bear on this: how far does
the film alone get, can the eyes show it, does the network do equally well on every film, and how well does it do
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
from emer_edge.bench.probes.ablations import strata
from emer_edge.bench.probes.effects import Indices, Judge, Outputs, Target, targets_of
from emer_edge.bench.probes.film_decoding import Decoded, decode, summarise
from emer_edge.bench.records import Estimated
from emer_edge.bench.records.probe_records import FilmBaseline, FilmDecoding, FilmFigures, FilmProbe
from emer_edge.bundle import Manifest
from emer_edge.core.heads import EMOTIONS, POLARITY_OF_EMOTION
from emer_edge.core.progress import Progress, silent
from emer_edge.data.dataset import Clip, clip_hash
from emer_edge.metrics.intervals import bootstrap, paired_mean

UsualLabels = dict[str, dict[str, float]]
"""Head -> film -> its most frequent class index (in the target's order), or its mean value."""


def by_induced_emotion(targets: Sequence[Target], induced: Sequence[str | None]) -> Outputs:
    """The induced emotion, or its polarity, as the answer of every class head, as `by_film` gives it.

    `induced` holds the emotion that each of n clips induces, None where its name does not say.
    """
    named = [target for target in targets if target.classes]
    usual: UsualLabels = {}
    for target in named:
        words = {name: name for name in EMOTIONS} if set(target.classes) <= set(EMOTIONS) else POLARITY_OF_EMOTION
        places = {name: float(at) for at, name in enumerate(target.classes)}
        usual[target.name] = {emotion: places[word] for emotion, word in words.items() if word in places}
    return by_film(named, [usual] * len(induced), induced)


def usual_labels(targets: Sequence[Target], films: Sequence[str | None], chosen: NDArray[np.bool_]) -> UsualLabels:
    """The usual labels of each film: `films` names the film of each of n clips, `chosen` the clips to learn from."""
    usual: UsualLabels = {}
    for target in targets:
        held: dict[str, list[float]] = {}
        for row, label in zip(target.rows, target.truth, strict=True):
            film = films[row]
            if chosen[row] and film is not None:
                held.setdefault(film, []).append(float(label))
        usual[target.name] = {
            film: Counter(labels).most_common(1)[0][0] if target.classes else float(np.mean(labels))
            for film, labels in held.items()
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
    guesses: Outputs = {}
    for target in targets:
        rows = np.zeros((len(films), len(target.classes) or 1), np.float32)
        for at, (known, film) in enumerate(zip(usual, films, strict=True)):
            label = None if film is None else known[target.name].get(film)
            if label is not None:
                place, value = (int(label), 1.0) if target.classes else (0, label)
                rows[at, place] = value
        guesses[target.name] = rows
    return guesses


MAY_DECODE: Final = "may decode the film"
PERMUTATIONS: Final = 200


def known_clips(manifest: Manifest, clips: Sequence[Clip], progress: Progress = silent) -> tuple[Clip, ...] | None:
    """The clips that a bundle was trained on, or that choices were made on; None where that can't be known.

    Raises:
        DataError: the frames of a clip can't be read.
    """
    if manifest.data is None:
        return None
    hashes = {*manifest.data.training_hashes, *manifest.data.selection_hashes}
    known = []
    for done, clip in enumerate(clips, start=1):
        if clip_hash(manifest.data.salt, clip) in hashes:
            known.append(clip)
        progress("looking up training clips", done, len(clips))
    return tuple(known) or None


def probe_films(
    outputs: Outputs,
    windows: EncodedWindows,
    judge: Judge,
    known: Sequence[Clip] | None,
    permutations: int = PERMUTATIONS,
) -> FilmProbe:
    """Answer the four questions.

    Args:
        outputs: of the network on these windows, head -> (n, C).
        windows: the clips and their eyes.
        judge: of these clips.
        known: from `known_clips`.
        permutations: of the decoding's chance.
    """
    films = [clip.film for clip in windows.clips]
    named = np.array([at for at, film in enumerate(films) if film is not None], np.int64)
    trained = None if known is None else Counter(clip.film for clip in known)
    unseen = np.array([at for at in named if trained is not None and films[at] not in trained], np.int64)
    decoded = None
    if len(named):
        owners = [judge.owners[at] for at in named]
        features = summarise(windows.eye[named], windows.gaze[named])
        decoded = decode(features, [films[at] for at in named], owners, permutations=permutations, seed=judge.seed)
    figures = _figures_by_film(outputs, judge, windows.clips, trained)
    note, reason = _verdict(figures, len(unseen), trained)
    new = judge.effects(outputs, [outputs], unseen) if len(unseen) else {}
    heads = [target.name for target in judge.targets]
    by_head = {head: [figure.heads[head] for figure in figures if head in figure.heads] for head in heads}
    draws = {"resamples": judge.resamples, "seed": judge.seed}
    return FilmProbe(
        note=note,
        reason=reason,
        decoding=None if decoded is None else _decoding(decoded, judge, named, len(figures)),
        baselines=tuple(_baselines(outputs, windows.clips, judge, known=known, decoded=decoded)),
        by_film=figures,
        over_films={
            head: Estimated.of(bootstrap(np.mean, range(len(values)), values, **draws))
            for head, values in by_head.items()
            if values
        },
        unseen_films={head: {name: effect.value for name, effect in heads.items()} for head, heads in new.items()},
        unseen_clips=len(unseen),
    )


def _figures_by_film(
    outputs: Outputs, judge: Judge, clips: Sequence[Clip], trained: Counter[str | None] | None
) -> tuple[FilmFigures, ...]:
    films = [clip.film for clip in clips]
    figures = []
    for rows in sorted(strata(films), key=lambda rows: str(films[rows[0]])):
        first = clips[rows[0]]
        targets = [target.among(rows) for target in judge.targets]
        figures.append(
            FilmFigures(
                film=str(first.stimulus),
                induced=first.induced_emotion,
                clips=len(rows),
                trained_on=None if trained is None else trained[films[rows[0]]],
                heads={
                    target.name: float(target.marks(outputs[target.name]).mean())
                    for target in targets
                    if len(target.rows)
                },
            )
        )
    return tuple(figures)


def _verdict(
    figures: Sequence[FilmFigures], unseen_clips: int, trained: Counter[str | None] | None
) -> tuple[str | None, str]:
    if not figures:
        return MAY_DECODE, "the names of the clips name no film"
    if trained is None:
        return MAY_DECODE, "nothing says which of these films it was trained on"
    new = sum(figure.trained_on == 0 for figure in figures)
    if not new:
        return MAY_DECODE, f"each of the {len(figures)} films scored was trained on too"
    return None, f"{new} of {len(figures)} films, {unseen_clips} clips, were never trained on"


def _decoding(decoded: Decoded, judge: Judge, having: Indices, films: int) -> FilmDecoding:
    owners = [judge.owners[at] for at in having]
    share = paired_mean(decoded.hits, decoded.hits).after(owners, judge.seed, judge.resamples)
    return FilmDecoding(
        films=films,
        clips=len(having),
        participants=len(set(owners)),
        folds=decoded.folds,
        features=decoded.features,
        share=Estimated.of(share),
        chance=float(decoded.chance.mean()),
        chance_sd=float(decoded.chance.std(ddof=1)),
        p=decoded.p,
        permutations=len(decoded.chance),
    )


def _baselines(
    outputs: Outputs, clips: Sequence[Clip], judge: Judge, *, known: Sequence[Clip] | None, decoded: Decoded | None
) -> list[FilmBaseline]:
    films = [clip.film for clip in clips]
    induced = [clip.induced_emotion for clip in clips]
    usual = _usual(judge, known, films)
    baselines: list[FilmBaseline] = []

    def add(name: str, about: str, guess: Outputs, chosen: list[int]) -> None:
        heads = judge.effects(outputs, [guess], np.array(chosen, np.int64)) if chosen else {}
        if heads:
            baselines.append(FilmBaseline(name=name, about=about, clips=len(chosen), heads=heads))

    def add_films(name: str, about: str, taken: Sequence[str | None]) -> None:
        chosen = [
            at
            for at, film in enumerate(taken)
            if film is not None and any(film in labels for labels in usual[at].values())
        ]
        add(name, about, by_film(judge.targets, usual, taken), chosen)

    add(
        "induced emotion",
        "the emotion in the clip's name, or its polarity",
        by_induced_emotion(judge.targets, induced),
        [at for at, emotion in enumerate(induced) if emotion is not None],
    )
    source = "clips that the bundle was trained on" if known is not None else "other people's scored clips"
    add_films("usual label", f"the film's most frequent label, or mean value, among {source}", films)
    if decoded is not None:
        names = list(dict.fromkeys(film for film in films if film is not None))
        answers = iter(decoded.answers.tolist())
        taken = [None if film is None else names[next(answers)] for film in films]
        add_films("film decoded from eyes", "the usual label of the film that the eyes are decoded as", taken)
    return baselines


def _usual(judge: Judge, known: Sequence[Clip] | None, films: Sequence[str | None]) -> list[UsualLabels]:
    """(n,) what is usual for each film, for each clip without anything of its own person."""
    if known is not None:
        taught = targets_of(judge.targets, known)
        every = usual_labels(taught, [clip.film for clip in known], np.ones(len(known), np.bool_))
        return [every] * len(films)
    owners = np.array(judge.owners)
    of_others = {owner: usual_labels(judge.targets, films, owners != owner) for owner in dict.fromkeys(judge.owners)}
    return [of_others[owner] for owner in judge.owners]
