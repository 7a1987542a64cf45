"""The published network's own outputs, on weights and inputs that anyone can regenerate."""

from __future__ import annotations

import numpy as np
import pytest
import stand_in
import torch

from emer_edge.model.emert import Emert

HEADS = {"discrete": ("er-7",), "va": ("er-valence",), "intensity": ("fer-7", "fer-intensity")}
TOLERANCE = 1e-4


def intermediates(model: Emert, face: torch.Tensor, eye: torch.Tensor, gaze: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every stage of whole windows: backbone features, states, modality logits and heads."""
    features = model.subnet.face(face.reshape(-1, 3, 112, 112)).reshape(-1, 8, 512)
    eye, gaze = model.standardise(eye, gaze)
    fused = model.fuse_standardised(model.project(features), eye, gaze)
    specific, invariant = model.modality_logits(fused)
    return {
        "face_embedding": features,
        "eye_states": model.subnet.eye(eye),
        "gaze_states": model.subnet.gaze(gaze),
        **{f"specific_{name}": values for name, values in specific.items()},
        **{f"invariant_{name}": values for name, values in invariant.items()},
        **fused.heads,
    }


def network(variant: str) -> Emert:
    model = Emert(variant, HEADS[variant])
    model.load_state_dict(
        {name: torch.from_numpy(array) for name, array in stand_in.published_state_dict(variant).items()}
    )
    return model.eval()


@pytest.mark.parametrize("variant", stand_in.VARIANTS)
def test_published_names_and_shapes(variant: str) -> None:
    ours = {name: tuple(tensor.shape) for name, tensor in Emert(variant, HEADS[variant]).state_dict().items()}
    assert ours == stand_in.published_shapes(variant)


@pytest.mark.parametrize("raw", [False, True], ids=["unit", "raw"])
@pytest.mark.parametrize("variant", stand_in.VARIANTS)
def test_every_golden_array(variant: str, raw: bool) -> None:
    model = network(variant)
    inputs = {name: torch.from_numpy(array) for name, array in stand_in.inputs(raw=raw).items()}
    with torch.inference_mode():
        computed = {name: tensor.numpy() for name, tensor in intermediates(model, **inputs).items()}
        whole = model(**inputs)
        faces = model.encode(inputs["face"].reshape(-1, 3, 112, 112)).reshape(-1, 8, 128)
        parts = model.fuse(faces, inputs["eye"], inputs["gaze"])
    computed["output"] = computed[HEADS[variant][0]]
    if variant == "intensity":
        computed["intensity"] = computed["fer-intensity"]
    prefix = "raw_" if raw else ""
    expected = {
        name.removeprefix("raw_"): values
        for name, values in stand_in.golden(variant).items()
        if name.startswith("raw_") == raw
    }
    assert {*expected} <= {*computed}
    for name, values in expected.items():
        assert computed[name].shape == values.shape
        np.testing.assert_allclose(
            computed[name], values, rtol=0, atol=TOLERANCE * np.abs(values).max(), err_msg=prefix + name
        )
    assert tuple(parts) == HEADS[variant]
    for name, part in parts.items():
        np.testing.assert_allclose(part.numpy(), computed[name], rtol=0, atol=1e-5)
        np.testing.assert_allclose(whole[name].numpy(), computed[name], rtol=0, atol=1e-5)
