"""What the network says of one window, in words and figures of a result: heads, gap, and why something is not given."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle import Manifest
from emer_edge.core.heads import GAP_HEADS, HEADS, ValueHead
from emer_edge.core.results import UNLIKE, Gap, State
from emer_edge.metrics.probabilities import js_distance
from emer_edge.runtime.evidence import UNSEEN

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
    if manifest.guard is None:
        notes.append("the bundle has no face guard: whether a face is like those of training is not known")
    if causal and manifest.events == "published":
        notes.append(
            "trained on Tobii's eye movement events, which look ahead: columns 33 to 39 hold the causal rule's here"
        )
    return tuple(notes)


def reading(
    manifest: Manifest,
    outputs: Mapping[str, NDArray[np.float32]] | None,
    face_distance: float | None,
    state: State,
    *,
    blind: str = "",
) -> dict[str, Any]:
    """What the network says of one window: `heads`, `gap`, `absent` and `face_distance` of its `Result`.

    `outputs` are head -> (C,) float32, None where the window is not read; `blind` says why it was read without eyes,
    and is empty where it was not.
    """
    absent: dict[str, str] = {}
    if blind:
        absent = {"er": blind, "gap": blind}
    elif state is State.NO_GAZE and manifest.blind_refusal is not None:
        absent = {"fer": manifest.blind_refusal}
    if outputs is None:
        return {"absent": absent}
    heads = head_values(manifest, outputs)
    if blind:
        heads = {name: value for name, value in heads.items() if HEADS[name].view == "fer"}
    strange = face_distance is not None and face_distance > 1
    gap = None if blind else gap_between(heads, manifest, absent, strange)
    return {"heads": heads, "gap": gap, "absent": absent, "face_distance": face_distance}


def without_eyes(manifest: Manifest, state: State) -> str:
    """Why a whole clip's window is read without eyes; empty where it is not."""
    return UNSEEN if state is State.NO_GAZE and manifest.blind_refusal is None else ""


def gap_between(heads: HeadValues, manifest: Manifest, absent: dict[str, str], unlike_training: bool) -> Gap | None:
    """The gap between felt and shown, or None unless both seven-class heads exist with the same classes.

    `absent` receives why something is None. A face unlike those of training is compared with nothing.
    """
    er, fer = (heads.get(name) for name in GAP_HEADS)
    if not isinstance(er, dict) or not isinstance(fer, dict) or set(er) != set(fer):
        absent["gap"] = f"bundle {manifest.name} has not both {' and '.join(GAP_HEADS)} with the same classes"
        return None
    names = sorted(er)
    distance = float(js_distance([er[name] for name in names], [fer[name] for name in names]))
    record, compared = manifest.gap, ("larger_than", "p_differ")
    larger_than = p_differ = None
    if unlike_training:
        absent |= dict.fromkeys(compared, UNLIKE)
    elif record is None:
        why = f"bundle {manifest.name} was exported by an older version, or without clips that have both labels"
        absent |= dict.fromkeys(compared, why)
    else:
        absent |= record.absent
        if record.agreeing:
            larger_than = bisect_left(record.agreeing, distance), len(record.agreeing)
        if record.differ:
            p_differ = float(np.interp(distance, *np.array(record.differ).T))
    return Gap(distance, larger_than, p_differ, _difference(heads, "valence"), arousal=_difference(heads, "arousal"))


def head_values(manifest: Manifest, outputs: Mapping[str, NDArray[np.float32]]) -> HeadValues:
    """Name the numbers of one window: head -> (C,) float32 -> class probabilities, or the value on its scale."""
    heads: HeadValues = {}
    for head in manifest.heads:
        values = outputs[head.name].astype(np.float64).tolist()
        spec = HEADS[head.name]
        if isinstance(spec, ValueHead):
            heads[head.name] = min(spec.high, max(spec.low, values[0]))  # a regression may leave its label's scale
        else:
            heads[head.name] = dict(zip(head.classes, values, strict=True))
    return heads


def _difference(heads: HeadValues, target: str) -> float | None:
    er, fer = heads.get(f"er-{target}"), heads.get(f"fer-{target}")
    return er - fer if isinstance(er, float) and isinstance(fer, float) else None
