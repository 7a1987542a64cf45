"""Training crops out of renders: cut as the product cuts faces, a little off, in other colours."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.pool import Pool
from benchmarks.demo_weights.renders import align

_CROP: Final = 112
_CENTRE: Final = np.array([55.5, 55.5])
Crop = NDArray[np.float32]


def draw_each(pool: Pool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one training crop of every render: (n, 3, 112, 112) float32, B, G, R in [0, 1]."""
    return _as_faces(np.stack([_crop(pool, row, rng) for row in range(len(pool.images))]))


def _as_faces(crops: Crop) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.clip(crops, 0, 255).transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def _crop(pool: Pool, row: int, rng: np.random.Generator) -> Crop:
    wild = rng.random() < 0.1
    angle = np.radians(rng.normal(0, 15 if wild else 5))
    scale = np.exp(rng.normal(0, 0.2 if wild else 0.06))
    stretch = np.exp(rng.normal(0, 0.03))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * stretch, scale / stretch])
    offset = _CENTRE - linear @ _CENTRE + rng.normal(0, 7 if wild else 2, 2)
    crop = align(pool.images[row], pool.landmarks[row].astype(np.float64), np.column_stack([linear, offset]))
    if rng.random() < 0.15:
        crop = _bent(crop, rng)
    return _recoloured(crop, rng)


def _bent(crop: Crop, rng: np.random.Generator) -> Crop:
    cells = rng.integers(3, 7, 2)
    shift = rng.normal(0, rng.uniform(0.5, 2.5), (*cells, 2)).astype(np.float32)
    shift = cv2.resize(shift, (_CROP, _CROP), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(_CROP, dtype=np.float32), np.arange(_CROP, dtype=np.float32))
    return np.asarray(
        cv2.remap(crop, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _recoloured(crop: Crop, rng: np.random.Generator) -> Crop:
    kind = rng.random()
    if kind < 0.12:
        crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    elif kind < 0.5:
        grey = crop.mean(axis=2, keepdims=True)
        crop = grey + (crop - grey) * np.float32(rng.uniform(0.4, 1.5))
    if rng.random() < 0.7:
        mean = crop.mean()
        crop = (crop - mean) * np.float32(np.exp(rng.normal(0, 0.18))) + mean * np.float32(np.exp(rng.normal(0, 0.2)))
        crop = crop * np.exp(rng.normal(0, 0.06, 3)).astype(np.float32)
    if rng.random() < 0.2:
        slope = cv2.resize(rng.normal(0, 0.2, (2, 2)).astype(np.float32), (_CROP, _CROP))
        crop = crop * (1 + np.clip(slope, -0.6, 0.6))[..., None]
    if rng.random() < 0.25:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.3, 1.6))
    if rng.random() < 0.2:
        crop = crop + rng.normal(0, rng.uniform(1, 8), crop.shape).astype(np.float32)
    if rng.random() < 0.15:
        quality = int(rng.integers(30, 90))
        whole = np.clip(crop, 0, 255).astype(np.uint8)
        encoded = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        crop = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return np.asarray(np.clip(crop, 0, 255), np.float32)
