from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from emer_edge.bundle.manifest import DataRecord
from emer_edge.calibration.methods import METHODS
from emer_edge.core.errors import CheckpointError, ConfigurationError, DataError, GateError
from emer_edge.data.cache import cache_folder
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash
from emer_edge.export.choosing.calibrating import best_method, calibrate
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.exporter import export_bundle
from emer_edge.export.judging.gate import shift_of
from emer_edge.export.judging.workshop import FullOutputs, Workshop, embeddings_of, outputs_of, read_evidence
from emer_edge.export.sources import Slices
from emer_edge.model.checkpoint import metadata_of, save_checkpoint
from emer_edge.model.emert import Emert

SALT = "salt"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield cache_folder()


@pytest.fixture(scope="module")
def shop(
    nine: Emert, encoder_part: onnx.ModelProto, fusion_part: onnx.ModelProto, dataset: EmerDataset, cache: Path
) -> Workshop:
    record = DataRecord(fingerprint="data", salt=SALT, fold=1, training_hashes=(), selection_hashes=())
    metadata = metadata_of(nine)
    selection = dataset.selection(1)
    return Workshop(
        encoder=encoder_part,
        fusion=fusion_part,
        target=Path,
        metadata=metadata,
        options=ExportOptions(Path("x.emer"), "int8", calibration_windows=12),
        slices=Slices(dataset.training(1), selection, record, True),
        evidence=read_evidence(
            selection, metadata.window, metadata.events, heads=metadata.heads, classes=nine.classes, draws=0
        ),
    )


@pytest.fixture(scope="module")
def full(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> FullOutputs:
    assert shop.evidence is not None
    folder = tmp_path_factory.mktemp("full")
    onnx.save(shop.encoder, str(folder / "encoder.onnx"))
    onnx.save(shop.fusion, str(folder / "fusion.onnx"))
    embeddings = embeddings_of(folder / "encoder.onnx", shop.evidence)
    outputs = outputs_of(folder / "fusion.onnx", embeddings, shop.evidence)
    return FullOutputs(embeddings, outputs)


def asking(shop: Workshop, **options: Any) -> Workshop:
    return replace(shop, options=replace(shop.options, **options))


def with_clips(shop: Workshop, clips: Sequence[Clip]) -> Workshop:
    assert shop.slices is not None
    return replace(shop, slices=replace(shop.slices, training=tuple(clips)))


def test_the_record_names_nobody_and_counts_classes(shop: Workshop, full: FullOutputs) -> None:
    made = calibrate(shop, full)
    record = made.record
    assert shop.slices is not None
    hashes = {clip_hash(SALT, clip): clip for clip in shop.slices.training}
    chosen = [hashes[key] for key in record.clip_hashes]
    assert record.windows == len(chosen) == 12
    assert record.method == record.requested == "mse"
    assert record.windows_by_class == {
        name: sum(record_class(clip) == name for clip in chosen) for name in record.windows_by_class
    }
    assert sum(record.windows_by_class.values()) == 12
    assert record.participants == len({clip.participant for clip in chosen})
    assert record.methods == {}
    assert any("12 windows only; below 100" in note for note in made.notes)


def record_class(clip: Clip) -> str:
    from emer_edge.core.heads import EMOTIONS

    return EMOTIONS[int(clip.labels["fer-7"])]


def test_layers_say_what_was_met_and_what_was_kept_of_it(shop: Workshop) -> None:
    made = calibrate(shop)
    assert {layer.name for layer in made.layers} == set(made.quantiser.ranges["unsigned"]) - {"face"}
    for layer in made.layers:
        for kept in layer.styles.values():
            assert layer.low <= kept.low <= kept.high <= layer.high
            assert 0 <= kept.clipped < 0.001
            assert 20 < (kept.noise_db or 0) < 60
        if layer.low >= 0:
            # Symmetric levels leave half of their codes unused after a ReLU: up to a bit, which is 6 dB.
            assert 4.0 < (layer.cpu.noise_db or 0) - (layer.tensorrt.noise_db or 0) < 6.5


@pytest.mark.slow
def test_auto_tries_every_method_and_takes_the_one_that_moves_the_heads_least(
    shop: Workshop, full: FullOutputs
) -> None:
    made = calibrate(asking(shop, calibration_method="auto"), full)
    record = made.record
    assert record.requested == "auto"
    assert set(record.methods) == set(METHODS)
    worse = {name: max(figures["cpu/shift"], figures["tensorrt/shift"]) for name, figures in record.methods.items()}
    assert record.method == min(worse, key=lambda name: worse[name])
    assert all(0 < shift < 0.2 for shift in worse.values())
    assert all(5 < figures["cpu/embedding_db"] < 40 for figures in record.methods.values())
    assert all(figures["tensorrt/shift"] == round(figures["tensorrt/shift"], 5) for figures in record.methods.values())
    assert any(f"calibration method: {record.method}" in note and "mse 0." in note for note in made.notes)
    plain = calibrate(asking(shop, calibration_method=record.method), full)
    assert made.quantiser.ranges == plain.quantiser.ranges


def test_auto_without_selection_windows_says_what_it_took(shop: Workshop) -> None:
    made = calibrate(replace(asking(shop, calibration_method="auto"), evidence=None))
    assert made.record.method == "mse"
    assert any("no selection windows" in note for note in made.notes)


def test_the_next_calibration_runs_nothing(shop: Workshop, full: FullOutputs, cache: Path) -> None:
    calibrate(shop, full)
    calls: list[tuple[str, int]] = []
    progress = lambda label, done, total: calls.append((label, done))  # noqa: E731
    again = calibrate(replace(shop, progress=progress), full)
    assert [done for label, done in calls if label == "calibrating"] == [3]
    before = sorted(cache.rglob("*"))
    fresh = calibrate(replace(asking(shop, use_cache=False), progress=progress), full)
    assert sorted(cache.rglob("*")) == before
    assert again.quantiser.ranges == fresh.quantiser.ranges
    assert again.layers == fresh.layers
    assert [done for label, done in calls if label == "calibrating"] == [3, 1, 2, 3]


def test_too_few_windows_are_refused(shop: Workshop) -> None:
    assert shop.slices is not None
    with pytest.raises(DataError, match="7 windows are too few"):
        calibrate(with_clips(shop, shop.slices.training[:7]))
    with pytest.raises(DataError, match="4 windows are too few"):
        calibrate(asking(shop, calibration_windows=4))
    with pytest.raises(GateError, match="needs clips"):
        calibrate(replace(shop, slices=None))


def test_one_emotion_is_refused(shop: Workshop) -> None:
    assert shop.slices is not None
    alike = [replace(clip, labels={**clip.labels, "fer-7": 2}) for clip in shop.slices.training]
    with pytest.raises(DataError, match="calibration windows show fear"):
        calibrate(with_clips(shop, alike))


def test_an_unknown_method_is_refused(shop: Workshop) -> None:
    with pytest.raises(ConfigurationError, match="'guess'; choose minmax, percentile, entropy, mse or auto"):
        calibrate(asking(shop, calibration_method="guess"))


def replaced(part: onnx.ModelProto, name: str, value: float) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(part)
    for constant in copy.graph.initializer:
        if constant.name == name:
            shape = numpy_helper.to_array(constant).shape
            constant.CopyFrom(numpy_helper.from_array(np.full(shape, value, np.float32), name))
    return copy


def test_broken_weights_are_refused_before_anything_is_run(shop: Workshop) -> None:
    with pytest.raises(CheckpointError, match=r"layer1\.0\.conv1\.bias"):
        calibrate(replace(shop, encoder=replaced(shop.encoder, "layer1.0.conv1.bias", np.nan)))


def test_activations_that_overflow_are_refused(shop: Workshop) -> None:
    with pytest.raises(DataError, match="is not finite on batch 1; check the weights"):
        calibrate(replace(shop, encoder=replaced(shop.encoder, "layer1.0.conv1.weight", 3e38)))


def test_dead_layers_are_told(shop: Workshop) -> None:
    """A bias far below 0 before a ReLU: nothing passes it."""
    made = calibrate(replace(shop, encoder=replaced(shop.encoder, "layer2.0.conv1.bias", -1e4)))
    (note,) = (note for note in made.notes if "held the same value" in note)
    assert "1 of " in note
    assert "layer2.0.relu1" in note
    dead = next(layer for layer in made.layers if layer.name == "layer2.0.relu1")
    assert dead.cpu.noise_db is None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda clip, at: replace(clip, labels={**clip.labels, "fer-7": 2}), "calibration windows show fear"),
        (lambda clip, at: clip if at % 3 == 0 else None, "windows are too few to calibrate"),
    ],
    ids=["one emotion", "few clips"],
)
def test_an_export_on_such_data_leaves_nothing_behind(
    nine: Emert, dataset: EmerDataset, tmp_path: Path, cache: Path, spoil: Any, message: str
) -> None:
    save_checkpoint(tmp_path / "nine.pt", nine, metadata_of(nine))
    spoilt = (spoil(clip, at) for at, clip in enumerate(dataset.clips))
    data = replace(dataset, clips=tuple(clip for clip in spoilt if clip is not None))
    with pytest.raises(DataError, match=message):
        export_bundle(ExportOptions(tmp_path / "x.emer", "int8", [str(tmp_path / "nine.pt")], data=data))
    assert [path.name for path in tmp_path.iterdir()] == ["nine.pt"]


def test_shift_is_nought_for_the_same_and_one_for_opposites() -> None:
    one = {"er-3": np.array([[50, 0, 0]], np.float32), "er-valence": np.array([[-1.0]], np.float32)}
    other = {"er-3": np.array([[0, 50, 0]], np.float32), "er-valence": np.array([[1.0]], np.float32)}
    assert shift_of(one, one) == 0.0
    assert shift_of(one, other) == pytest.approx(1.0)
    half = {**one, "er-valence": np.array([[0.0]], np.float32)}
    assert shift_of(one, half) == pytest.approx(0.25)


def test_the_best_method_is_judged_by_its_worse_variant() -> None:
    tried = {
        "minmax": {"cpu/shift": 0.01, "tensorrt/shift": 0.05, "cpu/embedding_db": 20.0},
        "mse": {"cpu/shift": 0.03, "tensorrt/shift": 0.03, "cpu/embedding_db": 20.0},
    }
    assert best_method(tried) == "mse"
