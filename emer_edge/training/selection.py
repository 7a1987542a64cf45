"""How good a network is on the selection slice: the figure that chooses the epoch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from emer_edge.metrics.classification import uar, war
from emer_edge.metrics.regression import mae
from emer_edge.model.emert import Emert
from emer_edge.model.encoders import STATE
from emer_edge.spec.heads import HEADS, ValueHead
from emer_edge.training.examples import Batch

__all__ = ["embed", "overall", "predict", "scores"]


def embed(model: Emert, batch: Batch) -> torch.Tensor:
    """Map a batch's crops or features to embeddings (b, 8, 128)."""
    if batch.face.dim() == 3:
        return model.project(batch.face)
    return model.encode(batch.face.flatten(0, 1)).reshape(*batch.face.shape[:2], STATE)


def predict(model: Emert, batches: Iterable[Batch]) -> dict[str, NDArray[np.float32]]:
    """Run a network over batches in evaluation mode; return head -> (n, C) logits or (n, 1) values."""
    model.eval()
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in model.head_names}
    with torch.inference_mode():
        for batch in batches:
            for name, each in model.fuse(embed(model, batch), batch.eye, batch.gaze).items():
                found[name].append(each.cpu().numpy())
    return {name: np.concatenate(each) for name, each in found.items()}


def scores(outputs: Mapping[str, NDArray[np.float32]], labels: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    """Score outputs against labels, NaN for none: `<head>/war` and `<head>/uar`, or `<head>/mae`."""
    found: dict[str, float] = {}
    for name, output in outputs.items():
        known = np.isfinite(labels[name])
        if not known.any():
            continue
        truth = labels[name][known]
        if HEADS[name].kind == "class":
            predicted = output[known].argmax(axis=1)
            found[f"{name}/war"] = war(truth.astype(np.int64), predicted)
            found[f"{name}/uar"] = uar(truth.astype(np.int64), predicted)
        else:
            found[f"{name}/mae"] = mae(truth, output[known, 0])
    return found


def overall(figures: Mapping[str, float]) -> float:
    """Fold the figures into one to choose by: the mean over heads of UAR, and of 1 - MAE / range of the label."""
    parts = []
    for key, value in figures.items():
        name, _, metric = key.partition("/")
        head = HEADS[name]
        if metric == "uar":
            parts.append(value)
        elif metric == "mae" and isinstance(head, ValueHead):
            parts.append(1.0 - value / (head.high - head.low))
    return float(np.mean(parts)) if parts else 0.0
