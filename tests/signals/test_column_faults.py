from __future__ import annotations

import warnings

import numpy as np
import pytest

from emer_edge.core.columns import COLUMN_KEYS, EYE_GROUPS
from emer_edge.core.samples import Display
from emer_edge.data.synth.eyes import generate
from emer_edge.export.matching import eye_quantiles
from emer_edge.signals.column_faults import TrainedColumns, find_faults

EYES = generate("disgust", seconds=12.0)
TRAINED = TrainedColumns.of(eye_quantiles(EYES.rows))


def test_groups_cover_all_measured_columns_once() -> None:
    columns = sorted(column for group in EYE_GROUPS for column in group.columns)
    assert columns == [*range(14), *range(16, 32)]


@pytest.mark.parametrize("seed", range(60))
def test_any_numbers_can_be_judged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = EYES.cells[rng.integers(len(EYES.cells), size=int(rng.integers(1, 400)))].copy()
    cells *= 10.0 ** rng.integers(-6, 7, 39)
    cells[rng.random(cells.shape) < rng.choice([0.0, 0.1, 0.9])] = rng.choice([np.nan, np.inf, -np.inf, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faults = find_faults(cells, TRAINED, Display())
    assert len({fault.key for fault in faults}) == len(faults)
    assert all(fault.text and "nan" not in fault.text for fault in faults)


def test_quantiles_that_count_missing_cells_as_zero_are_understood() -> None:
    """Bundles before missing cells were left out: 0 stands at an end of a range that does not hold it."""
    quantiles = {"Eye position left Z [DACS mm]": (0.0, 0.0, 606.0, 637.0, 669.0, 705.0, 725.0)}
    quantiles["Gaze direction left Z"] = (-0.9999, -0.9994, -0.9969, -0.9927, -0.985, 0.0, 0.0)
    trained = TrainedColumns.of(quantiles)
    z, direction = (COLUMN_KEYS.index(key) for key in quantiles)
    assert 400 < trained.low[z] < 500
    assert -0.97 < trained.high[direction] < -0.9
    assert trained.known
    assert not TrainedColumns.of({}).known
