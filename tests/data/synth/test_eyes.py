from __future__ import annotations

import numpy as np
import pytest

from emer_edge.core.columns import MovementType
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.samples import StimulusRect
from emer_edge.data.synth.eyes import DISPLAY, RATE_HZ, EyeTraits, SyntheticEyes, generate, samples
from emer_edge.data.synth.gaze import scan
from emer_edge.signals.rows import raw_rows


@pytest.fixture(scope="module")
def fear() -> SyntheticEyes:
    return generate("fear", participant=3, film=2, seconds=24.0)


def test_the_columns_agree_with_each_other(fear: SyntheticEyes) -> None:
    """Laid out anew from the tracker's samples, columns 1 to 32 are the sheet's to its last digit."""
    rebuilt = raw_rows(list(samples(fear)), DISPLAY, StimulusRect.whole(DISPLAY))
    assert np.array_equal(np.isnan(rebuilt[:, :32]), np.isnan(fear.cells[:, :32]))
    tolerance = np.repeat([0.51, 1e-5, 1e-3, 1e-9, 1e-2, 1e-2, 1e-3], [6, 6, 2, 2, 6, 4, 6])
    assert np.all(np.nan_to_num(np.abs(rebuilt[:, :32] - fear.cells[:, :32])) <= tolerance)
    for eye in (0, 1):
        gaze = fear.cells[:, 22 + 2 * eye : 24 + 2 * eye]
        ray = np.column_stack([gaze, np.zeros(len(gaze))]) - fear.cells[:, 16 + 3 * eye : 19 + 3 * eye]
        unit = ray / np.linalg.norm(ray, axis=1, keepdims=True)
        np.testing.assert_allclose(unit, fear.cells[:, 6 + 3 * eye : 9 + 3 * eye], atol=5e-5)


def test_event_columns_look_ahead_as_exports_do(fear: SyntheticEyes) -> None:
    kind, duration_ms, index = fear.cells[:, 32], fear.cells[:, 33], fear.cells[:, 34]
    assert set(np.unique(kind)) == {MovementType.FIXATION, MovementType.SACCADE, MovementType.EYES_NOT_FOUND}
    starts = np.flatnonzero(np.append(True, (kind[1:] != kind[:-1]) | (index[1:] != index[:-1])))
    lengths = np.diff(np.append(starts, len(kind)))
    np.testing.assert_allclose(duration_ms[starts], lengths * 1000 / RATE_HZ, atol=0.5)
    for each in MovementType:
        of_type = index[starts][kind[starts] == each]
        assert of_type.tolist() == list(range(1, len(of_type) + 1))
    fixation = kind == MovementType.FIXATION
    assert np.isnan(fear.cells[~fixation, 35:39]).all()
    first = starts[fixation[starts]][2]
    event = (kind == MovementType.FIXATION) & (index == index[first])
    assert np.all(np.abs(fear.cells[event, 0:2].mean(axis=0) - fear.cells[first, 35:37]) <= 1.0)


def test_saccades_follow_the_main_sequence() -> None:
    """Peak velocity grows with amplitude and saturates in the range measured in people (Carpenter, 1988)."""
    rng = np.random.default_rng(0)
    target = np.full((12_000, 2), 500.0)
    point_px, movement = scan(target, np.full(12_000, 250.0), np.full(12_000, 250.0), 40.0, 1000.0, rng)
    saccade = movement == MovementType.SACCADE
    edges = np.flatnonzero(np.diff(np.concatenate(([0], saccade.astype(int), [0]))))
    peaks = {}
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if start > 0 and stop < len(target):
            amplitude = float(np.linalg.norm(point_px[stop] - point_px[start - 1])) / 40.0
            steps = np.linalg.norm(np.diff(point_px[start - 1 : stop + 1], axis=0), axis=1)
            peaks[amplitude] = float(steps.max()) / 40.0 * 1000.0
            assert stop - start == pytest.approx(2.2 * amplitude + 21, abs=2)
    small = [peak for amplitude, peak in peaks.items() if 1 < amplitude < 3]
    large = [peak for amplitude, peak in peaks.items() if 8 < amplitude < 12]
    assert 50 < np.mean(small) < 180
    assert 350 < np.mean(large) < 500


def test_rates_are_human() -> None:
    saccades, pupils, lost = [], [], []
    for participant in range(1, 11):
        for emotion in EMOTIONS:
            eyes = generate(emotion, participant=participant)
            saccades.append(np.nanmax(np.where(eyes.cells[:, 32] == MovementType.SACCADE, eyes.cells[:, 34], 0)) / 12)
            pupils.append(np.nanmean(eyes.cells[:, 12]))
            lost.append(1 - eyes.seen.mean())
    assert 1.0 < min(saccades) < max(saccades) < 6.0
    assert 2.0 < min(pupils) < max(pupils) < 6.0
    assert 0.01 < np.mean(lost) < 0.12


def test_missing_cells_carry_no_label() -> None:
    """With all else equal, the same cells are blank whatever is felt."""
    blank = [np.isnan(generate(emotion, participant=5).cells[:, :32]) for emotion in EMOTIONS]
    assert blank[0].any()
    assert all(np.array_equal(cells, blank[0]) for cells in blank)


def test_feelings_show_in_pupil_gaze_and_distance() -> None:
    def mean(emotion: str, column: int) -> float:
        return float(
            np.mean([np.nanmean(generate(emotion, participant=item).cells[:, column]) for item in range(1, 9)])
        )

    assert mean("sadness", 1) - mean("happiness", 1) > 150  # looks down
    assert mean("fear", 12) - mean("neutral", 12) > 0.3  # dilated
    assert mean("fear", 18) - mean("anger", 18) > 50  # leans back


def test_same_seed_same_rows_and_other_participants_other_rows() -> None:
    first = generate("anger", participant=1, seed=4)
    assert np.array_equal(first.cells, generate("anger", participant=1, seed=4).cells, equal_nan=True)
    assert not np.array_equal(first.rows, generate("anger", participant=2, seed=4).rows)
    assert first.rows.dtype == np.float32
    assert first.rows.shape == (1440, 39)
    assert np.isfinite(first.rows).all()


def test_unknown_emotions_and_empty_recordings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="boredom"):
        generate("boredom")
    with pytest.raises(ConfigurationError, match="at least one row"):
        generate("anger", seconds=0.0)


def test_participants_differ() -> None:
    pupils = {EyeTraits.draw(np.random.default_rng(seed)).pupil_mm for seed in range(5)}
    assert len(pupils) == 5
