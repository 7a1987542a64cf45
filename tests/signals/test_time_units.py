"""Units of time, told apart by rate and span."""

from __future__ import annotations

import numpy as np
import pytest

from emer_edge.signals.time_units import UNITS_NS, tell_unit, typical_step


def _stamps(unit: str, rate_hz: float, count: int = 400, start_s: float = 0.0) -> np.ndarray:
    return (start_s + np.arange(count) / rate_hz) * 1e9 / UNITS_NS[unit]


@pytest.mark.parametrize("start_s", [0.0, 1_700_000_000.0])
@pytest.mark.parametrize("rate_hz", [12.0, 30.0, 120.0, 1200.0, 2000.0])
@pytest.mark.parametrize("unit", list(UNITS_NS))
def test_the_rate_tells_the_unit(unit, rate_hz, start_s):
    told = tell_unit(_stamps(unit, rate_hz, start_s=start_s))
    assert (told.name, told.ns, told.problem) == (unit, UNITS_NS[unit], "")
    assert told.rate_hz == pytest.approx(rate_hz, rel=1e-2)


@pytest.mark.parametrize("unit", list(UNITS_NS))
def test_doubled_bursting_backward_missing_and_pausing_stamps_do_no_harm(unit):
    stamps = _stamps(unit, 120.0, 1200)
    second = UNITS_NS["s"] / UNITS_NS[unit]
    doubled = np.repeat(stamps[::2], 2)
    bursts = stamps[::10].repeat(10) + np.tile(np.arange(10), 120) * 1e-4 * second
    backward = np.concatenate((stamps[:600], stamps[:600]))
    missing = np.where(np.arange(1200) % 7 == 3, np.nan, stamps)
    pausing = stamps + np.where(np.arange(1200) > 500, 3600 * second, 0.0)
    for odd in (doubled, bursts, backward, missing, pausing):
        assert tell_unit(odd).name == unit


@pytest.mark.parametrize("named", list(UNITS_NS))
@pytest.mark.parametrize("unit", list(UNITS_NS))
def test_a_header_that_names_another_unit_is_said(unit, named):
    told = tell_unit(_stamps(unit, 120.0), named=named)
    assert told.name == unit
    assert (told.problem == "") == (unit == named)
    if unit != named:
        assert f"in {named}" in told.problem
        assert f"look like {unit}" in told.problem


def test_without_a_plausible_rate_no_unit_is_told():
    ages = np.cumsum(np.full(300, 20_000.0))  # 50 Hz in us, 0.05 in ms
    assert tell_unit(ages, rates_hz=(100.0, 2000.0)).name == ""
    assert "do not rise" in tell_unit(np.full(50, 3.0)).problem
    assert "fractions of a day" in tell_unit(_stamps("s", 120.0) / 86_400).problem
    assert tell_unit(np.array([1.0])).problem
    assert tell_unit(np.array([1.0]), named="ms").name == "ms"


def test_the_span_rules_a_list_of_fixations_out():
    fixations = np.cumsum(np.full(40, 667.0))  # ms: 1.5 a second; as us they would be 1500 Hz
    assert tell_unit(fixations).name == "us"
    assert tell_unit(fixations, spans_s=(1.0, 3600.0)).problem
    assert "1.5 rows a second" in tell_unit(fixations, named="ms", spans_s=(1.0, 3600.0)).problem


def test_the_typical_step_is_in_the_unit_of_the_stamps():
    assert typical_step(np.array([1.0, np.nan, 3.0, 5.0])) == 2.0
    assert typical_step(np.array([4.0])) == 0.0
