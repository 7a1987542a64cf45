from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from shared_work import clips_of, made_once

from emer_edge.bundle import load_bundle
from emer_edge.calibration.measurement import collect_histograms, model_session, ranges_of
from emer_edge.data.dataset import EmerDataset
from emer_edge.export.export_options import ExportOptions
from emer_edge.export.exporter import ExportSummary, export_bundle
from emer_edge.export.parts.face_parts import face_encoder
from emer_edge.export.parts.fusion import fusion
from emer_edge.export.precision.int8 import activations_to_quantise
from emer_edge.export.report.export_report import ExportReport
from emer_edge.model.checkpoint import save_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.separable import packaged_tensors

sys.path.insert(0, str(Path(__file__).parents[1] / "model" / "golden"))

from described import described, eye_rows, smooth_crops

Run = Callable[[onnx.ModelProto, Mapping[str, NDArray[np.float32]]], dict[str, NDArray[np.float32]]]


@pytest.fixture(scope="session")
def run() -> Run:
    def call(model: onnx.ModelProto, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        session = model_session(model, threads=1)
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return call


@pytest.fixture(scope="session")
def nine() -> Emert:
    """A network whose batch norms have seen data and whose columns are standardised."""
    torch.manual_seed(0)
    model = Emert("nine")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.inference_mode():
        model.train().subnet.face(torch.from_numpy(smooth_crops(16, 1)))
    eye, gaze = eye_rows(16, 3)
    model.eye_mean.copy_(torch.from_numpy(eye.mean((0, 1))))
    model.eye_scale.copy_(torch.from_numpy(eye.std((0, 1))))
    model.gaze_mean.copy_(torch.from_numpy(gaze.mean((0, 1))))
    model.gaze_scale.copy_(torch.from_numpy(gaze.std((0, 1))))
    return model.eval()


@pytest.fixture(scope="session")
def separable() -> Emert:
    """A network behind the packaged face encoder."""
    torch.manual_seed(1)
    model = Emert("nine", face_network="separable")
    model.subnet.f_extractor.load_state_dict(packaged_tensors())
    return model.eval()


@pytest.fixture(scope="session")
def encoder_part(nine: Emert) -> onnx.ModelProto:
    return face_encoder(nine)


@pytest.fixture(scope="session")
def fusion_part(nine: Emert) -> onnx.ModelProto:
    return fusion(nine)


@pytest.fixture(scope="session")
def ranges(encoder_part: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    tensors = sorted(
        {*activations_to_quantise(encoder_part, "cpu"), *activations_to_quantise(encoder_part, "tensorrt")}
    )
    batches = [{"face": smooth_crops(8, seed)} for seed in (11, 12)]
    return ranges_of(collect_histograms(encoder_part, tensors, batches), "percentile")


@pytest.fixture(scope="session")
def crops() -> NDArray[np.float32]:
    return smooth_crops(16, 99)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> EmerDataset:
    return EmerDataset.open(clips_of(tmp_path_factory, 10, 2, 8, seed=3))


@pytest.fixture(scope="session")
def nine_checkpoint(nine: Emert, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "nine.pt"
    metadata = described(nine)
    save_checkpoint(path, nine, metadata)
    return path


@pytest.fixture(scope="session")
def int8(nine_checkpoint: Path, dataset: EmerDataset, tmp_path_factory: pytest.TempPathFactory) -> ExportSummary:
    """A small int8 bundle of synthetic clips, as `emer-edge export` leaves it."""

    def make(output: Path) -> None:
        export_bundle(
            ExportOptions(
                output,
                "int8",
                [str(nine_checkpoint)],
                data=dataset,
                calibration_windows=8,
                sensitivity=False,
                arguments=(
                    "export",
                    "--data",
                    "/home/someone/clips",
                    f"--output={output}",
                    "--checkpoint",
                    "er-7=/a/b c.pt",
                ),
            )
        )

    path = made_once(tmp_path_factory, "small-int8.emer", make)
    report = ExportReport.from_json((path / "report.json").read_bytes())
    return ExportSummary(path, load_bundle(path).manifest, report)
