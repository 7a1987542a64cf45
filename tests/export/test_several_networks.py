"""Several networks in one bundle, from checkpoints to answers, and their choices as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import stand_in
import torch
from described import described, eye_rows
from machine import without_tensorrt

from emer_edge.bundle import load_bundle
from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.window import NANOSECONDS, WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.export.choosing.precision_choice import Choice
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.exporter import export_bundle
from emer_edge.export.judging.gate import agreement, compare
from emer_edge.export.judging.trial import Trial
from emer_edge.export.judging.workshop import Evidence, Truth
from emer_edge.export.networks import Member, join
from emer_edge.export.report.export_report import Timing
from emer_edge.export.sources import open_sources
from emer_edge.metrics.latency import summarise
from emer_edge.model.checkpoint import save_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.runtime.session import Session


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in checkpoints that the golden files belong to, and one of this project's own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for variant in stand_in.VARIANTS:
        state = {name: torch.from_numpy(array) for name, array in stand_in.published_state_dict(variant).items()}
        torch.save(state, folder / f"{variant}.pth")
    own(folder / "own.pt")
    return folder


def own(path: Path, window: WindowSpec | None = None) -> Path:
    """A network that standardises its columns, with the published rule for events."""
    torch.manual_seed(3)
    model = Emert("nine", ("er-arousal", "fer-3")).eval()
    model.eye_scale.fill_(500.0)
    model.gaze_scale.fill_(500.0)
    metadata = described(model, events="published", window=window or WindowSpec())
    save_checkpoint(path, model, metadata)
    return path


def windows(count: int = 2) -> tuple[Any, Any, Any]:
    eye, gaze = eye_rows(count, 4)
    return np.random.default_rng(0).random((count, 8, 3, 112, 112), np.float32), eye, gaze


def logits(path: Path, given: tuple[Any, Any, Any]) -> dict[str, Any]:
    face, eye, gaze = given
    with Session(path) as session:
        embeddings = session.encode(face.reshape(-1, 3, 112, 112)).reshape(len(face), 8, -1)
        return session.logits(embeddings, eye, gaze)


@pytest.fixture(scope="module")
def arguments(folder: Path) -> list[str]:
    """Three networks, two encoders: stand-in weights are drawn by name, so both published backbones are the same."""
    return [f"er-7={folder / 'discrete.pth'}", f"fer-intensity={folder / 'intensity.pth'}", str(folder / "own.pt")]


@pytest.fixture(scope="module")
def three(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    with without_tensorrt():
        return export_bundle(ExportOptions(tmp_path_factory.mktemp("three") / "three.emer", "fp32", arguments))


def test_each_head_equals_its_torch_network(three: Any, arguments: list[str]) -> None:
    manifest = load_bundle(three.path).manifest
    assert manifest.head_names == ("er-7", "fer-7", "fer-intensity", "er-arousal", "fer-3")
    given = windows()
    outputs = logits(three.path, given)
    for source in open_sources(ExportOptions(Path("unused.emer"), checkpoints=arguments)).networks:
        with torch.inference_mode():
            expected = source.model(*(torch.from_numpy(array) for array in given))
        for name, value in expected.items():
            assert np.abs(outputs[name] - value.numpy()).max() < 1e-5 * np.abs(value.numpy()).max()


def test_equal_encoders_are_stored_once(three: Any) -> None:
    manifest = load_bundle(three.path).manifest
    assert [(network.heads, network.encoder, network.fusion) for network in manifest.networks] == [
        (("er-7",), "face_encoder", "fusion"),
        (("fer-7", "fer-intensity"), "face_encoder", "fusion_2"),
        (("er-arousal", "fer-3"), "face_encoder_3", "fusion_3"),
    ]
    parts = ("face_encoder", "face_encoder_3", "fusion", "fusion_2", "fusion_3")
    keys = {f"{variant}/{part}" for variant in ("cpu", "tensorrt") for part in parts}
    assert set(manifest.verification.largest_error) == keys
    assert keys <= {path.removesuffix(".onnx") for path in manifest.files}
    assert not any("face_encoder_2" in path for path in manifest.files)


@pytest.mark.parametrize("raw", [False, True], ids=["unit", "raw"])
def test_golden_arrays_pass_through_the_bundle(three: Any, raw: bool) -> None:
    given = stand_in.inputs(raw=raw)
    outputs = logits(three.path, (given["face"], given["eye"], given["gaze"]))
    prefix = "raw_" if raw else ""
    for head, variant, key in (("er-7", "discrete", "output"), ("fer-intensity", "intensity", "intensity")):
        expected = stand_in.golden(variant)[f"{prefix}{key}"]
        assert np.abs(outputs[head] - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_report_says_what_several_networks_cost(three: Any) -> None:
    assert any("3 networks cost 2 face encoders: every face is encoded 2 times" in note for note in three.report.notes)
    assert sum("no data was given" in note for note in three.report.notes) == 1
    figures = json.loads((three.path / "report.json").read_text())
    times = figures["final_ms"]
    parts = ["face_encoder", "fusion", "fusion_2", "face_encoder_3", "fusion_3"]
    assert set(times) == {*parts, "step"}
    assert times["step"] == pytest.approx(sum(times[part] for part in parts), abs=0.01)
    assert set(figures["parts"]) >= {f"cpu/{part}" for part in parts}
    assert "face_encoder_3" in (three.path / "report.html").read_text()


@pytest.mark.slow
def test_every_network_is_quantised_gated_and_verified(
    arguments: list[str], dataset: EmerDataset, tmp_path: Path
) -> None:
    options = ExportOptions(
        tmp_path / "int8.emer", "int8", arguments[::2], data=dataset, calibration_windows=8, sensitivity=False
    )
    with without_tensorrt():
        made = export_bundle(options)
    manifest = load_bundle(made.path).manifest
    precisions = manifest.precision.parts
    assert precisions["cpu/face_encoder"] == precisions["cpu/face_encoder_2"] == "int8"
    assert (precisions["cpu/fusion"], precisions["cpu/fusion_2"]) == ("fp32", "int8")
    assert {name.partition("/")[0] for name in manifest.gate.fp32} == {"er-7", "er-arousal", "fer-3"}
    assert manifest.calibration is not None
    assert {"cpu/step", "cpu/face_encoder_2", "tensorrt/fusion_2"} <= set(made.report.int8_macs)


def test_a_head_given_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    arguments = [f"er-7={folder / 'discrete.pth'}"] * 2
    with pytest.raises(ConfigurationError, match="more than one checkpoint predicts er-7; leave one out"):
        export_bundle(ExportOptions(tmp_path / "x.emer", "fp32", arguments))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("argument", "error", "message"),
    [
        ("fer-7=missing.pth", CheckpointError, r"missing\.pth"),
        ("er-8=discrete.pth", ConfigurationError, "no head is called 'er-8'"),
        ("er-valence=intensity.pth", CheckpointError, "does not fit|predicts er-valence"),
    ],
    ids=["missing file", "unknown head", "another variant"],
)
def test_a_second_checkpoint_that_cannot_be_used(
    folder: Path, tmp_path: Path, argument: str, error: type[Exception], message: str
) -> None:
    head, _, name = argument.partition("=")
    arguments = [f"er-7={folder / 'discrete.pth'}", f"{head}={folder / name}"]
    with pytest.raises(error, match=message):
        export_bundle(ExportOptions(tmp_path / "x.emer", "fp32", arguments))


def test_networks_that_read_other_windows_are_refused(folder: Path, tmp_path: Path) -> None:
    short = own(tmp_path / "short.pt", WindowSpec(length_ns=6 * NANOSECONDS))
    arguments = [f"er-7={folder / 'discrete.pth'}", str(short)]
    with pytest.raises(ConfigurationError, match=r"other windows .* \(12 s every 0.5 s.* and 6 s every 0.25 s"):
        open_sources(ExportOptions(tmp_path / "x.emer", "fp32", arguments))


def test_the_causal_rule_gives_way_to_its_successor(folder: Path, tmp_path: Path) -> None:
    demo = open_sources(ExportOptions(tmp_path / "x.emer", "fp32"))
    assert (demo.events, demo.notes) == ("causal-2", ())
    model, metadata = demo.networks[0].model, demo.networks[0].metadata
    for events, said in (("causal", 1), ("causal-2", 0), ("published", 0)):
        path = tmp_path / f"{events}.pt"
        save_checkpoint(path, model, msgspec.structs.replace(metadata, events=events))
        sources = open_sources(ExportOptions(tmp_path / "x.emer", "fp32", [str(path)]))
        assert sources.events == ("published" if events == "published" else "causal-2")
        assert ["causal-2, which differs on noisy trackers only" in note for note in sources.notes] == [True] * said


def test_networks_with_other_events_rules_are_refused(folder: Path, tmp_path: Path) -> None:
    model = Emert("nine", ("fer-7",)).eval()
    metadata = described(model)
    save_checkpoint(tmp_path / "causal.pt", model, metadata)
    arguments = [f"er-7={folder / 'discrete.pth'}", str(tmp_path / "causal.pt")]
    with pytest.raises(ConfigurationError, match=r"other columns 33 to 39 .* \(events published and events causal-2\)"):
        open_sources(ExportOptions(tmp_path / "x.emer", "fp32", arguments))


CLASSES = {"er-7": EMOTIONS, "fer-7": EMOTIONS}
CLIPS, DRAWS = 48, 2


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    count = CLIPS * DRAWS
    labels = {name: rng.integers(0, 7, CLIPS).repeat(DRAWS).astype(float) for name in CLASSES}
    return Evidence(
        readers=(),
        frames=np.zeros((count, 8), np.int64),
        eye=np.zeros((count, 32, 39), np.float32),
        gaze=np.zeros((count, 32, 2), np.float32),
        truth=Truth(
            labels,
            tuple(f"p{clip % 12}" for clip in range(CLIPS) for _ in range(DRAWS)),
            np.arange(CLIPS).repeat(DRAWS),
            CLASSES,
        ),
    )


def member(number: int, head: str, evidence: Evidence, precision: Any = "int8", noise: float = 0.01) -> Member:
    """A network of one head whose answers are right more often than not, and whose parts take 1 to 4 ms."""
    rng = np.random.default_rng(number)
    truth = np.eye(7)[evidence.truth.labels[head].astype(int)]
    full = {head: (2 * truth + rng.normal(size=truth.shape)).astype(np.float32)}
    after = {head: full[head] + rng.normal(scale=noise, size=truth.shape).astype(np.float32)}
    trial = Trial(after, compare(full, after, evidence.truth), agreement(full, after), 20.0 + number)
    ending = "" if number == 1 else f"_{number}"
    names = {part: f"{part}{ending}" for part in ("face_encoder", "fusion")}
    times = {
        candidate: {
            part: summarise([factor * size * 1_000_000] * 5) for part, size in (("face_encoder", 3), ("fusion", 1))
        }
        for candidate, factor in (("fp32", 4), (precision, number))
    }
    choice = Choice(
        precision,
        {f"cpu/{part}": Path(f"{name}.onnx") for part, name in names.items()},
        Timing(engine="onnxruntime", device="CPU", times=times),
        {"cpu": trial, "tensorrt": trial},
    )
    choice.fp32_outputs = full
    choice.kept_high = ("conv1",) if number == 2 else ()
    choice.notes = ["for all", f"for network {number}"]
    choice.macs = {f"cpu/{part}": {"total": 100, "int8": 50 * number} for part in names}
    choice.macs["cpu/step"] = {"total": 200, "int8": 100 * number}
    return Member((head,), names, choice)


def test_one_network_is_left_as_it_is(evidence: Evidence) -> None:
    only = member(1, "er-7", evidence)
    assert join([only], evidence) is only.choice


def test_times_and_operations_add_up(evidence: Evidence) -> None:
    joined = join([member(1, "er-7", evidence), member(2, "fer-7", evidence)], evidence)
    assert joined.final_ms == {"face_encoder": 3, "fusion": 1, "face_encoder_2": 6, "fusion_2": 2, "step": 12}
    assert joined.fp32_ms["step"] == 32
    assert set(joined.parts) == {"cpu/face_encoder", "cpu/fusion", "cpu/face_encoder_2", "cpu/fusion_2"}
    assert joined.macs["cpu/step"] == {"total": 400, "int8": 300}
    assert joined.int8_macs["cpu/step"] == 0.75
    assert joined.int8_macs["cpu/fusion_2"] == 1.0
    assert joined.kept_high == ("fer-7: conv1",)
    assert joined.notes[0].startswith("2 networks cost 2 face encoders: every face is encoded 2 times")
    assert joined.notes[1:] == ["for all", "er-7: for network 1", "fer-7: for network 2"]


def test_a_shared_encoder_counts_once(evidence: Evidence) -> None:
    first, second = member(1, "er-7", evidence), member(2, "fer-7", evidence)
    second = replace(second, names={**second.names, "face_encoder": "face_encoder"}, shares=True)
    joined = join([first, second], evidence)
    assert joined.final_ms == {"face_encoder": 3, "fusion": 1, "fusion_2": 2, "step": 6}
    assert joined.macs["cpu/step"]["total"] == 300
    assert "2 networks share one face encoder" in joined.notes[0]


def test_the_gap_between_two_networks_is_judged(evidence: Evidence) -> None:
    members = [member(1, "er-7", evidence), member(2, "fer-7", evidence)]
    trial = join(members, evidence).trials["cpu"]
    names = [change.name for change in trial.changes]
    alone = {change.name for one in members for change in one.choice.trials["cpu"].changes}
    assert len(names) == len(set(names))
    assert {name for name in names if name.startswith("gap/")} == set(names) - alone != set()
    assert trial.embedding_db == 21.0
    assert set(trial.agreement) == {"er-7", "fer-7"}


def test_networks_of_two_precisions_are_called_by_the_rounder_one(evidence: Evidence) -> None:
    members = [member(1, "er-7", evidence, precision="fp32"), member(2, "fer-7", evidence)]
    joined = join(members, evidence)
    assert joined.precision == "int8"
    assert joined.final_ms["step"] == 4 + 8
    assert joined.fp32_ms["step"] == 4 + 16
