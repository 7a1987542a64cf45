from __future__ import annotations

import time
from pathlib import Path
from time import sleep

import msgspec
import pytest
from latency_trees import board, rapl, write

from emer_edge.bench.latency.machine_state import Meter, Watch, conditions_of, describe, look
from emer_edge.runtime.power_draw import EnergyCounter, read_energy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return board(tmp_path)


def test_a_moment_holds_clocks_heat_power_and_mode(root: Path) -> None:
    moment = look(root)
    assert moment.clocks_mhz == {"CPU 0": 1500, "CPU 4": 1500}
    assert (moment.temperature_c, moment.power_mw, moment.power_mode) == (50.5, 10_000, "1 15W")
    assert (moment.slowed, moment.over_current) == ((), 0)


def test_nothing_changed_where_nothing_did(root: Path) -> None:
    conditions = conditions_of([look(root)] * 3)
    assert conditions.changed == ()
    assert conditions.clocks_mhz == {"CPU 0": (1500, 1500), "CPU 4": (1500, 1500)}
    assert (conditions.moments, conditions.hottest_c, conditions.highest_mw) == (3, 50.5, 10_000)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {f"sys/devices/system/cpu/cpufreq/policy{item}/scaling_cur_freq": 1200000 for item in (0, 4)},
            "the fastest CPU clock moved between 1200 and 1500 MHz",
        ),
        ({"sys/class/thermal/cooling_device0/cur_state": 3}, "held back because of heat: cpufreq-cpu0 3 of 10"),
        ({"sys/class/hwmon/hwmon2/oc1_event_cnt": 1}, "too much current"),
        ({"var/lib/nvpmodel/status": "pmode:0000"}, "the power mode changed from 1 15W to 0 MAXN"),
    ],
    ids=["clock", "heat", "current", "mode"],
)
def test_what_changed_is_named(root: Path, files: dict[str, object], said: str) -> None:
    before = look(root)
    after = look(write(root, files))
    (reason,) = conditions_of([before, after]).changed
    assert said in reason


def test_an_idle_cores_clock_is_nothing_to_worry_about(root: Path) -> None:
    before = look(root)
    after = look(write(root, {"sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": 700000}))
    conditions = conditions_of([before, after])
    assert conditions.changed == ()
    assert conditions.clocks_mhz["CPU 4"] == (700, 1500)


def test_a_watch_sees_what_happens_in_between(root: Path) -> None:
    hot = "sys/class/thermal/thermal_zone0/temp"
    with Watch(root, period_s=0.01) as watch:
        write(root, {hot: 81000})
        seen = len(watch.moments)
        while len(watch.moments) < seen + 2:
            time.sleep(0.005)
        write(root, {hot: 60000})
    conditions = conditions_of(watch.moments)
    assert (conditions.before.temperature_c, conditions.hottest_c, conditions.after.temperature_c) == (50.5, 81.0, 60.0)
    assert conditions.moments == len(watch.moments) >= 4


def test_a_boards_environment(root: Path) -> None:
    write(
        root,
        {
            "proc/cpuinfo": "processor : 0\nFeatures : fp asimd asimddp i8mm\nCPU implementer : 0x41\nCPU part : 0xd42",
            "proc/meminfo": "MemTotal: 1000000 kB",
            "proc/device-tree/model": "NVIDIA Jetson Orin NX\0",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
            "sys/devices/system/cpu/cpufreq/boost": 0,
        },
    )
    machine = describe(root)
    assert (machine.machine, machine.cpu) == ("NVIDIA Jetson Orin NX", "ARM implementer 0x41 part 0xd42")
    assert machine.cpu_flags == ("asimd", "asimddp", "i8mm")
    assert (machine.l4t, machine.jetpack, machine.power_mode) == ("36.4.3", "6", "1 15W")
    assert (machine.governor, machine.boost, machine.memory_mb) == ("schedutil", False, 1024.0)
    assert machine.hypervisor is None


@pytest.mark.parametrize(("no_turbo", "boost"), [(0, True), (1, False)])
def test_intels_turbo(root: Path, no_turbo: int, boost: bool) -> None:
    write(root, {"sys/devices/system/cpu/intel_pstate/no_turbo": no_turbo, "proc/cpuinfo": "flags : avx2 hypervisor"})
    machine = describe(root)
    assert machine.boost is boost
    assert machine.hypervisor is True


def test_this_machine_is_described_whole(tmp_path: Path) -> None:
    machine = describe()
    assert machine.cores >= 1
    assert machine.kernel
    assert machine.affinity
    assert msgspec.convert(msgspec.to_builtins(describe(tmp_path)), type(machine)).cpu_flags == ()


def test_energy_a_result_by_a_power_monitor(tmp_path: Path) -> None:
    meter = Meter(board(tmp_path, 5000, 2000), period_s=0.01)
    meter.measure_idle(0.05)
    write(tmp_path, {"sys/class/hwmon/hwmon1/curr1_input": 3000})
    for _ in range(2):
        with meter:
            sleep(0.1)
    energy = meter.energy(results=10)
    assert energy.source == "INA3221: VDD_IN"
    assert energy.idle_mw == pytest.approx(10_000)
    assert energy.mean_mw == pytest.approx(15_000)
    assert energy.millijoules == pytest.approx(15_000 * meter.seconds / 10)
    assert energy.above_idle_millijoules == pytest.approx(5_000 * meter.seconds / 10)
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
    energy = meter.energy(results=9)
    assert energy.source == "RAPL: package-0, package-1, without memory and board"
    assert energy.millijoules == pytest.approx(50)
    assert energy.above_idle_millijoules is None


def test_without_a_sensor_the_reason_stands_there(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    meter.measure_idle(60.0)  # returns at once
    with meter:
        pass
    energy = meter.energy(5)
    assert energy.millijoules is None
    assert "INA3221" in energy.reason
    assert "RAPL" in energy.reason


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
