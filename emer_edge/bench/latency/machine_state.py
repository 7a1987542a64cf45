"""The machine that the figures are from, its state meanwhile (looked at every second), and the energy that it drew."""

from __future__ import annotations

import os
import platform
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Final

import msgspec

from emer_edge import __version__
from emer_edge.bench.records.latency_records import Conditions, Energy, Environment, Moment
from emer_edge.runtime.board import read_clocks, read_cpu, read_heat, read_jetson, read_number, read_sizes_mb, read_text
from emer_edge.runtime.power_draw import read_energy, read_power

_PACKAGES: Final = (
    "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python", "opencv-python-headless", "tensorrt", "tensorrt-rtx",
    "pycuda",
)  # fmt: skip
_FLAGS: Final = (
    *("sse4_2", "f16c", "fma", "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16"),  # x86
    *("asimd", "asimdhp", "asimddp", "asimdrdm", "i8mm", "bf16", "sve", "sve2", "sme"),  # ARM
)
_FLAG_LINE: Final = re.compile(r"^(flags|Features)\s*:(.*)$", re.MULTILINE)
_CPU: Final = "sys/devices/system/cpu"


def describe(root: Path = Path("/")) -> Environment:
    """Describe this machine now; `temperature_after_c` is left to the end of a run.

    Args:
        root: holds `etc`, `proc` and `sys`.
    """
    now, jetson = look(root), read_jetson(root)
    found = _FLAG_LINE.search(read_text(root / "proc/cpuinfo") or "")
    kind, flags = (None, set()) if found is None else (found[1], set(found[2].split()))
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return Environment(
        machine=read_text(root / "proc/device-tree/model") or platform.machine(),
        kernel=f"{platform.system()} {platform.release()}",
        cpu=read_cpu(root),
        cpu_flags=tuple(flag for flag in _FLAGS if flag in flags),
        hypervisor="hypervisor" in flags if kind == "flags" else None,
        cores=len(allowed) if allowed is not None else os.cpu_count() or 1,
        affinity=None if allowed is None else _spans(allowed),
        governor=read_text(root / _CPU / "cpu0/cpufreq/scaling_governor"),
        boost=_boost(root),
        memory_mb=read_sizes_mb(root / "proc/meminfo").get("MemTotal"),
        l4t=None if jetson is None else jetson.l4t,
        jetpack=None if jetson is None else jetson.jetpack,
        power_mode=now.power_mode,
        load_average=now.load_average,
        temperature_before_c=now.temperature_c,
        temperature_after_c=None,
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    versions = {"emer-edge": __version__, "python": platform.python_version()}
    libc = " ".join(platform.libc_ver()).strip()
    if libc:
        versions["libc"] = libc
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def _boost(root: Path) -> bool | None:
    """What cpufreq calls `boost`, or the opposite of intel_pstate's `no_turbo`."""
    boost, no_turbo = read_number(root / _CPU / "cpufreq/boost"), read_number(root / _CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return not no_turbo
    return None if boost is None else bool(boost)


def _spans(cores: Iterable[int]) -> str:
    """`0-3,6` of 0, 1, 2, 3, 6."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


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
        clocks_mhz={clock.name: clock.now_mhz for clock in read_clocks(root) if clock.now_mhz is not None},
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
    names = dict.fromkeys(name for moment in moments for name in moment.clocks_mhz)
    clocks = {name: [moment.clocks_mhz[name] for moment in moments if name in moment.clocks_mhz] for name in names}
    conditions = Conditions(
        before=before,
        after=after,
        moments=len(moments),
        clocks_mhz={name: (min(readings), max(readings)) for name, readings in clocks.items()},
        hottest_c=max((moment.temperature_c for moment in moments if moment.temperature_c is not None), default=None),
        highest_mw=max((moment.power_mw for moment in moments if moment.power_mw is not None), default=None),
        slowed=tuple(dict.fromkeys(step for moment in moments for step in moment.slowed)),
        changed=(),
    )
    return msgspec.structs.replace(conditions, changed=tuple(_changed(conditions, moments)))


def _changed(conditions: Conditions, moments: Sequence[Moment]) -> Iterator[str]:
    for name, clocks in _working(moments).items():
        least, most = min(clocks), max(clocks)
        if most - least > CLOCK_TOLERANCE * most:
            yield f"the {name} clock moved between {least} and {most} MHz"
    if conditions.slowed:
        yield f"held back because of heat: {', '.join(conditions.slowed)}"
    before, after = conditions.before, conditions.after
    if (after.over_current or 0) > (before.over_current or 0):
        yield "clocks were cut because of too much current"
    if before.power_mode != after.power_mode:
        yield f"the power mode changed from {before.power_mode} to {after.power_mode}"


def _working(moments: Sequence[Moment]) -> dict[str, list[int]]:
    """Clocks over time; of the CPU's the fastest, as idle cores go slower without harm."""
    working: dict[str, list[int]] = {}
    for moment in moments:
        cpus = [clock for name, clock in moment.clocks_mhz.items() if name.startswith("CPU")]
        if cpus:
            working.setdefault("fastest CPU", []).append(max(cpus))
        for name, clock in moment.clocks_mhz.items():
            if not name.startswith("CPU"):
                working.setdefault(name, []).append(clock)
    return working


class _Repeated:
    """Calls something in a thread of its own, every so many seconds, while it is entered."""

    def __init__(self, name: str, call: Callable[[], None], period_s: float) -> None:
        self._call, self._period_s = call, period_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._period_s):
            self._call()


class Watch:
    """Looks at the machine when entered, every second until left, and then.

    Attributes:
        moments: what was seen so far.
    """

    def __init__(self, root: Path = Path("/"), period_s: float = _LOOK_S) -> None:
        self._root = root
        self._looks = _Repeated("emer-edge watch", self._look, period_s)
        self.moments: list[Moment] = []

    def __enter__(self) -> Watch:
        self._look()
        self._looks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._looks.__exit__()
        self._look()

    def _look(self) -> None:
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
            self.source = f"INA3221: {', '.join(rail.name for rail in power.rails)}"
        elif counters.counters:
            self.source = f"RAPL: {', '.join(counter.name for counter in counters.counters)}, without memory and board"
        else:
            self.reason = f"{power.reason}; {counters.reason}"
        self.millijoules = self.seconds = 0.0
        self.idle_mw: float | None = None
        self._readings: _Repeated | None = None

    def measure_idle(self, seconds: float) -> None:
        """Measure what is drawn with nothing to do, where there is a sensor."""
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
        above = None if self.idle_mw is None else (self.millijoules - self.idle_mw * self.seconds) / results
        return Energy(
            source=self.source,
            millijoules=self.millijoules / results,
            above_idle_millijoules=above,
            mean_mw=self.millijoules / self.seconds,
            idle_mw=self.idle_mw,
        )

    def __enter__(self) -> Meter:
        if self.source:
            self._power_mw, self._counters = read_power(self._root).total_mw or 0.0, read_energy(self._root).counters
            self._at_ns = monotonic_ns()
            self._readings = _Repeated("emer-edge meter", self._add, self._period_s)
            self._readings.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._readings is not None:
            self._readings.__exit__()
            self._readings = None
            self._add()

    def _add(self) -> None:
        """Add what was drawn since the last reading; a sensor that does not answer keeps its last value."""
        now_ns, power_mw, counters = monotonic_ns(), self._power_mw, self._counters
        elapsed_s = (now_ns - self._at_ns) * _NS
        self.seconds += elapsed_s
        if self._rails:
            read_mw = read_power(self._root).total_mw
            power_mw = power_mw if read_mw is None else read_mw
            self.millijoules += (self._power_mw + power_mw) / 2 * elapsed_s
        else:
            counters = read_energy(self._root).counters or counters
            drawn = (counter.since(was) for counter, was in zip(counters, self._counters, strict=True))
            self.millijoules += sum(drawn) / 1000
        self._at_ns, self._power_mw, self._counters = now_ns, power_mw, counters
