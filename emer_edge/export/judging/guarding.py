"""The face guard of a bundle: where each encoder's file puts the faces of training, and how far a face may be from it.

The limit is one that the farthest clip of the next person exceeds with a chance of 5 %: the one-sided prediction bound
of a normal distribution of the logarithms of the selection participants' farthest clips; a person without alarms has
none on any clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.bundle.artefact import Part
from emer_edge.bundle.guard_file import FEWEST, KnownFaces
from emer_edge.bundle.reading_records import GuardRecord
from emer_edge.calibration.crops import choose_clips
from emer_edge.core.progress import Progress
from emer_edge.core.window import FACE_SLOTS
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.export.judging.workshop import Evidence, embeddings_of
from emer_edge.export.sources import Slices, Sources
from emer_edge.runtime.engines import CPU_ENGINE, open_engine

FEWEST_PEOPLE: Final = 3
_TRAINING_CLIPS, _SELECTION_CLIPS = 150, 120
_TRAINING_FACES: Final = 600  # twenty a direction; the faces of one clip are alike
_ALARMS: Final = 0.05
_NORMAL: Final = 1.6449  # its 95 % quantile


def make_guard(
    encoders: Mapping[str, Path],
    slices: Slices,
    evidence: Evidence | None,
    sources: Sources,
    *,
    seed: int,
    progress: Progress,
) -> tuple[dict[str, KnownFaces], GuardRecord] | str:
    """Fit the guard of every file of a face encoder to training clips, and choose its limit on selection clips.

    `encoders` maps `cpu/face_encoder` and so on to its file; `evidence` is windows of selection clips; `seed` is of the
    choice of training clips. Returns the embeddings of training by the same keys, and the record; or why there is no
    guard. DataError when a clip can't be read.
    """
    people, most = len({_person(clip) for clip in slices.selection}), FACE_SLOTS * len(slices.training)
    if evidence is None or people < FEWEST_PEOPLE or most < FEWEST:
        return (
            f"no face guard: it takes {FEWEST_PEOPLE} selection participants and {FEWEST} training faces; there are "
            f"{people} and at most {most}"
        )
    digests = {key: Part.of(path).sha256 for key, path in encoders.items()}
    files = {digests[key]: path for key, path in encoders.items()}
    faces = _embedded(files, choose_clips(slices.training, _TRAINING_CLIPS, seed), sources, progress)
    first = evidence.first_of_clips(_SELECTION_CLIPS)
    owners = np.array(evidence.truth.participants)[first]
    windows = {digest: embeddings_of(path, evidence)[evidence.frames[first]] for digest, path in files.items()}
    known: dict[str, KnownFaces] = {}
    limits: dict[str, float] = {}
    alarms, left_out = [], []
    for key, digest in digests.items():
        known[key] = KnownFaces.of(np.concatenate(faces[digest]))
        distances = known[key].distance(windows[digest])
        farthest = np.array([distances[owners == owner].max() for owner in np.unique(owners)])
        limits[key] = limit_of(farthest)
        alarms.append(int((farthest > limits[key]).sum()))
        left_out.append(sum(one > limit_of(np.delete(farthest, at)) for at, one in enumerate(farthest.tolist())))
    record = GuardRecord(limits=limits, people=people, alarms=max(alarms), alarms_left_out=max(left_out))
    return known, record


def limit_of(farthest: NDArray[np.float64]) -> float:
    """The limit, given the distance of the farthest clip of each of (n,) people, n at least 2.

    It is never so low that it alarms on more than 5 % of them.
    """
    count, logs = len(farthest), np.log(farthest)
    z, free = _NORMAL, count - 1
    # Student's t by its expansion in 1 / n (Abramowitz and Stegun 26.7.5).
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    bound = math.exp(float(logs.mean()) + t * float(logs.std(ddof=1)) * math.sqrt(1 + 1 / count))
    return max(bound, float(np.sort(farthest)[count - 1 - int(_ALARMS * count)]))


def _embedded(
    files: Mapping[str, Path], clips: tuple[Clip, ...], sources: Sources, progress: Progress
) -> dict[str, list[NDArray[np.float32]]]:
    """Each file's embeddings of faces of clips, (8, W) of a clip or, of many clips, (4, W)."""
    every = max(1, FACE_SLOTS * len(clips) // _TRAINING_FACES)
    made: dict[str, list[NDArray[np.float32]]] = {key: [] for key in files}
    with ExitStack() as stack:
        engines = {key: stack.enter_context(closing(open_engine(CPU_ENGINE, path, 1))) for key, path in files.items()}
        for done, clip in enumerate(clips, start=1):
            crops = load_faces(clip, clip_window(clip, sources.window, sources.events).frames[::every])
            for key, engine in engines.items():
                made[key].append(engine.run({"face": crops})["embedding"])
            progress("measuring where faces lie", done, len(clips))
    return made


def _person(clip: Clip) -> str:
    return clip.participant if clip.participant is not None else clip.name
