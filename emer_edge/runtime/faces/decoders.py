"""What face detectors answer, turned into faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import BundleError
from emer_edge.runtime.faces.looks import LANDMARKS, Face, keep_best

_CENTERFACE_STRIDE: Final = 4
_MOST_CANDIDATES: Final = 200
_YUNET_STRIDES: Final = (8, 16, 32)


class Decoder(Protocol):
    """Reads what one kind of detector answers.

    Attributes:
        swap_red_blue: whether the network sees R, G, B.
    """

    swap_red_blue: bool

    def decode(
        self,
        outputs: dict[str, NDArray[Any]],
        height_px: int,
        width_px: int,
        least_score: float,
        *,
        blended: bool = False,
    ) -> list[Face]:
        """Turn the network's answer to one image into faces.

        Args:
            outputs: name -> array, in the order of the graph.
            height_px: height of the network's input.
            width_px: its width.
            least_score: weaker detections are dropped.
            blended: average the cells that see the same face, see `keep_best`.

        Returns:
            Faces in the pixels of the network's input, the best first.

        Raises:
            BundleError: the outputs are not those of this network.
        """


class CenterFace:
    """CenterFace (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019).

    The network sees R, G, B in 0 to 255 and answers on a grid four times coarser: a heat map (1), the logarithm of
    height and width in cells (2), the centre's offset y, x (2), and five landmarks as y, x fractions of the box (10).

    `outputs` are (1, C, height / 4, width / 4) in the order of the graph: heat map, size, offset, landmarks.
    """

    swap_red_blue = True

    def decode(
        self,
        outputs: dict[str, NDArray[Any]],
        height_px: int,
        width_px: int,
        least_score: float,
        *,
        blended: bool = False,
    ) -> list[Face]:
        """See `Decoder`."""
        shapes = [each.shape[1:] for each in outputs.values()]
        rows, columns = height_px // _CENTERFACE_STRIDE, width_px // _CENTERFACE_STRIDE
        if shapes != [(channels, rows, columns) for channels in (1, 2, 2, 10)]:
            raise BundleError(
                f"the face detector's outputs {shapes} are not those of CenterFace at {width_px}x{height_px}"
            )
        heat, size, offset, landmark = (each[0] for each in outputs.values())
        row, column = np.nonzero(heat[0] > least_score)
        if len(row) > _MOST_CANDIDATES:
            best = np.argsort(-heat[0, row, column], kind="stable")[:_MOST_CANDIDATES]
            row, column = row[best], column[best]
        height, width = np.exp(size[:, row, column]) * _CENTERFACE_STRIDE
        centre_y, centre_x = (np.stack([row, column]) + offset[:, row, column] + 0.5) * _CENTERFACE_STRIDE
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


class YuNet:
    """YuNet (Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", 2023) as in OpenCV Zoo.

    The network sees B, G, R in 0 to 255 and answers on grids of stride 8, 16 and 32: class and object scores, a box
    (centre offset in cells, logarithm of its size in cells) and five landmarks (offsets in cells), for each stride.

    `outputs` are `cls_8`, `obj_8` (1, n, 1), `bbox_8` (1, n, 4), `kps_8` (1, n, 10), and so on for strides 16 and 32;
    the input's sides are multiples of 32.
    """

    swap_red_blue = False

    def decode(
        self,
        outputs: dict[str, NDArray[Any]],
        height_px: int,
        width_px: int,
        least_score: float,
        *,
        blended: bool = False,
    ) -> list[Face]:
        """See `Decoder`."""
        boxes, landmarks, scores = [], [], []
        for stride in _YUNET_STRIDES:
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


DETECTORS: Final[Mapping[str, Decoder]] = {"centerface": CenterFace(), "yunet": YuNet()}
