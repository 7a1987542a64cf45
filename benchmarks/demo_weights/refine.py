"""Go on training the heads on many rendered people: windows of encoded renders, the teacher's word as soft labels.

The synthetic clips show few people, so heads that know those alone read others worse than the encoder lets them. Every
step takes some clips, as the product trains on them, and some windows of renders: half of those with the eyes of a
random clip, which tell nothing of the face, half with none. And as many windows of faces that nobody rendered: features
moved by what tells two other renders apart, and stretched, of which the teacher's last layer still knows what they
show. Stopped at any time, it goes on where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.demo_weights.encoded import Encoded
from benchmarks.demo_weights.pool import AN_IDENTITY
from emer_edge.core.heads import EMOTIONS, POLARITIES, POLARITY_OF_EMOTION
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import FACE_SLOTS
from emer_edge.model.checkpoint import write_pickle
from emer_edge.model.emert import Emert
from emer_edge.model.saved_files import read_pickle
from emer_edge.signals.no_eyes import no_eyes
from emer_edge.training.examples import Batch, Examples
from emer_edge.training.face_features import FaceSource
from emer_edge.training.losses import EyeTask, agreement_loss, embed, modality_loss, task_loss

BATCH: Final = 32
"""Clips of a step."""
_WINDOWS: Final = 96  # of renders, and as many of moved ones
_EPOCHS: Final = 30
_RATE: Final = 1e-3
_WEIGHT_DECAY: Final = 5e-4
_AGREEMENT: Final = 4.0
_EYE_TASK: Final = 0.1
_MODALITY: Final = 0.01
_LARGEST_GRADIENT: Final = 5.0
_SEED: Final = 7
_AT_ONCE: Final = 200
_MOVED: Final = 1.5  # at most, of the difference of two renders
_STRETCHED: Final = 0.3  # deviation of the logarithm, feature by feature
_NOISE: Final = 0.1  # of every crop alone, as 8 bits make it
_SMILE: Final = EMOTIONS.index("happiness")
_POLARITY: Final = torch.tensor([[float(POLARITY_OF_EMOTION[each] == one) for one in POLARITIES] for each in EMOTIONS])


@dataclass(frozen=True)
class Agreement:
    """How FER-7 answers to renders without eyes, and what the teacher says of them.

    Attributes:
        renders: how many; each is a window of one plain crop.
        same: share of them with the same first class.
        sensitivity, specificity: of happiness against all else.
        divergence: mean Kullback-Leibler divergence, in nats.
    """

    renders: int
    same: float
    sensitivity: float
    specificity: float
    divergence: float


@torch.no_grad()
def agreement(model: Emert, renders: Encoded, moved: bool = False) -> Agreement:
    """Compare a network with the teacher, on renders or on faces that nobody rendered."""
    model.eval()
    features, seen = torch.from_numpy(renders.features[:, 0]), torch.from_numpy(renders.seen)
    if moved:
        features, seen = (each.squeeze(1) for each in _moved(renders, features[:, None], np.random.default_rng(_SEED)))
    said = []
    for part in features.split(_AT_ONCE):
        embedded = model.project(part)[:, None].expand(-1, FACE_SLOTS, -1)
        said.append(model.fuse(embedded, *_blank(len(part)))["fer-7"])
    logs = torch.log_softmax(torch.cat(said), 1)
    guess, truth = logs.argmax(1), seen.argmax(1)
    smiles = truth == _SMILE
    return Agreement(
        renders=len(seen),
        same=float((guess == truth).float().mean()),
        sensitivity=float((guess[smiles] == _SMILE).float().mean()),
        specificity=float((guess[~smiles] != _SMILE).float().mean()),
        divergence=float(nn.functional.kl_div(logs, seen, reduction="batchmean")),
    )


def refine(
    model: Emert, training: Examples, faces: FaceSource, renders: Encoded, kept: Path, progress: Progress = silent
) -> None:
    """Fit everything behind the encoder, in place.

    Args:
        model: trained on the clips.
        training: the clips.
        faces: their faces.
        renders: of people who are in no clip.
        kept: file of an unfinished run; it is deleted in the end.
        progress: called after each pass over the clips.
    """
    torch.manual_seed(_SEED)
    backbone, eye_task = model.subnet.f_extractor.requires_grad_(False), EyeTask(model.variant.dim)
    network = nn.ModuleList([model, eye_task])
    fitted = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(fitted, _RATE, weight_decay=_WEIGHT_DECAY)
    done = 0
    if kept.exists():
        content = read_pickle(kept)
        done = content["done"]
        network.load_state_dict(content["tensors"])
        optimiser.load_state_dict(content["optimiser"])
    for epoch in range(done, _EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * epoch / _EPOCHS))
        rng = np.random.default_rng([_SEED, epoch])
        torch.manual_seed(int(rng.integers(2**63)))
        windows = training.draw(rng, published=False, candidates_only=True)
        order = rng.permutation(len(windows))
        for batch in training.batches(windows, faces, BATCH, torch.device("cpu"), order=order):
            model.train()
            backbone.eval()
            loss = _loss_of_clips(model, eye_task, batch)
            model.eval()  # renders are many: without dropout
            for moved in (False, True):
                loss = loss + _loss_of_renders(model, _windows(renders, batch, rng, moved))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(fitted, _LARGEST_GRADIENT)
            optimiser.step()
        write_pickle(kept, {"done": epoch + 1, "tensors": network.state_dict(), "optimiser": optimiser.state_dict()})
        progress("refining", epoch + 1, _EPOCHS)
    model.eval()
    kept.unlink(missing_ok=True)


def _loss_of_clips(model: Emert, eye_task: EyeTask, batch: Batch) -> Tensor:
    """As the product trains."""
    embedded = embed(model, batch)
    eye, gaze = model.standardise(batch.eye, batch.gaze)
    hidden = eye_task.hide(eye, gaze)
    fused = model.fuse_standardised(embedded, hidden.eye, hidden.gaze)
    shown = [name for name in fused.heads if name.startswith("fer-")]
    blind = model.fuse(embedded, *_blank(len(embedded)))
    outputs = {**fused.heads, **{name: blind[name] for name in shown}}
    specific, invariant = model.modality_logits(fused)
    return (
        task_loss(outputs, batch.labels)
        + _AGREEMENT * agreement_loss(fused.heads, blind, shown)
        + _EYE_TASK * eye_task.loss(fused.tokens, hidden, batch.eye, eye)
        + _MODALITY * (modality_loss(specific) + modality_loss(invariant))
    )


def _loss_of_renders(model: Emert, batch: Batch) -> Tensor:
    """Of what is shown alone: a render has no feelings."""
    outputs = model.fuse(embed(model, batch), batch.eye, batch.gaze)
    return task_loss({name: outputs[name] for name in batch.labels}, batch.labels)


def _windows(renders: Encoded, clips: Batch, rng: np.random.Generator, moved: bool) -> Batch:
    """Draw windows of renders: one crop throughout, crops of one render, or of up to three renders of one identity.

    Moved ones show faces that nobody rendered, labelled by the teacher's last layer.
    """
    count, versions = renders.features.shape[:2]
    rows = rng.integers(count, size=(_WINDOWS, 1)).repeat(FACE_SLOTS, axis=1)
    version = rng.integers(versions, size=(_WINDOWS, FACE_SLOTS))
    still = rng.random(_WINDOWS) < 0.5
    version[still] = version[still, :1]
    for window in np.flatnonzero(~still & (rng.random(_WINDOWS) < 0.5)):
        first = rows[window, 0] // AN_IDENTITY * AN_IDENTITY
        others = rng.choice(AN_IDENTITY, 3, replace=False)
        rows[window] = first + others[np.sort(rng.integers(3, size=FACE_SLOTS))]
    features, seen = (
        torch.from_numpy(renders.features[rows, version]),
        torch.from_numpy(renders.seen[rows].mean(axis=1)),
    )
    if moved:
        features, seen = _moved(renders, features, rng)
    eye, gaze = _blank(_WINDOWS)
    seeing = torch.from_numpy(rng.random(_WINDOWS) < 0.5)[:, None, None]
    lent = torch.from_numpy(rng.integers(len(clips.eye), size=_WINDOWS))
    return Batch(
        features,
        torch.where(seeing, clips.eye[lent], eye),
        torch.where(seeing, clips.gaze[lent], gaze),
        {"fer-7": seen, "fer-3": seen @ _POLARITY},
    )


@torch.no_grad()
def _moved(renders: Encoded, features: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Move features (n, slots, 256), each window in a way of its own; return them and what they show (n, 7)."""
    count, width = len(features), features.shape[-1]
    one, other = (torch.from_numpy(renders.features[rng.integers(len(renders.seen), size=count), 0]) for _ in range(2))
    share, stretch = rng.uniform(0, _MOVED, (count, 1)), np.exp(rng.normal(0, _STRETCHED, (count, width)))
    features = (features * torch.from_numpy(stretch.astype(np.float32))[:, None]).add_(
        (torch.from_numpy(share.astype(np.float32)) * (one - other))[:, None]
    )
    features = features.clamp_min(0)  # as after a ReLU
    seen = torch.softmax(renders.readout(features), -1).mean(1)
    return features + torch.from_numpy(rng.normal(0, _NOISE, features.shape).astype(np.float32)), seen


def _blank(count: int) -> tuple[Tensor, Tensor]:
    eye, gaze = no_eyes(count)
    return torch.from_numpy(eye), torch.from_numpy(gaze)
