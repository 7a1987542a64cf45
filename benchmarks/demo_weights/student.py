"""The student: the product's ResNet-18, of which the last stage computes 256 of its 512 features while it learns.

The teacher's blocks dense1 to dense3 have the shapes of layer1 to layer3, one cell apart: TensorFlow pads on the right,
torch on both sides. A separable convolution is an ordinary one whose kernels are products, so dense2 and dense3 start
layer2 and layer3; layer4 starts as an exact average pool. What is written to the network's other 256 features is zero.
"""

from __future__ import annotations

from functools import partial
from typing import Final, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.demo_weights.teacher import FEATURES, Teacher
from emer_edge.model.backbone import BasicBlock, ResNet18

_POOL: Final = torch.tensor([0.5, 1.0, 0.5])
_CELLS: Final = 7
_DEVIATION: Final = 0.5
_SCALES: Final = (0.25, 8.0)  # a feature that hardly varies is not blown up to noise


class Student(nn.Module):
    """ResNet-18 with a narrow last stage, and the linear read-out of the teacher's features.

    Attributes:
        net: the network's stem and first three stages; its own last stage isn't used.
        last: the last stage, 256 channels wide.
        readout: features of the student -> features of the teacher, (256, 256).
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = ResNet18()
        self.net.layer4 = nn.Sequential()
        self.last = nn.Sequential(BasicBlock(FEATURES, FEATURES, 2), BasicBlock(FEATURES, FEATURES, 1))
        self.readout = nn.Linear(FEATURES, FEATURES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, faces: Tensor) -> Tensor:
        """Map faces (n, 3, 112, 112) to layer1's output (n, 64, 28, 28)."""
        net = self.net
        return cast("Tensor", net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(faces))))))

    def forward(self, faces: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map faces to the outputs of layer1 to layer3, and to the student's own features (n, 256)."""
        maps = [self.stem(faces)]
        for stage in (self.net.layer2, self.net.layer3):
            maps.append(stage(maps[-1]))
        return maps, self.last(maps[-1]).mean((2, 3))

    @torch.no_grad()
    def even(self, deviation: Tensor) -> None:
        """Scale the features so that all vary about alike: heads learn from them sooner, and 8 bits hold them better.

        Args:
            deviation: (256,) standard deviation of each feature now. The read-out follows.
        """
        scale = (_DEVIATION / deviation.clamp_min(1e-6)).clamp(*_SCALES)
        pool, shape = cast("BasicBlock", self.last[0]), cast("BasicBlock", self.last[1])
        assert pool.downsample is not None
        for norm in (pool.bn2, pool.downsample[1], shape.bn2):
            norm.weight.mul_(scale)
            norm.bias.mul_(scale)
        shape.conv1.weight.div_(scale[None, :, None, None])
        self.readout.weight.div_(scale[None])

    def backbone(self) -> dict[str, Tensor]:
        """The product's ResNet-18 of the same features: name -> tensor; features 256 to 511 are zero."""
        full = ResNet18()
        tensors = full.state_dict()
        for name, tensor in self.net.state_dict().items():
            tensors[name] = tensor.detach().clone()
        for name, tensor in self.last.state_dict().items():
            wide = tensors[f"layer4.{name}"]
            if name.endswith(("running_var",)):
                wide.fill_(1.0)
            else:
                wide.zero_()
            wide[tuple(slice(size) for size in tensor.shape)] = tensor.detach()
        return tensors


def apart(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The cells of both maps that look at the same place: the student's from the second, the teacher's to the last."""
    return student[:, :, 1:, 1:], teacher[:, :, :-1, :-1]


@torch.no_grad()
def transplant(student: Student, teacher: Teacher, faces: Tensor) -> None:
    """Start layer2 to layer4 and the read-out from the teacher.

    Args:
        student: its stem and layer1 already answer like dense1.
        teacher: gives the kernels.
        faces: (n, 3, 112, 112), a batch on which batch norms are set so that they change nothing.
    """
    biases: dict[nn.Module, Tensor] = {}
    for number in (2, 3):
        first, second = getattr(student.net, f"layer{number}")
        places = ((first.conv1, first.bn1, 0.0), (first.conv2, first.bn2, 1.0))
        places += ((second.conv1, second.bn1, 1.0), (second.conv2, second.bn2, 0.2))
        for at, (convolution, norm, through) in enumerate(places):
            name = f"dense{number}/conv{at}"
            pointwise = teacher.weights[f"{name}/pointwise_filter"]
            depthwise = teacher.weights[f"{name}/depthwise_filter"][:, 0]
            convolution.weight.copy_(pointwise * depthwise[None])
            if through:  # what the teacher's block adds, the block of a ResNet has to pass on
                every = torch.arange(convolution.out_channels)
                convolution.weight[every, every, 1, 1] += through
            biases[norm] = teacher.weights[f"{name}/bias"]
        first.downsample[1].weight.zero_()
    pool, shape = cast("BasicBlock", student.last[0]), cast("BasicBlock", student.last[1])
    every = torch.arange(FEATURES)
    for convolution in (pool.conv1, pool.conv2):
        convolution.weight.zero_()
    cells = -(-_CELLS // 2)
    pool.conv1.weight[every, every] = torch.outer(_POOL, _POOL) * cells**2 / _CELLS**2
    pool.conv2.weight[every, every, 1, 1] = 1.0
    assert pool.downsample is not None
    pool.downsample[1].weight.zero_()
    shape.bn2.weight.zero_()
    student.readout.weight.copy_(torch.eye(FEATURES))
    student.readout.bias.zero_()
    norms = [*biases, pool.bn1, pool.bn2]
    hooks = [norm.register_forward_pre_hook(partial(_neutralise, bias=biases.get(norm))) for norm in norms]
    student.train()
    student(faces)
    for hook in hooks:
        hook.remove()


def _neutralise(norm: nn.BatchNorm2d, inputs: tuple[Tensor], bias: Tensor | None) -> None:
    """Set a batch norm so that it returns its input, plus a bias."""
    mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean if bias is None else mean + bias)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


@torch.no_grad()
def fitted_readout(features: Tensor, wanted: Tensor, ridge: float = 1e-3) -> nn.Linear:
    """Ridge regression from the student's features (n, k) to the teacher's (n, 256)."""
    mean, target = features.mean(0), wanted.mean(0)
    centred = (features - mean).double()
    gram = centred.T @ centred / len(centred)
    gram += ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=torch.float64)
    weight = torch.linalg.solve(gram, centred.T @ (wanted - target).double() / len(centred)).float()
    readout = nn.Linear(*weight.shape)
    readout.weight.copy_(weight.T)
    readout.bias.copy_(target - mean @ weight)
    return readout


def explained(guess: Tensor, truth: Tensor) -> float:
    """R2 over all features together: 1 less the squared error over the squared distance from the mean."""
    return float(1 - ((guess - truth) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum())


def kullback_leibler(guess: Tensor, truth: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean divergence of softened logits (n, 7), times the squared temperature."""
    soft = torch.softmax(truth / temperature, 1)
    return F.kl_div(torch.log_softmax(guess / temperature, 1), soft, reduction="batchmean") * temperature**2
