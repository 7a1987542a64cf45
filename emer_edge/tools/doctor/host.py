"""Checks of what a run needs of this machine: software, board, devices, memory and disk."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from platformdirs import user_cache_path

from emer_edge import __version__
from emer_edge.core.errors import install_line
from emer_edge.runtime import board
from emer_edge.runtime.board import Heat, Jetson, read_text
from emer_edge.runtime.cameras.gst_launch import has_element
from emer_edge.runtime.cameras.gstreamer import ARGUS_SOCKET
from emer_edge.runtime.engines import CPU_ENGINE, EngineDriver, engines
from emer_edge.runtime.engines.onnxruntime_engine import FIRST_SAFE_AT_EXIT, crashes_at_exit
from emer_edge.runtime.engines.tensorrt.cuda import find_gpu
from emer_edge.runtime.engines.tensorrt.toolkit import ADVISED_MB
from emer_edge.runtime.power_draw import read_power
from emer_edge.tools.devices import Device, find_cameras, find_ports

Level = Literal["ok", "warning", "problem"]

_ORDER: Final[tuple[Level, ...]] = ("ok", "warning", "problem")
_AUTOGROUP: Final = "proc/sys/kernel/sched_autogroup_enabled"
_OLDEST_L4T: Final = 36  # JetPack 6: the oldest one with Python 3.10
_MARGIN_C: Final = 5.0
_BRLTTY = ("usr/lib/udev/rules.d/85-brltty.rules", "lib/udev/rules.d/85-brltty.rules")
_RUN_MB: Final = 500  # a run takes under 300 MB, and the system needs some, too
_DISK_MB: Final = (200, 2000)  # less than the first is a problem, less than the second a warning


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        subject: for example `onnxruntime` or `replay of cpu/fusion`.
        level: `ok`, `warning` (works, but not as well as it could) or `problem` (does not work).
        message: the result, with its figures.
        fix: how to fix it, a command where there is one; empty where nothing is wrong.
    """

    subject: str
    level: Level
    message: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """A plain dictionary, ready for JSON."""
        return asdict(self)


def worst(findings: Iterable[Finding]) -> Level:
    """The worst level among findings; `ok` when there are none."""
    return max((finding.level for finding in findings), key=_ORDER.index, default="ok")


def look_at_machine(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about Python, the base packages, OpenCV, the GPU, its engines and the scheduler.

    `root` holds the machine's `etc` and `proc`.
    """
    message = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {platform.node()}"
    yield Finding("python", "ok", message)
    packages = (f"{name} {_version(name)}" for name in ("numpy", engines()[CPU_ENGINE].package, "msgspec", "pyserial"))
    yield Finding("emer-edge", "ok", f"{__version__}; {', '.join(packages)}")
    if crashes_at_exit():
        yield _crash()
    jetson = board.read_l4t(root) is not None
    yield _opencv()
    gpu = find_gpu()
    if gpu is not None:
        message = f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA up to {gpu.cuda}"
        yield Finding("gpu", "ok", message)
    elif jetson:
        fix = "in a container: docker run --runtime nvidia; else: sudo apt install nvidia-jetpack"
        yield Finding("gpu", "problem", "this is a Jetson, and no NVIDIA driver answers", fix)
    else:
        yield Finding("gpu", "ok", "none that NVIDIA's driver knows: parts run on the CPU")
    for driver in engines().values():
        if driver.name != CPU_ENGINE:  # that one is among the base packages
            yield _engine(driver, jetson)
    yield _priority(root)


def _crash() -> Finding:
    package = engines()[CPU_ENGINE].package
    message = (
        f"{_version(package)} on {platform.machine()} is among the versions that may crash when a process ends "
        "(free(): invalid pointer); emer-edge leaves before that with its own exit code, a program of yours may not"
    )
    newer = ".".join(map(str, FIRST_SAFE_AT_EXIT))
    fix = f"with Python 3.11 or newer: pip install '{package}>={newer}'; else end your program with os._exit"
    return Finding(package, "warning", message, fix)


def _opencv() -> Finding:
    fix = f"{install_line('desktop')}, or on a Jetson a virtual environment with --system-site-packages"
    if find_spec("cv2") is None:
        return Finding("opencv", "problem", "not installed, so there are no cameras, no videos and no faces", fix)
    try:
        import cv2
    except ImportError as error:
        return Finding("opencv", "problem", f"can't be imported: {error}", fix)
    slower = f"; JPEGs take twice the time without simplejpeg: {install_line('desktop')}"
    return Finding("opencv", "ok", cv2.__version__ + ("" if find_spec("simplejpeg") else slower))


def _engine(driver: EngineDriver, jetson: bool) -> Finding:
    reason = driver.why_not()
    if reason is None:
        return Finding(driver.name, "ok", f"{_version(driver.package)}, usable")
    if find_spec(driver.package) is not None:
        return Finding(driver.name, "warning", f"installed but not usable: {reason}", driver.fix)
    message = f"not here, parts run in {engines()[CPU_ENGINE].help}: {reason}"
    fix = driver.fix_on_jetson if jetson else ""
    return Finding(driver.name, "warning" if fix else "ok", message, fix)


def _priority(root: Path) -> Finding:
    """What `--nice` ranks a run against (sched(7), the autogroup feature)."""
    if read_text(root / _AUTOGROUP) != "1":
        return Finding("priority", "ok", "--nice ranks a run against every process of its cgroup")
    message = "--nice ranks a run within its login session only (autogroup); a service is ranked by its CPUWeight="
    return Finding("priority", "ok", message)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def look_at_board(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about the board; `root` holds its `etc`, `proc`, `sys` and `var`."""
    jetson = board.read_jetson(root)
    if jetson is not None:
        yield _release(jetson)
        yield _power_mode(jetson)
        yield from _gstreamer(root)
    elif "tegra" in (read_text(root / "proc/sys/kernel/osrelease") or ""):
        message = "a Jetson's kernel without /etc/nv_tegra_release, which tells its release and power modes"
        fix = "in a container: docker run -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro"
        yield Finding("board", "warning", message, fix)
    else:
        yield Finding("board", "ok", "no Jetson")
    yield _clocks(root, jetson is not None)
    yield from _heat(board.read_heat(root), jetson)
    yield Finding("power draw", "ok", str(read_power(root)))


def _release(jetson: Jetson) -> Finding:
    message = f"{jetson.model}, L4T {jetson.l4t}" + (f", JetPack {jetson.jetpack}" if jetson.jetpack else "")
    if int(jetson.l4t.partition(".")[0]) < _OLDEST_L4T:
        message += ": its Python is older than 3.10"
        return Finding("board", "warning", message, "flash JetPack 6 (NVIDIA's SDK Manager)")
    return Finding("board", "ok", message)


def _power_mode(jetson: Jetson) -> Finding:
    if jetson.mode is None:
        return Finding("power mode", "warning", "can't be read", "sudo nvpmodel -q")
    if jetson.fastest is not None and jetson.mode != jetson.fastest:
        message = f"{jetson.mode.name}; {jetson.fastest.name} is faster, where power and cooling allow it"
        return Finding("power mode", "warning", message, f"sudo nvpmodel -m {jetson.fastest.number}")
    return Finding("power mode", "ok", jetson.mode.name)


def _gstreamer(root: Path) -> Iterator[Finding]:
    """What CSI sensors and decoding in hardware need."""
    if shutil.which("gst-launch-1.0") is None:
        message = "no gst-launch-1.0, so there are no CSI cameras and no decoding in hardware"
        fix = "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
        yield Finding("gstreamer", "warning", message, fix)
        return
    absent = [name for name in ("nvarguscamerasrc", "nvv4l2decoder", "h264parse") if has_element(name) is False]
    if absent:
        fix = "sudo apt install nvidia-l4t-gstreamer gstreamer1.0-plugins-bad"
        yield Finding("gstreamer", "warning", f"it lacks {', '.join(absent)}", fix)
    if not (root / ARGUS_SOCKET.lstrip("/")).exists():
        message = f"nvargus-daemon does not run, or its socket {ARGUS_SOCKET} is not here: no CSI cameras"
        fix = f"sudo systemctl restart nvargus-daemon; in a container: docker run -v {ARGUS_SOCKET}:{ARGUS_SOCKET}"
        yield Finding("argus", "warning", message, fix)


def look_at_groups(root: Path = Path("/"), groups: Iterable[int] | None = None) -> Iterator[Finding]:
    """Findings about the groups that own a Jetson's GPU and cameras.

    Args:
        root: holds `etc`.
        groups: numbers of this user's; by default this process's. Root needs none.
    """
    if board.read_l4t(root) is None or (groups is None and os.geteuid() == 0):
        return
    mine = set(os.getgroups() if groups is None else groups)
    lines = (line.split(":") for line in (read_text(root / "etc/group") or "").splitlines())
    numbers = {fields[0]: fields[2] for fields in lines if len(fields) > 2 and fields[2].isdigit()}
    absent = [name for name in ("video", "render") if name in numbers and int(numbers[name]) not in mine]
    if absent:
        message = f"this user is not in {' and '.join(absent)}: CUDA answers with error 801, cameras stay closed"
        fix = f"sudo usermod -aG {','.join(absent)} $USER, then log in again"
        yield Finding("groups", "problem", message, fix)


def _clocks(root: Path, jetson: bool) -> Finding:
    clocks = board.read_clocks(root)
    if not clocks:
        return Finding("clocks", "ok", "n/a (this machine shows none: a virtual machine or a container)")
    message = ", ".join(str(clock) for clock in clocks)
    moving = [clock.name for clock in clocks if not clock.held and clock.name != "memory"]
    if not moving:
        return Finding("clocks", "ok", f"held at their highest: {message}")
    if jetson:
        return Finding("clocks", "warning", f"they move, and latency with them: {message}", "sudo jetson_clocks")
    return Finding("clocks", "ok", message)


def _heat(heat: Heat, jetson: Jetson | None) -> Iterator[Finding]:
    if heat.hottest_c is None:
        yield Finding("temperature", "ok", "n/a (no thermal zone can be read)")
    else:
        message = f"{heat.hottest_c:.0f} °C in {heat.hottest}"
        if heat.limit_c is not None:
            message += f", slowed down from {heat.limit_c:.0f} °C"
        near = heat.limit_c is not None and heat.hottest_c > heat.limit_c - _MARGIN_C
        fix = "free air, or a fan" if jetson is None else jetson.cooling
        yield Finding("temperature", "warning" if near else "ok", message, fix if near else "")
    if heat.slowed:
        yield Finding("throttling", "warning", f"slowed down now: {', '.join(heat.slowed)}", "cool it, then look again")
    if heat.over_current:
        message = f"clocks were cut {heat.over_current} times since boot because of too much current"
        fix = "a stronger power supply" if jetson is None else jetson.more_power
        yield Finding("over-current", "warning", message, fix)


def look_at_devices(root: Path = Path("/")) -> Iterator[Finding]:
    """Findings about cameras and serial ports; none is opened to be read, and no network is searched."""
    kinds = (("camera", find_cameras(root), "--camera"), ("serial port", find_ports(root / "dev"), "--tracker"))
    for subject, devices, option in kinds:
        yield from _devices(subject, devices)
        if not devices:
            message = "none is plugged in, or none was passed into this container"
            fix = f"plug it in and look at: emer-edge devices; {option} also takes files and addresses"
            yield Finding(subject, "warning", message, fix)
    if any((root / path).exists() for path in _BRLTTY):
        message = "it is installed, and takes CH340 and CP210x serial adapters for braille displays"
        yield Finding("brltty", "warning", message, "sudo apt remove brltty")


def _devices(subject: str, devices: list[Device]) -> Iterator[Finding]:
    usable = any(device.problem is None for device in devices)
    for device in devices:
        if device.problem is None:
            yield Finding(subject, "ok", f"{device.name}: {device.argument}")
            continue
        level: Level = "warning" if usable else "problem"  # a device that can be opened may be the one that is used
        message, _, fix = device.problem.partition("; ")
        yield Finding(subject, level, f"{device.name}: {message}", fix)


def look_at_resources(root: Path = Path("/"), builds: bool = False, cache: Path | None = None) -> Iterator[Finding]:
    """Findings about memory, swap, free disk and the cache.

    Args:
        root: holds `proc`.
        builds: whether engines are built here, which takes much more memory than running them.
        cache: this project's cache folder; by default the user's.
    """
    yield from _memory(root, builds)
    yield from _disk(cache or user_cache_path("emer-edge"))


def _memory(root: Path, builds: bool) -> Iterator[Finding]:
    memory = board.read_memory(root / "proc/meminfo")
    if memory is None:
        yield Finding("memory", "ok", "n/a (/proc/meminfo can't be read)")
        return
    message = f"{memory.available_mb} MB free"
    level: Level = "warning" if memory.available_mb < _RUN_MB else "ok"
    yield Finding("memory", level, message, "" if level == "ok" else "stop other programs: ps aux --sort=-rss | head")
    swaps = (read_text(root / "proc/swaps") or "").splitlines()[1:]
    message = f"{memory.swap_mb} MB free" if swaps else "none"
    compressed = bool(swaps) and all("zram" in swap.split()[0] for swap in swaps)
    if compressed:
        message += ", all of it zram: compressed memory, which helps a build little"
    if builds and memory.available_mb + (0 if compressed else memory.swap_mb) < ADVISED_MB:
        yield Finding("swap", "warning", f"{message}; building engines can take {ADVISED_MB} MB", board.ADD_SWAP)
    else:
        yield Finding("swap", "ok", message)


def _disk(cache: Path) -> Iterator[Finding]:
    folder = cache
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"this user may not write {folder}, so every start builds engines anew"
        fix = f"sudo chown -R $USER {folder}, or set XDG_CACHE_HOME to a folder of your own"
        yield Finding("cache", "problem", message, fix)
    else:
        size_mb = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) / 1e6
        yield Finding("cache", "ok", f"{cache}: {size_mb:.0f} MB")
    free_mb = shutil.disk_usage(folder).free / 1e6
    few, some = _DISK_MB
    level: Level = "problem" if free_mb < few else "warning" if free_mb < some else "ok"
    fix = "" if level == "ok" else f"sudo apt clean; du -xh {folder} | sort -h | tail shows what is large"
    yield Finding("disk", level, f"{free_mb / 1000:.1f} GB free where the cache is", fix)
