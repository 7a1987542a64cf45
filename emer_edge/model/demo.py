"""The demo checkpoint that ships with the package: trained on synthetic clips, to show the house at work.

It is small because its backbone is drawn from a seed: the file holds the other tensors, matrices as float16, and the
metadata as JSON in the safetensors header.
"""

from __future__ import annotations

import json
import os
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.model.seeded import seeded_convolutions
from emer_edge.model.tensors import fill

__all__ = ["DEMO_SIZE_LIMIT", "load_demo_checkpoint", "save_demo_checkpoint"]

DEMO_SIZE_LIMIT: Final = 8_000_000
"""Bytes that the demo checkpoint may take in the package."""

_PACKAGED: Final = "assets/demo.safetensors"
_BACKBONE: Final = "subnet.f_extractor."
_HEADER: Final = "emer-edge"


def save_demo_checkpoint(path: Path, model: Emert, metadata: CheckpointMetadata) -> None:
    """Write a network with a seeded backbone as a demo checkpoint.

    Raises:
        ConfigurationError: its backbone does not come from a seed, or the file would pass 8 MB.
        CheckpointError: the file can't be written.
    """
    if metadata.backbone_seed is None:
        raise ConfigurationError("a demo checkpoint needs a network trained with --frozen-backbone on no other weights")
    drawn = {_BACKBONE + name: each for name, each in seeded_convolutions(metadata.backbone_seed).items()}
    tensors = {}
    for name, each in model.state_dict().items():
        if name in drawn:
            if not torch.equal(each, drawn[name]):
                raise ConfigurationError(f"{name} is not what seed {metadata.backbone_seed} draws")
            continue
        half = each.is_floating_point() and each.dim() > 1
        tensors[name] = (each.half() if half else each).detach().cpu().contiguous()
    size = sum(each.numel() * each.element_size() for each in tensors.values())
    if size > DEMO_SIZE_LIMIT:
        raise ConfigurationError(f"the demo checkpoint would take {size} bytes, more than {DEMO_SIZE_LIMIT}")
    document = {**metadata.to_builtins(), "demo": True}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, {_HEADER: json.dumps(document)})
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"can't write {path}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_demo_checkpoint(path: Path | None = None) -> tuple[Emert, CheckpointMetadata]:
    """Read a demo checkpoint, by default the packaged one.

    Returns:
        The network in evaluation mode, and its metadata with `demo` set.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    if path is None:
        with as_file(files("emer_edge.model").joinpath(_PACKAGED)) as packaged:
            return load_demo_checkpoint(packaged)
    if not path.is_file():
        raise CheckpointError(f"there is no demo checkpoint {path}; install emer-edge again")
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get(_HEADER, "null")
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        document = json.loads(written)
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is no demo checkpoint, or it is damaged: {error}") from None
    metadata = CheckpointMetadata.from_builtins(document, str(path))
    if metadata.backbone_seed is None:
        raise CheckpointError(f"{path} does not name the seed of its backbone")
    drawn = {_BACKBONE + name: each for name, each in seeded_convolutions(metadata.backbone_seed).items()}
    model = Emert(metadata.variant, metadata.heads, metadata.classes)
    fill(model, {**tensors, **drawn}, path, f"its own description, the {metadata.variant} variant")
    return model.eval(), metadata
