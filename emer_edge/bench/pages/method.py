"""The machine, its conditions, what a paper needs to say about the method, and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from emer_edge.bench.pages.scored import PageSection, Scored, named_bundles, scored_of
from emer_edge.bench.records.latency_records import Conditions, Environment
from emer_edge.bench.records.report_records import BenchReport, BundleBench
from emer_edge.core.heads import PROTOCOLS
from emer_edge.core.window import EYE_COLUMN_COUNT, EYE_SLOTS, FACE_SIZE_PX, FACE_SLOTS
from emer_edge.report.html import Block, Details, Facts, Paragraph, Quote, Section
from emer_edge.report.table import Rows, Table, tabled


def methods_of(report: BenchReport) -> str:
    """Sentences on data, protocol, metrics, uncertainty and latency; what the report does not know is left out."""
    return " ".join([_subject(report), *_data(report), *_scoring(report), *_latency(report)])


def _subject(report: BenchReport) -> str:
    version = report.environment.versions.get("emer-edge")
    count = len(report.bundles)
    kinds = dict.fromkeys(_precision(bundle.precision) for bundle in report.bundles)
    synthetic = any(bundle.demo or (bundle.origin and bundle.origin.synthetic) for bundle in report.bundles)
    demo = " with weights trained on synthetic clips" if synthetic else ""
    return (
        f"We evaluated {count} exported EMERT bundle{'s' if count != 1 else ''}{demo} ({', '.join(kinds)}) with "
        f"emer-edge{f' {version}' if version else ''}."
    )


def _precision(parts: dict[str, str]) -> str:
    used = list(dict.fromkeys(how.upper() for part, how in parts.items() if not part.startswith("face_detector")))
    return "/".join(used) or "precision unknown"


def _data(report: BenchReport) -> Iterator[str]:
    data = report.data
    if data is None:
        return
    kind = "a synthetic data set in the layout of EMER" if data.synthetic else "EMER"
    films = f" and {data.stimuli} stimuli" if data.stimuli else ""
    yield (
        f"The data were {kind}: {data.clips:,} usable clips of {data.participants} participants{films} "
        f"({data.skipped} clips could not be used; fingerprint {data.fingerprint[:12]})."
    )
    if data.overview:
        yield f"What was found at opening: {'; '.join(f'{name}: {text}' for name, text in data.overview.items())}."
    if data.regrouped:
        yield "Its folds share participants, so clips were dealt into five new folds with participants apart."
    elif data.shared_participants:
        yield f"{data.shared_participants} participants have clips in several folds."


def _scoring(report: BenchReport) -> Iterator[str]:
    all_scored = scored_of(report)
    if not all_scored:
        return
    yield _split(report, all_scored[0])
    bundles = all_scored[0].bundles
    origin = next((bundle.origin for bundle in bundles if bundle.origin is not None), None)
    window = f"a window of {origin.window_s:g} s with " if origin is not None else "a window of "
    rule = "eye movements were classified causally, as a live run does"
    if bundles[0].accuracy is not None and bundles[0].accuracy.events == "published":
        rule = "eye movements are those of the data set's own sheets"
    yield (
        f"A clip is {window}{FACE_SLOTS} face crops of {FACE_SIZE_PX} x {FACE_SIZE_PX} px and {EYE_SLOTS} eye rows of "
        f"{EYE_COLUMN_COUNT} columns; the newest item of each slot is taken, and {rule}."
    )
    readings = {name for scored in all_scored for head in scored.heads.values() for name in head.readings}
    if readings:
        drawn = report.options.get("draws")
        others = {
            "draws": f"{f'{drawn} ' if drawn else ''}random draw{'' if drawn == 1 else 's'} of the slots' items a clip",
            "live": "all live windows inside a clip",
            "published": "the published loader",
        }
        yield f"We also report {' and '.join(text for name, text in others.items() if name in readings)}."
    used = {head.protocol for scored in all_scored for head in scored.heads.values()}
    shown = [protocol.name for protocol in PROTOCOLS if protocol.name in used]
    yield (
        f"Protocols: {', '.join(shown)}. Class heads are scored by WAR (accuracy), UAR and weighted F1, value heads "
        "by MAE, RMSE, CCC and Pearson's r in label units, over all clips of a fold at once."
    )
    resamples, seed = report.options.get("resamples"), report.options.get("seed")
    yield f"Intervals are 95 % percentile intervals of {resamples} bootstrap draws over participants (seed {seed})."


def _split(report: BenchReport, scored: Scored) -> str:
    data = report.data
    apart = " with participants apart" if data is not None and not data.shared_participants else ""
    many = len(data.folds) if data is not None else len(scored.folds)
    known = all(bundle.origin is not None and bundle.origin.training_clips is not None for bundle in scored.bundles)
    checked = (
        " Each was scored once by a bundle whose training, selection and calibration clips, checked by salted hashes, "
        "hold none of them."
        if known
        else " The bundles do not say what they were trained on, so that nothing vouches that these clips are new."
    )
    people = f"{scored.record.clips:,} clips of {scored.record.participants} participants"
    folds = ", ".join(str(fold) for fold in scored.folds)
    if len(scored.folds) > 1 and len(scored.folds) == many:
        return f"We used {many}-fold cross-validation{apart}; {people} were scored.{checked}"
    return f"Of {many} folds{apart}, {people} of fold{'s' if scored.is_set else ''} {folds} were held out.{checked}"


def _latency(report: BenchReport) -> Iterator[str]:
    machine, first = report.environment, report.bundles[0]
    cpu = f" ({machine.cpu})" if machine.cpu else ""
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    threads = "" if "thread" in first.device else f" and {first.threads} thread{'s' if first.threads != 1 else ''}"
    runtime = machine.versions.get(first.engine)
    engine = f"{first.engine}{f' {runtime}' if runtime else ''}"
    yield (
        f"Latency was measured on {machine.machine}{cpu}, {cores}, with {engine} on {first.device}{threads}, at "
        "batch 1."
    )
    step = first.latency.get("live step") or next(iter(first.latency.values()), None)
    if first.single_stream:
        run = first.single_stream.get("live step") or next(iter(first.single_stream.values()))
        yield (
            "Each query was issued when the one before was done, by the rules of MLPerf Inference's SingleStream (at "
            f"least {run.min_queries:,} queries and {run.min_seconds:g} s; here {run.queries:,} in "
            f"{run.seconds:.0f} s)."
        )
    elif step is not None:
        yield (
            f"Each part was run {step.count:,} times one after the other, after {step.warmup} runs that do not count."
        )
    yield "Percentiles are nearest ranks of all durations; no outliers were removed."
    streaming = first.streaming
    if streaming is not None:
        yield (
            f"The live pipeline ran for {streaming.seconds:.0f} s on a simulated camera of "
            f"{streaming.frame_rate_hz:g} Hz and a simulated tracker of {streaming.sample_rate_hz:g} Hz."
        )


LIMITS = (
    "Figures are of this machine, these bundles and these clips. One laboratory, one kind of task: other people, other "
    "light, other trackers and other tasks are outside of them. Simulated sensors cost processor time that real ones "
    "do not, and have none of their faults. A head that names emotions above chance may still decode the film, since "
    "every film was chosen to induce one emotion; see the probes where they were run. Intervals hold the uncertainty "
    "of who took part, not that of training anew."
)


def _method_section(report: BenchReport, tables: dict[str, Table]) -> Section:
    blocks: list[Block] = [
        Paragraph("For a paper, to be pasted and cut:"),
        Quote(methods_of(report)),
        Facts(_environment_facts(report.environment)),
    ]
    conditions = report.conditions
    if conditions is not None:
        blocks += [Paragraph(f"Unsteady: {change.rstrip('.')}.", warning=True) for change in conditions.changed]
        blocks.append(Facts(_condition_facts(conditions)))
    blocks += [tables[name] for name in ("clocks", "splits") if name in tables]
    options = ", ".join(f"{name} {value}" for name, value in report.options.items() if value is not None)
    blocks.append(Facts((("Options and seeds", options),)))
    bundles = tuple(Facts(_bundle_facts(name, bundle)) for name, bundle in named_bundles(report))
    title = f"{len(bundles)} bundle{'s' if len(bundles) != 1 else ''}: paths, engines, precisions"
    return Section("Machine and method", (*blocks, Details(title, bundles), Paragraph(f"Limits. {LIMITS}")))


def _bundle_facts(name: str, bundle: BundleBench) -> tuple[tuple[str, str], ...]:
    threads = f"{bundle.threads} thread{'s' if bundle.threads != 1 else ''}"
    return (
        (name, bundle.path),
        ("Engine", f"{bundle.engine}, {bundle.device}, {threads}"),
        ("Precision", ", ".join(f"{part} {precision}" for part, precision in bundle.precision.items())),
    )


@tabled(
    "Splits",
    "Bundle | fold | clips | participants | split hash | data fingerprint | events | clips a second:1",
    "First 16 digits of SHA-256; report.json holds them whole. Split: the names of the fold's clips in order.",
)
def _splits(report: BenchReport) -> Rows:
    for name, bundle in named_bundles(report):
        accuracy = bundle.accuracy
        if accuracy is not None:
            hashes = (accuracy.split_hash[:16], accuracy.fingerprint[:16])
            counts = (accuracy.fold, accuracy.clips, accuracy.participants)
            yield (name, *counts, *hashes, accuracy.events, accuracy.clips_per_s)


def _clocks(report: BenchReport) -> Table:
    title, header = "Clocks while it was measured", "Clock | before (MHz) | lowest (MHz) | highest (MHz) | after (MHz)"
    seen = report.conditions
    if seen is None:
        return Table.of(title, header, ())
    before, after = seen.before.clocks_mhz, seen.after.clocks_mhz
    rows = ((name, before.get(name), *limits, after.get(name)) for name, limits in seen.clocks_mhz.items())
    return Table.of(title, header, rows, f"Looked at {seen.moments} times.")


def _known(value: float | str | None, unit: str = "") -> str:
    if value is None or value == "":
        return "unknown"
    return f"{value:,.1f} {unit}".strip() if isinstance(value, float) else value


def _environment_facts(machine: Environment) -> tuple[tuple[str, str], ...]:
    jetson = (("L4T", machine.l4t), ("JetPack", machine.jetpack), ("Power mode", machine.power_mode))
    flags = (("Boost", machine.boost), ("Virtual machine", machine.hypervisor))
    before, after = _known(machine.temperature_before_c, "°C"), _known(machine.temperature_after_c, "°C")
    return (
        ("Machine", f"{machine.machine} {machine.kernel}".strip()),
        ("Processor", _known(machine.cpu)),
        ("Instructions", ", ".join(machine.cpu_flags) or "none of those that matter here"),
        ("Cores", f"{machine.cores}{f' ({machine.affinity})' if machine.affinity else ''}"),
        ("Governor", _known(machine.governor)),
        *((name, "yes" if value else "no") for name, value in flags if value is not None),
        *((name, value) for name, value in jetson if value is not None),
        ("Memory", _known(machine.memory_mb, "MB")),
        ("Load before", _known(machine.load_average)),
        ("Temperature", f"{before} before, {after} after" if before != after else before),
        ("Versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
    )


def _condition_facts(conditions: Conditions) -> tuple[tuple[str, str], ...]:
    loads = [moment.load_average for moment in (conditions.before, conditions.after)]
    power = [moment.power_mw for moment in (conditions.before, conditions.after)]
    facts = (
        ("Hottest", None if conditions.hottest_c is None else f"{conditions.hottest_c:.1f} °C"),
        ("Highest power", None if conditions.highest_mw is None else f"{conditions.highest_mw:,.0f} mW"),
        ("Held back", ", ".join(conditions.slowed) or "nothing"),
        ("Load, before and after", _pair(loads, 2)),
        ("Power, before and after", f"{_pair(power, 0)} mW" if any(value is not None for value in power) else None),
        ("Conditions", "held" if not conditions.changed else "did not hold"),
    )
    return tuple((name, value) for name, value in facts if value is not None)


def _pair(values: list[float | None], digits: int) -> str:
    return " and ".join("unknown" if value is None else f"{value:.{digits}f}" for value in values)


METHOD: Final[PageSection] = ({"splits": _splits, "clocks": _clocks}, _method_section)
