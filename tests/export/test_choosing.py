from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from described import eye_rows, smooth_crops

from emer_edge.bundle.manifest import DataRecord
from emer_edge.core.errors import CheckpointError, ConfigurationError, GateError
from emer_edge.data.dataset import EmerDataset
from emer_edge.export.choosing.candidates import build
from emer_edge.export.choosing.precision_choice import Mix, choose, may_run
from emer_edge.export.choosing.quantising import all_layers, fewest_that_hold, layers_named_by
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.judging.trial import Judge
from emer_edge.export.judging.workshop import Evidence, Truth, Workshop
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.sources import Slices
from emer_edge.model.checkpoint import metadata_of
from emer_edge.model.emert import Emert

CLIPS = 8
BREAKS = "layer2.0.conv2"
Shop = Callable[[Emert, Evidence, ExportOptions], Workshop]


def grown(nine: Emert, factor: float) -> Emert:
    """The network with one activation channel so many times larger than the rest.

    The next layer takes the factor out again, so FP32 does not notice.
    """
    model = deepcopy(nine)
    block = model.subnet.f_extractor.layer2[0]
    with torch.no_grad():
        block.bn1.weight[0] *= factor
        block.bn1.bias[0] *= factor
        block.conv2.weight[:, 0] /= factor
    return model


def judged_by_itself(model: Emert, clips: int, seed: int, least_margin: float = 0.0) -> Evidence:
    """Windows that the network labels itself, one crop a clip, a participant to two clips; only faces differ.

    Windows between whose best two classes lies less than `least_margin` are left out.
    """
    crops = smooth_crops(clips, seed)
    eye, gaze = eye_rows(1, 22)
    with torch.no_grad():
        embeddings = model.encode(torch.from_numpy(crops))[:, None].repeat(1, 8, 1)
        given = (embeddings, *(torch.from_numpy(stream.repeat(clips, axis=0)) for stream in (eye, gaze)))
        model.heads["fer-7"][0].bias -= model.fuse(*given)["fer-7"].mean(dim=0)
        answers = model.fuse(*given)["fer-7"].double().numpy()
    best = np.sort(answers, axis=1)
    kept = np.flatnonzero(best[:, -1] - best[:, -2] >= least_margin)
    labels = answers[kept].argmax(axis=1).astype(np.float64)
    assert len(set(labels.tolist())) >= 3
    images = np.rint(crops[kept] * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    count = len(kept)
    return Evidence(
        tuple(partial(np.copy, image[None]) for image in images),
        np.arange(count)[:, None].repeat(8, axis=1),
        eye.repeat(count, axis=0),
        gaze.repeat(count, axis=0),
        Truth({"fer-7": labels}, tuple(f"p{at // 2}" for at in range(count)), np.arange(count), model.classes),
    )


@pytest.fixture(scope="module")
def fragile(nine: Emert) -> tuple[Emert, Evidence]:
    """8 bits for all channels of the tensor with the grown one leave nothing of the others."""
    model = grown(nine, 3000)
    return model, judged_by_itself(model, CLIPS, 21)


@pytest.fixture
def shop(dataset: EmerDataset, tmp_path: Path) -> Shop:
    def make(model: Emert, evidence: Evidence, options: ExportOptions) -> Workshop:
        record = DataRecord(fingerprint="", salt="s", fold=1, training_hashes=(), selection_hashes=())

        def target(relative: str) -> Path:
            (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
            return tmp_path / relative

        return Workshop(
            encoder=face_encoder(model),
            fusion=fusion(model),
            target=target,
            metadata=metadata_of(model),
            options=options,
            slices=Slices(dataset.training(1), (), record, True),
            evidence=evidence,
        )

    return make


@pytest.fixture
def options(tmp_path: Path) -> ExportOptions:
    return ExportOptions(tmp_path / "x.emer", "int8", calibration_windows=8, sensitivity=False)


def test_the_layer_that_breaks_is_put_back(
    fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions, tmp_path: Path
) -> None:
    choice = choose(shop(*fragile, options))
    assert choice.verdict != "failed"
    assert choice.sensitivities[0].layer == choice.kept_high[0] == BREAKS
    assert len(choice.sensitivities) >= 28
    shifts = [row.shift for row in choice.sensitivities]
    assert shifts == sorted(shifts, reverse=True)
    assert min(row.embedding_db or 99 for row in choice.sensitivities) == choice.sensitivities[0].embedding_db
    cost = choice.fall_back
    assert cost.layers == choice.kept_high
    tried = {attempt.layers: attempt.verdict for attempt in cost.tried}
    fewest = len(choice.kept_high)
    assert tried[0] == tried.get(fewest - 1) == "failed"
    assert tried[fewest] != "failed"
    assert cost.int8_macs["cpu/step"] < cost.int8_macs_before["cpu/step"]
    assert min(cost.step_ms, cost.step_ms_before) > 0
    assert any("kept in high precision for the gate" in note and BREAKS in note for note in choice.notes)
    # Candidates lay aside and are gone; what was chosen lies where the bundle wants it.
    assert {path.name for path in tmp_path.iterdir()} == {"cpu", "tensorrt"}
    assert all(path.is_file() for path in choice.parts.values())


@pytest.mark.slow
def test_without_selection_clips_sensitivity_is_measured_on_those_that_calibrate(
    nine: Emert, shop: Shop, options: ExportOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emer_edge.export.choosing.quantising.WINDOWS", 1)
    model = deepcopy(nine)
    made = replace(shop(model, judged_by_itself(model, CLIPS, 21), options), evidence=None)
    choice = choose(replace(made, options=replace(options, sensitivity=True)))
    assert choice.verdict == "not run"
    layers_by_name = {row.layer: row for row in choice.sensitivities}
    assert set(layers_by_name) == set(all_layers(made))
    assert all(set(row.heads) == set(model.head_names) for row in layers_by_name.values())
    assert all(0.0 <= share <= 1.0 for row in layers_by_name.values() for share in row.agreement.values())
    assert layers_by_name["layer1.0.add"].macs == 0 < layers_by_name["layer1.0.conv1"].macs
    assert {row.part for row in layers_by_name.values() if row.embedding_db is None} == {"fusion"}


@pytest.mark.slow
def test_layers_are_excluded_by_hand(fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions) -> None:
    excluding = replace(options, exclude=(r"layer2\.0\.conv2", r"^layer4\."), fall_back=False)
    model, evidence = fragile
    choice = choose(shop(model, replace(evidence, truth=replace(evidence.truth, labels={})), excluding))
    assert choice.kept_high[0] == BREAKS
    assert set(choice.kept_high[1:]) >= {"layer4.0.conv1", "layer4.1.add"}
    assert choice.int8_macs["cpu/face_encoder"] < 0.85
    assert choice.verdict == "inconclusive"
    assert any("--exclude" in note and BREAKS in note for note in choice.notes)


@pytest.mark.parametrize(
    ("exclude", "precision", "message"),
    [
        ("nosuch", "int8", r"'nosuch' matches no layer; the layers are conv1, layer1\.0\.conv1"),
        ("(", "auto", "no regular expression"),
        ("conv1", "fp16", "--exclude is for int8 and auto"),
    ],
)
def test_exclusions_that_mean_nothing_are_refused(
    fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions, exclude: str, precision: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        choose(shop(*fragile, replace(options, exclude=(exclude,), precision=precision)))


def test_without_falling_back_the_gate_fails_with_its_figures(
    fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match=r"cpu fer-7/war 1\.000 -> 0\.\d+ .*allowed 0\.010"):
        choose(shop(*fragile, replace(options, fall_back=False)))
    assert list(tmp_path.iterdir()) == []


def test_auto_drops_int8_that_fails(fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions) -> None:
    choice = choose(shop(*fragile, replace(options, precision="auto", fall_back=False)))
    rows = {row.precision: row for row in choice.candidates}
    assert choice.precision != "int8"
    assert [name for name, row in rows.items() if row.kept] == [choice.precision]
    assert rows["int8"].verdict == "failed"
    assert "the gate fails: fer-7/war" in rows["int8"].why
    assert rows["fp32"].verdict == "passed"
    assert all(row.step_ms > 0 and row.bytes > 0 for row in rows.values())
    assert choice.calibration is None
    assert any(note.startswith(f"auto keeps {choice.precision}") for note in choice.notes)


@pytest.mark.slow
def test_several_precisions_hold_every_file_once_and_list_what_passed_together(
    nine: Emert, shop: Shop, options: ExportOptions
) -> None:
    model = deepcopy(nine)
    evidence = judged_by_itself(model, 48, 31, least_margin=5e-3)
    choice = choose(shop(model, evidence, replace(options, precision="fp16,int8")))
    assert choice.precision == "fp16"
    encoders = {"cpu/face_encoder": "fp32", "cpu/face_encoder-int8": "int8"}
    encoders |= {"tensorrt/face_encoder": "fp16", "tensorrt/face_encoder-int8": "int8"}
    fusions = {"cpu/fusion": "fp32", "cpu/fusion-int8": "int8", "tensorrt/fusion": "fp16"}
    assert {key: choice.precisions[key] for key in choice.parts} == encoders | fusions
    assert all(path.name == f"{key.partition('/')[2]}.onnx" for key, path in choice.parts.items())
    listed = may_run(choice)
    assert [tuple(each.parts.values()) for each in listed[:2]] == [
        ("cpu/face_encoder", "cpu/fusion"),
        ("tensorrt/face_encoder", "tensorrt/fusion"),
    ]
    assert len({tuple(each.parts.values()) for each in listed}) == len(listed) > 4
    assert all(set(each.parts.values()) <= set(choice.parts) for each in listed)
    allowed = set()
    for (one, other), mix in choice.mixes.items():
        assert mix.trial is not None
        if mix.trial.verdict == "passed" or one == other:
            allowed.add(tuple(mix.parts.values()))
    assert {tuple(each.parts.values()) for each in listed} == allowed
    assert choice.int8_macs["cpu/step"] == 0.0 < choice.int8_macs["cpu/face_encoder-int8"]


def test_an_encoder_that_fails_the_gate_is_in_no_combination(
    fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions
) -> None:
    choice = choose(shop(*fragile, replace(options, precision="fp32,fp16")))
    failed = Mix(choice.mixes["tensorrt fp16", "tensorrt fp16"].parts, replace(choice.trials["cpu"], faults=("NaN",)))
    choice.mixes["tensorrt fp16", "tensorrt fp16"] = failed
    assert failed.parts not in [each.parts for each in may_run(choice)]


@pytest.mark.parametrize("precision", ["int4", "fp16,,int8", "fp16,fp16", "auto,int8", "fp16 int8", ""])
@pytest.mark.case("precisions that are none, or are named twice", before="one precision alone could be named")
def test_precisions_that_make_no_sense_are_refused(options: ExportOptions, precision: str) -> None:
    with pytest.raises(ConfigurationError, match="--precision is auto, or one or several of fp32, fp16, int8"):
        replace(options, precision=precision)


@pytest.mark.slow
def test_auto_keeps_the_fastest_that_passes(nine: Emert, shop: Shop, options: ExportOptions) -> None:
    model = deepcopy(nine)
    evidence = judged_by_itself(model, 96, 31, least_margin=5e-3)
    assert len(evidence) >= 12
    choice = choose(shop(model, evidence, replace(options, precision="auto")))
    rows = {row.precision: row for row in choice.candidates}
    assert rows["int8"].verdict == "passed"
    fastest = min((row for row in rows.values() if row.verdict == "passed"), key=lambda row: row.step_ms)
    assert rows[choice.precision].kept
    assert rows[choice.precision].step_ms == fastest.step_ms
    assert choice.final_ms["step"] == pytest.approx(fastest.step_ms)
    if choice.precision == "int8":
        assert choice.calibration is not None
        assert choice.int8_macs["cpu/face_encoder"] > 0.99


def test_a_variant_that_gives_nan_or_stands_still_fails(
    nine: Emert, shop: Shop, options: ExportOptions, tmp_path: Path
) -> None:
    model = deepcopy(nine)
    made = shop(model, judged_by_itself(model, CLIPS, 21), options)
    full = build(made, tmp_path / "full", "fp32")
    broken = deepcopy(model)
    with torch.no_grad():
        broken.heads["er-7"][0].bias[0] = float("nan")
        broken.heads["fer-7"][0].weight.zero_()
        broken.heads["fer-3"][0].weight *= 1e7
    parts = {**build(made, tmp_path / "half", "fp16").parts}
    parts["tensorrt/fusion"].write_bytes(fusion(broken).SerializeToString())
    trials = Judge(made, full.parts)(parts, "fp16", "fp16")
    assert trials["cpu"].verdict == "passed"
    assert trials["tensorrt"].verdict == "failed"
    assert trials["tensorrt"].reasons == (
        "er-7 gives NaN or infinity on 8 of 8 windows",
        "fer-7 gives the same output on all 8 windows",
        "fer-3 is saturated: every probability is 0 or 1 on all 8 windows",
    )
    assert trials["tensorrt"].figures.changes == ()


def test_fp16_that_overflows_between_layers_fails(nine: Emert, shop: Shop, options: ExportOptions) -> None:
    model = grown(nine, 1.5e5)
    evidence = judged_by_itself(model, CLIPS, 21)
    with pytest.raises(GateError, match=r"tensorrt layer2\.0\.conv1 reaches .*FP16 holds 65,504.*--precision fp32"):
        choose(shop(model, evidence, replace(options, precision="fp16")))


def test_auto_drops_what_can_not_be_built(nine: Emert, shop: Shop, options: ExportOptions) -> None:
    model = grown(nine, 1e6)
    evidence = judged_by_itself(model, CLIPS, 21)
    choice = choose(shop(model, evidence, replace(options, precision="auto", calibration_windows=4)))
    rows = {row.precision: row for row in choice.candidates}
    assert choice.precision == "fp32"
    assert "more than FP16 can" in rows["fp16"].why
    assert "4 windows" in rows["int8"].why
    assert rows["int8"].verdict == rows["fp16"].verdict == "not tried"


def test_a_network_that_gives_nan_in_fp32_is_refused(nine: Emert, shop: Shop, options: ExportOptions) -> None:
    model = deepcopy(nine)
    evidence = judged_by_itself(model, CLIPS, 21)
    with torch.no_grad():
        model.heads["er-3"][0].bias[1] = float("nan")
    with pytest.raises(CheckpointError, match="er-3 gives NaN or infinity on 8 of 8 selection windows in fp32"):
        choose(shop(model, evidence, replace(options, precision="fp32")))


def test_selection_clips_of_one_class_are_said_to_say_little(
    fragile: tuple[Emert, Evidence], shop: Shop, options: ExportOptions
) -> None:
    model, evidence = fragile
    one = replace(evidence, truth=replace(evidence.truth, labels={"fer-7": np.full(CLIPS, 2.0)}))
    choice = choose(shop(model, one, replace(options, precision="fp32")))
    assert choice.verdict == "passed"
    assert any("every selection clip that is labelled for fer-7 shows" in note for note in choice.notes)
    assert any("no selection clip is labelled for er-7" in note for note in choice.notes)


LAYERS = ("conv1", "layer1.0.conv1", "layer1.0.add", "eye_lstm.0")


@pytest.mark.parametrize("most", [1, 2, 7, 28, 33])
def test_the_fewest_are_found_in_few_tries(most: int) -> None:
    for least in range(1, most + 1):
        tried: list[int] = []

        def holds(count: int, least: int = least, tried: list[int] = tried) -> bool:
            tried.append(count)
            return count >= least

        assert fewest_that_hold(holds, most) == least
        assert len(tried) == len(set(tried)) <= 2 * math.log2(most) + 2
        assert least in tried


def test_where_nothing_holds_the_answer_is_all() -> None:
    tried: list[int] = []
    assert fewest_that_hold(lambda count: bool(tried.append(count)), 28) == 28
    assert tried == [1, 2, 4, 8, 16, 28]


def test_layers_are_named_by_patterns_in_their_own_order() -> None:
    assert layers_named_by((), LAYERS) == ()
    assert layers_named_by(("lstm", r"^conv1$"), LAYERS) == ("conv1", "eye_lstm.0")
    assert layers_named_by(("conv",), LAYERS) == ("conv1", "layer1.0.conv1")


@pytest.mark.parametrize(
    ("pattern", "message"), [("fc", "matches no layer; .*conv1, layer1.0.conv1"), ("[", "regular")]
)
def test_patterns_that_name_nothing_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        layers_named_by((pattern,), LAYERS)
