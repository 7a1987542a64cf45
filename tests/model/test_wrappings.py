"""Weights in the files of other tools, as their makers write them."""

from __future__ import annotations

import argparse
import datetime
import io
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import stand_in
import torch
from torch import nn
from torch.nn.utils import prune

from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.sources import open_sources
from emer_edge.model.checkpoint import fill, load_published
from emer_edge.model.saved_files import read_pickle
from emer_edge.model.wrappings import find_weights

PROBED = "https://github.com/pytorch/pytorch/issues/101107"


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


class Network(nn.Module):
    """A part within a part, and one of its own, as the published network has them."""

    def __init__(self, fill_with: float = 0.5) -> None:
        super().__init__()
        self.subnet, self.head = Part(), nn.Linear(4, 2)
        for tensor in self.parameters():
            nn.init.constant_(tensor, fill_with)


def prefixed(prefix: str, network: nn.Module) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in network.state_dict().items()}


def taken(content: object, folder: Path, wanted=None) -> tuple[float, str]:
    """The constant that the loaded network is filled with, and what is said."""
    torch.save(content, folder / "a.pth")
    network = Network(0.0)
    tensors, note = find_weights(
        read_pickle(folder / "a.pth"), network.state_dict(), "a.pth", what="the network", wanted=wanted
    )
    fill(network, tensors, "a.pth", "the network")
    values = {float(value) for tensor in network.parameters() for value in tensor.detach().flatten()}
    assert len(values) == 1
    return values.pop(), note


def compiled_inside(network: Network) -> dict[str, torch.Tensor]:
    network.subnet = torch.compile(network.subnet)  # type: ignore[assignment]
    return network.state_dict()


@pytest.mark.case("files of torch.compile, DataParallel, FSDP and others, in each other", source=PROBED,
                  before="a checkpoint of another network: 0 of 206 tensors")  # fmt: skip
@pytest.mark.case("a compiled part inside of a network that is not", before="87 missing and 87 surplus tensors",
                  source="https://github.com/Lightning-AI/pytorch-lightning/issues/17415")  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, on itself
@pytest.mark.parametrize(
    "wrap",
    [
        lambda network: network.state_dict(),
        lambda network: torch.compile(network).state_dict(),
        lambda network: nn.DataParallel(torch.compile(network)).state_dict(),
        lambda network: torch.compile(nn.DataParallel(nn.DataParallel(network))).state_dict(),
        compiled_inside,
        lambda network: {"epoch": 9, "model_state_dict": network.state_dict(), "loss": 0.3},
        lambda network: {"state": {"model": prefixed("module._fsdp_wrapped_module.net.", network)}},
        lambda network: {"a": [1], "b": {"c.d": {"deep": {"er": prefixed("student.", network)}}}},
        lambda network: {"subnet": network.subnet.state_dict(), "head": network.head.state_dict()},
        lambda network: {"model": network.state_dict(), "best": network.state_dict()},  # one, under two names
        lambda network: {"net": network.state_dict(), "loss": {"weight": torch.ones(2)}},
    ],
)
def test_whatever_lies_around_weights_is_taken_off(tmp_path: Path, wrap) -> None:
    assert taken(wrap(Network()), tmp_path) == (0.5, "")


def averaged_model() -> dict[str, torch.Tensor]:
    model = torch.optim.swa_utils.AveragedModel(Network(0.25))
    model.update_parameters(Network(0.25))
    return model.state_dict()


@pytest.mark.case("torch.optim.swa_utils.AveragedModel", before="a checkpoint of another network: 0 of 206 tensors")
def test_averages_alone_are_taken_and_named(tmp_path: Path) -> None:
    value, note = taken(averaged_model(), tmp_path)
    assert value == 0.25
    assert note == "a.pth: averaged (EMA) weights (module)"
    assert taken({"ema": averaged_model()}, tmp_path, "ema")[0] == 0.25
    with pytest.raises(CheckpointError, match=r"holds no raw weights, only averaged \(EMA\) ones"):
        taken(averaged_model(), tmp_path, "raw")
    with pytest.raises(CheckpointError, match=r"holds no averaged \(EMA\) weights"):
        taken(Network().state_dict(), tmp_path, "ema")


def lightning(state: object, **more: object) -> dict[str, object]:
    """What a Trainer of Lightning 2.6.6 saves with ModelCheckpoint, key by key."""
    score = torch.tensor(0.4)
    progress = {"total": {"ready": 8, "completed": 8}, "current": {"ready": 4, "completed": 4}}
    kept = {"monitor": "loss", "best_model_score": score, "best_model_path": "x.ckpt", "best_k_models": {"x": score}}
    moments = {"step": torch.tensor(8.0), "exp_avg": torch.ones(4, 3), "exp_avg_sq": torch.ones(4, 3)}
    return {
        "epoch": 1,
        "global_step": 8,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_loop.state_dict": {"_batches_that_stepped": 8},
                               "epoch_loop.batch_progress": progress}, "validate_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'loss', 'mode': 'min', 'every_n_train_steps': 0}": kept},
        "optimizer_states": [{"state": {0: moments}, "param_groups": [{"lr": 0.01, "params": [0]}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.001, "where": None},
        **more,
    }  # fmt: skip


@pytest.mark.case("a .ckpt of Lightning 2.6.6's Trainer", before="a checkpoint of another network: 0 of 206 tensors")
def test_a_file_of_lightning(tmp_path: Path) -> None:
    state = OrderedDict(prefixed("model.", Network()) | {"loss.weight": torch.ones(7), "metric.total": torch.ones(1)})
    assert taken(lightning(state), tmp_path) == (0.5, "")


MAKERS = {
    "timm": {"arch": "x", "state_dict": Network(1.0).state_dict(), "state_dict_ema": Network(2.0).state_dict()},
    "lightning": lightning(
        prefixed("model.", Network(2.0)),
        current_model_state=prefixed("model.", Network(1.0)),
        averaging_state={"n_averaged": torch.tensor(8)},
    ),
    "mmengine": {
        "meta": {"mmengine_version": "0.10.7"},
        "state_dict": Network(2.0).state_dict(),
        "ema_state_dict": prefixed("module.", Network(1.0)) | {"steps": torch.tensor(8)},
    },
    "ema-pytorch": prefixed("online_model.", Network(1.0)) | prefixed("ema_model.", Network(2.0)),
    "a method in a method": {"state_dict": prefixed("net.", Network(1.0)) | prefixed("net_ema.module.", Network(2.0))},
}


@pytest.mark.case("raw weights and an average in one file, as of timm", before="the raw ones were taken, not said",
                  source="https://github.com/huggingface/pytorch-image-models/pull/2003")  # fmt: skip
@pytest.mark.case("Lightning's WeightAveraging: `state_dict` is the average", before="another network",
                  source="https://github.com/Lightning-AI/pytorch-lightning/pull/20545")  # fmt: skip
@pytest.mark.case("MMEngine's EMAHook: `ema_state_dict` is raw, `state_dict` the average", before="not said",
                  source="https://github.com/open-mmlab/mmengine/pull/266")  # fmt: skip
@pytest.mark.parametrize("maker", MAKERS)
def test_raw_or_averaged_weights_are_chosen_and_named(tmp_path: Path, maker: str) -> None:
    value, note = taken(MAKERS[maker], tmp_path)
    assert value == 1.0
    assert "raw weights" in note
    assert "--weights ema" in note
    assert taken(MAKERS[maker], tmp_path, "raw")[0] == 1.0
    value, note = taken(MAKERS[maker], tmp_path, "ema")
    assert value == 2.0
    assert "averaged (EMA) weights" in note


def test_two_networks_are_refused_by_name(tmp_path: Path) -> None:
    two = {"student": Network(1.0).state_dict(), "teacher": Network(2.0).state_dict()}
    with pytest.raises(CheckpointError, match=r"holds 2 networks of this kind, under student, teacher"):
        taken(two, tmp_path)
    del two["teacher"]["head.bias"]  # a part is none beside a whole
    assert taken(two, tmp_path)[0] == 1.0


def test_other_networks_are_told_apart_with_the_nearest_names(tmp_path: Path) -> None:
    state = {name.replace("subnet", "sub_net"): tensor for name, tensor in Network().state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        taken({"model": state}, tmp_path)
    assert "another network: 2 of the 9 tensors" in str(caught.value)
    assert "subnet.layers.0.weight is most like model.sub_net.layers.0.weight" in str(caught.value)
    pruned = Network()
    prune.identity(pruned.head, "weight")
    with pytest.raises(CheckpointError, match=r"missing \(1\): head.weight; .*head.weight is most like head.weight_"):
        taken(pruned.state_dict(), tmp_path)


def changed(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    return Network().state_dict() | {name: tensor}


@pytest.mark.case("complex, sparse, meta, quantised or integer weights, or beyond 32 bits", source="",
                  before="imaginary parts dropped, tracebacks, infinite weights")  # fmt: skip
@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (lambda: torch.ones(2, 4, dtype=torch.complex64), "head.weight is complex64"),
        (lambda: torch.eye(2, 4).to_sparse(), "head.weight is float32, torch.sparse_coo"),
        (lambda: torch.ones(2, 4, device="meta"), "head.weight is float32, torch.strided, meta"),
        (lambda: torch.ones(2, 4, dtype=torch.int8), "head.weight is int8"),
        (lambda: torch.quantize_per_tensor(torch.ones(2, 4), 0.1, 0, torch.qint8), "head.weight is qint8"),
        (lambda: torch.full((2, 4), 1e300, dtype=torch.float64), r"not finite \(1\): head.weight"),
        (lambda: torch.full((2, 4), torch.nan), r"not finite \(1\): head.weight"),
        (lambda: torch.ones(4, 2), r"head.weight is \(4, 2\) instead of \(2, 4\)"),
    ],
    ids=["complex", "sparse", "meta", "int8", "quantised", "beyond-float32", "nan", "transposed"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_are_judged_before_they_are_used(tmp_path: Path, tensor, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        taken(changed("head.weight", tensor()), tmp_path)


def test_views_and_other_floating_types_are_taken(tmp_path: Path) -> None:
    strided = torch.full((8, 6), 0.5)[1::2, 1::3].t()
    assert strided.shape == (2, 4)
    assert not strided.is_contiguous()
    for tensor in (
        strided,
        torch.tensor([[0.5]]).expand(2, 4),
        *(strided.to(kind) for kind in (torch.half, torch.double)),
    ):
        assert taken(changed("head.weight", tensor), tmp_path)[0] == 0.5


@pytest.mark.case("numbers of NumPy, paths and options beside the weights", before="refused: could run code",
                  source="https://github.com/ppogg/YOLOv5-Lite/issues/277")  # fmt: skip
def test_plain_values_beside_the_weights_are_passed_over(tmp_path: Path) -> None:
    beside = {
        "best_acc": np.float64(0.71),
        "best_epoch": np.int64(7),
        "rng": np.random.RandomState(0).get_state(),
        "curve": np.ones((2, 3), np.float32),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PosixPath("runs")),
        "where": pathlib.PurePosixPath("a/b"),
        "when": datetime.datetime(2026, 1, 2),
    }
    assert taken({"state_dict": Network().state_dict(), **beside}, tmp_path) == (0.5, "")


@pytest.mark.case("a model saved whole, as of Ultralytics", before="refused without naming the class",
                  source="https://github.com/ultralytics/ultralytics/issues/19824")  # fmt: skip
def test_objects_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds Python objects \(.*test_wrappings.Network\).* could run code"):
        taken({"model": Network()}, tmp_path)


def archive(*names: str) -> bytes:
    with zipfile.ZipFile(content := io.BytesIO(), "w") as file:
        for name in names:
            file.writestr(name, "x" * 100)
    return content.getvalue()


def numpy_archive() -> bytes:
    np.savez(content := io.BytesIO(), a=np.ones(3))
    return content.getvalue()


PAGE = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>...</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 49166159\n"


@pytest.mark.case("a page of Google Drive instead of a checkpoint", before="holds Python objects ... could run code",
                  source="https://github.com/eladrich/pix2vertex.pytorch/issues/13")  # fmt: skip
@pytest.mark.case("a pointer of Git LFS", before="holds Python objects ... could run code", source="")
@pytest.mark.case("TorchScript, ONNX, Keras, NumPy, archives", before="is not a checkpoint, or it is damaged")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PAGE, r"a web page \(Google Drive - Virus scan warning\)"),
        (
            b"\xef\xbb\xbf\n<?xml version='1.0'?><Error><Message>Access Denied</Message></Error>",
            "web page .Access Denied",
        ),
        (POINTER, "a pointer of Git LFS to a file of 49166159 bytes; fetch that with `git lfs pull`"),
        (b"404: Not Found", "a text, which begins with '404: Not Found'"),
        (b'{"error": "gated repo"}\n', "a text, which begins with"),
        (archive("m/code/a.py", "m/constants.pkl", "m/data.pkl"), "a TorchScript program"),
        (archive("weights/a.pth", "weights/b.pth"), "a zip archive of weights/a.pth, weights/b.pth; unpack it"),
        (numpy_archive(), "an archive of NumPy arrays"),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.0.1:\xff", "an ONNX model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
        (b"\x1f\x8b\x08\x08" + bytes(100), "a compressed archive"),
        (b"GGUF\x03\x00" + bytes(100), "a GGUF file"),
        (pickle.dumps({"a": 1}, 4), "a plain pickle"),
        (b"", "an empty file"),
    ],
    ids=[
        "page",
        "denied",
        "lfs",
        "404",
        "json",
        "script",
        "zip",
        "npz",
        "onnx",
        "hdf5",
        "gzip",
        "gguf",
        "pickle",
        "empty",
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_pickle(tmp_path / "a.pth")


@pytest.mark.case("a checkpoint of 100 kB that unpacks to 100 MB", before="unpacked it", source="seen")
def test_a_checkpoint_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(25_000_000)}, whole := io.BytesIO())
    with (
        zipfile.ZipFile(whole) as source,
        zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in source.namelist():
            packed.writestr(name, source.read(name))
    assert (tmp_path / "a.pth").stat().st_size < 1_000_000
    with pytest.raises(CheckpointError, match=r"a.pth is an archive that unpacks to more than its size"):
        read_pickle(tmp_path / "a.pth")


def test_which_weights_were_taken_reaches_the_report(tmp_path: Path) -> None:
    state = {name: torch.from_numpy(array) for name, array in stand_in.published_state_dict("discrete").items()}
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    torch.save({"state_dict": half, "state_dict_ema": state}, tmp_path / "a.pth")
    argument = f"er-7={tmp_path / 'a.pth'}"
    notes: list[str] = []
    load_published(tmp_path / "a.pth", "er-7", weights="ema", note=notes.append)
    assert len(notes) == 1
    sources = open_sources(ExportOptions(tmp_path / "x.emer", checkpoints=[argument]))
    raw, rounded = sources.notes
    assert "raw weights (state_dict); averaged ones (state_dict_ema) are taken by --weights ema" in raw
    assert "holds weights in float16" in rounded
    with pytest.raises(ConfigurationError, match="--weights chooses those of a published checkpoint"):
        open_sources(ExportOptions(tmp_path / "x.emer", weights="ema"))
