from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.demo_weights.package import save_demo_checkpoint
from emer_edge.core.errors import ConfigurationError, OutputExistsError
from emer_edge.data.dataset import EmerDataset, clip_hash
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.model.checkpoint import load_checkpoint, load_demo_checkpoint
from emer_edge.model.separable import packaged_sha256
from emer_edge.training.config import LossWeights, TrainingConfig
from emer_edge.training.examples import Examples
from emer_edge.training.face_features import ImageFaces
from emer_edge.training.losses import overall, predict, scores
from emer_edge.training.train import resume_path, train


def frozen(output: Path, **changes: Any) -> TrainingConfig:
    return TrainingConfig(output, frozen_backbone=True, batch=8, **{"epochs": 3, **changes})


@pytest.fixture(scope="module")
def trained(small: EmerDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "x.pt"
    summary = train(small, frozen(output, epochs=6))
    assert summary.heads == small.heads
    assert 1 <= summary.epoch <= 6
    return output


def test_a_checkpoint_says_what_it_was_trained_on(trained: Path, small: EmerDataset) -> None:
    _, metadata = load_checkpoint(trained)
    assert metadata.standardised
    assert metadata.face_network == "separable"
    assert metadata.backbone == packaged_sha256()
    assert not metadata.research_only  # synthetic clips
    data = metadata.data
    assert data is not None
    assert data.synthetic
    assert data.fold == 1
    assert data.fingerprint == small.fingerprint
    assert {clip_hash(data.salt, clip) for clip in small.training(1)} == {*data.training_hashes}
    assert {clip_hash(data.salt, clip) for clip in small.selection(1)} == {*data.selection_hashes}
    held_out = {clip_hash(data.salt, clip) for clip in small.fold(1)}
    assert not held_out & {*data.training_hashes, *data.selection_hashes}
    participants = {clip.participant for clip in small.training(1)}
    assert participants.isdisjoint({clip.participant for clip in small.selection(1)})
    assert [path.name for path in trained.parent.iterdir()] == ["x.pt"]


def test_its_scores_are_those_of_the_network_it_holds(trained: Path, small: EmerDataset) -> None:
    model, metadata = load_checkpoint(trained)
    examples = Examples(small.selection(1), metadata.heads, metadata.window, metadata.events)
    outputs = predict(model, examples.batches(examples.windows(), ImageFaces(), 4, torch.device("cpu")))
    assert scores(outputs, examples.labels) == pytest.approx(metadata.scores, abs=1e-4)
    clip = small.selection(1)[0]
    window = clip_window(clip, metadata.window, metadata.events)
    faces = torch.from_numpy(load_faces(clip, window.frames))[None]
    with torch.inference_mode():
        whole = model(faces, torch.from_numpy(window.eye)[None], torch.from_numpy(window.gaze)[None])
    for name, output in whole.items():
        assert np.allclose(output.numpy()[0], outputs[name][0], atol=1e-4)


def test_columns_come_in_at_one_scale(trained: Path, small: EmerDataset) -> None:
    model, metadata = load_checkpoint(trained)
    examples = Examples(small.training(1), metadata.heads, metadata.window, metadata.events)
    windows = examples.windows()
    eye, gaze = model.standardise(
        torch.from_numpy(np.stack([window.eye for window in windows])),
        torch.from_numpy(np.stack([window.gaze for window in windows])),
    )
    assert eye.abs().max() <= 5
    seen = torch.from_numpy(np.stack([(window.eye[:, 14:16] != 0).all(axis=1) for window in windows]))
    for column in (0, 2, 12, 13, 18, 22, 26):
        assert abs(eye[..., column][seen].mean()) < 0.5
        assert 0.5 < eye[..., column][seen].std() < 1.5
    assert gaze[seen].std() == pytest.approx(1, abs=0.4)


def test_the_same_seed_gives_the_same_network(trained: Path, small: EmerDataset, tmp_path: Path) -> None:
    train(small, frozen(tmp_path / "again.pt", epochs=6))
    first, again = load_checkpoint(trained)[0].state_dict(), load_checkpoint(tmp_path / "again.pt")[0].state_dict()
    assert all(torch.allclose(tensor, again[name], atol=1e-6) for name, tensor in first.items())


def test_a_stopped_run_goes_on_where_it_was(trained: Path, small: EmerDataset, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(label: str, done: int, total: int) -> None:
        if label.startswith("training") and done == 4:
            raise StoppedError

    output = tmp_path / "x.pt"
    with pytest.raises(StoppedError):
        train(small, frozen(output, epochs=6), stop)
    assert not output.exists()
    assert resume_path(output).is_file()
    summary = train(small, frozen(output, epochs=6))
    assert summary.resumed_after == 4
    assert not resume_path(output).exists()
    first, again = load_checkpoint(trained)[0].state_dict(), load_checkpoint(output)[0].state_dict()
    assert all(torch.allclose(tensor, again[name], atol=1e-6) for name, tensor in first.items())


@pytest.mark.parametrize("kept", ["other settings", "damaged"])
def test_a_run_that_does_not_fit_starts_anew(small: EmerDataset, tmp_path: Path, kept: str) -> None:
    def stop(label: str, done: int, total: int) -> None:
        if label.startswith("training"):
            raise KeyboardInterrupt

    output = tmp_path / "x.pt"
    with pytest.raises(KeyboardInterrupt):
        train(small, frozen(output, seed=5), stop)
    if kept == "damaged":
        resume_path(output).write_bytes(b"PK")
    summary = train(small, frozen(output, epochs=1, seed=5 if kept == "damaged" else 6))
    assert summary.resumed_after == 0


@pytest.mark.case(
    "training is interrupted, a frame, sheet or weight file is repaired, and the same command is given again",
    source="https://github.com/ultralytics/yolov5/issues/306",
    before="the old epochs were continued on the new data, without a word",
)
@pytest.mark.parametrize("changed", [pytest.param("frame", marks=pytest.mark.slow), "sheet", "nothing"])
def test_a_run_on_changed_data_starts_anew_and_says_so(
    small_root: Path, tmp_path: Path, changed: str, said: list[str]
) -> None:
    root, output = tmp_path / "data", tmp_path / "x.pt"
    shutil.copytree(small_root, root)

    def stop(label: str, done: int, total: int) -> None:
        if label.startswith("training"):
            raise KeyboardInterrupt

    opened = EmerDataset.open(root)
    with pytest.raises(KeyboardInterrupt):
        train(opened, frozen(output, epochs=2), stop)
    clip = opened.training(1)[0]
    if changed != "nothing":
        path = clip.frame_paths[len(clip.frame_paths) // 2] if changed == "frame" else clip.sheet_path
        other = opened.training(1)[1]
        path.write_bytes((other.frame_paths[0] if changed == "frame" else other.sheet_path).read_bytes())
    summary = train(EmerDataset.open(root), frozen(output, epochs=2), say=said.append)
    assert summary.resumed_after == (1 if changed == "nothing" else 0)
    assert said == (
        []
        if changed == "nothing"
        else [f"{resume_path(output)} holds an unfinished run of other {named(changed)}: training begins anew"]
    )


def named(changed: str) -> str:
    return {"frame": "frames", "sheet": "data, frames"}[changed]


def test_a_published_recipe_trains_a_published_variant(small: EmerDataset, tmp_path: Path) -> None:
    thin = replace(small, clips=tuple(clip for at, clip in enumerate(small.clips) if at % 2 == 0))
    config = TrainingConfig(tmp_path / "c.pt", recipe="published", head="fer-intensity", epochs=1, batch=4)
    assert config.weights == LossWeights(0.3, 0.1, 1.0)
    assert (config.chosen_learning_rate, config.weight_decay, config.chosen_eye_loss) == (1e-4, 5e-4, 0.0)
    summary = train(thin, config)
    assert summary.heads == ("fer-7", "fer-intensity")
    model, metadata = load_checkpoint(tmp_path / "c.pt")
    assert metadata.variant == "intensity"
    assert metadata.events == "published"
    assert not model.standardised


def test_a_trained_checkpoint_can_become_the_demo(trained: Path, tmp_path: Path) -> None:
    model, metadata = load_checkpoint(trained)
    save_demo_checkpoint(tmp_path / "demo.safetensors", model, metadata)
    _, read = load_demo_checkpoint(tmp_path / "demo.safetensors")
    assert read.demo
    assert read.data == metadata.data


def test_a_loss_that_is_no_number_stops_the_run(small: EmerDataset, tmp_path: Path) -> None:
    output = tmp_path / "x.pt"
    with pytest.raises(ConfigurationError, match="the loss is no longer a number in epoch"):
        train(small, frozen(output, learning_rate=1e30))
    assert not output.exists()


def test_the_output_is_not_overwritten_unasked(trained: Path, small: EmerDataset) -> None:
    with pytest.raises(OutputExistsError):
        train(small, frozen(trained))


def test_augmented_windows_train_and_are_recorded(small: EmerDataset, tmp_path: Path) -> None:
    train(small, frozen(tmp_path / "a.pt", epochs=1, augment=True))
    _, metadata = load_checkpoint(tmp_path / "a.pt")
    assert (metadata.recipe["augment"], metadata.events) == (True, "causal-2")
    assert metadata.data is not None
    assert metadata.data.clocks == {"120 rows a second, told by event durations": 20}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"recipe": "published"}, "name it with --head"),
        ({"recipe": "published", "head": "er-9"}, "no head is called"),
        ({"recipe": "published", "head": "er-7", "frozen_backbone": True}, "trains the backbone"),
        ({"recipe": "published", "head": "er-7", "eye_loss": 0.1}, "no eye-behaviour task"),
        ({"head": "er-7"}, "belongs to --recipe published"),
        ({"fold": 6}, "folds are numbered"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"learning_rate": 0.0}, "above 0"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_settings_that_make_no_sense(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrainingConfig(tmp_path / "x.pt", **settings)


def test_the_overall_figure_weighs_heads_alike() -> None:
    figures = {"er-7/war": 0.9, "er-7/uar": 0.5, "er-valence/mae": 0.4, "fer-intensity/mae": 0.3}
    assert overall(figures) == pytest.approx((0.5 + 0.8 + 0.9) / 3)
    outputs = {"er-3": np.eye(3, dtype=np.float32), "fer-valence": np.zeros((3, 1), np.float32)}
    labels = {
        "er-3": np.array([0, 2, np.nan], np.float32),
        "fer-valence": np.array([0.5, np.nan, -0.5], np.float32),
    }
    assert scores(outputs, labels) == pytest.approx({"er-3/war": 0.5, "er-3/uar": 0.5, "fer-valence/mae": 0.5})
