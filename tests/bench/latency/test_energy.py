from __future__ import annotations

from pathlib import Path
from time import sleep

import pytest
from latency_trees import board, rapl, write

from emer_edge.bench.latency.energy import Meter
from emer_edge.runtime.board import EnergyCounter, read_energy


def test_energy_a_result_by_a_power_monitor(tmp_path: Path) -> None:
    meter = Meter(board(tmp_path, 5000, 2000), period_s=0.01)
    meter.measure_idle(0.05)
    write(tmp_path, {"sys/class/hwmon/hwmon1/curr1_input": 3000})
    for _ in range(2):
        with meter:
            sleep(0.1)
    found = meter.energy(results=10)
    assert found.source == "INA3221: VDD_IN"
    assert found.idle_mw == pytest.approx(10_000)
    assert found.mean_mw == pytest.approx(15_000)
    assert found.millijoules == pytest.approx(15_000 * meter.seconds / 10)
    assert found.above_idle_millijoules == pytest.approx(5_000 * meter.seconds / 10)
    assert meter.seconds >= 0.2


def test_a_monitor_that_stops_answering_keeps_its_last_value(tmp_path: Path) -> None:
    meter = Meter(board(tmp_path), period_s=0.01)
    with meter:
        sleep(0.05)
        (tmp_path / "sys/class/hwmon/hwmon1/curr1_input").unlink()
        sleep(0.05)
    assert meter.energy(1).mean_mw == pytest.approx(10_000)


def test_energy_by_processor_counters_that_wrap_around(tmp_path: Path) -> None:
    meter = Meter(rapl(tmp_path, 900_000, 100_000), period_s=0.01)
    with meter:
        sleep(0.05)
        rapl(tmp_path, 150_000, 300_000)  # 250,000 and 200,000 uJ later
        sleep(0.05)
    found = meter.energy(results=9)
    assert found.source == "RAPL: package-0, package-1, without memory and board"
    assert found.millijoules == pytest.approx(50)
    assert found.above_idle_millijoules is None


def test_without_a_sensor_the_reason_stands_there(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.measure_idle(60.0)  # returns at once
    with meter:
        pass
    found = meter.energy(5)
    assert found.millijoules is None
    assert "INA3221" in found.reason
    assert "RAPL" in found.reason


def test_counters_that_only_root_may_read_say_so(tmp_path: Path) -> None:
    rapl(tmp_path, 1)
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    counter.mkdir()  # root in a container may read whatever file
    assert "root alone may" in read_energy(tmp_path).reason
    assert "root alone may" in Meter(tmp_path).reason


def test_counters_are_the_packages_alone(tmp_path: Path) -> None:
    assert read_energy(rapl(tmp_path, 7)).counters == (EnergyCounter("package-0", 7, 1_000_000),)
    assert EnergyCounter("package-0", 5, 100).since(EnergyCounter("package-0", 95, 100)) == 10
