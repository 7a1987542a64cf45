"""What each head loses when eyes, face or gaze are taken away, or come from another clip.

A stream that is exchanged within its stratum keeps what the stratum has in common: eyes of the same film and the same
shown emotion still carry the film and go with that face, so what is lost is what only these eyes carried. A stream of
anyone else's leaves the network the other stream alone, and one that contradicts it. Eyes of the same film, whatever
was felt, cost nothing if the eyes carry only the film; that they cost less than anyone's does not prove it, as people
who see the same film feel alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bench.accuracy.clip_scores import EncodedWindows
from emer_edge.bench.probes.effects import Fuse, Indices, Judge
from emer_edge.bench.probes.film_decoding import numbered
from emer_edge.bench.records.probe_records import Ablation
from emer_edge.core import columns
from emer_edge.core.columns import PUPILS, MovementType, column_indices
from emer_edge.core.heads import View
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_COLUMN_COUNT, NANOSECONDS, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip
from emer_edge.metrics.intervals import grouped
from emer_edge.signals.rows import EyeStream, clip_times_ns

Floats = NDArray[np.float32]


def strata(keys: Sequence[Hashable]) -> list[Indices]:
    """Indices of items of the same key; items whose key is None belong to none."""
    return [members for key, members in grouped(keys).items() if key is not None]


def exchangeable(groups: Sequence[Indices]) -> Indices:
    """Ascending indices of the items that have a partner in their stratum."""
    return np.array(sorted(at for group in groups if len(group) > 1 for at in group), np.int64)


def exchanged(groups: Sequence[Indices], owners: Sequence[Hashable], rng: np.random.Generator) -> Indices:
    """Each item replaced by another of its stratum, another person's wherever that is possible.

    The members of a stratum are put in a random order in which each person's stand together, and the order is turned
    by a random number of places: at least as many as the person with most members has, at most as many as leave the
    others. So no item keeps its place and none gets one of its own person, unless that person has more than half of the
    stratum: then any other will do (Sattolo's algorithm).

    Args:
        groups: strata that share no item; items in none of them keep their place.
        owners: (n,) person of each item.
        rng: source of the draw.

    Returns:
        (n,) int64, which item takes each place: a permutation.
    """
    order = np.arange(len(owners), dtype=np.int64)
    for group in groups:
        if len(group) < 2:
            continue
        counts = Counter(owners[at] for at in group)
        most = max(counts.values())
        if 2 * most > len(group):
            order[group] = _cycle(group, rng)
            continue
        people = list(counts)
        rank = {people[at]: place for place, at in enumerate(rng.permutation(len(people)))}
        lined = np.array(sorted(rng.permutation(group), key=lambda at: rank[owners[at]]), np.int64)
        turn = int(rng.integers(most, len(group) - most + 1))
        order[lined] = np.roll(lined, turn)
    return order


def _cycle(group: Indices, rng: np.random.Generator) -> Indices:
    """Sattolo's algorithm: a random cycle through all members."""
    places: Indices = group.copy()
    for at in range(len(places) - 1, 0, -1):
        other = int(rng.integers(at))
        places[at], places[other] = places[other], places[at]
    return places


_RATE_HZ: Final = 120
_GAZE: Final = column_indices(
    *(columns.GAZE_POINT, *columns.GAZE_PX, *columns.DIRECTION, *columns.GAZE_MM),
    *(columns.GAZE_POINT_MCS, *columns.GAZE_MCS, columns.FIXATION_POINT),
)


def no_eyes(spec: WindowSpec, events: EventsRule) -> tuple[Floats, Floats]:
    """The eye half of a window in which a tracker runs and finds no eye: one long EyesNotFound, all else missing.

    Returns:
        (32, 39) and (32, 2) float32.
    """
    count = spec.length_ns * _RATE_HZ // NANOSECONDS
    rows = np.zeros((count, EYE_COLUMN_COUNT), np.float32)
    # As a sheet would have it; the causal rule works these columns out again.
    rows[:, columns.EVENTS][:, :3] = MovementType.EYES_NOT_FOUND, spec.length_ns / 1e6, 1
    stream = EyeStream(count, 0.0, events)
    stream.extend(rows, clip_times_ns(count, spec.length_ns), np.zeros(count, np.bool_))
    window = stream.window(spec.length_ns, spec)
    assert (window.eye[:, columns.MOVEMENT_TYPE] == MovementType.EYES_NOT_FOUND).all()
    return window.eye, window.gaze


def no_face(face: Floats, owners: Sequence[Hashable]) -> Floats:
    """The mean embedding of the other people's clips, in every slot: (n, 8, width) float32, as `face`.

    Zeros, or the embedding of a grey image, are nothing that the network has met: what they cost is not what the face
    was worth. This mean lies amid the faces that it knows, is the same in all of a person's clips, so that nothing in
    it distinguishes these, and holds nothing of the person. With a single person it is the mean of all clips.
    """
    means = _of_others(face.sum(axis=1, dtype=np.float64), np.full((len(face), 1), face.shape[1]), owners)
    return np.ascontiguousarray(np.broadcast_to(means[:, None], face.shape))


def without_gaze(eye: Floats, gaze: Floats, owners: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Where the eyes look is hidden, in the gaze input and in the columns; pupils, places and movements stay.

    Takes and returns (n, 32, 39) and (n, 32, 2) float32; see `without_columns`.
    """
    return without_columns(eye, _GAZE, owners), without_columns(gaze, range(2), owners)


def without_pupils(eye: Floats, owners: Sequence[Hashable]) -> Floats:
    """Both pupils' sizes are hidden: (n, 32, 39) float32, a new array."""
    return without_columns(eye, column_indices(PUPILS), owners)


def without_columns(rows: Floats, hidden: Sequence[int], owners: Sequence[Hashable]) -> Floats:
    """Some columns of (n, 32, k) rows hold the mean of other people's; not 0, a display's corner, as in `no_face`.

    Cells that are missing (0) stay so, because that is about whether an eye was seen.
    """
    chosen = list(hidden)
    held = rows[..., chosen]
    present = held != 0
    means = _of_others(held.sum(axis=1, dtype=np.float64), present.sum(axis=1), owners)
    without: Floats = rows.copy()
    without[..., chosen] = np.where(present, means[:, None], np.float32(0.0))
    return without


def _of_others(sums: NDArray[np.float64], counts: NDArray[np.int64], owners: Sequence[Hashable]) -> Floats:
    """(n, k) mean over the other people's clips, of (n, k) sums over (n, k or 1) counts; 0 where these hold nothing."""
    person = numbered(owners)
    people = int(person.max()) + 1
    total, number = np.zeros((people, sums.shape[1])), np.zeros((people, counts.shape[1]))
    np.add.at(total, person, sums)
    np.add.at(number, person, counts)
    if people > 1:
        total, number = total.sum(axis=0) - total, number.sum(axis=0) - number
    means = (total / np.maximum(number, 1)).astype(np.float32)
    return np.asarray(means[person], np.float32)


PERMUTATIONS: Final = 10


def film_and_class(clips: Sequence[Clip], view: View) -> list[Indices]:
    """Clips of the same film and the same class of one view: its seven emotions, else its three polarities."""
    names = (f"{view}-7", f"{view}-3")
    head = next((name for name in names if any(name in clip.labels for clip in clips)), "")
    keys = [(clip.film, clip.labels.get(head)) for clip in clips]
    return strata([None if None in key else key for key in keys])


def ablate(
    fuse: Fuse,
    windows: EncodedWindows,
    judge: Judge,
    *,
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
        progress: called after every ablation.

    Returns:
        Ablations that could be made, in reading order: exchanges need clips with partners.
    """
    before = fuse(windows.face, windows.eye, windows.gaze)
    ablations: list[Ablation] = []
    changes = _changes(windows, judge.owners, spec, events)
    for done, change in enumerate(changes, start=1):
        orders, chosen = [np.arange(len(windows), dtype=np.int64)], None
        if change.groups is not None:
            chosen = exchangeable(change.groups)
            rngs = (np.random.default_rng([judge.seed, draw]) for draw in range(permutations))
            orders = [exchanged(change.groups, judge.owners, rng) for rng in rngs]
        if chosen is None or len(chosen):
            ablation = Ablation(
                name=change.name,
                about=change.about,
                takes=change.takes,
                permutations=0 if chosen is None else permutations,
                clips=len(windows) if chosen is None else len(chosen),
                heads=judge.effects(before, [fuse(*change.given(order)) for order in orders], chosen),
            )
            ablations.append(ablation)
        progress("ablations", done, len(changes))
    return tuple(ablations)


@dataclass(frozen=True, eq=False)
class _Change:
    """What the network is `given` instead, by an order of the clips; where `groups` is None, they keep their own."""

    name: str
    about: str
    takes: str
    given: Callable[[Indices], tuple[Floats, Floats, Floats]]
    groups: list[Indices] | None = None


def _changes(
    windows: EncodedWindows, owners: Sequence[str], spec: WindowSpec, events: EventsRule
) -> tuple[_Change, ...]:
    face, eye, gaze, count = windows.face, windows.eye, windows.gaze, len(windows)
    blank_eye, blank_gaze = (np.broadcast_to(half, (count, *half.shape)) for half in no_eyes(spec, events))
    everyone = [np.arange(count, dtype=np.int64)]

    def eyes_of(order: Indices) -> tuple[Floats, Floats, Floats]:
        return face, eye[order], gaze[order]

    def faces_of(order: Indices) -> tuple[Floats, Floats, Floats]:
        return face[order], eye, gaze

    same_film = strata([clip.film for clip in windows.clips])
    film_and_face, film_and_feeling = film_and_class(windows.clips, "fer"), film_and_class(windows.clips, "er")
    other = "from another person's clip"
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
            groups=film_and_face,
        ),
        _Change(
            "faces of same film and feeling", "faces from another clip of the same film and ER class", "face", faces_of,
            groups=film_and_feeling,
        ),
        _Change("eyes of same film", f"eyes {other} of the same film", "eyes", eyes_of, groups=same_film),
        _Change("anyone's eyes", f"eyes {other}, of any film", "eyes", eyes_of, groups=everyone),
        _Change("anyone's faces", f"faces {other}, of any film", "face", faces_of, groups=everyone),
    )  # fmt: skip
