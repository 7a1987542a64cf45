"""Probes of a report in which every record is set."""

from __future__ import annotations

from reported_scores import estimated

from emer_edge.bench.records import (
    Ablation,
    Curve,
    Effect,
    FilmBaseline,
    FilmDecoding,
    FilmFigures,
    FilmProbe,
    Level,
    Probes,
)
from emer_edge.spec.heads import HEADS, ClassHead


def effects(change: float) -> dict[str, dict[str, Effect]]:
    def effect(value: float, by: float) -> Effect:
        return Effect(value=estimated(value + by, 0.05), change=estimated(by, 0.03), sd=0.007)

    return {
        name: {"war": effect(0.6, -change), "uar": effect(0.58, -change)}
        if isinstance(head, ClassHead)
        else {"mae": effect(0.3, change / 2)}
        for name, head in HEADS.items()
    }


def probes() -> Probes:
    ablations = tuple(
        Ablation(name=name, about=f"about {name}", takes=takes, permutations=draws, clips=236, heads=effects(change))
        for name, takes, draws, change in (
            ("no eyes", "eyes", 0, 0.11),
            ("no face", "face", 0, 0.31),
            ("no gaze", "gaze", 0, 0.02),
            ("eyes of same film and face", "eyes", 20, 0.04),
        )
    )
    known = {name: each for name, each in effects(0.2).items() if name == "er-7"}
    films = FilmProbe(
        note="may decode the film",
        reason="every film was trained on",
        decoding=FilmDecoding(
            films=12,
            clips=240,
            participants=24,
            folds=6,
            features=64,
            share=estimated(0.214, 0.05),
            chance=0.083,
            chance_sd=0.015,
            p=0.005,
            permutations=200,
        ),
        baselines=(FilmBaseline(name="induced emotion", about="what the film induces", clips=220, heads=known),),
        by_film=(
            FilmFigures(
                film="film-9", induced="fear", clips=20, trained_on=80, heads={"er-7": 0.55, "er-valence": 0.3}
            ),
        ),
        over_films={"er-7": estimated(0.571, 0.06)},
        unseen_films={"er-7": {"war": estimated(0.433, 0.09)}},
        unseen_clips=31,
    )
    curves = tuple(
        Curve(
            name=name,
            about=f"about {name}",
            axis=axis,
            unit=unit,
            touches="eyes",
            clips=240,
            levels=tuple(Level(level=level, uncovered=int(level), heads=effects(level / 100)) for level in levels),
        )
        for name, axis, unit, levels in (
            ("tracker noise", "noise", "px", (0.0, 10.0, 20.0, 40.0)),
            ("low light", "light taken", "stops", (0.0, 1.0, 2.0, 3.0)),
        )
    )
    return Probes(seed=7, ablations=ablations, films=films, curves=curves)
