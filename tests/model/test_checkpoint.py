from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import stand_in
import torch

from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.model.checkpoint import (
    load_checkpoint,
    load_published,
    metadata_of,
    open_checkpoints,
    parse_checkpoint_argument,
    save_checkpoint,
)
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.spec.labels import POLARITIES
from emer_edge.spec.window import WindowSpec


def published(variant: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(each) for name, each in stand_in.published_state_dict(variant).items()}


def nine() -> tuple[Emert, CheckpointMetadata]:
    model = Emert("nine", ("er-7", "fer-valence"))
    metadata = CheckpointMetadata(
        variant="nine",
        heads=model.head_names,
        classes=model.classes,
        standardised=True,
        events="causal",
        window=WindowSpec(),
        recipe={"epochs": 3, "frozen_backbone": True},
        epoch=2,
    )
    return model.eval(), metadata


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 7},
        lambda state: {"model": {f"module.{name}": each for name, each in state.items()}},
    ],
    ids=["bare", "state_dict", "model-module"],
)
def test_published_checkpoints_load_however_they_are_wrapped(tmp_path: Path, wrap) -> None:
    state = published("discrete")
    torch.save(wrap(state), tmp_path / "a.pth")
    model = load_published(tmp_path / "a.pth", "er-7")
    assert model.head_names == ("er-7",)
    assert not model.training
    assert all(torch.equal(each, state[name]) for name, each in model.state_dict().items())


def test_intensity_fills_two_heads_and_golden_outputs_follow(tmp_path: Path) -> None:
    torch.save(published("intensity"), tmp_path / "c.pth")
    torch.save(published("va"), tmp_path / "b.pth")
    opened = open_checkpoints([f"fer-intensity={tmp_path / 'c.pth'}", f"er-valence={tmp_path / 'b.pth'}"])
    assert [model.head_names for model, _ in opened] == [("fer-7", "fer-intensity"), ("er-valence",)]
    inputs = {name: torch.from_numpy(each) for name, each in stand_in.inputs().items()}
    with torch.inference_mode():
        outputs = opened[0][0](**inputs)
    expected = stand_in.golden("intensity")["intensity"]
    np.testing.assert_allclose(outputs["fer-intensity"].numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_three_classes_use_the_discrete_variant(tmp_path: Path) -> None:
    state = published("discrete") | {"cls_head.0.weight": torch.ones(3, 32), "cls_head.0.bias": torch.ones(3)}
    torch.save(state, tmp_path / "a.pth")
    order = POLARITIES[::-1]
    model = load_published(tmp_path / "a.pth", "er-3", order)
    assert model.classes == {"er-3": order}


def test_one_error_lists_every_tensor_that_does_not_fit(tmp_path: Path) -> None:
    state = published("va")
    del state["proj_v1.bias"], state["cls_head.0.bias"]
    state |= {"extra.weight": torch.ones(1), "proj_v1.weight": torch.ones(512, 128)}
    state["distriminator.0.bias"] = torch.full((3,), float("nan"))
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        load_published(tmp_path / "a.pth", "er-arousal")
    message = str(caught.value)
    assert "missing (2): proj_v1.bias, cls_head.0.bias" in message
    assert "surplus (1): extra.weight" in message
    assert "misshapen (1): proj_v1.weight is (512, 128) instead of (128, 512)" in message
    assert "not finite (1): distriminator.0.bias" in message


def test_a_checkpoint_of_another_variant_says_what_differs(tmp_path: Path) -> None:
    torch.save(published("va"), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="the discrete variant of EMERT, which predicts er-7; missing"):
        load_published(tmp_path / "a.pth", "er-7")


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there is no checkpoint"),
        (lambda path: path.write_bytes(b"PK\x03\x04 not a zip"), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.mkdir(), "there is no checkpoint"),
        (lambda path: torch.save({"weights": _Payload()}, path), "could run code"),
        (lambda path: torch.save([1, 2], path), "holds no state dict"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no state dict"),
        (lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path), "another network"),
    ],
    ids=["missing", "garbage", "empty", "folder", "unsafe", "list", "no-tensors", "other-network"],
)
def test_unusable_files_give_one_clear_error(tmp_path: Path, write, message: str) -> None:
    path = tmp_path / "a.pth"
    write(path)
    with pytest.raises(CheckpointError, match=message):
        load_published(path, "er-7")


def test_a_truncated_checkpoint_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, *nine())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def test_own_checkpoints_come_back_whole(tmp_path: Path) -> None:
    model, metadata = nine()
    path = tmp_path / "runs" / "x.pt"
    save_checkpoint(path, model, metadata)
    ((again, read),) = open_checkpoints([str(path)])
    assert read == metadata
    assert all(torch.equal(each, again.state_dict()[name]) for name, each in model.state_dict().items())
    assert [each.name for each in path.parent.iterdir()] == ["x.pt"]


def test_own_and_published_checkpoints_are_not_confused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", *nine())
    torch.save(published("va"), tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="names its heads"):
        load_published(tmp_path / "x.pt", "er-7")
    with pytest.raises(CheckpointError, match="say which head it predicts"):
        load_checkpoint(tmp_path / "b.pth")


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"format": "emer-edge/2"}, "reads 'emer-edge/1'"), ({"epoch": "two"}, "epoch"), ({"heads": ["er-9"]}, "er-9")],
    ids=["newer-format", "wrong-type", "unknown-head"],
)
def test_metadata_is_read_strictly(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    model, metadata = nine()
    content = {**metadata.to_builtins(), "tensors": model.state_dict(), **changed}
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "x.pt")


def test_arguments(tmp_path: Path) -> None:
    assert parse_checkpoint_argument("er-7=a.pth") == ("er-7", Path("a.pth"))
    assert parse_checkpoint_argument("runs/x.pt") == (None, Path("runs/x.pt"))
    odd = tmp_path / "lr=1e-4.pt"
    odd.touch()
    assert parse_checkpoint_argument(str(odd)) == (None, odd)
    with pytest.raises(ConfigurationError, match="no head is called 'er-8'"):
        parse_checkpoint_argument("er-8=a.pth")
    with pytest.raises(ConfigurationError, match="no checkpoint given"):
        open_checkpoints([])
    torch.save(published("intensity"), tmp_path / "c.pth")
    torch.save(published("discrete"), tmp_path / "a.pth")
    with pytest.raises(ConfigurationError, match="more than one checkpoint predicts fer-7"):
        open_checkpoints([f"fer-7={tmp_path / 'a.pth'}", f"fer-intensity={tmp_path / 'c.pth'}"])


def test_networks_of_both_kinds_go_together_unless_a_head_comes_twice(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.pt", *nine())
    torch.save(published("va"), tmp_path / "b.pth")
    with pytest.raises(ConfigurationError, match="more than one checkpoint predicts fer-valence; leave one out"):
        open_checkpoints([str(tmp_path / "x.pt"), f"fer-valence={tmp_path / 'b.pth'}"])
    opened = open_checkpoints([str(tmp_path / "x.pt"), f"er-valence={tmp_path / 'b.pth'}"])
    assert [model.head_names for model, _ in opened] == [("er-7", "fer-valence"), ("er-valence",)]
    assert [metadata.events for _, metadata in opened] == ["causal", "published"]


def test_a_published_checkpoint_describes_itself_as_raw(tmp_path: Path) -> None:
    metadata = metadata_of(Emert("va", ("er-valence",)))
    assert not metadata.standardised
    assert metadata.events == "published"
    assert metadata.research_only
