"""On what, and how, it was measured: the machine, its conditions, what a paper needs to say, what it does not show."""

from __future__ import annotations

from emer_edge.bench.pages.paper import methods_of
from emer_edge.bench.pages.scored import names_of
from emer_edge.bench.records import BenchReport, Conditions, Environment
from emer_edge.report.html import Block, Details, Facts, Paragraph, Quote, Section
from emer_edge.report.tables import Cell, Column, Table

__all__ = ["LIMITS", "section", "tables"]

LIMITS = (
    "Figures are of this machine, these bundles and these clips. One laboratory, one kind of task: other people, other "
    "light, other trackers and other tasks are outside of them. Simulated sensors cost processor time that real ones "
    "do not, and have none of their faults. A head that names emotions above chance may still decode the film, since "
    "every film was chosen to induce one emotion; see the probes where they were run. Intervals hold the uncertainty "
    "of who took part, not that of training anew."
)


def tables(report: BenchReport) -> dict[str, Table]:
    """Splits with their hashes; clocks."""
    return {"splits": _splits(report), "clocks": _clocks(report.conditions)}


def section(report: BenchReport, tables: dict[str, Table]) -> Section:
    """The section."""
    names = names_of(report)
    blocks: list[Block] = [
        Paragraph("For a paper, to be pasted and cut:"),
        Quote(methods_of(report)),
        Facts(_environment_facts(report.environment)),
    ]
    conditions = report.conditions
    if conditions is not None:
        blocks += [Paragraph(f"Unsteady: {each.rstrip('.')}.", warning=True) for each in conditions.changed]
        blocks.append(Facts(_condition_facts(conditions)))
    blocks += [tables[name] for name in ("clocks", "splits") if name in tables]
    options = ", ".join(f"{name} {value}" for name, value in report.options.items() if value is not None)
    blocks.append(Facts((("Options and seeds", options),)))
    bundles = tuple(
        Facts(
            (
                (names[at], each.path),
                ("Engine", f"{each.engine}, {each.device}, {each.threads} thread{'s' if each.threads != 1 else ''}"),
                ("Precision", ", ".join(f"{part} {how}" for part, how in each.precision.items())),
            )
        )
        for at, each in enumerate(report.bundles)
    )
    blocks.append(
        Details(f"{len(bundles)} bundle{'s' if len(bundles) != 1 else ''}: paths, engines, precisions", bundles)
    )
    blocks.append(Paragraph(f"Limits. {LIMITS}"))
    return Section("Machine and method", tuple(blocks))


def _splits(report: BenchReport) -> Table:
    names = names_of(report)
    rows: list[tuple[Cell, ...]] = []
    for at, each in enumerate(report.bundles):
        found = each.accuracy
        if found is not None:
            hashes = (found.split_hash[:16], found.fingerprint[:16])
            rows.append(
                (names[at], found.fold, found.clips, found.participants, *hashes, found.events, found.clips_per_s)
            )
    columns = (
        Column("Bundle"), Column("fold"), Column("clips"), Column("participants"), Column("split hash"),
        Column("data fingerprint"), Column("events"), Column("clips a second", "", 1),
    )  # fmt: skip
    note = "First 16 digits of SHA-256; report.json holds them whole. Split: the names of the fold's clips in order."
    return Table("Splits", columns, tuple(rows), note)


def _clocks(found: Conditions | None) -> Table:
    rows: list[tuple[Cell, ...]] = []
    if found is not None:
        for name, (low, high) in found.clocks_mhz.items():
            rows.append((name, found.before.clocks_mhz.get(name), low, high, found.after.clocks_mhz.get(name)))
    columns = (
        Column("Clock"), Column("before", "MHz"), Column("lowest", "MHz"), Column("highest", "MHz"),
        Column("after", "MHz"),
    )  # fmt: skip
    note = "" if found is None else f"Looked at {found.moments} times."
    return Table("Clocks while it was measured", columns, tuple(rows), note)


def _known(value: float | str | None, unit: str = "") -> str:
    if value is None or value == "":
        return "not told by this machine"
    return f"{value:,.1f} {unit}".strip() if isinstance(value, float) else value


def _environment_facts(found: Environment) -> tuple[tuple[str, str], ...]:
    jetson = (("L4T", found.l4t), ("JetPack", found.jetpack), ("Power mode", found.power_mode))
    flags = (("Boost", found.boost), ("Virtual machine", found.hypervisor))
    before, after = _known(found.temperature_before_c, "°C"), _known(found.temperature_after_c, "°C")
    return (
        ("Machine", f"{found.machine} {found.kernel}".strip()),
        ("Processor", _known(found.cpu)),
        ("Instructions", ", ".join(found.cpu_flags) or "none of those that matter here"),
        ("Cores", f"{found.cores}{f' ({found.affinity})' if found.affinity else ''}"),
        ("Governor", _known(found.governor)),
        *((name, "yes" if value else "no") for name, value in flags if value is not None),
        *((name, value) for name, value in jetson if value is not None),
        ("Memory", _known(found.memory_mb, "MB")),
        ("Load before", _known(found.load_average)),
        ("Temperature", f"{before} before, {after} after" if before != after else before),
        ("Versions", ", ".join(f"{name} {each}" for name, each in found.versions.items())),
    )


def _condition_facts(found: Conditions) -> tuple[tuple[str, str], ...]:
    loads = [each.load_average for each in (found.before, found.after)]
    power = [each.power_mw for each in (found.before, found.after)]
    facts = (
        ("Hottest", None if found.hottest_c is None else f"{found.hottest_c:.1f} °C"),
        ("Highest power", None if found.highest_mw is None else f"{found.highest_mw:,.0f} mW"),
        ("Held back", ", ".join(found.slowed) or "nothing"),
        ("Load, before and after", _pair(loads, 2)),
        ("Power, before and after", f"{_pair(power, 0)} mW" if any(each is not None for each in power) else None),
        ("Conditions", "held" if not found.changed else "did not hold"),
    )
    return tuple((name, value) for name, value in facts if value is not None)


def _pair(values: list[float | None], digits: int) -> str:
    return " and ".join("unknown" if each is None else f"{each:.{digits}f}" for each in values)
