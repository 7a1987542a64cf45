"""Scenes with one or two synthetic people whose places are known to the pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from runtime_inputs import FPS, SCENE, TEMPLATE, portrait

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.core.samples import Frame
from emer_edge.runtime.faces import FaceCandidate, FaceSource
from emer_edge.runtime.options import FaceOptions
from emer_edge.runtime.say import Say
from emer_edge.runtime.session import Session

HOP_NS = 500_000_000
RECORD = FaceRecord(template_px=TEMPLATE)
HEAD = (150.0, 125.0)  # middle of the head in the portrait
TINTS = {"anna": (1.0, 1.0, 1.0), "ben": (0.5, 0.68, 0.86)}
"""Gains of B, G, R. Ben is Anna mirrored, in another light: skins differ by less in one room, clothes by more."""


def person(name: str, size: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A head and shoulders (n, n, 3) in 0 to 255 and its opacity (n, n, 1)."""
    image = portrait().astype(np.float32) * np.array(TINTS[name], np.float32)
    opacity = np.zeros(image.shape[:2], np.float32)
    cv2.ellipse(opacity, (150, 120), (85, 110), 0, 0, 360, 1.0, -1)
    cv2.ellipse(opacity, (150, 300), (140, 90), 0, 0, 360, 1.0, -1)
    opacity = cv2.GaussianBlur(opacity, (0, 0), 2.0)
    if name == "ben":
        image, opacity = image[:, ::-1], opacity[:, ::-1]
    side = round(300 * size)
    image, opacity = (cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in (image, opacity))
    return image, opacity[..., None]


def room(*people: tuple[str, float, float, float], noise: float = 0.0, seed: int = 0) -> NDArray[np.uint8]:
    """People in a room: name, size, and the place of their head's middle; later ones stand before earlier ones."""
    height, width = SCENE
    canvas = np.full((height + 800, width + 800, 3), (120, 130, 110), np.float32)
    for name, size, x, y in people:
        image, opacity = person(name, size)
        left, top = round(400 + x - HEAD[0] * size), round(400 + y - HEAD[1] * size)
        spot = canvas[top : top + len(image), left : left + len(image)]
        spot += opacity * (image - spot)
    view = canvas[400 : 400 + height, 400 : 400 + width]
    if noise:
        view = view + np.random.default_rng(seed).normal(0, noise, view.shape)
    return np.clip(view, 0, 255).astype(np.uint8)


def frame(index: int, image: NDArray[np.uint8]) -> Frame:
    stamp_ns = round(index * 1e9 / FPS)
    return Frame(index, image, stamp_ns, stamp_ns, "media")


def source(session: Session, options: FaceOptions = FaceOptions(), say: Say | None = None) -> FaceSource:
    return FaceSource(session.detector, RECORD, HOP_NS, options, say=say)


def who(candidate: FaceCandidate) -> str:
    """Whose crop it is: Ben's pixels are redder."""
    blue, _, red = candidate.crop[30:90, 30:82].reshape(-1, 3).mean(axis=0)
    return "ben" if red > 1.9 * blue else "anna"
