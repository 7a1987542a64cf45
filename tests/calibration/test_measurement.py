"""Measuring over clips: what is kept, what makes a kept result another one's, and going on after a break."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from shared_work import clips_of

from emer_edge.calibration import kept_ranges as cache_module
from emer_edge.calibration.crops import BATCH, CropPlan, plan_crops
from emer_edge.calibration.measurement import Measurement, measure
from emer_edge.calibration.methods import METHODS
from emer_edge.core.errors import DataError
from emer_edge.core.window import WindowSpec
from emer_edge.data.cache import cache_folder, purge_cache
from emer_edge.data.dataset import Clip, EmerDataset

TENSORS = ["conv", "face", "relu"]


@pytest.fixture(scope="module")
def sheets(clips: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the eye sheets, whose workbooks take longer to read than all that is tested here."""
    folder = tmp_path_factory.mktemp("sheets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        plan_of(clips)
    return folder


@pytest.fixture(autouse=True)
def _nothing_measured_yet(sheets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(sheets, tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clips_of(tmp_path_factory, 6, 2, 16)


@pytest.fixture(scope="module")
def clips(root: Path) -> tuple[Clip, ...]:
    return EmerDataset.open(root).clips


def small_part(weight: float = 1.0) -> onnx.ModelProto:
    """A strided 3 x 3 convolution and its ReLU."""
    kernel = np.random.default_rng(2).normal(0, weight, (2, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["face", "kernel"], ["conv"], strides=[8, 8]),
        helper.make_node("Relu", ["conv"], ["relu"]),
    ]
    face = helper.make_tensor_value_info("face", TensorProto.FLOAT, ["N", 3, 112, 112])
    relu = helper.make_tensor_value_info("relu", TensorProto.FLOAT, ["N", 2, 14, 14])
    graph = helper.make_graph(nodes, "small", [face], [relu], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def plan_of(clips: Any, **changed: Any) -> CropPlan:
    how: dict[str, Any] = {"spec": WindowSpec(), "events": "causal", "per_window": 2, "seed": 0, **changed}
    return plan_crops(clips, **how)


def measured(clips: Any, weight: float = 1.0, fingerprint: str = "f", **changed: Any) -> Measurement:
    return measure(small_part(weight), TENSORS, plan_of(clips, **changed), fingerprint)


def same(one: Measurement, other: Measurement) -> bool:
    return all(
        np.array_equal(one.histograms[name].counts, other.histograms[name].counts)
        and one.histograms[name].state[1] == other.histograms[name].state[1]
        for name in TENSORS
    )


def files(pattern: str = "*") -> list[Path]:
    return sorted(path for path in (cache_folder() / "calibration").glob(pattern) if path.is_file())


def test_a_plan_reads_any_batch_by_itself(clips: tuple[Clip, ...]) -> None:
    plan = plan_of(clips)
    whole = [batch["face"] for batch in plan.batches()]
    assert len(plan) == len(whole) == 3
    assert {batch.shape for batch in whole} == {(BATCH, 3, 112, 112)}
    np.testing.assert_array_equal(plan.batch(2)["face"], whole[2])
    assert [len(batch) for batch in plan.batches(1)] == [1, 1]
    assert len(plan.probes(2)) == 2
    assert len(plan.probes(12)) == 3
    assert all(len(frames) == 2 for _, frames in plan.picks)
    assert plan.picks == plan_of(clips).picks
    assert plan.picks != plan_of(clips, seed=1).picks


def test_the_second_time_nothing_is_run(clips: tuple[Clip, ...]) -> None:
    first, again = measured(clips), measured(clips)
    assert (first.from_cache, again.from_cache) == (False, True)
    assert same(first, again)
    assert not again.notes
    assert same(first, measure(small_part(), TENSORS, plan_of(clips), "f", use_cache=False))


def test_without_a_cache_nothing_is_kept(clips: tuple[Clip, ...]) -> None:
    made = measure(small_part(), TENSORS, plan_of(clips), use_cache=False)
    made.ranges("mse")
    assert not made.from_cache
    assert not files()


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": 1.001},
        {"fingerprint": "g"},
        {"spec": WindowSpec(length_ns=6_000_000_000)},
        {"spec": WindowSpec(pick="middle")},
        {"events": "published"},
        {"per_window": 1},
        {"seed": 1},
    ],
    ids=["weight", "data set", "window length", "frame picked", "events", "crops a window", "seed"],
)
def test_every_cause_makes_another_key(clips: tuple[Clip, ...], changed: dict[str, Any]) -> None:
    measured(clips)
    assert not measured(clips, **changed).from_cache
    assert measured(clips).from_cache


def test_clips_left_out_or_reordered_make_another_key(clips: tuple[Clip, ...]) -> None:
    measured(clips)
    assert not measured(clips[:-1]).from_cache
    assert not measured(clips[::-1]).from_cache


def test_one_changed_frame_makes_another_key(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    measured(clips)
    _, frames = plan_of(clips).picks[0]
    copy = tmp_path / "frames"
    shutil.copytree(clips[0].frames_path, copy)
    moved = replace(clips[0], frames_path=copy)
    assert measured((moved, *clips[1:])).from_cache
    path = moved.frame_paths[frames[0]]
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(clips[1].frame_paths[0].read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content != path.read_bytes()
    assert not measured((moved, *clips[1:])).from_cache


@pytest.mark.parametrize("name", ["__version__", "HISTOGRAMS_VERSION", "BINS"])
def test_another_version_of_the_tool_makes_another_key(
    clips: tuple[Clip, ...], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(clips)
    monkeypatch.setattr(cache_module, name, "99")
    assert not measured(clips).from_cache


def test_ranges_are_kept_by_method(clips: tuple[Clip, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    made = measured(clips)
    assert not files("*.ranges.npz")
    first = {method: made.ranges(method) for method in METHODS}
    assert len(files("*.ranges.npz")) == len(METHODS)
    assert first["mse"] != first["minmax"] != first["entropy"]
    again = measured(clips)
    # With the counts gone, only the kept ranges can answer.
    again.histograms = {}
    assert {method: again.ranges(method) for method in METHODS} == first
    monkeypatch.setattr(cache_module, "METHODS_VERSION", 99)
    other = measured(clips)
    other.histograms = dict.fromkeys(TENSORS, made.histograms["relu"])
    assert other.ranges("mse") != first["mse"]


def interrupted(at: int) -> Callable[[str, int, int], None]:
    def stop(label: str, done: int, total: int) -> None:
        if label == "calibrating" and done == at:
            raise KeyboardInterrupt

    return stop


def test_an_interrupted_pass_goes_on_where_it_was_saved(clips: tuple[Clip, ...]) -> None:
    """21 batches, broken off in the 19th: the checkpoint of the 16th is continued, to the very same counts."""
    plan = plan_of(clips * 7)
    assert len(plan) == 21
    with pytest.raises(KeyboardInterrupt):
        measure(small_part(), TENSORS, plan, progress=interrupted(19))
    assert [path.name.split(".", 1)[1] for path in files()] == ["partial.npz"]
    calls: list[int] = []
    resumed = measure(small_part(), TENSORS, plan, progress=lambda label, done, total: calls.append(done))
    assert calls == [17, 18, 19, 20, 21]
    assert (resumed.from_cache, resumed.continued_at) == (False, 16)
    assert "continued after 16 of 21 batches" in resumed.notes[0]
    assert same(resumed, measure(small_part(), TENSORS, plan, use_cache=False))
    assert [path.name.split(".", 1)[1] for path in files()] == ["histograms.npz"]
    assert measure(small_part(), TENSORS, plan).from_cache


def test_a_checkpoint_of_other_weights_is_left_alone(clips: tuple[Clip, ...]) -> None:
    plan = plan_of(clips * 7)
    with pytest.raises(KeyboardInterrupt):
        measure(small_part(), TENSORS, plan, progress=interrupted(17))
    assert measure(small_part(2.0), TENSORS, plan).continued_at == 0


@pytest.mark.parametrize(
    "damage",
    [lambda whole: whole[: len(whole) // 2], lambda whole: b"", lambda whole: b"PK\x03\x04" + bytes(200)],
    ids=["cut off", "empty", "garbage"],
)
def test_damaged_entries_are_told_and_made_again(clips: tuple[Clip, ...], damage: Callable[[bytes], bytes]) -> None:
    first = measured(clips)
    expected = first.ranges("mse")
    for path in files():
        path.write_bytes(damage(path.read_bytes()))
    again = measured(clips)
    assert not again.from_cache
    assert "damaged" in again.notes[0]
    assert files("*.histograms.npz")[0].name in again.notes[0]
    assert same(first, again)
    assert again.ranges("mse") == expected
    assert files("*.ranges.npz")[0].name in again.notes[0]
    assert measured(clips).from_cache


def test_an_entry_with_other_counts_than_it_says_is_damaged(clips: tuple[Clip, ...]) -> None:
    measured(clips)
    (path,) = files()
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    for name, wrong in (
        ("counts", content["counts"] * 2),
        ("names", np.array(["a", "b", "c"])),
        ("scalars", content["scalars"] * np.nan),
        ("counts", content["counts"].astype(np.float64)),
    ):
        np.savez(path, **{**content, name: wrong})
        assert not measured(clips).from_cache
        assert measured(clips).from_cache


def test_entries_are_private_lie_outside_of_the_data_and_can_be_purged(root: Path, clips: tuple[Clip, ...]) -> None:
    before = sorted(root.rglob("*"))
    measured(clips).ranges("percentile")
    assert sorted(root.rglob("*")) == before
    assert len(files()) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files()} == {0o600}
    assert stat.S_IMODE(files()[0].parent.stat().st_mode) == 0o700
    assert purge_cache() >= 2
    assert not files()
    assert not measured(clips).from_cache


def test_old_entries_make_room(clips: tuple[Clip, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MOST_FILES", 3)
    for seed in range(5):
        measured(clips[:4], seed=seed)
    assert len(files()) == 3
    assert measured(clips[:4], seed=4).from_cache


def test_a_cache_that_cannot_be_written_only_costs_time(
    clips: tuple[Clip, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "taken"))
    assert same(measured(clips), measure(small_part(), TENSORS, plan_of(clips), use_cache=False))


def test_dead_tensors_are_named(clips: tuple[Clip, ...]) -> None:
    model = small_part()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((2, 3, 3, 3), np.float32), "kernel"))
    made = measure(model, TENSORS, plan_of(clips))
    assert made.dead == ("conv", "relu")
    assert {made.ranges(method)["signed"]["relu"] for method in METHODS} == {(0.0, 0.0)}


def test_a_frame_that_is_gone_is_one_clear_error(clips: tuple[Clip, ...], tmp_path: Path) -> None:
    copy = tmp_path / "frames"
    shutil.copytree(clips[0].frames_path, copy)
    moved = replace(clips[0], frames_path=copy)
    plan = plan_of((moved, *clips[1:]))
    moved.frame_paths[plan.picks[0][1][0]].unlink()
    with pytest.raises(DataError, match="can't open the frame"):
        measure(small_part(), TENSORS, plan)
    with pytest.raises(DataError, match="no crops"):
        measure(small_part(), TENSORS, plan_of(()))
