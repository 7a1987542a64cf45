"""On what, and how, it was measured."""

from __future__ import annotations

from emer_edge.bench.records import BenchReport, Environment
from emer_edge.report.html import Block, Facts, Paragraph, Section

__all__ = ["section"]


def section(report: BenchReport) -> Section:
    """The section."""
    return Section("Machine and method", _method_blocks(report))


def _method_blocks(report: BenchReport) -> tuple[Block, ...]:
    options = ", ".join(f"{name} {value}" for name, value in report.options.items())
    blocks: list[Block] = [Facts(_environment_facts(report.environment))]
    for each in report.bundles:
        precision = ", ".join(f"{part} {how}" for part, how in each.precision.items())
        blocks.append(
            Facts(((each.name, each.path), ("Engine", f"{each.engine}, {each.device}"), ("Precision", precision)))
        )
    text = (
        f"Options: {options}. Percentiles are nearest ranks of all durations; none was left out as an outlier. WAR is "
        "the weighted average recall, which is the accuracy; UAR the mean of the recalls of the classes that occur. A "
        "clip is one window, cut as a live run would cut it."
    )
    return (*blocks, Paragraph(text))


def _environment_facts(found: Environment) -> tuple[tuple[str, str], ...]:
    def known(value: float | str | None, unit: str = "") -> str:
        if value is None:
            return "not told by this machine"
        return f"{value:.1f} {unit}".strip() if isinstance(value, float) else value

    return (
        ("Machine", found.machine),
        ("Processor", known(found.cpu)),
        ("Cores", str(found.cores)),
        ("Governor", known(found.governor)),
        ("Memory", known(found.memory_mb, "MB")),
        ("Load before", known(found.load_average)),
        (
            "Temperature",
            f"{known(found.temperature_before_c, '°C')} before, {known(found.temperature_after_c, '°C')} after",
        ),
        ("Versions", ", ".join(f"{name} {each}" for name, each in found.versions.items())),
    )
