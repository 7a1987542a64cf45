"""Answers about clips that need no files: what is right is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import EncodedWindows, FoldScores, Reading
from emer_edge.bench.accuracy.judged import JudgedHead
from emer_edge.core.heads import HEADS
from emer_edge.data.dataset import Clip


def make_clips(count: int, people: int, labels: dict[str, NDArray[np.float64]], fold: int = 1) -> tuple[Clip, ...]:
    """Clips named by fold and number, of people dealt out in turn."""
    return tuple(
        Clip(
            f"{fold}-{at}",
            f"{fold}-{at % people}",
            "film",
            None,
            fold,
            Path("nowhere"),
            Path("nowhere"),
            {name: values[at].item() for name, values in labels.items()},
        )
        for at in range(count)
    )


def make_scores(clips: tuple[Clip, ...], rows: dict[Reading, list[NDArray[np.float64]]], head: str) -> FoldScores:
    """Scores of one head: reading -> (k, C) rows of each clip."""
    count = len(clips)
    slots = np.full(count, 8, np.int64)
    none = np.zeros((count, 1), np.float32)
    return FoldScores(
        EncodedWindows(clips, none, none, none, slots, slots * 4),
        {reading: {head: np.concatenate(row).astype(np.float32)} for reading, row in rows.items()},
        {reading: np.repeat(np.arange(count), [len(one) for one in row]) for reading, row in rows.items()},
    )


def sharp(chosen: NDArray[np.int64], classes: int, sure: float = 0.9) -> NDArray[np.float64]:
    """(n, C) probabilities that are `sure` of the chosen classes."""
    rest = (1 - sure) / (classes - 1)
    return np.where(np.eye(classes)[chosen] > 0, sure, rest)


def class_head(
    name: str, truth: NDArray[np.int64], chosen: NDArray[np.int64], people: int = 4, fold: int = 1
) -> JudgedHead:
    """A class head whose deterministic windows say `chosen`."""
    named = HEADS[name]
    assert named.kind == "class"
    clips = make_clips(len(truth), people, {name: truth}, fold)
    return JudgedHead(
        name,
        named.classes,
        clips,
        truth,
        {"newest": sharp(chosen, len(named.classes))},
        {"newest": np.arange(len(truth))},
        {},
    )


def value_head(name: str, truth: NDArray[np.float64], given: NDArray[np.float64], fold: int = 1) -> JudgedHead:
    """A value head whose deterministic windows say `given`."""
    clips = make_clips(len(truth), 4, {name: truth}, fold)
    return JudgedHead(name, (), clips, truth, {"newest": given[:, None]}, {"newest": np.arange(len(truth))}, {})
