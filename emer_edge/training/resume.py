"""An unfinished run beside its output, so that a stopped training goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from emer_edge.core.errors import CheckpointError
from emer_edge.model.checkpoint import read_pickle, write_pickle


@dataclass
class RunState:
    """How far a run is.

    Attributes:
        epoch: epochs done.
        best_epoch: the epoch that the selection slice likes most so far, 0 for none.
        best_score: its overall figure.
        best_figures: its figures.
        best_tensors: its network, but for a frozen backbone.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_figures: dict[str, float] = field(default_factory=dict)
    best_tensors: dict[str, Tensor] = field(default_factory=dict)


def resume_path(output: Path) -> Path:
    """Where an unfinished run for `output` is kept."""
    return output.with_name(output.name + ".resume")


def write_run(
    output: Path,
    identity: Mapping[str, Any],
    state: RunState,
    *,
    tensors: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer,
) -> None:
    """Keep a run, its network as the tensors that change; CheckpointError when the disk refuses."""
    write_pickle(
        resume_path(output),
        {
            "identity": dict(identity),
            "state": {name: getattr(state, name) for name in RunState.__dataclass_fields__},
            "tensors": dict(tensors),
            "optimiser": optimiser.state_dict(),
        },
    )


def resume_run(
    output: Path, identity: Mapping[str, Any], network: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> RunState | None:
    """Load a run kept under the same identity into network and optimiser; None when there is none or it differs."""
    try:
        content = read_pickle(resume_path(output))
        if not isinstance(content, dict) or content.get("identity") != dict(identity):
            return None
        state = RunState(**content["state"])
        network.load_state_dict(content["tensors"], strict=False)
        optimiser.load_state_dict(content["optimiser"])
    except (CheckpointError, KeyError, TypeError, ValueError, RuntimeError):
        return None  # a damaged file costs the epochs that it held, no more
    return state


def forget_run(output: Path) -> None:
    """Remove what is kept of a finished run."""
    with suppress(OSError):
        resume_path(output).unlink(missing_ok=True)
