"""Decoder of YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023) as in OpenCV Zoo.

The network sees B, G, R in 0 to 255 and answers on grids of stride 8, 16 and 32: class and object scores, a box (centre
offset in cells, logarithm of its size in cells) and five landmarks (offsets in cells), for each stride.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import BundleError
from emer_edge.runtime.faces.face import LANDMARKS, Face, keep_best

__all__ = ["SWAP_RED_BLUE", "decode"]

SWAP_RED_BLUE: Final = False
_STRIDES: Final = (8, 16, 32)


def decode(
    outputs: dict[str, NDArray[Any]], height_px: int, width_px: int, least_score: float, blended: bool = False
) -> list[Face]:
    """Turn the network's answer to one image into faces.

    Args:
        outputs: `cls_8`, `obj_8` (1, n, 1), `bbox_8` (1, n, 4), `kps_8` (1, n, 10), and so on for strides 16 and 32.
        height_px: height of the network's input, multiples of 32.
        width_px: its width, multiples of 32.
        least_score: weaker detections are dropped.
        blended: average the cells that see the same face, see `keep_best`.

    Returns:
        Faces in the pixels of the network's input, the best first.

    Raises:
        BundleError: the outputs are not those of YuNet.
    """
    boxes, landmarks, scores = [], [], []
    for stride in _STRIDES:
        rows, columns = height_px // stride, width_px // stride
        names = [f"{name}_{stride}" for name in ("cls", "obj", "bbox", "kps")]
        widths = (1, 1, 4, 2 * LANDMARKS)
        if any(
            outputs.get(name, np.zeros(0)).size != rows * columns * width
            for name, width in zip(names, widths, strict=True)
        ):
            raise BundleError(
                f"the face detector's outputs {', '.join(outputs)} are not those of YuNet at {width_px}x{height_px}"
            )
        kind, thing, box, points = (
            outputs[name].reshape(rows * columns, width) for name, width in zip(names, widths, strict=True)
        )
        score = np.sqrt(np.clip(kind[:, 0], 0, 1) * np.clip(thing[:, 0], 0, 1))
        chosen = np.flatnonzero(score > least_score)
        cell = np.stack([chosen % columns, chosen // columns], axis=1).astype(np.float32)
        centre = (cell + box[chosen, :2]) * stride
        half = np.exp(box[chosen, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1))
        landmarks.append((points[chosen].reshape(-1, LANDMARKS, 2) + cell[:, None]) * stride)
        scores.append(score[chosen])
    return keep_best(np.concatenate(boxes), np.concatenate(landmarks), np.concatenate(scores), blended=blended)
