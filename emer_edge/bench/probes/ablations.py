"""What each head loses when eyes, face or gaze are taken away, or come from another clip.

A stream that is exchanged within its stratum leaves what the stratum tells: eyes of the same film and the same shown
emotion still tell the film and go with that face, so what is lost is what only these eyes told. A stream of anyone
else's leaves the network the other stream alone, and one that contradicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import EncodedWindows
from emer_edge.bench.probes.absence import no_eyes, no_face, without_gaze, without_pupils
from emer_edge.bench.probes.exchanges import exchangeable, exchanged, strata
from emer_edge.bench.probes.judging import Fuse, Judge, Outputs
from emer_edge.bench.records import Ablation
from emer_edge.data.clips import Clip
from emer_edge.spec.labels import View
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EventsRule, WindowSpec

__all__ = ["PERMUTATIONS", "ablate", "film_and_class", "film_of"]

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PERMUTATIONS: Final = 10
_COUNT: Final = 8  # ablations


def film_of(clip: Clip) -> str | None:
    """The film, as the clip's name tells it with the emotion it induces; None where it tells none.

    In `3_film_happy` every film is called `film`, and the emotion alone tells them apart.
    """
    return None if clip.stimulus is None else "_".join(filter(None, (clip.stimulus, clip.induced_emotion)))


def film_and_class(clips: Sequence[Clip], view: View) -> list[Indices]:
    """Clips of the same film and the same class of one view: its seven emotions, else its three polarities."""
    head = next((each for each in (f"{view}-7", f"{view}-3") if any(each in clip.labels for clip in clips)), None)
    return strata(
        [
            None
            if head is None or head not in clip.labels or film_of(clip) is None
            else (film_of(clip), clip.labels[head])
            for clip in clips
        ]
    )


def ablate(
    fuse: Fuse,
    windows: EncodedWindows,
    judge: Judge,
    spec: WindowSpec,
    events: EventsRule,
    permutations: int = PERMUTATIONS,
    progress: Progress = silent,
) -> tuple[Ablation, ...]:
    """Score every ablation on the same windows; nothing is encoded again.

    Args:
        fuse: (n, 8, width), (n, 32, 39), (n, 32, 2) -> head -> (n, C), as `Session.fuse`.
        windows: the clips.
        judge: of these clips.
        spec: the bundle's window.
        events: how its columns 33 to 39 are filled.
        permutations: seeded draws of each exchange.
        progress: told after every ablation.

    Returns:
        Ablations that could be made, in reading order: exchanges need clips with partners.
    """
    face, eye, gaze, owners = windows.face, windows.eye, windows.gaze, judge.owners
    count = len(windows)
    before = fuse(face, eye, gaze)
    blank_eye, blank_gaze = (np.broadcast_to(each, (count, *each.shape)) for each in no_eyes(spec, events))
    found: list[Ablation] = []

    def add(name: str, about: str, takes: str, after: Sequence[Outputs], drawn: int, chosen: Indices | None) -> None:
        clips = count if chosen is None else len(chosen)
        heads = judge.effects(before, after, chosen)
        found.append(Ablation(name=name, about=about, takes=takes, permutations=drawn, clips=clips, heads=heads))
        progress("ablations", len(found), _COUNT)

    def exchange(name: str, about: str, takes: str, groups: list[Indices], swap: Callable[[Indices], Outputs]) -> None:
        chosen = exchangeable(groups)
        if len(chosen):
            rngs = (np.random.default_rng([judge.seed, each]) for each in range(permutations))
            add(name, about, takes, [swap(exchanged(groups, owners, each)) for each in rngs], permutations, chosen)

    def other_eyes(order: Indices) -> Outputs:
        return fuse(face, eye[order], gaze[order])

    def other_faces(order: Indices) -> Outputs:
        return fuse(face[order], eye, gaze)

    everyone = [np.arange(count, dtype=np.int64)]
    add("no eyes", "a tracker that finds no eyes", "eyes", [fuse(face, blank_eye, blank_gaze)], 0, None)
    add("no face", "the mean face of other people", "face", [fuse(no_face(face, owners), eye, gaze)], 0, None)
    add(
        "no gaze",
        "where the eyes look is other people's mean",
        "gaze",
        [fuse(face, *without_gaze(eye, gaze, owners))],
        0,
        None,
    )
    add(
        "no pupils",
        "pupil sizes are other people's mean",
        "pupils",
        [fuse(face, without_pupils(eye, owners), gaze)],
        0,
        None,
    )
    exchange(
        "eyes of same film and face", "eyes from another clip of the same film and FER class", "eyes",
        film_and_class(windows.clips, "fer"), other_eyes,
    )  # fmt: skip
    exchange(
        "faces of same film and feeling", "faces from another clip of the same film and ER class", "face",
        film_and_class(windows.clips, "er"), other_faces,
    )  # fmt: skip
    exchange("anyone's eyes", "eyes from another person's clip, of any film", "eyes", everyone, other_eyes)
    exchange("anyone's faces", "faces from another person's clip, of any film", "face", everyone, other_faces)
    return tuple(found)
