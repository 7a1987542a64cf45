"""The machine that measured."""

from __future__ import annotations

from emer_edge.bench.records.base import Record

__all__ = ["Environment"]


class Environment(Record, frozen=True):
    """The machine; None where it does not tell.

    Attributes:
        machine: board or architecture, kernel.
        cpu: processor model.
        cores: logical cores that this process may use.
        governor: frequency governor of the first core.
        memory_mb: of the machine, in 10^6 bytes.
        load_average: of the last minute when bench began: others' work slows ours.
        temperature_before_c, temperature_after_c: hottest thermal zone.
        versions: package -> version.
    """

    machine: str
    cpu: str | None
    cores: int
    governor: str | None
    memory_mb: float | None
    load_average: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    versions: dict[str, str]
