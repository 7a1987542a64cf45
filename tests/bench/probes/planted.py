"""Clips and a network whose workings are known: er-* read the left pupil, fer-* the first number of an embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bundle.manifest import BundledHead
from emer_edge.core.heads import EMOTIONS, HEADS
from emer_edge.data.dataset import Clip
from emer_edge.data.layout import describe_clip

PUPIL_LEFT = 12
WORDS = ("happy", "sad", "fear", "surprise", "disgust", "anger", "neutral")
HEADS_GIVEN = (
    BundledHead(name="er-7", classes=tuple(reversed(EMOTIONS))),
    BundledHead(name="er-valence"),
    BundledHead(name="fer-7", classes=EMOTIONS),
)


def clip(name: str, er: int = 0, fer: int = 0) -> Clip:
    labels = {"er-7": er, "er-valence": er / 10, "fer-7": fer}
    return Clip(name, *describe_clip(name), 1, Path("nowhere"), Path("nowhere"), labels)


def planted(people: int = 20, films: int = 6, seed: int = 0) -> EncodedWindows:
    """Everybody sees every film; felt and shown emotions are independent of the film and of each other."""
    rng = np.random.default_rng(seed)
    clips = [
        clip(f"{person}_film{film}_{WORDS[film % 7]}", int(rng.integers(3)), int(rng.integers(3)))
        for person in range(people)
        for film in range(films)
    ]
    count = len(clips)
    face = rng.normal(0, 1, (count, 8, 128)).astype(np.float32)
    eye = rng.normal(500, 100, (count, 32, 39)).astype(np.float32)
    for at, item in enumerate(clips):
        face[at, :, 0] = item.labels["fer-7"]
        eye[at, :, PUPIL_LEFT] = 1 + item.labels["er-7"]
    gaze = eye[..., :2].copy()
    return EncodedWindows(tuple(clips), face, eye, gaze, np.full(count, 8), np.full(count, 32))


def fuse(
    face: NDArray[np.float32], eye: NDArray[np.float32], gaze: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    felt = np.clip(np.rint(eye[..., PUPIL_LEFT].mean(axis=1)) - 1, 0, 6).astype(int)
    shown = np.clip(np.rint(face[..., 0].mean(axis=1)), 0, 6).astype(int)
    at = np.array([HEADS_GIVEN[0].classes.index(name) for name in HEADS["er-7"].classes])
    return {
        "er-7": np.eye(7, dtype=np.float32)[at[felt]],
        "er-valence": (felt[:, None] / 10).astype(np.float32),
        "fer-7": np.eye(7, dtype=np.float32)[shown],
    }


def judge_of(windows: EncodedWindows, seed: int = 0) -> Judge:
    owners = [str(clip.participant) for clip in windows.clips]
    return Judge(targets_of(HEADS_GIVEN, windows.clips), owners, 200, seed)
