"""Outputs beside speed: a fast answer counts when it is the network's answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.material import Material

RIGHT = 95.0
"""Percent of windows in which each class head must name the class that eager FP32 names."""


@dataclass(frozen=True)
class Agreement:
    """A candidate against eager FP32.

    Attributes:
        windows: compared.
        probability_difference: largest of all windows and class heads.
        value_difference: largest of all windows and value heads, in the labels' unit.
        same_class: share of windows, percent, in which the class head that differs most often names the same class.
        head: that head.
    """

    windows: int
    probability_difference: float
    value_difference: float
    same_class: float
    head: str

    @property
    def right(self) -> bool:
        """Whether its speed counts."""
        return self.same_class >= RIGHT

    def to_dict(self) -> dict[str, float | str | bool]:
        """A plain dictionary, ready for JSON."""
        return {**asdict(self), "right": self.right}


def agreements(material: Material, names: Mapping[str, object], reference: str) -> dict[str, Agreement]:
    """Compare what candidates wrote with what `reference` wrote."""
    heads = {head.name: bool(head.classes) for head in material.bundle.manifest.heads}
    expected = _read(material.outputs(reference))
    agreed = {}
    for name in names:
        got = _read(material.outputs(name))
        off = {head: float(np.abs(got[head] - expected[head]).max()) for head in heads}
        same = {
            head: 100 * float((got[head].argmax(axis=1) == expected[head].argmax(axis=1)).mean())
            for head, classes in heads.items()
            if classes
        }
        worst = min(same, key=lambda head: same[head])
        agreed[name] = Agreement(
            len(got[worst]),
            max(off[head] for head, classes in heads.items() if classes),
            max([off[head] for head, classes in heads.items() if not classes] + [0.0]),
            same[worst],
            worst,
        )
    return agreed


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)
