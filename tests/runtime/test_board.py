from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from board_trees import ORIN_NANO_SUPER, RELEASE, orin_nx, write

from emer_edge.runtime.board import PowerMode, read_clocks, read_gpu_load, read_heat, read_jetson, read_l4t
from emer_edge.runtime.engines.tensorrt.cuda import find_gpu
from emer_edge.runtime.power_draw import read_power
from emer_edge.tools.doctor import Finding, examine, worst
from emer_edge.tools.doctor.host import look_at_board, look_at_groups, look_at_machine, look_at_resources

FAN_GUIDE = (
    "https://docs.nvidia.com/jetson/archives/r35.2.1/DeveloperGuide/_sources/text/SD/PlatformPowerAndPerformance/"
    "JetsonXavierNxSeriesAndJetsonAgxXavierSeries.rst.txt"
)


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return orin_nx(tmp_path / "board")


def findings(root: Path) -> dict[str, Finding]:
    return {each.subject: each for each in look_at_board(root)}


def test_a_jetson_is_known(board: Path) -> None:
    jetson = read_jetson(board)
    assert jetson is not None
    assert (jetson.l4t, jetson.jetpack) == ("36.4.3", "6.2")
    assert jetson.model == "NVIDIA Jetson Orin NX Engineering Reference Developer Kit"
    assert (jetson.mode, jetson.fastest) == (PowerMode(2, "15W"), PowerMode(0, "MAXN"))


def test_jetpack_by_the_release_where_its_package_is_missing(board: Path) -> None:
    (board / "var/lib/dpkg/status").unlink()
    jetson = read_jetson(board)
    assert jetson is not None
    assert jetson.jetpack == "6"


@pytest.mark.parametrize(
    ("names", "fastest"),
    [(("7W", "15W"), 1), (("15W", "25W", "MAXN_SUPER"), 2), (("MAXN", "MAXN_SUPER", "60W"), 1)],
    ids=["watts", "super", "super over maxn"],
)
def test_the_fastest_mode(board: Path, names: tuple[str, ...], fastest: int) -> None:
    lines = [f"< POWER_MODEL ID={number} NAME={name} >" for number, name in enumerate(names)]
    jetson = read_jetson(write(board, {"etc/nvpmodel.conf": "\n".join(lines)}))
    assert jetson is not None
    assert jetson.fastest == PowerMode(fastest, names[fastest])


@pytest.mark.case(
    "an Orin Nano Super, whose mode 0 is 15 W",
    source="",
    before="docs and doctor advised mode 0 as MAXN and mode 1 against over-current, which here is more power",
)
def test_numbers_rank_no_modes(board: Path) -> None:
    write(board, {"etc/nvpmodel.conf": ORIN_NANO_SUPER, "var/lib/nvpmodel/status": "pmode:0001"})
    write(board, {"sys/class/hwmon/hwmon1/oc3_event_cnt": 2})
    found = findings(board)
    assert (found["power mode"].message.split(";")[0], found["power mode"].fix) == ("25W", "sudo nvpmodel -m 2")
    assert "15W: sudo nvpmodel -m 0" in found["over-current"].fix
    jetson = read_jetson(write(board, {"var/lib/nvpmodel/status": "pmode:0003"}))
    assert jetson is not None
    assert [mode.name for mode in jetson.modes] == ["7W", "15W", "25W", "MAXN_SUPER"]
    assert "sudo nvpmodel -q" in jetson.more_power  # the lowest already


@pytest.mark.parametrize(
    ("release", "jetpack", "fan"),
    [
        ("# R32 (release), REVISION: 7.1", "4", "sudo nvpmodel -d cool"),
        ("# R35 (release), REVISION: 4.1", "5", "nvfancontrol"),
        (RELEASE, "6", "nvfancontrol"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "7", "nvfancontrol"),
        ("# R39 (release), REVISION: 2.0", "7", "nvfancontrol"),
    ],
    ids=["4", "5", "6", "7.0", "7.2"],
)
def test_releases_and_what_turns_their_fan(board: Path, release: str, jetpack: str, fan: str) -> None:
    (board / "var/lib/dpkg/status").unlink()
    jetson = read_jetson(write(board, {"etc/nv_tegra_release": release}))
    assert jetson is not None
    assert jetson.jetpack == jetpack
    assert fan in jetson.cooling
    assert ("nvpmodel -d" in jetson.cooling) == (jetpack == "4")


@pytest.mark.case(
    "the fan of a board with JetPack 5 or newer, whose profile is in nvfancontrol.conf",
    source=FAN_GUIDE,
    before="doctor advised nvpmodel -d cool, which is JetPack 4's",
)
def test_the_fans_command_sets_its_profile(board: Path) -> None:
    jetson = read_jetson(board)
    assert jetson is not None
    profile = (
        write(board, {"real.conf": "<FAN 1>\n\tFAN_PROFILE cool {\n\t}\n\tFAN_DEFAULT_PROFILE  quiet\n"}) / "real.conf"
    )
    link = board / "nvfancontrol.conf"
    link.symlink_to(profile)
    command = re.search(r"sudo (sed .*?) &&", jetson.cooling)
    assert command is not None
    subprocess.run(command[1].replace("/etc/nvfancontrol.conf", str(link)), shell=True, check=True)
    assert "\tFAN_DEFAULT_PROFILE cool\n" in profile.read_text()
    assert link.is_symlink()
    assert "\tFAN_PROFILE cool {" in profile.read_text()


def test_this_machine_and_an_empty_one_are_read_without_raising(tmp_path: Path) -> None:
    for root in (Path("/"), tmp_path):
        assert all(each.subject and each.message for each in look_at_board(root))
    assert read_l4t(tmp_path) is None
    assert read_clocks(tmp_path) == ()
    assert read_heat(tmp_path).hottest_c is None


def test_clocks(board: Path) -> None:
    assert [str(each) for each in read_clocks(board)] == [
        "CPU 0-3 730 of 730 to 1984 MHz (schedutil)",
        "CPU 4-7 730 of 730 to 1984 MHz (schedutil)",
        "GPU 306 of 306 to 918 MHz (nvhost_podgov)",
    ]
    assert findings(board)["clocks"].fix == "sudo jetson_clocks"


def test_clocks_that_jetson_clocks_holds(board: Path) -> None:
    for policy in (0, 4):
        write(board, {f"sys/devices/system/cpu/cpufreq/policy{policy}/scaling_min_freq": 1984000})
    write(board, {"sys/class/devfreq/17000000.gpu/min_freq": 918000000})
    write(board, {"sys/kernel/debug/bpmp/debug/clk/emc/rate": 3199000000})
    clocks = findings(board)["clocks"]
    assert clocks.level == "ok"
    assert "memory 3199 MHz" in clocks.message


def test_heat_leaves_out_zones_that_are_off(board: Path) -> None:
    heat = read_heat(board)
    assert (heat.hottest, heat.hottest_c, heat.limit_c) == ("cpu-thermal", 47.312, 99.0)
    assert (heat.slowed, heat.over_current) == ((), 0)  # a fan slows nothing
    assert findings(board)["temperature"].level == "ok"


def test_heat_that_slows_down(board: Path) -> None:
    write(board, {"sys/class/thermal/thermal_zone1/temp": 98500, "sys/class/thermal/cooling_device1/cur_state": 4})
    write(board, {"sys/class/hwmon/hwmon1/oc3_event_cnt": 7})
    found = findings(board)
    assert found["temperature"].level == "warning"
    assert "98 °C in gpu-thermal, slowed down from 99 °C" in found["temperature"].message
    assert "cpufreq-cpu0 4 of 10" in found["throttling"].message
    assert "7 times" in found["over-current"].message


def test_power_of_each_rail_and_of_the_whole_module(board: Path) -> None:
    power = read_power(board)
    assert [each.name for each in power.rails] == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert power.rails[1].milliwatts == pytest.approx(2012.8)
    assert power.total_mw == pytest.approx(7862.4)  # VDD_IN alone: it feeds the others
    assert str(power) == "7.9 W: VDD_IN 7.9 W, VDD_CPU_GPU_CV 2.0 W, VDD_SOC 1.5 W"
    assert power.rails[2].milliwatts == pytest.approx(1532.16)


def test_power_where_no_rail_feeds_the_others(board: Path) -> None:
    write(board, {"sys/class/hwmon/hwmon3/in1_label": "VDD_GPU_SOC", "sys/class/hwmon/hwmon3/in2_label": "NC"})
    power = read_power(board)
    assert [each.name for each in power.rails] == ["VDD_GPU_SOC", "VDD_SOC"]
    assert power.total_mw == pytest.approx(7862.4 + 1532.16)


def test_power_elsewhere(tmp_path: Path) -> None:
    power = read_power(tmp_path)
    assert power.total_mw is None
    assert str(power) == "n/a (no INA3221 power monitor, which Jetson boards have)"
    write(tmp_path, {"sys/class/hwmon/hwmon3/name": "ina3221"})
    assert str(read_power(tmp_path)) == "n/a (the INA3221 power monitor gives no reading)"


def test_the_power_mode_is_reported_with_the_command_that_fixes_it(board: Path) -> None:
    mode = findings(board)["power mode"]
    assert (mode.level, mode.fix) == ("warning", "sudo nvpmodel -m 0")
    assert "15W" in mode.message
    assert findings(write(board, {"var/lib/nvpmodel/status": "pmode:0000"}))["power mode"].level == "ok"
    (board / "var/lib/nvpmodel/status").unlink()
    assert findings(board)["power mode"].fix == "sudo nvpmodel -q"


def test_an_old_release_is_reported(board: Path) -> None:
    write(board, {"etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1, BOARD: t186ref"})
    (board / "var/lib/dpkg/status").unlink()
    release = findings(board)["board"]
    assert release.level == "warning"
    assert "JetPack 5" in release.message


def test_memory_swap_and_disk(board: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache/emer-edge"
    cache.mkdir(parents=True)
    (cache / "plan").write_bytes(bytes(3_000_000))
    found = {each.subject: each for each in look_at_resources(board, True, cache)}
    assert [each.level for each in (found["memory"], found["swap"], found["cache"])] == ["ok", "ok", "ok"]
    assert "zram" in found["swap"].message
    assert found["cache"].message == f"{cache}: 3 MB"
    write(board, {"proc/meminfo": "MemAvailable: 400000 kB\nSwapFree: 7969088 kB"})
    found = {each.subject: each for each in look_at_resources(board, True, cache)}
    assert found["memory"].level == "warning"
    assert "mkswap" in found["swap"].fix  # zram does not count


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_may_not_be_written(board: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    found = {each.subject: each for each in look_at_resources(board, False, tmp_path / "locked/emer-edge")}
    assert found["cache"].level == "problem"


def test_serial_ports_cameras_and_what_takes_them(board: Path) -> None:
    write(board, {"dev/ttyUSB0": "", "usr/lib/udev/rules.d/85-brltty.rules": ""})
    found = {each.subject: each for each in examine(root=board)}
    assert found["serial port"].message.endswith(f"--tracker {board}/dev/ttyUSB0")
    assert found["camera"].level == "warning"
    assert found["brltty"].fix == "sudo apt remove brltty"


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU here")
def test_a_jetson_whose_gpu_is_hidden(board: Path) -> None:
    found = list(examine(root=board))
    gpu = next(each for each in found if each.subject == "gpu")
    assert gpu.level == "problem"
    assert "--runtime nvidia" in gpu.fix
    assert worst(found) == "problem"


@pytest.mark.case("a Thor, whose GPU is gpu-gpc-0 in devfreq", source="", before="no GPU clock")
def test_the_gpu_of_a_thor(tmp_path: Path) -> None:
    for name, now in (("gpu-gpc-0", 1575000000), ("gpu-nvd-0", 1600000000), ("bwmgr", 4266000000)):
        node = f"sys/class/devfreq/{name}"
        write(tmp_path, {f"{node}/cur_freq": now, f"{node}/min_freq": 315000000, f"{node}/max_freq": now})
    assert [str(clock) for clock in read_clocks(tmp_path)] == ["GPU 1575 of 315 to 1575 MHz"]
    assert read_gpu_load(tmp_path) is None


def test_a_container_without_the_boards_release(board: Path) -> None:
    (board / "etc/nv_tegra_release").unlink()
    write(board, {"proc/sys/kernel/osrelease": "5.15.148-tegra"})
    found = findings(board)["board"]
    assert (found.level, found.fix.endswith("-v /etc/nv_tegra_release:/etc/nv_tegra_release:ro")) == ("warning", True)


@pytest.mark.case(
    "a user outside of the groups video and render", source="", before="doctor said that no NVIDIA driver answers"
)
@pytest.mark.parametrize(
    ("mine", "absent"), [((44, 104), ""), ((44,), "render"), ((104,), "video"), ((), "video,render")]
)
def test_groups(board: Path, mine: tuple[int, ...], absent: str) -> None:
    write(board, {"etc/group": "root:x:0:\nvideo:x:44:me\nrender:x:104:\nbroken"})
    found = list(look_at_groups(board, mine))
    assert [each.fix for each in found] == ([f"sudo usermod -aG {absent} $USER, then log in again"] if absent else [])
    assert all("801" in each.message for each in found)


def test_groups_elsewhere(tmp_path: Path) -> None:
    assert list(look_at_groups(write(tmp_path, {"etc/group": "video:x:44:"}), ())) == []


def test_argus_and_its_programs(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "gstreamer1.0-tools" in findings(board)["gstreamer"].fix
    assert "argus" not in findings(board)
    (board / "gst-launch-1.0").touch(0o755)
    monkeypatch.setenv("PATH", str(board))
    assert "sudo systemctl restart nvargus-daemon" in findings(board)["argus"].fix
    write(board, {"tmp/argus_socket": ""})
    assert "argus" not in findings(board)


def test_an_onnxruntime_that_crashes_at_exit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    monkeypatch.setattr("emer_edge.runtime.engines.onnxruntime_engine.version", lambda _: "1.23.2")
    found = [each for each in look_at_machine() if each.subject == "onnxruntime"]
    assert [each.level for each in found] == ["warning"]
    assert re.search(r"\d+\.\d+\.\d+ on aarch64", found[0].message)
