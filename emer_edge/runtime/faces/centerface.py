"""Decoder of CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019).

The network sees R, G, B in 0 to 255 and answers on a grid four times coarser: a heat map (1), the logarithm of height
and width in cells (2), the centre's offset y, x (2), and five landmarks as y, x fractions of the box (10).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.errors import BundleError
from emer_edge.runtime.faces.face import Face, keep_best

__all__ = ["SWAP_RED_BLUE", "decode"]

SWAP_RED_BLUE: Final = True
_STRIDE: Final = 4
_MOST_CANDIDATES: Final = 200


def decode(
    outputs: dict[str, NDArray[Any]], height_px: int, width_px: int, least_score: float, blended: bool = False
) -> list[Face]:
    """Turn the network's answer to one image into faces.

    Args:
        outputs: name -> (1, C, height / 4, width / 4) in the order of the graph: heat map, size, offset, landmarks.
        height_px: height of the network's input.
        width_px: its width.
        least_score: weaker detections are dropped.
        blended: average the cells that see the same face, see `keep_best`.

    Returns:
        Faces in the pixels of the network's input, the best first.

    Raises:
        BundleError: the outputs are not those of CenterFace.
    """
    shapes = [each.shape[1:] for each in outputs.values()]
    rows, columns = height_px // _STRIDE, width_px // _STRIDE
    if shapes != [(channels, rows, columns) for channels in (1, 2, 2, 10)]:
        raise BundleError(f"the face detector's outputs {shapes} are not those of CenterFace at {width_px}x{height_px}")
    heat, size, offset, landmark = (each[0] for each in outputs.values())
    row, column = np.nonzero(heat[0] > least_score)
    if len(row) > _MOST_CANDIDATES:
        best = np.argsort(-heat[0, row, column], kind="stable")[:_MOST_CANDIDATES]
        row, column = row[best], column[best]
    height, width = np.exp(size[:, row, column]) * _STRIDE
    centre_y, centre_x = (np.stack([row, column]) + offset[:, row, column] + 0.5) * _STRIDE
    left, top = centre_x - width / 2, centre_y - height / 2
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    boxes = np.clip(boxes, 0, (width_px, height_px, width_px, height_px))
    # Landmarks count from the box's clipped corner, as in the published decoder.
    fractions = landmark[:, row, column].reshape(5, 2, -1)
    x = fractions[:, 1] * width + boxes[:, 0]
    y = fractions[:, 0] * height + boxes[:, 1]
    return keep_best(
        boxes.astype(np.float32), np.stack([x, y]).transpose(2, 1, 0), heat[0, row, column], blended=blended
    )
