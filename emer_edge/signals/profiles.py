"""Profiles of common trackers: which of the 39 columns they fill, and how often.

A profile turns the rows of a full recording into those of a lesser tracker: bench scores a bundle under each, and
training can drop the same groups of columns so that a network has met their absence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import (
    COLUMN_KEYS,
    DIRECTION,
    GAZE_MCS,
    GAZE_MM,
    GAZE_POINT,
    GAZE_POINT_MCS,
    GAZE_PX,
    POSITION,
    PUPILS,
    VALIDITY,
    column_indices,
)
from emer_edge.core.errors import ConfigurationError

_EYES: Final = {
    name: (
        *column_indices(*(pair[eye] for pair in (GAZE_PX, DIRECTION, POSITION, GAZE_MM, GAZE_MCS))),
        PUPILS.start + eye,
        VALIDITY.start + eye,
    )
    for eye, name in enumerate(("left", "right"))
}

DROPPED_GROUPS: Final[dict[str, tuple[int, ...]]] = {
    "positions": column_indices(*POSITION, *DIRECTION),
    "directions": column_indices(*DIRECTION),
    "pupils": column_indices(PUPILS),
    "millimetres": column_indices(*GAZE_MM, *DIRECTION),
    "left eye": _EYES["left"],
    "right eye": _EYES["right"],
}
"""Groups that trackers lack together: name -> column indices. Without positions there are no directions."""


@dataclass(frozen=True)
class TrackerProfile:
    """One kind of tracker.

    Attributes:
        name: as on the command line.
        about: what it stands for.
        rate_hz: samples a second; rows of faster recordings are thinned to it.
        lacks: names of `DROPPED_GROUPS` that it can't fill.
        one_point: it gives one gaze point for both eyes.
    """

    name: str
    about: str
    rate_hz: float
    lacks: tuple[str, ...] = ()
    one_point: bool = False

    @property
    def missing(self) -> tuple[int, ...]:
        """Indices of the columns it can't fill, ascending."""
        return tuple(sorted({column for group in self.lacks for column in DROPPED_GROUPS[group]}))

    @property
    def missing_columns(self) -> tuple[str, ...]:
        """Keys of the columns it can't fill."""
        return tuple(COLUMN_KEYS[column] for column in self.missing)

    def rows(self, rows: NDArray[np.float32], seen: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Remove what the tracker does not give.

        Args:
            rows: (n, 39) of a full recording, missing cells 0.
            seen: (n,) whether any eye was seen.

        Returns:
            (n, 39) float32 and (n,) bool, new arrays.
        """
        reduced, still = rows.copy(), seen.copy()
        if self.one_point:
            for combined, eyes in ((GAZE_POINT, GAZE_PX), (None, GAZE_MM), (GAZE_POINT_MCS, GAZE_MCS)):
                one = _mean_given(*(rows[:, eye] for eye in eyes)) if combined is None else rows[:, combined]
                for eye in eyes:
                    reduced[:, eye] = one
            reduced[:, VALIDITY] = seen[:, np.newaxis]
        dropped = [eye for eye in _EYES if f"{eye} eye" in self.lacks]
        if len(dropped) == 1:
            kept = 1 - list(_EYES).index(dropped[0])
            reduced[:, GAZE_POINT], reduced[:, GAZE_POINT_MCS] = rows[:, GAZE_PX[kept]], rows[:, GAZE_MCS[kept]]
            still &= reduced[:, GAZE_POINT].any(axis=1)
        reduced[:, self.missing] = 0.0
        return reduced, still

    def kept(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rows to keep at its rate, from (n,) ascending times."""
        if len(times_ns) < 2:
            return np.arange(len(times_ns))
        period_ns = 1e9 / self.rate_hz
        if (times_ns[-1] - times_ns[0]) / (len(times_ns) - 1) > 0.75 * period_ns:
            return np.arange(len(times_ns))  # no faster than this tracker: jitter must not thin it
        tick = (times_ns // period_ns).astype(np.int64)
        return np.flatnonzero(np.append(tick[1:] != tick[:-1], True))


def _mean_given(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    has = [eye.any(axis=1, keepdims=True) for eye in (left, right)]
    total = left * has[0] + right * has[1]
    return np.asarray(total / np.maximum(has[0].astype(np.float32) + has[1], 1), np.float32)


PROFILES: Final = {
    profile.name: profile
    for profile in (
        TrackerProfile("tobii", "Tobii Pro: both eyes, positions, directions, pupils", 120.0),
        TrackerProfile("gazepoint", "Gazepoint: both eyes and pupils; positions unknown", 60.0, ("positions",)),
        TrackerProfile(
            "gazepoint-camera", "Gazepoint whose camera's place is given, so that positions are known", 60.0
        ),
        TrackerProfile("lsl-gaze", "a gaze stream with pupils and nothing else", 120.0, ("positions",)),
        TrackerProfile("iviewx", "SMI iView X: gaze of both eyes", 60.0, ("positions", "pupils")),
        TrackerProfile("serial-xy", "one gaze point on a serial line", 60.0, ("positions", "pupils"), one_point=True),
        TrackerProfile("one-eye", "a monocular tracker that gives all columns of its eye", 120.0, ("right eye",)),
    )
}
"""Name -> profile."""


def profiles_named(text: str) -> tuple[TrackerProfile, ...]:
    """Read `gazepoint`, `gazepoint,serial-xy` or `all`; empty text means none.

    Raises:
        ConfigurationError: an unknown name.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if names == ["all"]:
        return tuple(PROFILES.values())
    unknown = [name for name in names if name not in PROFILES]
    if unknown:
        raise ConfigurationError(
            f"there is no tracker profile {', '.join(unknown)}; there are {', '.join(PROFILES)}, and all"
        )
    return tuple(PROFILES[name] for name in dict.fromkeys(names))
