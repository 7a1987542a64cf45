from __future__ import annotations

import math

import pytest
import torch

from emer_edge.core.columns import MOVEMENT_TYPE, VALIDITY
from emer_edge.model.emert import Emert
from emer_edge.model.layers import reverse_gradient
from emer_edge.training.losses import EyeTask, modality_loss, task_loss


def test_missing_labels_weigh_nothing() -> None:
    outputs = {"er-7": torch.randn(4, 7, requires_grad=True), "er-valence": torch.randn(4, 1, requires_grad=True)}
    labels = {
        "er-7": torch.tensor([1.0, math.nan, 3.0, math.nan]),
        "er-valence": torch.tensor([math.nan, 0.5, math.nan, math.nan]),
    }
    loss = task_loss(outputs, labels)
    expected = torch.nn.functional.cross_entropy(outputs["er-7"][[0, 2]], torch.tensor([1, 3]))
    expected = expected + torch.nn.functional.smooth_l1_loss(outputs["er-valence"][1, 0], torch.tensor(0.5))
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert outputs["er-7"].grad is not None
    assert outputs["er-7"].grad[[1, 3]].abs().sum() == 0


def test_a_batch_without_any_label_costs_nothing() -> None:
    outputs = {"fer-3": torch.randn(2, 3, requires_grad=True)}
    loss = task_loss(outputs, {"fer-3": torch.full((2,), math.nan)})
    loss.backward()
    assert loss.item() == 0
    assert outputs["fer-3"].grad is not None
    assert not outputs["fer-3"].grad.any()


def test_shares_of_raters_are_soft_targets() -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    shares = torch.softmax(torch.randn(4, 7), dim=1)
    shares[2] = math.nan
    loss = task_loss({"fer-7": logits}, {"fer-7": shares})
    expected = -(shares * torch.log_softmax(logits, dim=1))[[0, 1, 3]].sum(dim=1).mean()
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[2].any()
    sure = task_loss({"fer-7": logits}, {"fer-7": torch.eye(7)[[1, 5, 0, 6]]})
    assert sure.item() == pytest.approx(task_loss({"fer-7": logits}, {"fer-7": torch.tensor([1.0, 5, 0, 6])}).item())


def test_modality_loss_names_the_modality() -> None:
    sure = {name: 50.0 * torch.eye(3)[at].expand(2, 3) for at, name in enumerate(("face", "eye", "gaze"))}
    assert modality_loss(sure).item() == pytest.approx(0.0, abs=1e-6)
    even = {name: torch.zeros(2, 3) for name in sure}
    assert modality_loss(even).item() == pytest.approx(math.log(3))


@pytest.mark.case("the published recipe", source="the authors' loss function", before="a third of their modality loss")
def test_the_authors_sum_the_modalities_cross_entropies() -> None:
    torch.manual_seed(0)
    logits = {name: torch.randn(4, 3) for name in ("face", "eye", "gaze")}
    theirs = sum(
        torch.nn.functional.cross_entropy(logits[name], torch.full((4,), at)) for at, name in enumerate(logits)
    )
    assert modality_loss(logits, summed=True).item() == pytest.approx(theirs.item())
    assert modality_loss(logits).item() == pytest.approx(theirs.item() / 3)


def test_the_reversal_turns_the_gradient_of_invariant_features_alone() -> None:
    x = torch.ones(3, requires_grad=True)
    reverse_gradient(x, 2.0).sum().backward()
    assert torch.equal(x.grad, torch.full((3,), -2.0))
    torch.manual_seed(0)
    model = Emert("nine").eval()
    fused = model.fuse_standardised(torch.randn(2, 8, 128), torch.randn(2, 32, 39), torch.randn(2, 32, 2))
    specific, invariant = model.modality_logits(fused)
    weight = model.invariant_projection[0].weight
    (with_reversal,) = torch.autograd.grad(modality_loss(invariant), weight, retain_graph=True)
    plain = {
        name: model.distriminator(feature.mean(dim=1))
        for name, feature in zip(("face", "eye", "gaze"), fused.invariant, strict=True)
    }
    (without,) = torch.autograd.grad(modality_loss(plain), weight, retain_graph=True)
    assert torch.allclose(with_reversal, -without)
    own = model.specific_projection_a[0].weight
    assert torch.autograd.grad(modality_loss(specific), own)[0].abs().sum() > 0


def test_the_eye_task_hides_what_it_asks_for_and_can_be_learnt() -> None:
    torch.manual_seed(0)
    task = EyeTask(dim=64)
    raw = torch.randn(8, 32, 39)
    raw[..., VALIDITY] = 1.0
    raw[..., MOVEMENT_TYPE] = torch.randint(0, 4, (8, 32)).float()
    hidden = task.hide(raw, raw[..., :2])
    assert 0.05 < hidden.rows.float().mean() < 0.3
    assert not hidden.eye[hidden.rows][:, [0, 1, 6, 12, 13, MOVEMENT_TYPE, 38]].any()
    assert torch.equal(hidden.eye[hidden.rows][:, 16:22], raw[hidden.rows][:, 16:22])  # eye positions stay
    assert torch.equal(hidden.eye[~hidden.rows], raw[~hidden.rows])
    assert not hidden.gaze[hidden.rows].any()
    tokens = torch.zeros(8, 72, 64)
    tokens[:, 8:40, 0] = raw[..., MOVEMENT_TYPE]
    tokens[:, 8:40, 1:5] = raw[..., [0, 1, 12, 13]]
    optimiser = torch.optim.Adam(task.parameters(), 0.05)
    first = task.loss(tokens, hidden, raw, raw).item()
    for _ in range(300):
        optimiser.zero_grad()
        loss = task.loss(tokens, hidden, raw, raw)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.4 * first
    raw[..., VALIDITY] = 0.0  # lost eyes have no values to predict
    type_only = task.loss(tokens, hidden, raw, raw)
    assert type_only.item() < loss.item()
