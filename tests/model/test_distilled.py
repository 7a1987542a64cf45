from __future__ import annotations

import pytest
import torch

from emer_edge.core.errors import CheckpointError
from emer_edge.model import distilled
from emer_edge.model.backbone import ResNet18
from emer_edge.model.distilled import coded, decoded, distilled_tensors


def narrow() -> dict[str, torch.Tensor]:
    """A backbone whose last stage answers with 256 features."""
    torch.manual_seed(3)
    network = ResNet18()
    tensors = network.state_dict()
    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("running_var") else torch.randn_like(tensor) / 8)
        if name.startswith("layer4."):
            tensor[256:] = 1.0 if name.endswith("running_var") else 0.0
            if tensor.dim() == 4:
                tensor[:, 256:] = 0.0
    # layer4.0.conv1 and its shortcut read layer3's 256 channels, all of them.
    return tensors


def test_what_is_coded_is_decoded_to_half_a_step_and_then_for_good() -> None:
    tensors = narrow()
    stored = coded(tensors)
    assert stored["layer4.1.conv2.weight"].shape == (256, 256, 3, 3)
    assert stored["conv1.weight"].dtype == torch.int8
    again = decoded(stored)
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        step = tensor.abs().amax() / 127 if tensor.dim() == 4 else torch.tensor(0.0)
        assert (again[name] - tensor).abs().max() <= step / 2 + 1e-7, name
    twice = decoded(coded(again))
    for name, tensor in again.items():
        assert torch.allclose(twice[name], tensor, rtol=1e-6, atol=0), name


def test_the_packaged_encoder_answers_with_half_of_its_features() -> None:
    network = ResNet18()
    network.load_state_dict(distilled_tensors())
    network.eval()
    with torch.inference_mode():
        features = network(torch.rand(4, 3, 112, 112))
    assert torch.isfinite(features).all()
    assert not features[:, 256:].any()
    assert (features[:, :256].std(dim=0) > 0).float().mean() > 0.9


def test_a_damaged_encoder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distilled, "PACKAGED", "assets/nowhere")
    with pytest.raises(CheckpointError, match=r"can't read assets/nowhere of emer_edge\.model"):
        distilled_tensors()
    monkeypatch.setattr(distilled, "PACKAGED", "assets/demo.safetensors")
    with pytest.raises(CheckpointError, match="is damaged"):
        distilled_tensors()
