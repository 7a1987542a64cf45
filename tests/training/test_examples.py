"""Drawn windows with dropped columns, and their faces."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emer_edge.core.columns import EVENTS, GAZE_POINT
from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import EYE_SLOTS, WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.synth.eyes import generate
from emer_edge.data.windows import ClipWindow
from emer_edge.model.backbone import ResNet18
from emer_edge.model.separable import SeparableNet, packaged_tensors
from emer_edge.signals.no_eyes import no_eyes
from emer_edge.signals.profiles import DROPPED_GROUPS
from emer_edge.training.config import TrainingConfig
from emer_edge.training.examples import Examples, augment_faces, drop_columns, worse_eyes
from emer_edge.training.face_features import FrozenFaces, ImageFaces, load_backbone_weights


def window(seed: int) -> ClipWindow:
    rows = generate("anger", participant=seed, seconds=8.0).rows
    rows = rows[(rows[:, 14:16] > 0).all(axis=1)][::20][:32]
    return ClipWindow(np.arange(8), rows, rows[:, GAZE_POINT].copy(), np.ones(8, bool), np.ones(32, bool))


WINDOWS = [window(seed) for seed in range(20)] * 10


def test_a_share_of_windows_loses_whole_groups_and_never_both_eyes() -> None:
    dropped = drop_columns(WINDOWS, 0.5, np.random.default_rng(0))
    lost = []
    for before, after in zip(WINDOWS, dropped, strict=True):
        gone = set(np.flatnonzero(before.eye.any(axis=0) & ~after.eye.any(axis=0)).tolist())
        lost.append(gone)
        inside = [
            set(group) & set(np.flatnonzero(before.eye.any(axis=0)).tolist()) for group in DROPPED_GROUPS.values()
        ]
        assert gone == set().union(*(group for group in inside if group <= gone))
        assert after.eye[:, 14:16].any()
        np.testing.assert_array_equal(after.gaze, after.eye[:, GAZE_POINT])
        np.testing.assert_array_equal(after.eye[:, EVENTS], before.eye[:, EVENTS])
    share = np.mean([bool(columns) for columns in lost])
    assert 0.35 < share < 0.55
    for group in DROPPED_GROUPS.values():
        assert any(set(group) <= columns for columns in lost)


def test_nothing_is_dropped_unless_asked_and_the_same_seed_drops_the_same() -> None:
    assert all(
        one is other for one, other in zip(drop_columns(WINDOWS, 0.0, np.random.default_rng(0)), WINDOWS, strict=True)
    )
    one, other = (drop_columns(WINDOWS, 1.0, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(np.stack([window.eye for window in one]), np.stack([window.eye for window in other]))


def test_the_original_windows_are_left_alone() -> None:
    before = WINDOWS[0].eye.copy()
    drop_columns(WINDOWS[:1], 1.0, np.random.default_rng(1))
    np.testing.assert_array_equal(WINDOWS[0].eye, before)


def test_it_is_a_setting_of_the_run() -> None:
    assert TrainingConfig(Path("a.pt"), drop_columns=0.25).settings()["drop_columns"] == 0.25
    with pytest.raises(ConfigurationError, match=r"0 to 1, not 1\.5"):
        TrainingConfig(Path("a.pt"), drop_columns=1.5)
    with pytest.raises(ConfigurationError, match="leave --drop-columns out"):
        TrainingConfig(Path("a.pt"), recipe="published", head="er-7", drop_columns=0.5)


@pytest.mark.slow
def test_what_is_felt_is_not_learnt_without_eyes(small: EmerDataset) -> None:
    examples = Examples(small.clips, small.heads, WindowSpec(), "causal")
    windows = examples.windows()
    (eye,), (gaze,) = no_eyes(1)
    windows[0] = replace(windows[0], eye=eye, gaze=gaze, covered_eye=np.zeros(EYE_SLOTS, np.bool_))
    batch = next(examples.batches(windows, ImageFaces(), len(windows), torch.device("cpu")))
    assert batch.labels["fer-7"].numpy() == pytest.approx(np.array([clip.shares["fer-7"] for clip in small.clips]))
    for name, values in batch.labels.items():
        if name == "fer-7":
            continue
        np.testing.assert_array_equal(values[1:].numpy(), examples.labels[name][1:])
        if name.startswith("er-"):
            assert torch.isnan(values[0])
        else:
            assert values[0] == examples.labels[name][0]


def test_clips_without_shares_among_others_count_by_their_label(small: EmerDataset) -> None:
    shares = {"fer-7": (0.25, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0)}
    sure, unlabelled = ({name: value for name, value in small.clips[0].labels.items() if name != gone}
                        for gone in ("", "fer-7"))  # fmt: skip
    clips = [replace(small.clips[0], labels=labels, shares=told)
             for labels, told in ((sure, shares), (sure, {}), (unlabelled, {}))]  # fmt: skip
    examples = Examples(clips, ("fer-7",), WindowSpec(), "causal")
    (batch,) = examples.batches(examples.windows(), ImageFaces(), 3, torch.device("cpu"))
    told, label, none = batch.labels["fer-7"].tolist()
    assert told == list(shares["fer-7"])
    assert label == np.eye(7)[int(sure["fer-7"])].tolist()
    assert np.isnan(none).all()


FRAMES = np.array([0, 2, 4, 6])


@pytest.fixture(scope="module")
def backbone() -> SeparableNet:
    network = SeparableNet()
    network.load_state_dict(packaged_tensors())
    return network.eval()


def test_features_are_computed_once_and_kept_privately(
    backbone: SeparableNet, small: EmerDataset, private_cache: Path
) -> None:
    clips = small.clips[:3]
    labels: list[str] = []
    folder = private_cache / "emer-edge" / "data" / "features"
    kept_before = set(folder.glob("*"))

    def faces(fingerprint: str = "print", progress: Progress = silent) -> FrozenFaces:
        return FrozenFaces(backbone, clips, [FRAMES] * len(clips), fingerprint, progress=progress)

    first = faces(progress=lambda label, done, total: labels.append(label))
    assert labels
    assert not first.from_cache
    again = faces()
    assert again.from_cache
    chosen = [np.array([0, 0, 2, 2, 4, 4, 6, 6])] * 2
    features = again.batch(clips[:2], chosen)
    assert features.shape == (2, 8, 256)
    assert torch.equal(features, first.batch(clips[:2], chosen))
    with torch.inference_mode():
        direct = backbone(ImageFaces().batch(clips[:2], chosen).flatten(0, 1)).reshape(2, 8, 256)
    assert torch.allclose(features, direct, atol=1e-4)
    assert (features.std(dim=(0, 1)) > 1e-4).float().mean() > 0.5
    (file,) = set(folder.iterdir()) - kept_before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not faces("other data").from_cache
    file.write_bytes(b"damaged")
    assert not faces().from_cache


@pytest.mark.parametrize("with_classifier", [True, False])
def test_torchvision_weights_are_turned_to_bgr_in_0_1(tmp_path: Path, with_classifier: bool) -> None:
    torch.manual_seed(0)
    source = ResNet18(classifier=with_classifier).eval()
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    adapted, plain = ResNet18(), ResNet18(classifier=True)
    load_backbone_weights(adapted, tmp_path / "resnet18.pth", adapt=True)
    load_backbone_weights(plain, tmp_path / "resnet18.pth", adapt=False)
    assert torch.equal(plain.conv1.weight, source.conv1.weight)
    bgr = torch.rand(2, 3, 112, 112)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    imagenet = (bgr.flip(1) - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        ours = adapted.eval().bn1(adapted.conv1(bgr))[..., 2:-2, 2:-2]
        theirs = source.bn1(source.conv1(imagenet))[..., 2:-2, 2:-2]
    assert torch.allclose(ours, theirs, atol=1e-4)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="another network"):
        load_backbone_weights(ResNet18(), tmp_path / "a.pth", adapt=True)


def test_worse_eyes_are_off_together_and_lose_some_rows() -> None:
    eyes = generate("fear")
    rows, times_ns, seen = eyes.rows, eyes.times_ns, eyes.seen
    lost, off = [], []
    for seed in range(30):
        worse, kept_ns, saw = worse_eyes(np.random.default_rng(seed))(rows, times_ns, seen)
        again = worse_eyes(np.random.default_rng(seed))(rows, times_ns, seen)
        np.testing.assert_array_equal(worse, again[0])
        before = rows[np.searchsorted(times_ns, kept_ns)]
        assert worse.shape == (len(kept_ns), 39)
        np.testing.assert_array_equal(worse[:, 12:22], before[:, 12:22])  # pupils, validity, positions
        np.testing.assert_array_equal(worse[~saw], before[~saw])
        left = saw & (before[:, 2] != 0)
        lost.append(1 - len(kept_ns) / len(rows))
        off.append(float((worse[left, 2] - before[left, 2]).std()))
    assert max(lost) < 0.6
    assert np.mean(lost) > 0.05
    assert 0.8 < min(off) < 3 < 10 < max(off) < 22


def test_half_of_the_windows_are_drawn_worse_and_their_movements_follow(small: EmerDataset) -> None:
    examples = Examples(small.clips, ("er-7",), WindowSpec(), "causal-2")
    drawn = [
        examples.draw(np.random.default_rng(5), published=False, candidates_only=True, augment=augment)
        for augment in (False, True)
    ]
    sheets = [{row[:6].tobytes() for row in clip.eye().rows} for clip in small.clips]
    own = [
        np.mean([row[:6].tobytes() in sheet for row in window.eye])
        for sheet, window in zip(sheets, drawn[1], strict=True)
    ]
    assert all(row[:6].tobytes() in sheet for sheet, window in zip(sheets, drawn[0], strict=True) for row in window.eye)
    assert 4 < sum(share == 1 for share in own) < 16
    assert all(np.isin(window.eye[:, 32], range(4)).all() for window in drawn[1])


def test_faces_are_mirrored_and_lit_otherwise() -> None:
    torch.manual_seed(0)
    ramp = torch.linspace(0.2, 0.8, 112).expand(64, 8, 3, 112, 112)
    after = augment_faces(ramp)
    assert after.shape == ramp.shape
    assert after.min() >= 0
    assert after.max() <= 1
    mirrored = after[:, 0, 0, 0, 0] > after[:, 0, 0, 0, -1]
    assert 16 < mirrored.sum() < 48
    assert after[:, 0, 0, 0, 56].std() > 0.05
    assert torch.equal(after[:, :1].expand_as(after), after)  # one way a window
    features = torch.randn(4, 8, 512)
    assert augment_faces(features) is features


def test_augmenting_is_a_setting_that_the_published_recipe_has_not() -> None:
    assert TrainingConfig(Path("a.pt"), augment=True).settings()["augment"] is True
    with pytest.raises(ConfigurationError, match="leave --augment out"):
        TrainingConfig(Path("a.pt"), recipe="published", head="er-7", augment=True)
