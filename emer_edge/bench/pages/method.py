"""On what, and how, it was measured: the machine, its conditions, what a paper needs to say, what it does not show."""

from __future__ import annotations

from typing import Final

from emer_edge.bench.pages.scored import Scored, named_bundles, scored_of
from emer_edge.bench.records.latency_records import Conditions, Environment
from emer_edge.bench.records.report_records import BenchReport
from emer_edge.core.heads import PROTOCOLS
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.report.html import Block, Details, Facts, Paragraph, Quote, Section
from emer_edge.report.tables import Cell, Rows, Table, columns, tabled


def methods_of(report: BenchReport) -> str:
    """Sentences on data, protocol, metrics, uncertainty and latency; what the report does not know is left out."""
    told = [_subject(report), *_data_told(report), *_scoring(report), *_latency_told(report)]
    return " ".join(told)


def _subject(report: BenchReport) -> str:
    version = report.environment.versions.get("emer-edge")
    count = len(report.bundles)
    kinds = dict.fromkeys(_precision(each.precision) for each in report.bundles)
    synthetic = any(each.demo or (each.origin and each.origin.synthetic) for each in report.bundles)
    demo = " with weights trained on synthetic clips" if synthetic else ""
    return (
        f"We evaluated {count} exported EMERT bundle{'s' if count != 1 else ''}{demo} ({', '.join(kinds)}) with "
        f"emer-edge{f' {version}' if version else ''}."
    )


def _precision(parts: dict[str, str]) -> str:
    used = list(dict.fromkeys(how.upper() for part, how in parts.items() if not part.startswith("face_detector")))
    return "/".join(used) or "precision unknown"


def _data_told(report: BenchReport) -> list[str]:
    told = []
    data = report.data
    if data is not None:
        kind = "a synthetic data set in the layout of EMER" if data.synthetic else "EMER"
        films = f" and {data.stimuli} stimuli" if data.stimuli else ""
        told.append(
            f"The data were {kind}: {data.clips:,} usable clips of {data.participants} participants{films} "
            f"({data.skipped} clips could not be used; fingerprint {data.fingerprint[:12]})."
        )
        if data.regrouped:
            told.append(
                "Its folds share participants, so clips were dealt into five new folds with participants apart."
            )
        elif data.shared_participants:
            told.append(f"{data.shared_participants} participants have clips in several folds.")
    return told


def _scoring(report: BenchReport) -> list[str]:
    found = scored_of(report)
    if not found:
        return []
    told = [_split(report, found[0])]
    origin = next((each.origin for each in found[0].bundles if each.origin is not None), None)
    window = f"a window of {origin.window_s:g} s with " if origin is not None else "a window of "
    events = found[0].bundles[0].accuracy.events if found[0].bundles[0].accuracy is not None else "causal"
    rule = (
        "eye movements were classified causally, as a live run does"
        if events == "causal"
        else "eye movements are those of the data set's own sheets"
    )
    told.append(
        f"A clip is {window}{FACE_SLOTS} face crops of {FACE_SIZE_PX} x {FACE_SIZE_PX} px and {EYE_SLOTS} eye rows of "
        f"{EYE_COLUMN_COUNT} columns; the newest item of each slot is taken, and {rule}."
    )
    readings = {name for each in found for head in each.heads.values() for name in head.readings}
    if readings:
        drawn = report.options.get("draws")
        others = {
            "draws": f"{f'{drawn} ' if drawn else ''}random draw{'' if drawn == 1 else 's'} of the slots' items a clip",
            "live": "all live windows inside a clip",
            "published": "the published loader",
        }
        told.append(f"Beside it we report {' and '.join(text for name, text in others.items() if name in readings)}.")
    used = {head.protocol for each in found for head in each.heads.values()}
    shown = [each.name for each in PROTOCOLS if each.name in used]
    told.append(
        f"Protocols: {', '.join(shown)}. Class heads are scored by WAR (accuracy), UAR and weighted F1, value heads "
        "by MAE, RMSE, CCC and Pearson's r in label units, over all clips of a fold at once."
    )
    resamples, seed = report.options.get("resamples"), report.options.get("seed")
    told.append(
        f"Intervals are 95 % percentile intervals of {resamples} bootstrap draws over participants (seed {seed})."
    )
    return told


def _split(report: BenchReport, scored: Scored) -> str:
    data = report.data
    apart = " with participants apart" if data is not None and not data.shared_participants else ""
    many = len(data.folds) if data is not None else len(scored.folds)
    known = all(each.origin is not None and each.origin.training_clips is not None for each in scored.bundles)
    checked = (
        " Each was scored once by a bundle whose training, selection and calibration clips, checked by salted hashes, "
        "hold none of them."
        if known
        else " The bundles do not say what they were trained on, so that nothing vouches that these clips are new."
    )
    people = f"{scored.clips:,} clips of {scored.participants} participants"
    folds = ", ".join(str(each) for each in scored.folds)
    if len(scored.folds) > 1 and len(scored.folds) == many:
        return f"We used {many}-fold cross-validation{apart}; {people} were scored.{checked}"
    return f"Of {many} folds{apart}, {people} of fold{'s' if scored.is_set else ''} {folds} were held out.{checked}"


def _latency_told(report: BenchReport) -> list[str]:
    machine, first = report.environment, report.bundles[0]
    cpu = f" ({machine.cpu})" if machine.cpu else ""
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    threads = "" if "thread" in first.device else f" and {first.threads} thread{'s' if first.threads != 1 else ''}"
    runtime = machine.versions.get(first.engine)
    engine = f"{first.engine}{f' {runtime}' if runtime else ''}"
    told = [
        f"Latency was measured on {machine.machine}{cpu}, {cores}, with {engine} on {first.device}{threads}, at "
        "batch 1."
    ]
    queries = first.single_stream
    if queries:
        one = queries.get("live step") or next(iter(queries.values()))
        told.append(
            "Each query was issued when the one before was done, by the rules of MLPerf Inference's SingleStream (at "
            f"least {one.min_queries:,} queries and {one.min_seconds:g} s; here {one.queries:,} in {one.seconds:.0f} "
            "s)."
        )
    else:
        step = first.latency.get("live step") or next(iter(first.latency.values()), None)
        if step is not None:
            told.append(
                f"Each part was run {step.count:,} times one after the other, after {step.warmup} runs that do not "
                "count."
            )
    told.append("Percentiles are nearest ranks of all durations; none was left out as an outlier.")
    streaming = first.streaming
    if streaming is not None:
        told.append(
            f"The live pipeline ran for {streaming.seconds:.0f} s on a simulated camera of "
            f"{streaming.frame_rate_hz:g} Hz and a simulated tracker of {streaming.sample_rate_hz:g} Hz."
        )
    return told


LIMITS = (
    "Figures are of this machine, these bundles and these clips. One laboratory, one kind of task: other people, other "
    "light, other trackers and other tasks are outside of them. Simulated sensors cost processor time that real ones "
    "do not, and have none of their faults. A head that names emotions above chance may still decode the film, since "
    "every film was chosen to induce one emotion; see the probes where they were run. Intervals hold the uncertainty "
    "of who took part, not that of training anew."
)


def _method_tables(report: BenchReport) -> dict[str, Table]:
    """Splits with their hashes; clocks."""
    return {"splits": _splits(report), "clocks": _clocks(report.conditions)}


def _method_section(report: BenchReport, tables: dict[str, Table]) -> Section:
    """The section."""
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
                (name, each.path),
                ("Engine", f"{each.engine}, {each.device}, {each.threads} thread{'s' if each.threads != 1 else ''}"),
                ("Precision", ", ".join(f"{part} {how}" for part, how in each.precision.items())),
            )
        )
        for name, each in named_bundles(report)
    )
    blocks.append(
        Details(f"{len(bundles)} bundle{'s' if len(bundles) != 1 else ''}: paths, engines, precisions", bundles)
    )
    blocks.append(Paragraph(f"Limits. {LIMITS}"))
    return Section("Machine and method", tuple(blocks))


@tabled(
    "Splits",
    "Bundle | fold | clips | participants | split hash | data fingerprint | events | clips a second:1",
    "First 16 digits of SHA-256; report.json holds them whole. Split: the names of the fold's clips in order.",
)
def _splits(report: BenchReport) -> Rows:
    for name, each in named_bundles(report):
        found = each.accuracy
        if found is not None:
            hashes = (found.split_hash[:16], found.fingerprint[:16])
            yield (name, found.fold, found.clips, found.participants, *hashes, found.events, found.clips_per_s)


def _clocks(found: Conditions | None) -> Table:
    rows: list[tuple[Cell, ...]] = []
    if found is not None:
        for name, (low, high) in found.clocks_mhz.items():
            rows.append((name, found.before.clocks_mhz.get(name), low, high, found.after.clocks_mhz.get(name)))
    header = columns("Clock | before (MHz) | lowest (MHz) | highest (MHz) | after (MHz)")
    note = "" if found is None else f"Looked at {found.moments} times."
    return Table("Clocks while it was measured", header, tuple(rows), note)


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


METHOD: Final = (_method_tables, _method_section)
