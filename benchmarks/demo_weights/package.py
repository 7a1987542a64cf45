"""Write what the package carries: the face encoder, and the demo checkpoint without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

import emer_edge
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.whole_file import whole_file
from emer_edge.model.checkpoint import BACKBONE, DEMO_HEADER
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.model.separable import PACKAGED, packaged_sha256, packaged_tensors

MODEL: Final = Path(emer_edge.__file__).parent / "model"
SIZE_LIMIT: Final = 8_000_000
"""Bytes that encoder and demo checkpoint may take together in the package."""


def save_backbone(tensors: dict[str, Tensor], path: Path = MODEL / PACKAGED) -> None:
    """Write the tensors of a `SeparableNet`.

    Raises:
        OSError, SafetensorError: the file can't be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def save_demo_checkpoint(path: Path, model: Emert, metadata: CheckpointMetadata) -> None:
    """Write a network behind the packaged encoder as a demo checkpoint.

    Raises:
        ConfigurationError: its backbone is not the packaged encoder, or the files would pass 8 MB.
        OSError, SafetensorError: the file can't be written.
    """
    if metadata.backbone != packaged_sha256():
        raise ConfigurationError("a demo checkpoint needs a network trained with --frozen-backbone on no other weights")
    encoder = {BACKBONE + name: tensor for name, tensor in packaged_tensors().items()}
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name in encoder:
            if not torch.equal(tensor, encoder[name]):
                raise ConfigurationError(f"{name} is not that of the packaged encoder")
            continue
        half = tensor.is_floating_point() and tensor.dim() > 1
        tensors[name] = (tensor.half() if half else tensor).detach().cpu().contiguous()
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    size += (MODEL / PACKAGED).stat().st_size
    if size > SIZE_LIMIT:
        raise ConfigurationError(f"the demo weights would take {size} bytes, more than {SIZE_LIMIT}")
    document = {**metadata.to_builtins(), "demo": True}
    with whole_file(path) as temporary:
        temporary.write_bytes(save(tensors, {DEMO_HEADER: json.dumps(document)}))
