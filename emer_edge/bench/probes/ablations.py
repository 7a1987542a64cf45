"""What each head loses when eyes, face or gaze are taken away, or come from another clip.

A stream that is exchanged within its stratum leaves what the stratum tells: eyes of the same film and the same shown
emotion still tell the film and go with that face, so what is lost is what only these eyes told. A stream of anyone
else's leaves the network the other stream alone, and one that contradicts it. Eyes of the same film, whatever was felt,
cost nothing if the eyes tell but the film; that they cost less than anyone's proves no such thing, as people who see
the same film feel alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.encoded import EncodedWindows
from emer_edge.bench.probes.absence import no_eyes, no_face, without_gaze, without_pupils
from emer_edge.bench.probes.exchanges import exchangeable, exchanged, strata
from emer_edge.bench.probes.judging import Fuse, Judge
from emer_edge.bench.records import Ablation
from emer_edge.data.clips import Clip
from emer_edge.spec.labels import View
from emer_edge.spec.progress import Progress, silent
from emer_edge.spec.window import EventsRule, WindowSpec

__all__ = ["PERMUTATIONS", "ablate", "film_and_class", "film_of"]

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

PERMUTATIONS: Final = 10


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
    before = fuse(windows.face, windows.eye, windows.gaze)
    found: list[Ablation] = []
    changes = _changes(windows, judge.owners, spec, events)
    for done, change in enumerate(changes, start=1):
        orders, chosen = [np.arange(len(windows), dtype=np.int64)], None
        if change.groups is not None:
            chosen = exchangeable(change.groups)
            rngs = (np.random.default_rng([judge.seed, each]) for each in range(permutations))
            orders = [exchanged(change.groups, judge.owners, each) for each in rngs]
        if chosen is None or len(chosen):
            ablation = Ablation(
                name=change.name,
                about=change.about,
                takes=change.takes,
                permutations=0 if chosen is None else permutations,
                clips=len(windows) if chosen is None else len(chosen),
                heads=judge.effects(before, [fuse(*change.given(each)) for each in orders], chosen),
            )
            found.append(ablation)
        progress("ablations", done, len(changes))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Change:
    """What the network is given instead.

    Attributes:
        name, about, takes: as in `Ablation`.
        given: order of the clips -> embeddings, eye and gaze.
        groups: strata within which clips are ordered anew; None where nothing is exchanged.
    """

    name: str
    about: str
    takes: str
    given: Callable[[Indices], tuple[Floats, Floats, Floats]]
    groups: list[Indices] | None = None


def _changes(
    windows: EncodedWindows, owners: Sequence[str], spec: WindowSpec, events: EventsRule
) -> tuple[_Change, ...]:
    face, eye, gaze, count = windows.face, windows.eye, windows.gaze, len(windows)
    blank_eye, blank_gaze = (np.broadcast_to(each, (count, *each.shape)) for each in no_eyes(spec, events))
    everyone = [np.arange(count, dtype=np.int64)]

    def eyes_of(order: Indices) -> tuple[Floats, Floats, Floats]:
        return face, eye[order], gaze[order]

    def faces_of(order: Indices) -> tuple[Floats, Floats, Floats]:
        return face[order], eye, gaze

    return (
        _Change("no eyes", "a tracker that finds no eyes", "eyes", lambda _: (face, blank_eye, blank_gaze)),
        _Change("no face", "the mean face of other people", "face", lambda _: (no_face(face, owners), eye, gaze)),
        _Change(
            "no gaze", "other people's mean for where the eyes look", "gaze",
            lambda _: (face, *without_gaze(eye, gaze, owners)),
        ),
        _Change(
            "no pupils", "other people's mean for the sizes of the pupils", "pupils",
            lambda _: (face, without_pupils(eye, owners), gaze),
        ),
        _Change(
            "eyes of same film and face", "eyes from another clip of the same film and FER class", "eyes", eyes_of,
            film_and_class(windows.clips, "fer"),
        ),
        _Change(
            "faces of same film and feeling", "faces from another clip of the same film and ER class", "face", faces_of,
            film_and_class(windows.clips, "er"),
        ),
        _Change(
            "eyes of same film", "eyes from another person's clip of the same film", "eyes", eyes_of,
            strata([film_of(each) for each in windows.clips]),
        ),
        _Change("anyone's eyes", "eyes from another person's clip, of any film", "eyes", eyes_of, everyone),
        _Change("anyone's faces", "faces from another person's clip, of any film", "face", faces_of, everyone),
    )  # fmt: skip
