"""What machine the figures are from, what it was like meanwhile (looked at every second), and what energy it drew."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Final

import msgspec

from emer_edge import __version__
from emer_edge.bench.records.latency_records import Conditions, Energy, Environment, Moment
from emer_edge.runtime.board import (
    EnergyCounter,
    read_clocks,
    read_energy,
    read_heat,
    read_jetson,
    read_number,
    read_power,
    read_text,
)

_PACKAGES: Final = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless", "tensorrt", "tensorrt-rtx",
    "pycuda",
)  # fmt: skip
_FLAGS: Final = (
    *("sse4_2", "f16c", "fma", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),  # x86
    *("asimd", "asimdhp", "asimddp", "asimdrdm", "i8mm", "bf16", "sve", "sve2", "sme"),  # ARM
)
_CPU: Final = "sys/devices/system/cpu"


def describe(root: Path = Path("/")) -> Environment:
    """Describe this machine now; `temperature_after_c` is left to the end of a run.

    Args:
        root: holds `etc`, `proc` and `sys`.
    """
    cpu, jetson = _fields(root / "proc/cpuinfo"), read_jetson(root)
    flags = set((cpu.get("flags") or cpu.get("Features") or "").split())
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    mode = None if jetson is None else jetson.mode
    return Environment(
        machine=read_text(root / "proc/device-tree/model") or platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        cpu=_model(cpu),
        cpu_flags=tuple(each for each in _FLAGS if each in flags),
        hypervisor="hypervisor" in flags if "flags" in cpu else None,
        cores=len(allowed) if allowed is not None else os.cpu_count() or 1,
        affinity=None if allowed is None else _spans(allowed),
        governor=read_text(root / _CPU / "cpu0/cpufreq/scaling_governor"),
        boost=_boost(root),
        memory_mb=_memory_mb(root),
        l4t=None if jetson is None else jetson.l4t,
        jetpack=None if jetson is None else jetson.jetpack,
        power_mode=None if mode is None else f"{mode.number} {mode.name}",
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        temperature_before_c=temperature_c(root),
        temperature_after_c=None,
        versions=_versions(),
    )


def temperature_c(root: Path = Path("/")) -> float | None:
    """The hottest thermal zone, or None where there is none."""
    return read_heat(root).hottest_c


def _versions() -> dict[str, str]:
    found = {"emer-edge": __version__, "python": platform.python_version()}
    libc = " ".join(platform.libc_ver()).strip()
    if libc:
        found["libc"] = libc
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _model(cpu: Mapping[str, str]) -> str | None:
    if "model name" in cpu:
        return cpu["model name"]
    if "CPU part" in cpu:  # ARM names its cores by number
        return f"ARM implementer {cpu.get('CPU implementer', '?')} part {cpu['CPU part']}"
    return platform.processor() or None


def _boost(root: Path) -> bool | None:
    """What cpufreq calls `boost`, or the opposite of intel_pstate's `no_turbo`."""
    boost, no_turbo = read_number(root / _CPU / "cpufreq/boost"), read_number(root / _CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return not no_turbo
    return None if boost is None else bool(boost)


def _memory_mb(root: Path) -> float | None:
    total = _fields(root / "proc/meminfo").get("MemTotal", "").split()
    return int(total[0]) * 1024 / 1e6 if total else None


def _spans(cores: Iterable[int]) -> str:
    """`0-3,6` of 0, 1, 2, 3, 6."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _fields(path: Path) -> dict[str, str]:
    """`name: value` lines, the first of each name."""
    found: dict[str, str] = {}
    for line in (read_text(path) or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), value.strip())
    return found


CLOCK_TOLERANCE: Final = 0.05
"""A clock that moved by more than this share of its highest value has changed."""

_LOOK_S: Final = 1.0


def look(root: Path = Path("/")) -> Moment:
    """Look at the machine once; takes a few milliseconds.

    Args:
        root: holds `etc`, `proc`, `sys` and `var`; the load average is this machine's, whatever the root.
    """
    heat, jetson = read_heat(root), read_jetson(root)
    mode = None if jetson is None else jetson.mode
    return Moment(
        clocks_mhz={each.name: each.now_mhz for each in read_clocks(root) if each.now_mhz is not None},
        temperature_c=heat.hottest_c,
        slowed=heat.slowed,
        over_current=heat.over_current,
        power_mode=None if mode is None else f"{mode.number} {mode.name}",
        power_mw=read_power(root).total_mw,
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def conditions_of(moments: Sequence[Moment]) -> Conditions:
    """Put together what was seen, at least once, first to last."""
    before, after = moments[0], moments[-1]
    names = dict.fromkeys(name for each in moments for name in each.clocks_mhz)
    clocks = {name: [each.clocks_mhz[name] for each in moments if name in each.clocks_mhz] for name in names}
    found = Conditions(
        before=before,
        after=after,
        moments=len(moments),
        clocks_mhz={name: (min(each), max(each)) for name, each in clocks.items()},
        hottest_c=max((each.temperature_c for each in moments if each.temperature_c is not None), default=None),
        highest_mw=max((each.power_mw for each in moments if each.power_mw is not None), default=None),
        slowed=tuple(dict.fromkeys(each for moment in moments for each in moment.slowed)),
        changed=(),
    )
    return msgspec.structs.replace(found, changed=tuple(_changed(found, moments)))


def _changed(found: Conditions, moments: Sequence[Moment]) -> Iterator[str]:
    for name, clocks in _working(moments).items():
        least, most = min(clocks), max(clocks)
        if most - least > CLOCK_TOLERANCE * most:
            yield f"the {name} clock moved between {least} and {most} MHz"
    if found.slowed:
        yield f"held back because of heat: {', '.join(found.slowed)}"
    before, after = found.before, found.after
    if (after.over_current or 0) > (before.over_current or 0):
        yield "clocks were cut because of too much current"
    if before.power_mode != after.power_mode:
        yield f"the power mode changed from {before.power_mode} to {after.power_mode}"


def _working(moments: Sequence[Moment]) -> dict[str, list[int]]:
    """Clocks over time; of the CPU's the fastest, as idle cores go slower without harm."""
    found: dict[str, list[int]] = {}
    for moment in moments:
        cpus = [clock for name, clock in moment.clocks_mhz.items() if name.startswith("CPU")]
        if cpus:
            found.setdefault("fastest CPU", []).append(max(cpus))
        for name, clock in moment.clocks_mhz.items():
            if not name.startswith("CPU"):
                found.setdefault(name, []).append(clock)
    return found


class Watch:
    """Looks at the machine when entered, every second until left, and then.

    Args:
        root: as of `look`.
        period_s: between looks.

    Attributes:
        moments: what was seen so far.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = _LOOK_S) -> None:
        self._root = root
        self._period_s = period_s
        self.moments: list[Moment] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emer-edge watch", daemon=True)

    @property
    def conditions(self) -> Conditions:
        """All that was seen so far, put together."""
        return conditions_of(self.moments)

    def __enter__(self) -> Watch:
        self.moments.append(look(self._root))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.moments.append(look(self._root))

    def _run(self) -> None:
        while not self._done.wait(self._period_s):
            self.moments.append(look(self._root))


_READ_S: Final = 0.1
_NS: Final = 1e-9


class Meter:
    """Adds up what is drawn while it is entered, again and again; costs nothing where there is no sensor.

    Args:
        root: holds `sys`.
        period_s: between two readings.

    Attributes:
        source: the sensor and what it sees, empty without one.
        reason: why there is no sensor, empty with one.
        millijoules: drawn while entered.
        seconds: for which it was entered.
        idle_mw: drawn with nothing to do, None where that was not measured.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = _READ_S) -> None:
        self._root = root
        self._period_s = period_s
        power, counters = read_power(root), read_energy(root)
        self._rails = power.total_mw is not None
        self.source = self.reason = ""
        if self._rails:
            self.source = f"INA3221: {', '.join(each.name for each in power.rails)}"
        elif counters.counters:
            self.source = f"RAPL: {', '.join(each.name for each in counters.counters)}, without memory and board"
        else:
            self.reason = f"{power.reason}; {counters.reason}"
        self.millijoules = self.seconds = 0.0
        self.idle_mw: float | None = None
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def measure_idle(self, seconds: float) -> None:
        """Find out what is drawn with nothing to do, where there is a sensor."""
        if self.source:
            with self:
                sleep(seconds)
            self.idle_mw = self.millijoules / self.seconds
            self.clear()

    def clear(self) -> None:
        """Forget what was drawn, but not the idle power."""
        self.millijoules = self.seconds = 0.0

    def energy(self, results: int) -> Energy:
        """What was drawn since `clear`, for so many results."""
        if not self.source or not results or not self.seconds:
            return Energy(reason=self.reason or "nothing was done while it was measured")
        mean_mw = self.millijoules / self.seconds
        above = None if self.idle_mw is None else (self.millijoules - self.idle_mw * self.seconds) / results
        return Energy(
            source=self.source,
            millijoules=self.millijoules / results,
            above_idle_millijoules=above,
            mean_mw=mean_mw,
            idle_mw=self.idle_mw,
        )

    def __enter__(self) -> Meter:
        if self.source:
            self._done.clear()
            self._thread = threading.Thread(target=self._run, name="emer-edge meter", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        at_ns, power_mw, counters = monotonic_ns(), self._power_mw(0.0), self._counters(())
        while True:
            ended = self._done.wait(self._period_s)
            now_ns, now_mw, now = monotonic_ns(), self._power_mw(power_mw), self._counters(counters)
            elapsed_s = (now_ns - at_ns) * _NS
            self.seconds += elapsed_s
            if self._rails:
                self.millijoules += (power_mw + now_mw) / 2 * elapsed_s
            else:
                self.millijoules += sum(each.since(was) for each, was in zip(now, counters, strict=True)) / 1000
            at_ns, power_mw, counters = now_ns, now_mw, now
            if ended:
                return

    def _power_mw(self, before: float) -> float:
        """The board's power; when the monitor does not answer, what it said before."""
        found = read_power(self._root).total_mw if self._rails else None
        return before if found is None else found

    def _counters(self, before: tuple[EnergyCounter, ...]) -> tuple[EnergyCounter, ...]:
        """The counters; when they can't be read, as they were before."""
        return before if self._rails else read_energy(self._root).counters or before
