"""From a window's numbers to the Result that people and programs read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.core.results import Gap, Result, State
from emer_edge.core.session_facts import Marker
from emer_edge.metrics.probabilities import gap_percentile, js_distance
from emer_edge.runtime.evidence import HopWindow

HeadValues = dict[str, dict[str, float] | float]


def standing_notes(manifest: Manifest, causal: bool = True) -> tuple[str, ...]:
    """What a reader should know about every result of a bundle.

    Args:
        manifest: the bundle's.
        causal: whether columns 33 to 39 are computed as the samples come.
    """
    notes = []
    if manifest.demo:
        notes.append("demo weights, trained on synthetic clips")
    elif manifest.data is not None and manifest.data.synthetic:
        notes.append("trained on synthetic clips")
    if causal and manifest.events == "published":
        notes.append(
            "trained on Tobii's eye movement events, which look ahead: columns 33 to 39 hold the causal rule's here"
        )
    return tuple(notes)


def gap_between(heads: HeadValues, manifest: Manifest) -> Gap | None:
    """The gap between felt and shown, or None unless both seven-class heads exist with the same classes."""
    er, fer = heads.get("er-7"), heads.get("fer-7")
    if not isinstance(er, dict) or not isinstance(fer, dict) or set(er) != set(fer):
        return None
    names = sorted(er)
    distance = float(js_distance([er[each] for each in names], [fer[each] for each in names]))
    percentile = gap_percentile(distance, manifest.gap_quantiles)
    return Gap(distance, percentile, _difference(heads, "valence"), _difference(heads, "arousal"))


def head_values(manifest: Manifest, outputs: Mapping[str, NDArray[np.float32]]) -> HeadValues:
    """Name the numbers of one window: head -> (C,) float32 -> class probabilities, or the value."""
    heads: HeadValues = {}
    for each in manifest.heads:
        values = outputs[each.name].astype(np.float64).tolist()
        heads[each.name] = dict(zip(each.classes, values, strict=True)) if each.classes else values[0]
    return heads


def compose(
    manifest: Manifest,
    window: HopWindow,
    outputs: Mapping[str, NDArray[np.float32]] | None,
    *,
    stages_ms: dict[str, float],
    dropped: dict[str, int],
    notes: tuple[str, ...],
    markers: tuple[Marker, ...],
    crosses: tuple[str, ...],
    stream: str | None,
) -> Result:
    """Lay out one hop.

    Args:
        manifest: names and classes of the heads.
        window: the hop's window.
        outputs: head -> (C,) float32 from `Session.fuse`, None where the state is not `ok`.
        stages_ms: stage -> duration.
        dropped: place -> count.
        notes: those of `standing_notes`; the window's own are added.
        markers: those of this result.
        crosses: labels of the markers inside the window.
        stream: whose result it is, where one run reads several people.
    """
    heads = head_values(manifest, outputs) if outputs is not None and window.state is State.OK else {}
    return Result(
        end_ns=window.end_ns,
        state=window.state,
        filling_s=window.filling_s,
        heads=heads,
        gap=gap_between(heads, manifest),
        face_age_ms=window.face_age_ms,
        sample_age_ms=window.sample_age_ms,
        face_slots=int(window.face_covered.sum()),
        eye_slots=int(window.eye.covered.sum()),
        degraded=window.degraded,
        stages_ms=stages_ms,
        dropped=dropped,
        notes=(*notes, *window.notes),
        markers=markers,
        crosses=crosses,
        stream=stream,
    )


def _difference(heads: HeadValues, target: str) -> float | None:
    er, fer = heads.get(f"er-{target}"), heads.get(f"fer-{target}")
    return er - fer if isinstance(er, float) and isinstance(fer, float) else None
