from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tensorrt_bundles import write_bundle

from emer_edge.runtime.engines.tensorrt.cuda import find_gpu
from emer_edge.runtime.engines.tensorrt.toolkit import find_tensorrt

Command = Callable[..., Any]

pytestmark = [
    pytest.mark.skipif(find_tensorrt() != "tensorrt_rtx", reason="tensorrt_rtx is not installed"),
    pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here: engines go into the cache"),
]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles"), ("face_encoder", "fusion", "face_encoder_2"))


def test_without_a_gpu_it_is_a_check_and_says_so(emer_edge: Command, bundle: Path, tmp_path: Path) -> None:
    done = emer_edge("build", bundle)
    assert done.code == 0, done.err
    assert "as there is no NVIDIA GPU here: the plans are thrown away" in done.err
    for part in ("face_encoder", "face_encoder_2", "fusion"):
        assert f"building {part}, percent" in done.err
    assert "every part of" in done.err
    assert done.out == ""
    assert not list(tmp_path.rglob("*.plan"))


def test_output_keeps_plans_and_says_what_they_are_for(emer_edge: Command, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "plans"
    done = emer_edge("build", bundle, "--compute-capability", "SM86", "--output", folder, "--workspace-mb", 200)
    assert done.code == 0, done.err
    assert sorted(each.name for each in folder.glob("*.plan")) == [
        "face_encoder.plan",
        "face_encoder_2.plan",
        "fusion.plan",
    ]
    sidecar = json.loads((folder / "face_encoder_2.json").read_text())
    assert sidecar["machine"]["compute_capability"] == "8.6"
    assert sidecar["workspace_mb"] == 200
    assert f"wrote {folder / 'fusion.plan'}" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--compute-capability", "SM87"), "not for 'SM87'; a Jetson Orin"),
        (("--package", "tensorrt"), "tensorrt can't be imported"),
        (("--workspace-mb", "0"), "workspace"),
    ],
    ids=["compute capability", "package", "workspace"],
)
def test_mistakes_are_one_message(emer_edge: Command, bundle: Path, arguments: tuple[str, ...], told: str) -> None:
    done = emer_edge("build", bundle, *arguments)
    assert done.code == 2
    assert told in done.err
    assert "Traceback" not in done.err


def test_part_that_the_parser_refuses_is_named_with_its_node(emer_edge: Command, tmp_path: Path) -> None:
    done = emer_edge(
        "build", write_bundle(tmp_path, ("fusion",), operator="SpaceToDepth"), "--output", tmp_path / "out"
    )
    assert done.code == 2
    assert "can't parse fusion.onnx" in done.err
    assert "node last" in done.err
    assert not list(tmp_path.glob("out/*"))


def test_output_that_can_not_be_written(emer_edge: Command, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = emer_edge("build", bundle, "--output", tmp_path / "file")
    assert done.code == 2
    assert "can't be made" in done.err


def test_bundle_without_tensorrt_parts(emer_edge: Command, tmp_path: Path) -> None:
    done = emer_edge("build", write_bundle(tmp_path, ()))
    assert done.code == 2
    assert "has no parts for TensorRT" in done.err


def test_purge_removes_engines_when_asked(emer_edge: Command, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "emer-edge" / "engines"
    folder.mkdir(parents=True)
    (folder / "fusion.plan").write_bytes(b"plan")
    assert emer_edge("purge").code == 0
    assert (folder / "fusion.plan").exists()
    assert "removed 1 file " in emer_edge("purge", "--engines").err
    assert not (folder / "fusion.plan").exists()


@pytest.mark.case(
    "a bundle whose LSTMs for TensorRT have no initial states",
    source="",
    before="built it with the newest parser as a check, and a board with TensorRT 10.3 would have refused it",
)
def test_a_bundle_that_not_every_tensorrt_builds_is_refused_by_name(emer_edge: Command, tmp_path: Path) -> None:
    constants = [
        numpy_helper.from_array(np.zeros((1, 8, size), np.float16), name) for name, size in (("w", 4), ("r", 2))
    ]
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="eye_lstm.0", hidden_size=2)],
        "fusion",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [3, 1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [3, 1, 1, 2])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    done = emer_edge("build", write_bundle(tmp_path, ("face_encoder",), others={"fusion": model}))
    assert done.code == 2
    assert "tensorrt/fusion.onnx: LSTM eye_lstm.0 has no initial_h and no initial_c" in " ".join(done.err.split())
    assert "Export it again" in " ".join(done.err.split())
    assert "Traceback" not in done.err
