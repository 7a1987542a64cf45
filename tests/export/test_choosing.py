from __future__ import annotations

from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from export_inputs import eye_rows, smooth_crops

from emer_edge.bundle.manifest import DataRecord
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import GateError
from emer_edge.export.choosing import Workshop, choose
from emer_edge.export.evidence import Evidence
from emer_edge.export.options import ExportOptions
from emer_edge.export.parts import face_encoder, fusion
from emer_edge.export.sources import Slices
from emer_edge.model.checkpoint import metadata_of
from emer_edge.model.emert import Emert
from emer_edge.spec.progress import silent

WINDOWS = 8


@pytest.fixture(scope="module")
def fragile(nine: Emert) -> tuple[Emert, Evidence]:
    """A network with one activation channel 3,000 times larger than the rest, and windows that it labels itself.

    The next layer takes the factor out again, so FP32 does not notice, while 8 bits for all channels of that tensor
    leave nothing of the others. The windows differ in their faces only.
    """
    model = deepcopy(nine)
    crops = smooth_crops(WINDOWS * 8, 21)
    eye, gaze = (each.repeat(WINDOWS, axis=0) for each in eye_rows(1, 22))
    block = model.subnet.f_extractor.layer2[0]
    with torch.no_grad():
        block.bn1.weight[0] *= 3000
        block.bn1.bias[0] *= 3000
        block.conv2.weight[:, 0] /= 3000
        embeddings = model.encode(torch.from_numpy(crops)).reshape(WINDOWS, 8, -1)
        given = (embeddings, torch.from_numpy(eye), torch.from_numpy(gaze))
        model.heads["fer-7"][0].bias -= model.fuse(*given)["fer-7"].mean(dim=0)
        labels = model.fuse(*given)["fer-7"].argmax(dim=1).double().numpy()
    assert len(set(labels.tolist())) >= 3
    images = np.rint(crops * 255).astype(np.uint8).transpose(0, 2, 3, 1).reshape(WINDOWS, 8, 112, 112, 3)
    people = tuple(f"p{at // 2}" for at in range(WINDOWS))
    frames = np.arange(WINDOWS * 8).reshape(WINDOWS, 8)
    readers = tuple(partial(np.copy, each) for each in images)
    return model, Evidence(readers, frames, eye, gaze, {"fer-7": labels}, people, np.arange(WINDOWS))


def workshop(fragile: tuple[Emert, Evidence], dataset: EmerDataset, folder: Path, options: ExportOptions) -> Workshop:
    model, evidence = fragile
    record = DataRecord(fingerprint="", salt="s", fold=1, training_hashes=(), selection_hashes=())

    def target(relative: str) -> Path:
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        return folder / relative

    return Workshop(
        encoder=face_encoder(model),
        fusion=fusion(model),
        target=target,
        metadata=metadata_of(model),
        options=options,
        slices=Slices(dataset.training(1), (), record, True, False, 0),
        evidence=evidence,
        classes=model.classes,
        threads=2,
        progress=silent,
    )


def test_the_layer_that_breaks_is_put_back(
    fragile: tuple[Emert, Evidence], dataset: EmerDataset, tmp_path: Path
) -> None:
    options = ExportOptions(tmp_path / "x.emer", "int8", calibration_windows=8)
    choice = choose(workshop(fragile, dataset, tmp_path, options))
    assert "layer2.0.conv2" in choice.kept_high
    assert next(iter(choice.sensitivities)) == "layer2.0.conv2"
    assert choice.verdict != "failed"
    assert any("layer2.0.conv2" in note for note in choice.notes)
    assert choice.final_ms["step"] > 0


def test_without_falling_back_the_gate_fails_with_its_figures(
    fragile: tuple[Emert, Evidence], dataset: EmerDataset, tmp_path: Path
) -> None:
    options = ExportOptions(tmp_path / "x.emer", "int8", calibration_windows=8, fall_back=False)
    with pytest.raises(GateError, match=r"cpu fer-7/war 1\.000 -> 0\.\d+ .*allowed 0\.010"):
        choose(workshop(fragile, dataset, tmp_path, options))


def test_auto_says_why(fragile: tuple[Emert, Evidence], dataset: EmerDataset, tmp_path: Path) -> None:
    options = ExportOptions(tmp_path / "x.emer", "auto", calibration_windows=8, fall_back=False)
    choice = choose(workshop(fragile, dataset, tmp_path, options))
    assert choice.precision == "fp16"
    assert any("int8 failed the gate" in note or "no faster" in note for note in choice.notes)
