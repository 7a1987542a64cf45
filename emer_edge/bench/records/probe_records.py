"""Ablations, film effects and robustness to worse input."""

from __future__ import annotations

import msgspec

from emer_edge.bench.records import Estimated, Record


class Effect(Record, frozen=True):
    """One metric of one head under a probe.

    Attributes:
        value: the figure; the mean over the permutations where there are several.
        change: this figure minus the one on the same clips untouched; its interval is paired, both figures being taken
            over the same draws of participants.
        sd: standard deviation (n - 1) over the permutations; None where nothing is drawn.
    """

    value: Estimated
    change: Estimated
    sd: float | None = None


Effects = dict[str, dict[str, Effect]]
"""Head -> metric -> effect: `war` and `uar` (0 to 1) of class heads, `mae` (label units) of value heads."""


class Ablation(Record, frozen=True):
    """One thing taken away, or exchanged between clips.

    Attributes:
        name: short name, for example `no eyes` or `eyes of same film and face`.
        about: what the network is given instead.
        takes: what is taken away: `eyes`, `face`, `gaze` or `pupils`.
        permutations: seeded draws; 0 where nothing is drawn.
        clips: clips judged. Clips that are alone in their stratum can't be exchanged and are left out.
        heads: figures, and changes against the untouched clips.
    """

    name: str
    about: str
    takes: str
    permutations: int
    clips: int
    heads: Effects


class FilmBaseline(Record, frozen=True):
    """A guess that knows the film and has seen nothing of the person.

    Attributes:
        name: `induced emotion`, `usual label` or `film decoded from eyes`.
        about: how it guesses.
        clips: clips that it can guess.
        heads: its figures; a change is the guess's figure minus the network's, on the same clips.
    """

    name: str
    about: str
    clips: int
    heads: Effects


class FilmDecoding(Record, frozen=True):
    """Films decoded from the eyes alone, by a linear classifier, participants apart.

    Attributes:
        films: classes.
        clips, participants: that it was tried on.
        folds: parts of the cross-validation.
        features: numbers a window is summarised by.
        share: share of clips whose film is decoded right.
        chance: mean share when the films are permuted within participants.
        chance_sd: its standard deviation.
        p: share of permutations at least as good, the true one counted.
        permutations: how many.
    """

    films: int
    clips: int
    participants: int
    folds: int
    features: int
    share: Estimated
    chance: float
    chance_sd: float
    p: float
    permutations: int


class FilmFigures(Record, frozen=True):
    """One film.

    Attributes:
        film: by the names of its clips.
        induced: the emotion that it induces, or None.
        clips: scored clips of it.
        trained_on: clips of it that the bundle was trained on, or that choices were made on; None where that is
            unknown.
        heads: head -> figure: WAR of class heads, MAE of value heads.
    """

    film: str
    induced: str | None
    clips: int
    trained_on: int | None
    heads: dict[str, float]


class FilmProbe(Record, frozen=True):
    """Whether the figures may come from the film instead of the person.

    Attributes:
        note: `may decode the film`, or None where figures on films that were never trained on are given.
        reason: why.
        decoding: films decoded from the eyes alone; None with one film or one participant.
        baselines: guesses by the film.
        by_film: figures of each film.
        over_films: head -> mean of the films' figures, each film counted once; intervals by bootstrap over films.
        unseen_films: head -> metric -> figure on clips of films that were never trained on; empty without any.
        unseen_clips: how many clips these are.
    """

    note: str | None
    reason: str
    decoding: FilmDecoding | None = None
    baselines: tuple[FilmBaseline, ...] = ()
    by_film: tuple[FilmFigures, ...] = ()
    over_films: dict[str, Estimated] = msgspec.field(default_factory=dict)
    unseen_films: dict[str, dict[str, Estimated]] = msgspec.field(default_factory=dict)
    unseen_clips: int = 0


class Level(Record, frozen=True):
    """One point of a curve.

    Attributes:
        level: how much, in the curve's unit; 0 is the untouched input.
        uncovered: clips whose window is below the floor of eye slots: a live run would name no emotion there. They
            count in the figures all the same.
        heads: figures, and changes against level 0.
    """

    level: float
    uncovered: int
    heads: Effects


class Curve(Record, frozen=True):
    """One kind of worse input, more and more of it.

    Attributes:
        name: `tracker noise`, `noise, movements kept`, `dropped samples`, `dropped bursts`, `low light`, `bar over
            eyes`, `bar over mouth`, `square`, `blur` or `compression`.
        about: what was done to the input.
        axis: name of the horizontal axis.
        unit: of the levels: `px`, `share`, `stops`.
        touches: `eyes` or `face`.
        clips: clips scored at every level.
        levels: ascending, the first 0.
    """

    name: str
    about: str
    axis: str
    unit: str
    touches: str
    clips: int
    levels: tuple[Level, ...]


class Probes(Record, frozen=True):
    """All probes of one bundle on the clips of its accuracy.

    Attributes:
        seed: of every draw.
        ablations: empty where not requested.
        films: None where not requested.
        curves: robustness; empty where not requested.
    """

    seed: int
    ablations: tuple[Ablation, ...] = ()
    films: FilmProbe | None = None
    curves: tuple[Curve, ...] = ()
