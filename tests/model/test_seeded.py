from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.model.backbone import ResNet18
from emer_edge.model.demo import DEMO_SIZE_LIMIT, load_demo_checkpoint, save_demo_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.model.seeded import seed_backbone, seeded_convolutions, seeded_tensors
from emer_edge.spec.window import WindowSpec


def test_the_same_seed_draws_the_same_backbone() -> None:
    first, again, other = seeded_tensors(3), seeded_tensors(3), seeded_tensors(4)
    assert {*first} == {name for name, _ in ResNet18().named_parameters()}
    assert all(torch.equal(each, again[name]) for name, each in first.items())
    assert not torch.equal(first["layer1.0.conv1.weight"], other["layer1.0.conv1.weight"])
    # The stream must never move, or every demo bundle changes.
    assert first["layer4.1.conv2.weight"].double().sum().item() == pytest.approx(40.9695, abs=1e-2)


def test_every_filter_reads_something() -> None:
    for name, each in seeded_convolutions(0).items():
        assert each.flatten(1).abs().amax(dim=1).min() > 0, name


def network() -> tuple[Emert, CheckpointMetadata]:
    torch.manual_seed(0)
    model = Emert("nine")
    seed_backbone(model.subnet.f_extractor, 5)
    model.eye_scale[34] = 12345.678
    metadata = CheckpointMetadata(
        variant="nine",
        heads=model.head_names,
        classes=model.classes,
        standardised=True,
        events="causal",
        window=WindowSpec(),
        backbone_seed=5,
    )
    return model.eval(), metadata


def test_a_demo_checkpoint_is_small_and_comes_back(tmp_path: Path) -> None:
    model, metadata = network()
    path = tmp_path / "demo.safetensors"
    save_demo_checkpoint(path, model, metadata)
    assert path.stat().st_size < DEMO_SIZE_LIMIT
    again, read = load_demo_checkpoint(path)
    assert read.demo
    assert read.heads == metadata.heads
    assert torch.equal(again.eye_scale, model.eye_scale)
    face, eye, gaze = torch.rand(2, 8, 3, 112, 112), torch.randn(2, 32, 39), torch.randn(2, 32, 2)
    with torch.inference_mode():
        before, after = model(face, eye, gaze), again(face, eye, gaze)
    for name in metadata.heads:
        assert torch.allclose(before[name], after[name], atol=2e-2)


def test_only_a_seeded_backbone_can_be_a_demo(tmp_path: Path) -> None:
    model, metadata = network()
    with pytest.raises(ConfigurationError, match="frozen-backbone"):
        save_demo_checkpoint(tmp_path / "d", model, msgspec.structs.replace(metadata, backbone_seed=None))
    with pytest.raises(ConfigurationError, match="is not what seed 6 draws"):
        save_demo_checkpoint(tmp_path / "d", model, msgspec.structs.replace(metadata, backbone_seed=6))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_demo_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(CheckpointError, match="damaged"):
        load_demo_checkpoint(tmp_path / "d")
    with pytest.raises(CheckpointError, match="there is no demo checkpoint"):
        load_demo_checkpoint(tmp_path / "e")
