"""The seven expressions, made of action units that move the portrait's landmarks.

Action units follow Ekman and Friesen's Facial Action Coding System (1978); the expressions are its prototypes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.data.synth.portrait import NAMES, REST
from emer_edge.spec.labels import EMOTIONS

__all__ = ["UNIT_NAMES", "action_units", "expressive_landmarks"]

Points = NDArray[np.float64]

_STRONGEST: Final = 1.3
_ROWS: Final = ("upper", "upper_in", "lower_in", "lower")
_ARCH: Final = (0.55, 0.9, 1.0, 0.9, 0.55)  # of a row of lip points, from corner to corner
_REACH: Final = (-0.62, -0.3, 0.0, 0.3, 0.62)


def _unit(**moves: tuple[float, float]) -> Points:
    """Displacement of all landmarks; a name without its side moves both sides, with x pointing outwards."""
    field = np.zeros_like(REST)
    for key, (x, y) in moves.items():
        both = [row for row, name in enumerate(NAMES) if _without_side(name) == key != name]
        for row in both or [NAMES.index(key)]:
            field[row] += (-x if both and "_left" in NAMES[row] else x, y)
    return field


def _without_side(name: str) -> str:
    return name.replace("_left", "").replace("_right", "")


def _row(name: str, y: float, flat: float = 0.0) -> Points:
    """Move a row of lip points by `y` at its middle and less towards the corners (flat = 1: the same everywhere)."""
    return _unit(**{f"{name}_{place}": (0.0, y * (flat + (1 - flat) * arch)) for place, arch in enumerate(_ARCH, 1)})


def _widen(x: float) -> Points:
    """Move all lip points outwards, those near the corners most."""
    return _unit(**{f"{row}_{place}": (x * reach, 0.0) for row in _ROWS for place, reach in enumerate(_REACH, 1)})


# Each at its strongest, in pixels of the portrait, relative to the face at rest.
_UNITS: Final[dict[str, Points]] = {
    "inner_brow_raiser": _unit(brow_inner=(0, -7.5), brow_mid=(0, -3.5), hairline=(0, -1.5), bridge=(0, -1)),
    "outer_brow_raiser": _unit(brow_outer=(0, -5), brow_arch=(0, -7), brow_mid=(0, -4), hair=(0, -2.5)),
    "brow_lowerer": _unit(brow_inner=(-4, 6), brow_mid=(-3, 4.5), brow_arch=(-1, 1.5), bridge=(0, 1.5)),
    "upper_lid_raiser": _unit(lid_1=(0, -3.2), lid_2=(0, -4.2), lid_3=(0, -3.4), bag_2=(0, 1)),
    "cheek_raiser": _unit(cheek=(0, -3.5), bag_1=(0, -1.8), bag_2=(0, -2.4), bag_3=(0, -1.8), fold=(1, -1.5)),
    "lid_tightener": _unit(lid_1=(0, 1.4), lid_2=(0, 1.9), lid_3=(0, 1.4))
    + _unit(bag_1=(0, -1.4), bag_2=(0, -2), bag_3=(0, -1.4)),
    "nose_wrinkler": _unit(nose=(0.8, -4), nose_base=(0, -3), nose_tip=(0, -2.5), bridge=(0, 1))
    + _unit(brow_inner=(-2, 3.5), brow_mid=(0, 2), fold=(1, -4), cheek=(0, -3.5)),
    "upper_lip_raiser": _row("upper", -5.5, 0.5) + _row("upper_in", -6.0, 0.35) + _unit(fold=(0, -3)),
    "lip_corner_puller": _unit(mouth=(6.5, -7.5), fold=(4, -2.5), cheek=(0.5, -3), upper_3=(0, -2), upper_in_3=(0, -3))
    + _unit(upper_1=(0, -4.5), upper_2=(0, -2.5), upper_4=(0, -2.5), upper_5=(0, -4.5))
    + _unit(upper_in_1=(0, -4.5), upper_in_2=(0, -3.5), upper_in_4=(0, -3.5), upper_in_5=(0, -4.5))
    + _unit(lower_in_1=(0, -1.5), lower_in_5=(0, -1.5), lower_1=(0, -1), lower_5=(0, -1))
    + _widen(8.0),
    "lip_corner_depressor": _unit(mouth=(1, 7.5), fold=(0, 3.5), upper_1=(0, 3.5), upper_5=(0, 3.5))
    + _unit(upper_in_1=(0, 4), upper_in_5=(0, 4), lower_in_1=(0, 4), lower_in_5=(0, 4))
    + _unit(lower_1=(0, 3.5), lower_5=(0, 3.5)),
    "chin_raiser": _unit(chin=(0, -4.5))
    + (_row("lower", -2.5, 0.3) + _row("upper_in", -1.5) + _row("lower_in", -1.5) + _row("upper", -1.5)),
    "lip_stretcher": _unit(mouth=(7.5, 3), fold=(3, 1)) + _widen(9.0),
    "lip_pucker": _unit(mouth=(-7, 0), fold=(-2, 0)) + _widen(-7.0),
    "lip_pressor": _row("upper", 1.2, 0.8) + _row("lower", -2.6, 0.8) + _unit(mouth=(-1, 0)),
    "lips_part": _row("lower_in", 6.0) + _row("lower", 5.0, 0.2) + _row("upper_in", -1.5),
    "jaw_drop": _row("lower_in", 17.0)
    + (_row("lower", 16.0, 0.2) + _row("upper_in", -1.0))
    + _unit(chin=(0, 12), jaw_mid=(0, 10), jaw=(0, 8), side_low=(0, 3), mouth=(0, 4), fold=(-1, 3), cheek=(0, 2)),
    "eyes_closed": _unit(lid_1=(0, 5.6), lid_2=(0, 8.2), lid_3=(0, 6)),
}
UNIT_NAMES: Final = tuple(_UNITS)

_PROTOTYPES: Final[dict[str, dict[str, float]]] = {
    "happiness": {"lip_corner_puller": 1.0, "cheek_raiser": 0.9, "lips_part": 0.75, "outer_brow_raiser": 0.1},
    "sadness": {
        "inner_brow_raiser": 0.9,
        "brow_lowerer": 0.25,
        "lip_corner_depressor": 1.0,
        "chin_raiser": 0.8,
        "eyes_closed": 0.42,
    },
    "fear": {
        "inner_brow_raiser": 0.9,
        "outer_brow_raiser": 0.45,
        "upper_lid_raiser": 1.0,
        "lip_stretcher": 1.0,
        "lips_part": 1.1,
        "lip_corner_depressor": 0.35,
    },
    "surprise": {
        "inner_brow_raiser": 1.0,
        "outer_brow_raiser": 1.0,
        "upper_lid_raiser": 0.8,
        "jaw_drop": 1.0,
        "lip_pucker": 0.7,
    },
    "disgust": {
        "nose_wrinkler": 1.0,
        "upper_lip_raiser": 1.0,
        "lid_tightener": 1.0,
        "brow_lowerer": 0.45,
        "lip_corner_depressor": 0.4,
        "cheek_raiser": 0.4,
    },
    "anger": {
        "brow_lowerer": 1.15,
        "lid_tightener": 0.5,
        "upper_lid_raiser": 0.35,
        "lip_pressor": 1.0,
        "chin_raiser": 0.5,
        "lip_corner_depressor": 0.3,
    },
    "neutral": {},
}

_LIDS: Final = [UNIT_NAMES.index(name) for name in ("upper_lid_raiser", "lid_tightener", "eyes_closed")]
_FIELD: Final = np.stack(list(_UNITS.values()))
_WEIGHTS: Final = np.array([[_PROTOTYPES[emotion].get(unit, 0.0) for unit in UNIT_NAMES] for emotion in EMOTIONS])


def action_units(amounts: NDArray[np.float64], eyes_closed: bool = False) -> NDArray[np.float64]:
    """Blend expressions.

    Args:
        amounts: (7,) how much of each emotion of `EMOTIONS`, 1 = its prototype at full strength.
        eyes_closed: in a blink.

    Returns:
        (units,) strength of each action unit of `UNIT_NAMES`, at most 1.3.
    """
    blended: NDArray[np.float64] = np.minimum(amounts @ _WEIGHTS, _STRONGEST)
    if eyes_closed:
        blended[_LIDS] = (0.0, 0.0, 1.0)
    return blended


def expressive_landmarks(units: NDArray[np.float64]) -> Points:
    """Return where the (n, 2) landmarks lie with these action units, in pixels of the portrait."""
    moved: Points = REST + np.tensordot(units, _FIELD, axes=1)
    return moved
