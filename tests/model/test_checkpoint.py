from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import stand_in
import torch
from described import described
from safetensors import safe_open
from safetensors.torch import save_file

from benchmarks.demo_weights.package import MODEL, SIZE_LIMIT, save_demo_checkpoint
from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.heads import POLARITIES
from emer_edge.core.window import WindowSpec
from emer_edge.model.checkpoint import (
    DEMO_HEADER,
    load_checkpoint,
    load_demo_checkpoint,
    load_published,
    metadata_of,
    open_checkpoints,
    parse_checkpoint_argument,
    save_checkpoint,
)
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.model.separable import PACKAGED, packaged_sha256, packaged_tensors


def published(variant: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in stand_in.published_state_dict(variant).items()}


def nine() -> tuple[Emert, CheckpointMetadata]:
    model = Emert("nine", ("er-7", "fer-valence"))
    metadata = described(model, recipe={"epochs": 3, "frozen_backbone": True}, epoch=2)
    return model.eval(), metadata


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 7},
        lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    ],
    ids=["bare", "state_dict", "model-module"],
)
def test_published_checkpoints_load_however_they_are_wrapped(tmp_path: Path, wrap) -> None:
    state = published("discrete")
    torch.save(wrap(state), tmp_path / "a.pth")
    model = load_published(tmp_path / "a.pth", "er-7")
    assert model.head_names == ("er-7",)
    assert not model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_intensity_fills_two_heads_and_golden_outputs_follow(tmp_path: Path) -> None:
    torch.save(published("intensity"), tmp_path / "c.pth")
    torch.save(published("va"), tmp_path / "b.pth")
    opened = open_checkpoints([f"fer-intensity={tmp_path / 'c.pth'}", f"er-valence={tmp_path / 'b.pth'}"])
    assert [model.head_names for model, _ in opened] == [("fer-7", "fer-intensity"), ("er-valence",)]
    inputs = {name: torch.from_numpy(array) for name, array in stand_in.inputs().items()}
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
        (lambda path: path.write_bytes(b""), "is an empty file"),
        (lambda path: path.mkdir(), "there is no checkpoint"),
        (lambda path: torch.save({"weights": _Payload()}, path), "could run code"),
        (lambda path: torch.save([1, 2], path), "holds no state dict"),
        (lambda path: torch.save({"epoch": 3}, path), "holds no state dict, but epoch; save one"),
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
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert [entry.name for entry in path.parent.iterdir()] == ["x.pt"]


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


def network() -> tuple[Emert, CheckpointMetadata]:
    torch.manual_seed(0)
    model = Emert("nine", face_network="separable")
    model.subnet.f_extractor.load_state_dict(packaged_tensors())
    model.eye_scale[34] = 12345.678
    metadata = described(model, backbone=packaged_sha256(), face_network="separable")
    return model.eval(), metadata


def test_a_demo_checkpoint_is_small_and_comes_back(tmp_path: Path) -> None:
    model, metadata = network()
    path = tmp_path / "demo.safetensors"
    save_demo_checkpoint(path, model, metadata)
    assert path.stat().st_size + (MODEL / PACKAGED).stat().st_size < SIZE_LIMIT
    again, read = load_demo_checkpoint(path)
    assert read.demo
    assert read.heads == metadata.heads
    assert torch.equal(again.eye_scale, model.eye_scale)
    face, eye, gaze = torch.rand(2, 8, 3, 112, 112), torch.randn(2, 32, 39), torch.randn(2, 32, 2)
    with torch.inference_mode():
        before, after = model(face, eye, gaze), again(face, eye, gaze)
    for name in metadata.heads:
        assert torch.allclose(before[name], after[name], atol=2e-2)


def test_only_a_network_behind_the_packaged_encoder_can_be_a_demo(tmp_path: Path) -> None:
    model, metadata = network()
    with pytest.raises(ConfigurationError, match="frozen-backbone"):
        save_demo_checkpoint(tmp_path / "d", model, msgspec.structs.replace(metadata, backbone=None))
    with torch.no_grad():
        model.subnet.f_extractor.dense1.conv2.pointwise.bias[0] += 1
    with pytest.raises(ConfigurationError, match=r"pointwise\.bias is not that of the packaged encoder"):
        save_demo_checkpoint(tmp_path / "d", model, metadata)
    assert list(tmp_path.iterdir()) == []


def test_a_demo_of_another_encoder_is_refused(tmp_path: Path) -> None:
    model, metadata = network()
    save_demo_checkpoint(tmp_path / "d", model, metadata)
    with safe_open(tmp_path / "d", "pt") as file:
        document = json.loads(file.metadata()[DEMO_HEADER])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, tmp_path / "e", {DEMO_HEADER: json.dumps({**document, "backbone": "0" * 64})})
    with pytest.raises(CheckpointError, match="another face encoder"):
        load_demo_checkpoint(tmp_path / "e")


def test_a_damaged_demo_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(CheckpointError, match="damaged"):
        load_demo_checkpoint(tmp_path / "d")
    with pytest.raises(CheckpointError, match="there is no demo checkpoint"):
        load_demo_checkpoint(tmp_path / "e")


@pytest.mark.case(
    "a stranger's checkpoint whose texts steer a terminal", source="https://trojansource.codes/", before="kept"
)
def test_texts_of_a_checkpoint_are_printable() -> None:
    classes = {"er-3": ("good\x1b[2J", "neutral", "bad\u202e")}
    window = WindowSpec()
    made = CheckpointMetadata(
        variant="nine", heads=("er-3",), classes=classes, standardised=True, events="causal", window=window,
        versions={"torch\x07": "2\x1b]0;x"},
    )  # fmt: skip
    read = CheckpointMetadata.from_builtins(made.to_builtins(), "x.pt")
    assert read.classes["er-3"] == ("good [2J", "neutral", "bad ")
    assert read.versions == {"torch ": "2 ]0;x"}
    assert read.window == window
