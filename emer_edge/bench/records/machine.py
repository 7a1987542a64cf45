"""The machine that measured, and what it was like meanwhile."""

from __future__ import annotations

import msgspec

from emer_edge.bench.records.base import Record

__all__ = ["Conditions", "Environment", "Moment"]


class Environment(Record, frozen=True, kw_only=True):
    """The machine; None or empty where it does not tell.

    Attributes:
        machine: board or architecture.
        kernel: system and release.
        cpu: processor model.
        cpu_flags: what it has of the instructions that matter here, for example `avx512_vnni`, `amx_int8`, `asimddp`.
        hypervisor: it is a virtual machine, whose neighbours can't be seen.
        cores: logical cores that this process may use.
        affinity: which ones, for example `0-3,6`.
        governor: frequency governor of the first core.
        boost: clocks above the nominal one are allowed.
        memory_mb: of the machine, in 10^6 bytes.
        l4t, jetpack, power_mode: of a Jetson.
        load_average: of the last minute when bench began: others' work slows ours.
        temperature_before_c, temperature_after_c: hottest thermal zone.
        versions: package -> version.
    """

    machine: str
    kernel: str = ""
    cpu: str | None
    cpu_flags: tuple[str, ...] = ()
    hypervisor: bool | None = None
    cores: int
    affinity: str | None = None
    governor: str | None
    boost: bool | None = None
    memory_mb: float | None
    l4t: str | None = None
    jetpack: str | None = None
    power_mode: str | None = None
    load_average: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    versions: dict[str, str]


class Moment(Record, frozen=True):
    """How the machine was at one time; None or empty where it does not tell.

    Attributes:
        clocks_mhz: clock -> where it stood.
        temperature_c: of the hottest thermal zone.
        slowed: what was held back because of heat, with its step.
        over_current: how often clocks were cut because of too much current, since the start of the machine.
        power_mode: a Jetson's.
        power_mw: of the whole board.
        load_average: of the last minute.
    """

    clocks_mhz: dict[str, int] = msgspec.field(default_factory=dict)
    temperature_c: float | None = None
    slowed: tuple[str, ...] = ()
    over_current: int | None = None
    power_mode: str | None = None
    power_mw: float | None = None
    load_average: float | None = None


class Conditions(Record, frozen=True):
    """How the machine was while latencies were measured.

    Attributes:
        before, after: at both ends.
        moments: how often it was looked at.
        clocks_mhz: clock -> lowest and highest seen.
        hottest_c: highest temperature seen.
        highest_mw: highest power seen.
        slowed: everything that was ever held back because of heat.
        changed: what speaks against comparing the figures, in words.
    """

    before: Moment
    after: Moment
    moments: int
    clocks_mhz: dict[str, tuple[int, int]]
    hottest_c: float | None
    highest_mw: float | None
    slowed: tuple[str, ...]
    changed: tuple[str, ...]
