"""Whether the network uses the eyes, and the face: what is lost when one stream comes from another clip.

- Eyes, within film and FER class: eye and gaze together change places between clips of the same film and the same
  fer-7 label. What the film and the visible expression tell stays; what only these eyes tell is lost. Clips that are
  alone in their group can't change places: the cost is that of the others.
- Eyes, anywhere, and faces, anywhere: between all clips. The network then has one honest stream left: face alone, eyes
  alone.

20 seeded permutations each; costs are mean losses of WAR in points.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Floor, conclude, parser, show, workshop
from benchmarks.held_out import Windows, held_out_clips, windows_of
from emer_edge.bundle import load_bundle
from emer_edge.data.clips import Clip
from emer_edge.data.dataset import EmerDataset
from emer_edge.metrics.classification import war
from emer_edge.report.tables import Cell, Column
from emer_edge.runtime.session import Session
from emer_edge.spec.heads import HEADS, ClassHead

PERMUTATIONS = 20
HEADS_SCORED = ("er-7", "fer-7")


@dataclass(frozen=True)
class Found:
    """WAR in per cent, head -> figure, of each condition."""

    whole: dict[str, float]
    partnered: dict[str, float]
    clips_with_partner: int
    eyes_within: dict[str, float]
    face_alone: dict[str, float]
    eyes_alone: dict[str, float]


def main() -> int:
    """Run it; return the exit code."""
    made = parser("What er-7 and fer-7 lose when eyes or faces come from other clips of the held-out fold.")
    made.add_argument("--data", type=Path, help="the data set that the checkpoint was trained on; built when left out")
    arguments = made.parse_args()
    with workshop(arguments.work) as shop:
        if arguments.bundle and not arguments.data and not shop.built(arguments.bundle):
            made.error("a bundle of your own needs --data")
        bundle = load_bundle(arguments.bundle or shop.bundle("int8"))
        clips = held_out_clips(bundle, EmerDataset.open(arguments.data or shop.data()))
        windows = windows_of(bundle, clips)
        with bundle.open(engine="onnxruntime") as session:
            found = measure(session, windows)
    whole, partnered = found.whole, found.partnered
    rows: list[tuple[Cell, ...]] = [
        ("nothing", "all", len(clips), *whole.values()),
        ("nothing", "with a partner", found.clips_with_partner, *partnered.values()),
        ("eyes, same film and FER class", "with a partner", found.clips_with_partner, *found.eyes_within.values()),
        ("eyes, anywhere: face alone", "all", len(clips), *found.face_alone.values()),
        ("faces, anywhere: eyes alone", "all", len(clips), *found.eyes_alone.values()),
    ]
    show(
        f"WAR, mean of {PERMUTATIONS} permutations",
        (Column("Permuted"), Column("clips"), Column("n"), Column("er-7", "%", 1), Column("fer-7", "%", 1)),
        rows,
    )
    floors = [
        Floor("er-7 lost by other eyes", partnered["er-7"] - found.eyes_within["er-7"], 15, unit=" points"),
        Floor("fer-7 lost by other eyes", partnered["fer-7"] - found.eyes_within["fer-7"], 5, False, " points"),
        Floor("fer-7 lost by other faces", whole["fer-7"] - found.eyes_alone["fer-7"], 15, unit=" points"),
        Floor("er-7: both above face alone", whole["er-7"] - found.face_alone["er-7"], 10, unit=" points"),
        Floor("er-7: both above eyes alone", whole["er-7"] - found.eyes_alone["er-7"], 10, unit=" points"),
        Floor("er-7 of both, not saturated", whole["er-7"], 95, False, " %"),
    ]
    return conclude("eyes_used", floors, {"permutations": PERMUTATIONS, "clips": len(clips), **asdict(found)})


def measure(session: Session, windows: Windows) -> Found:
    """Score every condition."""
    clips, count = windows.clips, len(windows.clips)
    embeddings = windows.embeddings(session)
    heads = {each.name: each.classes for each in session.bundle.manifest.heads}
    truth = {name: labels_of(name, clips, heads[name]) for name in HEADS_SCORED}
    groups = groups_of(clips)
    partnered = np.array(sorted(at for group in groups if len(group) > 1 for at in group))
    everyone = np.arange(count)

    def score(faces: NDArray[np.int64], eyes: NDArray[np.int64], judged: NDArray[np.int64]) -> dict[str, float]:
        outputs = session.fuse(embeddings[faces], windows.eye[eyes], windows.gaze[eyes])
        return {name: 100 * war(truth[name][judged], outputs[name].argmax(axis=1)[judged]) for name in HEADS_SCORED}

    def mean(found: list[dict[str, float]]) -> dict[str, float]:
        return {name: float(np.mean([each[name] for each in found])) for name in HEADS_SCORED}

    within, face_alone, eyes_alone = [], [], []
    for seed in range(PERMUTATIONS):
        rng = np.random.default_rng(seed)
        within.append(score(everyone, shuffled(groups, count, rng), partnered))
        face_alone.append(score(everyone, shuffled([everyone], count, rng), everyone))
        eyes_alone.append(score(shuffled([everyone], count, rng), everyone, everyone))
    return Found(
        whole=score(everyone, everyone, everyone),
        partnered=score(everyone, everyone, partnered),
        clips_with_partner=len(partnered),
        eyes_within=mean(within),
        face_alone=mean(face_alone),
        eyes_alone=mean(eyes_alone),
    )


def groups_of(clips: Sequence[Clip]) -> list[NDArray[np.int64]]:
    """Indices of clips of the same film and fer-7 label."""
    found: dict[tuple[str | None, int | float], list[int]] = defaultdict(list)
    for at, clip in enumerate(clips):
        found[clip.stimulus, clip.labels["fer-7"]].append(at)
    return [np.array(each) for each in found.values()]


def shuffled(groups: Sequence[NDArray[np.int64]], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Each index replaced by another of its group, drawn so that none keeps its place (Sattolo's algorithm)."""
    order = np.arange(count)
    for group in groups:
        places = group.copy()
        for at in range(len(places) - 1, 0, -1):
            other = int(rng.integers(at))
            places[at], places[other] = places[other], places[at]
        order[group] = places
    return order


def labels_of(head: str, clips: Sequence[Clip], classes: Sequence[str]) -> NDArray[np.int64]:
    """(n,) class indices in the bundle's order."""
    named = HEADS[head]
    assert isinstance(named, ClassHead)
    return np.array([classes.index(named.classes[int(clip.labels[head])]) for clip in clips])


if __name__ == "__main__":
    sys.exit(main())
