"""The faces of a batch: read and decoded each time, or encoded once by a frozen backbone.

On small operations a second torch thread gains little, and where other work competes for the cores the threads of one
operation wait for each other: on two shared cores, a step of the frozen fit took 0.6 s with one thread and 2 to 18 s
with two. Independent operations in parallel, with one thread each, have no such barrier.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emer_edge import __version__
from emer_edge.core.progress import Progress
from emer_edge.core.whole_file import write_private
from emer_edge.data.cache import cache_folder, contents_of
from emer_edge.data.dataset import Clip
from emer_edge.data.windows import load_faces
from emer_edge.model.backbone import ResNet18
from emer_edge.model.checkpoint import fill
from emer_edge.model.saved_files import read_pickle
from emer_edge.model.separable import SeparableNet
from emer_edge.model.wrappings import find_weights

FaceNet = ResNet18 | SeparableNet
_READERS: Final = 4
_MEAN_BGR: Final = (0.406, 0.456, 0.485)
_STD_BGR: Final = (0.225, 0.224, 0.229)


@contextmanager
def one_thread(active: bool = True) -> Iterator[None]:
    """Let torch compute each operation in one thread."""
    before = torch.get_num_threads()
    if active:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ImageFaces:
    """Reads crops from disk."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_READERS)

    def batch(self, clips: Sequence[Clip], frames: Sequence[NDArray[np.int64]]) -> Tensor:
        """Return (b, 8, 3, 112, 112) float32; DataError when a frame can't be read."""
        return torch.from_numpy(np.stack(list(self._pool.map(load_faces, clips, frames))))


class FrozenFaces:
    """Features of a frozen backbone, computed once and kept in the user's cache, outside of the data folder.

    Args:
        backbone: the backbone; left in evaluation mode.
        clips: the clips.
        candidates: frames to encode, per clip.
        fingerprint: of the data set.
        progress: called after every clip.

    Attributes:
        key: changes with everything that the features depend on.
        from_cache: nothing had to be computed.

    Raises:
        DataError: a frame can't be read.
    """

    def __init__(
        self,
        backbone: FaceNet,
        clips: Sequence[Clip],
        candidates: Sequence[NDArray[np.int64]],
        fingerprint: str,
        *,
        progress: Progress,
    ) -> None:
        self._rows: dict[tuple[str, int], int] = {}
        for clip, frames in zip(clips, candidates, strict=True):
            for frame in frames.tolist():
                self._rows.setdefault((clip.name, frame), len(self._rows))
        backbone.eval()
        causes = f"{fingerprint} {__version__} torch {torch.__version__}"
        contents = _contents(clips, candidates)
        self.key = _key(backbone, f"{causes} {contents}")
        path = cache_folder() / "features" / f"{self.key}.npz"
        kept = _read(path, (len(self._rows), backbone.width))
        self.from_cache = kept is not None
        if kept is not None:
            self._features = kept
            return
        self._features = self._compute(backbone, clips, candidates, progress)
        content = io.BytesIO()
        np.savez(content, features=self._features)
        if _contents(clips, candidates) == contents:  # no frame has changed since
            with suppress(OSError):  # a cache that can't be written only costs time
                write_private(path, content.getvalue())

    def batch(self, clips: Sequence[Clip], frames: Sequence[NDArray[np.int64]]) -> Tensor:
        """Return (b, 8, 512 or 256) float32."""
        rows = [
            [self._rows[clip.name, frame] for frame in chosen.tolist()]
            for clip, chosen in zip(clips, frames, strict=True)
        ]
        return torch.from_numpy(self._features[np.array(rows)])

    def _compute(
        self, backbone: FaceNet, clips: Sequence[Clip], candidates: Sequence[NDArray[np.int64]], progress: Progress
    ) -> NDArray[np.float32]:
        features = np.zeros((len(self._rows), backbone.width), np.float32)
        device = next(backbone.parameters()).device

        def encode(at: int) -> Tensor:
            faces = torch.from_numpy(load_faces(clips[at], candidates[at])).to(device)
            with torch.inference_mode():
                return cast("Tensor", backbone(faces)).cpu()

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        pool = ThreadPoolExecutor(cores, initializer=partial(torch.set_num_threads, 1))
        try:
            for at, encoded in enumerate(pool.map(encode, range(len(clips)))):
                features[[self._rows[clips[at].name, frame] for frame in candidates[at].tolist()]] = encoded.numpy()
                progress("encoding faces", at + 1, len(clips))
        finally:
            pool.shutdown(cancel_futures=True)
        return features


FaceSource = ImageFaces | FrozenFaces
"""Gives the faces of a batch, 8 per clip: (b, 8, 3, 112, 112) in [0, 1], or (b, 8, 512 or 256)."""


def _contents(clips: Sequence[Clip], candidates: Sequence[NDArray[np.int64]]) -> str:
    """What is read for the features, in words and SHA-256."""
    return "".join(
        f"{clip.name!r} {frames.tolist()} {contents_of([clip.frame_paths[frame] for frame in frames.tolist()])}\n"
        for clip, frames in zip(clips, candidates, strict=True)
    )


def _key(backbone: nn.Module, causes: str) -> str:
    digest = hashlib.sha256(causes.encode(errors="surrogateescape"))
    for name, tensor in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:40]


def _read(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """Read kept features; None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            features: NDArray[np.float32] = file["features"]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    return features if features.dtype == np.float32 and features.shape == shape else None


def load_backbone_weights(backbone: ResNet18, path: Path, *, adapt: bool) -> None:
    """Fill a backbone from a torchvision ResNet-18 state dict.

    Args:
        backbone: receives the weights.
        path: the state dict, its raw weights where it holds averaged ones too; its classifier `fc` may be there or not.
        adapt: the weights expect R, G, B with ImageNet's mean and deviation taken out: turn the first layer to B, G, R
            in [0, 1], as the network's faces come. The same but for a 3-pixel border. The published recipe feeds B, G,
            R in [0, 1] to the weights as they are.

    Raises:
        CheckpointError: missing, damaged, unsafe, or not a ResNet-18; all tensors that do not fit are listed.
    """
    what = "torchvision's ResNet-18"
    names = {name for name in backbone.state_dict() if not name.startswith("fc.")}
    tensors = dict(find_weights(read_pickle(path), names, path, what=what, wanted="raw")[0])
    classifier = backbone.fc.state_dict() if hasattr(backbone, "fc") else {}
    for name in ("fc.weight", "fc.bias"):
        tensors.pop(name, None)
        if classifier:
            tensors[name] = classifier[name.removeprefix("fc.")]
    fill(backbone, tensors, path, what)
    if not adapt:
        return
    with torch.no_grad():
        kernels = backbone.conv1.weight.flip(1) / torch.tensor(_STD_BGR)[:, None, None]
        offset = (kernels * torch.tensor(_MEAN_BGR)[:, None, None]).sum(dim=(1, 2, 3))
        backbone.conv1.weight.copy_(kernels)
        mean = backbone.bn1.running_mean
        assert mean is not None  # batch norms of a ResNet track their statistics
        mean.add_(offset)
