"""Starting from a backbone that others trained: torchvision's ResNet-18 state dict, such as ImageNet's."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch

from emer_edge.model.backbone import ResNet18
from emer_edge.model.tensors import fill, read_pickle, state_dict_in

__all__ = ["load_backbone_weights"]

_MEAN_BGR: Final = (0.406, 0.456, 0.485)
_STD_BGR: Final = (0.225, 0.224, 0.229)


def load_backbone_weights(backbone: ResNet18, path: Path, *, adapt: bool) -> None:
    """Fill a backbone from a torchvision ResNet-18 state dict.

    Args:
        backbone: receives the weights.
        path: the state dict; its classifier `fc` may be there or not.
        adapt: the weights expect R, G, B with ImageNet's mean and deviation taken out: turn the first layer to B, G, R
            in [0, 1], as the network's faces come. The same but for a 3-pixel border. The published recipe feeds B, G,
            R in [0, 1] to the weights as they are.

    Raises:
        CheckpointError: missing, damaged, unsafe, or not a ResNet-18; all tensors that do not fit are listed.
    """
    tensors = state_dict_in(read_pickle(path), path)
    classifier = backbone.fc.state_dict() if hasattr(backbone, "fc") else {}
    for name in ("fc.weight", "fc.bias"):
        tensors.pop(name, None)
        if classifier:
            tensors[name] = classifier[name.removeprefix("fc.")]
    fill(backbone, tensors, path, "torchvision's ResNet-18")
    if not adapt:
        return
    with torch.no_grad():
        kernels = backbone.conv1.weight.flip(1) / torch.tensor(_STD_BGR)[:, None, None]
        offset = (kernels * torch.tensor(_MEAN_BGR)[:, None, None]).sum(dim=(1, 2, 3))
        backbone.conv1.weight.copy_(kernels)
        mean = backbone.bn1.running_mean
        assert mean is not None  # batch norms of a ResNet track their statistics
        mean.add_(offset)
