from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from emer_edge.core.errors import CheckpointError
from emer_edge.model import separable
from emer_edge.model.separable import DenseBlock, SeparableNet, packaged_tensors


def test_a_block_computes_what_the_expression_network_computes() -> None:
    """Written as `src/faceFeatureExtractor/denseBlock.ts` adds up, padded as TensorFlow pads."""
    torch.manual_seed(0)
    block, x = DenseBlock(6, 10, plain=False), torch.randn(2, 6, 14, 14)

    def layer(name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        deep, wide = getattr(block, name).depthwise.weight, getattr(block, name).pointwise
        after = 1 if stride == 2 else 2  # what `same` adds up to, on an even image
        padded = functional.pad(x, (after // 2, after - after // 2) * 2)
        apart = [functional.conv2d(padded[:, [at]], deep[[at]], stride=stride) for at in range(len(deep))]
        return torch.einsum("oi,bihw->bohw", wide.weight[:, :, 0, 0], torch.cat(apart, 1)) + wide.bias[:, None, None]

    one = torch.relu(layer("conv0", x, 2))
    two = layer("conv1", one, 1)
    three = layer("conv2", torch.relu(one + two), 1)
    four = layer("conv3", torch.relu(one + two + three), 1)
    assert torch.allclose(block(x), torch.relu(one + two + three + four), atol=1e-5)


def test_the_packaged_encoder_answers_evenly() -> None:
    network = SeparableNet()
    network.load_state_dict(packaged_tensors())
    with torch.inference_mode():
        features = network.eval()(torch.rand(6, 3, 112, 112))
    assert features.shape == (6, SeparableNet.width)
    assert torch.isfinite(features).all()
    assert (features.std(dim=0) > 0).float().mean() > 0.5
    assert float(network.gain.max()) > float(network.gain.min()) > 0
    faces = torch.rand(2, 3, 112, 112)
    assert torch.allclose(network(faces), network(faces.flip(3)), atol=1e-4)
    assert not torch.allclose(*network(faces), atol=1e-2)
    grey = torch.full((1, 3, 112, 112), 0.45)
    assert not torch.allclose(network(grey), network(grey + torch.tensor([0.2, 0, 0])[:, None, None]))


def test_a_damaged_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separable, "PACKAGED", "assets/nowhere")
    with pytest.raises(CheckpointError, match=r"can't read assets/nowhere of emer_edge\.model"):
        packaged_tensors()
    monkeypatch.setattr(separable, "PACKAGED", "assets/demo.safetensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        packaged_tensors()
