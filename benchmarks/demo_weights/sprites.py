"""Make the faces of the synthetic set: `python -m benchmarks.demo_weights.sprites WORK`.

Each of 120 rendered adults gets one pose, one light and eight pictures: seven expressions and closed eyes. What an
expression is called is not decided by the name of its mixture of face units: mixtures are changed at random until the
teacher calls the face by the emotion, surely. Somebody whose face at rest isn't neutral to the teacher, or who can't
reach half of the emotions, is left out; what is still missing then is searched again, beginning with what worked for
others. At last the teacher looks at what the product draws from the pictures, at several strengths, and these
probabilities travel with them: where an emotion was never reached they say so.

A finished person is kept in WORK/sprites: an interrupted run continues. Each worker has a fixed share of the people and
mixtures of its own, so the result doesn't depend on their speed. About fifteen minutes of CPU time.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import emer_edge
from benchmarks.demo_weights.heads import SKIN, Heads, sample
from benchmarks.demo_weights.people import (
    POSED,
    Light,
    Look,
    Person,
    View,
    both_sides,
    draw_light,
    draw_look,
    draw_person,
    sided,
)
from benchmarks.demo_weights.renders import Rendering, align, render
from benchmarks.demo_weights.teacher import Teacher
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.whole_file import whole_file
from emer_edge.data.synth import faces
from emer_edge.data.synth.faces import CELL_PX, COLUMNS, PICTURE_PX, QUARTER_PX, STRENGTHS, Appearance

FACES: Final = 120
_WORKERS: Final = 4
_SEED: Final = 20
_ASSETS: Final = Path(emer_edge.__file__).parent / "data" / "synth" / "assets"
_EYES_PX: Final = (88.0, 92.0)  # the middle between them in a picture
_QUALITY: Final = 80
_COARSE_PX: Final = 136
_HARDEST_FIRST: Final = ("fear", "disgust", "anger", "sadness", "surprise", "happiness")
_SURE: Final = 0.85  # of the teacher: enough
_ENOUGH: Final = 0.5
_MOST_MISSED: Final = 3  # emotions that a person may not reach; the labels tell what the teacher sees instead
_BEYOND: Final = 1.15  # a peak is this much stronger than what was sure, where the teacher stays
_SLACK: Final = 0.05
_ATTEMPTS: Final = 200  # people for one place
_TRIES_AT_REST: Final = 4
_TRIES: Final = 14  # of mixtures for one peak
_KNOWN: Final = 6  # of them the mixtures that worked for other people
_FOUND: Final[dict[str, dict[str, float]]] = {
    "fear": {"eyeWide": 0.85, "jawOpen": 0.7, "noseSneer": 0.6, "mouthShrugUpper": 0.8},
    "disgust": {"noseSneer": 0.95, "mouthUpperUp": 0.9, "cheekSquint": 0.45, "mouthLowerDown": 0.8, "eyeSquint": 0.6},
}
"""Mixtures that worked in trials for the two emotions that the teacher sees least."""
_SKEWED: Final = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
_LOOKS: Final = 2  # of the teacher at each strength, each in another light and with another jitter
_NEAR_PX: Final = 5.0
_MORE: Final = 24  # tries for what somebody lacks
_MORE_KNOWN: Final = 14
_SPARE: Final = 0.1  # more people than needed
_CALM: Final = 0.7  # of the teacher, as the product draws a face at rest
_NEUTRAL: Final = EMOTIONS.index("neutral")
_MOVED: Final = [at for at, emotion in enumerate(EMOTIONS) if emotion != "neutral"]
_CLOSED: Final = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}

Units = dict[str, float]


@dataclass(frozen=True)
class _Sitter:
    """A person in one pose and light, before one background."""

    person: Person
    look: Look
    light: Light
    view: View
    background: NDArray[np.float32]

    @classmethod
    def draw(cls, heads: Heads, rng: np.random.Generator) -> _Sitter:
        person = draw_person(heads, rng)
        while person.child:
            person = draw_person(heads, rng)
        look, light = draw_look(person, rng), replace(draw_light(rng), noise=0.0)
        view = View(rng.normal(0, 0.09), rng.normal(0, 0.07), rng.normal(0, 0.03), rng.uniform(8, 20))
        spots = rng.normal(0, 18, (3, 3, 3)).astype(np.float32) + rng.uniform(40, 220) + rng.normal(0, 12, 3)
        background = cv2.resize(spots.astype(np.float32), PICTURE_PX, interpolation=cv2.INTER_CUBIC)
        return cls(person, look, light, view, np.clip(background, 0, 255))

    def render(self, heads: Heads, units: Units, *, coarse: bool = False) -> Rendering:
        who = (heads, self.person, self.look, self.light, units)
        if coarse:
            size, middle = (_COARSE_PX, _COARSE_PX), (_COARSE_PX / 2, _COARSE_PX / 2 - 12.0)
            return render(*who, view=self.view, size=size, between_eyes=middle, finer=1.0)
        return render(*who, view=self.view, size=PICTURE_PX, between_eyes=_EYES_PX)

    def picture(self, rendering: Rendering) -> NDArray[np.uint8]:
        return np.clip(np.rint(rendering.over(self.background)), 0, 255).astype(np.uint8)


@dataclass
class _Search:
    """Looks for mixtures of units (names without sides -> strength); those that worked are kept in `known`."""

    heads: Heads
    teacher: Teacher
    known: dict[str, list[Units]] = field(
        default_factory=lambda: {emotion: [_FOUND[emotion]] if emotion in _FOUND else [] for emotion in _HARDEST_FIRST}
    )

    def remember(self, found: dict[str, Units]) -> None:
        """Try these mixtures on other people."""
        for emotion in _HARDEST_FIRST:
            if emotion in found:
                self.known[emotion].append(found[emotion])

    def expressions(self, sitter: _Sitter, rng: np.random.Generator) -> dict[str, Units] | None:
        """Mixtures that are sure; None where the face at rest isn't neutral or too many emotions aren't reached."""
        neutral = self._neutral(sitter, rng)
        if neutral is None:
            return None
        found, missed = {"neutral": neutral}, 0
        for emotion in _HARDEST_FIRST:
            sure, mixture = self.climb(sitter, emotion, rng, _TRIES, _KNOWN)
            missed += sure < _ENOUGH
            if missed > _MOST_MISSED:
                return None
            if sure >= _SURE:
                found[emotion] = mixture
        return found

    def peak(self, sitter: _Sitter, emotion: str, mixture: Units) -> Units:
        """The mixture, or a stronger one that is as sure."""
        more = {name: _BEYOND * strength for name, strength in mixture.items()}
        return more if self._sees(sitter, emotion, more) >= _SURE - _SLACK else mixture

    def _neutral(self, sitter: _Sitter, rng: np.random.Generator) -> Units | None:
        for _ in range(_TRIES_AT_REST):
            mixture = {name: rng.uniform(0, 0.2) for name in self._names(rng, 2)}
            if self._sees(sitter, "neutral", mixture) >= _SURE:
                return mixture
        return None

    def climb(
        self, sitter: _Sitter, emotion: str, rng: np.random.Generator, tries: int, known: int
    ) -> tuple[float, Units]:
        """The mixture that the teacher calls by the emotion most surely, and how surely."""
        others = self.known[emotion]
        first = [dict(POSED[emotion]), *(others[at] for at in rng.permutation(len(others))[:known])]
        best, mixture = -1.0, first[0]
        for attempt in range(tries):
            tried = first[-1 - attempt] if attempt < len(first) else self._changed(mixture, rng)
            tried = {name: min(strength, 1.0) for name, strength in tried.items()}
            sure = self._sees(sitter, emotion, tried)
            if sure > best:
                best, mixture = sure, tried
            if best >= _SURE:
                break
        return best, mixture

    def _changed(self, mixture: Units, rng: np.random.Generator) -> Units:
        changed = {name: strength * rng.uniform(0.8, 1.25) for name, strength in mixture.items() if rng.random() > 0.1}
        for name in self._names(rng, int(rng.integers(1, 4))):
            changed[name] = changed.get(name, 0.0) + rng.normal(0, 0.5)
        return {name: strength for name, strength in changed.items() if strength > 0}

    def _names(self, rng: np.random.Generator, count: int) -> list[str]:
        names = [name for name in sided(self.heads) if not name.startswith(_SKEWED)]
        return [str(name) for name in rng.choice(names, count, replace=False)]

    def _sees(self, sitter: _Sitter, emotion: str, mixture: Units) -> float:
        """The teacher's probability of an emotion, in a coarser picture than the one that is kept."""
        rendering = sitter.render(self.heads, both_sides(self.heads, mixture), coarse=True)
        image = rendering.over(np.full((_COARSE_PX, _COARSE_PX, 3), sitter.background.mean(), np.float32))
        crop = np.clip(np.rint(align(image, rendering.landmarks)), 0, 255).astype(np.uint8)
        return float(self.teacher.probabilities(crop[None])[0, EMOTIONS.index(emotion)])


def make_sprites(work: Path, count: int = FACES) -> None:
    """Render `count` people and write the package's `assets`: a sheet of pictures each, and `faces.npz`."""
    folder, numbers = work / "sprites", range(round(count * (1 + _SPARE)))
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(_WORKERS, get_context("spawn")) as pool:
        if not all((folder / f"{number:03d}.npz").exists() for number in numbers):
            Heads.open(work)  # once, before the workers
            for part in [pool.submit(_find, work, worker, len(numbers)) for worker in range(_WORKERS)]:
                part.result()
            for done, _ in enumerate(pool.map(partial(_picture, work, len(numbers)), numbers), start=1):
                sys.stderr.write(f"pictures: {done} of {len(numbers)}\n")
        seen = np.stack([*pool.map(partial(_seen, work, len(numbers)), numbers)])
    calm = np.flatnonzero(seen[:, _NEUTRAL, 0, _NEUTRAL] >= _CALM)[:count]
    if len(calm) < count:
        raise RuntimeError(f"only {len(calm)} of {len(numbers)} faces at rest are neutral as the product draws them")
    for old in _ASSETS.glob("[0-9][0-9][0-9].jpg"):
        old.unlink()
    for row, number in enumerate(calm.tolist()):
        (_ASSETS / f"{row:03d}.jpg").write_bytes((folder / f"{number:03d}.jpg").read_bytes())
    _write(
        _ASSETS, {**{name: values[calm] for name, values in _shapes(folder, len(numbers)).items()}, "seen": seen[calm]}
    )


@lru_cache(maxsize=1)
def _search(work: Path) -> _Search:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return _Search(Heads.open(work), Teacher(work))


def _find(work: Path, worker: int, count: int) -> None:
    """Find one of `_WORKERS` shares of the people, and mixtures that are sure."""
    search = _search(work)
    for number in range(worker, count, _WORKERS):
        path = work / "sprites" / f"{number:03d}.json"
        if not path.exists():
            for attempt in range(_ATTEMPTS):
                rng = np.random.default_rng([_SEED, number, attempt])
                found = search.expressions(_Sitter.draw(search.heads, rng), rng)
                if found is not None:
                    break
            else:
                raise RuntimeError(f"no person of {_ATTEMPTS} shows the teacher enough; loosen the limits")
            with whole_file(path) as unfinished:
                unfinished.write_text(json.dumps({"attempt": attempt, "found": found}), "utf-8")
            sys.stderr.write(f"person {number + 1} of {count}, after {attempt} others\n")
        search.remember(json.loads(path.read_text("utf-8"))["found"])


def _picture(work: Path, count: int, number: int) -> None:
    """Search again what somebody lacks, with what worked for all others, and draw the pictures."""
    search, folder = _search(work), work / "sprites"
    if (folder / f"{number:03d}.npz").exists():
        return
    records = [json.loads((folder / f"{at:03d}.json").read_text("utf-8")) for at in range(count)]
    search.known = {emotion: [] for emotion in _HARDEST_FIRST}
    for record in records:
        search.remember(record["found"])
    sitter = _Sitter.draw(search.heads, np.random.default_rng([_SEED, number, records[number]["attempt"]]))
    rng, found = np.random.default_rng([_SEED, number]), records[number]["found"]
    for emotion in _HARDEST_FIRST:
        mixture = found[emotion] if emotion in found else search.climb(sitter, emotion, rng, _MORE, _MORE_KNOWN)[1]
        found[emotion] = search.peak(sitter, emotion, mixture)
    units = {emotion: both_sides(search.heads, found[emotion]) for emotion in EMOTIONS}
    drawn = [sitter.render(search.heads, units[emotion]) for emotion in EMOTIONS]
    neutral, shut = drawn[_NEUTRAL], sitter.render(search.heads, units["neutral"] | _CLOSED)
    pictures = [sitter.picture(each) for each in (*drawn, shut)]
    sheet = np.vstack([np.hstack(pictures[at : at + COLUMNS]) for at in range(0, len(pictures), COLUMNS)])
    cv2.imwrite(str(folder / f"{number:03d}.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    near = _nearness(search.heads, neutral)
    points = np.stack([each.landmarks for each in (*drawn, shut)]).astype(np.float16)
    moves = np.stack([_moves(near, each.vertices - neutral.vertices) for each in drawn])
    with whole_file(folder / f"{number:03d}.npz") as unfinished, unfinished.open("wb") as file:
        np.savez(file, points=points, moves=moves)


def _nearness(heads: Heads, neutral: Rendering) -> NDArray[np.float64]:
    """(cells, v) how much each vertex speaks for each cell: of the skin that faces the camera, by distance."""
    speaks = np.zeros(len(neutral.vertices), bool)
    speaks[np.unique(heads.corners[heads.part == SKIN])] = True
    speaks[heads.seams[sample(heads.masks[1], heads.uv) > 0.5]] = False  # the inside of the mouth
    width, height = PICTURE_PX
    x, y = np.meshgrid((np.arange(width // CELL_PX) + 0.5) * CELL_PX, (np.arange(height // CELL_PX) + 0.5) * CELL_PX)
    off = np.stack([x, y], axis=-1).reshape(-1, 1, 2) - neutral.vertices
    return np.asarray(np.exp(-(off**2).sum(axis=-1) / (2 * _NEAR_PX**2)) * (speaks & neutral.facing))


def _moves(near: NDArray[np.float64], moved: NDArray[np.float32]) -> NDArray[np.int8]:
    """(26, 22, 2) quarter pixels by which cells move, from the (v, 2) moves of the vertices; 0 far from the head."""
    cells = near @ moved / (near.sum(axis=1, keepdims=True) + 0.1)
    quarters = np.clip(np.rint(cells / QUARTER_PX), -127, 127).astype(np.int8)
    return quarters.reshape(PICTURE_PX[1] // CELL_PX, PICTURE_PX[0] // CELL_PX, 2)


def _shapes(folder: Path, count: int) -> dict[str, NDArray[np.generic]]:
    kept = [np.load(folder / f"{number:03d}.npz") for number in range(count)]
    return {name: np.stack([each[name] for each in kept]) for name in ("points", "moves")}


def _write(folder: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    with whole_file(folder / "faces.npz") as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _seen(work: Path, count: int, number: int) -> NDArray[np.float16]:
    """(7, 5, 7) the teacher's mean probabilities over crops of a face, drawn as the synthetic set draws them."""
    path = work / "sprites" / f"{number:03d}.npy"
    if path.exists():
        return np.asarray(np.load(path), np.float16)
    _use(work / "sprites", count)
    rng = np.random.default_rng([_SEED, number])
    crops = []
    shown = [np.zeros(len(EMOTIONS)), *(by * each for each in np.eye(len(EMOTIONS))[_MOVED] for by in STRENGTHS[1:])]
    for amounts in shown:
        for look in range(_LOOKS):
            who = replace(Appearance.of(look, 1), face=number)
            pose = faces.align_pose(faces.landmarks(amounts, who))
            pose = pose.jittered(rng.normal(0, 1.5), 1 + rng.normal(0, 0.012), tuple(rng.normal(0, 0.8, 2)))
            crops.append(faces.render(amounts, who, pose, rng))
    found = _search(work).teacher.probabilities(np.stack(crops)).reshape(len(shown), _LOOKS, -1).mean(axis=1)
    seen = np.tile(found[0], (len(EMOTIONS), len(STRENGTHS), 1))
    seen[_MOVED, 1:] = found[1:].reshape(len(_MOVED), len(STRENGTHS) - 1, -1)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, seen.astype(np.float16))
    return seen.astype(np.float16)


@lru_cache(maxsize=1)
def _use(folder: Path, count: int) -> None:
    """Let this process draw from the new pictures instead of the package's."""
    shapes = _shapes(folder, count)
    blank = np.zeros((count, len(EMOTIONS), len(STRENGTHS), len(EMOTIONS)), np.float32)
    faces._ASSETS = folder
    faces.packaged = lambda: faces.Packaged(shapes["points"].astype(np.float32), shapes["moves"], blank)


if __name__ == "__main__":
    make_sprites(Path(sys.argv[1]))
