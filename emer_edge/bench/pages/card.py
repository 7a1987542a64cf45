"""The model card of the bundles, after Mitchell et al., Model Cards for Model Reporting (FAT* 2019): nine headings."""

from __future__ import annotations

from typing import Final

from emer_edge.bench.pages.method import LIMITS
from emer_edge.bench.pages.probed import film_notes_of
from emer_edge.bench.pages.scored import named_bundles, names_of, scored_of
from emer_edge.bench.records.report_records import BenchReport, Origin
from emer_edge.report.html import Block, Facts, Paragraph, Section
from emer_edge.report.table import Cell, Table
from emer_edge.report.text_tables import to_markdown
from emer_edge.report.words import folded, sentence

_USE: Final = (
    "Research on how what a face shows and what a person likely feels differ, on people who know about it and agreed, "
    "in set-ups like the one that its data come from: one person before a display, a camera and an eye tracker."
)
_OUT: Final = (
    "Inferring emotions of people at work or in education is prohibited in the European Union except for medical or "
    "safety reasons (AI Act, Regulation (EU) 2024/1689, Article 5(1)(f)). Elsewhere such a system is high-risk (Annex "
    "III), and the people exposed to it must be told (Article 50(3)). It is no lie detector, no diagnosis and no "
    "reading of a mind; decisions about a person must not rest on it. Children, groups in view, other cultures, other "
    "trackers and other tasks are outside of what its figures cover."
)
_ETHICS: Final = (
    "Faces, gaze and pupil size are biometric data, and an emotion is personal data. ER is what annotators would say a "
    "person felt who watched a film chosen to induce an emotion; FER what they would say the face shows: labels are "
    "opinions of annotators, not facts of a mind. An emotion read from a face may be wrong more often for some people "
    "than for others; see the figures of participants. Tell the people in view, let them say no, keep no more than is "
    "needed, and delete on time."
)
_FACTORS: Final = (
    "Age, gender, glasses, skin, language and culture are not recorded in the labels, so that figures can't be given "
    "for such groups: that they are missing does not mean that there are no differences. What the data allow is "
    "below: each class, and how participants spread."
)


def card_text(report: BenchReport, tables: dict[str, Table]) -> str:
    """The card as Markdown, one for all bundles of a report."""
    names = ", ".join(names_of(report).values())
    lines = [f"# Model card: {to_markdown(names)}", ""]
    lines += [f"> **{to_markdown(warning)}**\n" for warning in _loud(report)]
    for heading, blocks in _parts(report, tables).items():
        lines += [f"## {heading}", ""]
        for block in blocks:
            lines += [to_markdown(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def card_section(report: BenchReport, tables: dict[str, Table]) -> Section:
    """The card as a section: what stands elsewhere on the page is not repeated."""
    blocks: list[Block] = [Paragraph(warning, warning=True) for warning in _loud(report)]
    facts: list[tuple[str, str]] = []
    for heading, parts in _parts(report, tables).items():
        texts = [part for part in parts if isinstance(part, str)]
        new = [part for part in parts if isinstance(part, Table) and part not in tables.values()]
        facts += [(heading, " ".join(texts))] if texts else []
        if new:
            blocks += [Facts(tuple(facts)), *map(folded, new)]
            facts = []
    return Section("Model card", (*blocks, Facts(tuple(facts))))


def _loud(report: BenchReport) -> list[str]:
    warnings = []
    trained = [
        name for name, bundle in named_bundles(report) if bundle.demo or (bundle.origin and bundle.origin.synthetic)
    ]
    if trained:
        names = ", ".join(trained)
        warnings.append(
            "SYNTHETIC WEIGHTS: trained on rendered people. At best they read a posed smile of people they never saw; "
            f"everything about feelings is simulated ({names})."
        )
    if report.data is not None and report.data.synthetic:
        warnings.append("SYNTHETIC DATA: no figure of accuracy in this card is about people.")
    return warnings


def _parts(report: BenchReport, tables: dict[str, Table]) -> dict[str, tuple[str | Table, ...]]:
    """Heading -> what stands under it."""
    films = (sentence(f"{note}: {', '.join(names)}") for note, names in film_notes_of(report).items())
    return {
        "Model details": _details(report),
        "Intended use": (_USE, *_licence(report)),
        "Out of scope": (_OUT,),
        "Factors": (_FACTORS,),
        "Metrics": (_metrics(report),),
        "Evaluation data": _evaluation(report),
        "Training data": _training(report),
        "Quantitative analyses": _figures(tables),
        "Ethical considerations": (_ETHICS,),
        "Caveats and recommendations": (LIMITS, *films),
    }


def _details(report: BenchReport) -> tuple[str | Table, ...]:
    text = (
        "EMERT, a transformer over eight face crops and thirty-two rows of an eye tracker, exported by emer-edge as a "
        "face encoder and a fusion part for real-time inference."
    )
    rows: list[tuple[Cell, ...]] = []
    for name, bundle in named_bundles(report):
        made = bundle.origin
        precision = ", ".join(f"{part} {how.upper()}" for part, how in bundle.precision.items())
        window, rest = "", ("", "", "")
        if made:
            window = f"{made.window_s:g} s, every {made.hop_s:g} s"
            rest = (made.events, _gate(made), _calibration(made))
        rows.append((name, made.created[:10] if made else "", precision, bundle.size_bytes / 1e6, window, *rest))
    header = "Bundle | Made | Precision | Size (MB):1 | Window | Events | Accuracy gate | Calibration"
    heads = next((bundle.origin.heads for bundle in report.bundles if bundle.origin is not None), {})
    said = "; ".join(f"{name}: {', '.join(classes)}" if classes else name for name, classes in heads.items())
    return (text, *((f"Heads and classes: {said}.",) if said else ()), Table.of("Bundles", header, rows))


def _gate(made: Origin) -> str:
    on = f" on {made.gate_windows:,} windows of {made.gate_participants} participants" if made.gate_windows else ""
    return f"{made.gate}{on}"


def _calibration(made: Origin) -> str:
    people = f" of {made.calibration_participants} participants" if made.calibration_participants else ""
    return f"{made.calibration}, {made.calibration_windows:,} windows{people}" if made.calibration else "none"


def _licence(report: BenchReport) -> tuple[str, ...]:
    if any(bundle.origin is not None and bundle.origin.research_only for bundle in report.bundles):
        return ("EMER's agreement covers the data behind it: academic use only, and bundles are not to be passed on.",)
    return ()


def _metrics(report: BenchReport) -> str:
    resamples = report.options.get("resamples")
    drawn = f"{resamples} bootstrap draws over participants" if resamples else "bootstrap over participants"
    return (
        "WAR (accuracy), UAR and weighted F1 of class heads; MAE, RMSE, CCC and Pearson's r of value heads; ECE, NLL "
        f"and Brier score of probabilities; AUROC of the gap. 95 % intervals by {drawn}; guesses stand beside every "
        "figure."
    )


def _evaluation(report: BenchReport) -> tuple[str | Table, ...]:
    data = report.data
    if data is None:
        return ("No clips were given, so that nothing is known about accuracy here.",)
    films = f" watching {data.stimuli} films" if data.stimuli else ""
    kind = "Synthetic clips in EMER's layout" if data.synthetic else "Clips in EMER's layout"
    split = "dealt into new folds with participants apart" if data.regrouped else "in the data set's own folds"
    shared = f" {data.shared_participants} participants lie in several folds." if data.shared_participants else ""
    scored = "; ".join(
        f"{scored.name}: {scored.record.clips:,} clips of {scored.record.participants}" for scored in scored_of(report)
    )
    text = (
        f"{kind}: {data.clips:,} of {data.participants} participants{films}, {split}; {data.skipped} could not be "
        f"used.{shared} Scored: {scored or 'none'}. Fingerprint {data.fingerprint[:16]}."
    )
    rows = tuple((head, label, count) for head, counts in data.labels.items() for label, count in counts.items())
    return (text, Table.of("Labels of the data set", "Head | Class | clips", rows)) if rows else (text,)


def _training(report: BenchReport) -> tuple[str, ...]:
    sentences: dict[str, None] = {}
    for name, bundle in named_bundles(report):
        made = bundle.origin
        sentence_of = f"{name} does not say what it was trained on."
        if made is not None and made.training_clips is not None:
            kind = "synthetic clips" if made.synthetic else "clips"
            fold = f", fold {made.held_out} held out" if made.held_out else ""
            sentence_of = (
                f"{name}: fitted to {made.training_clips:,} {kind}{fold}; choices were made on "
                f"{made.selection_clips:,} others of other participants."
            )
            if made.weights:
                sentence_of += f" Its face encoder was not fitted to them: it is {made.weights}."
        sentences[sentence_of] = None
    return (" ".join(sentences),)


def _figures(tables: dict[str, Table]) -> tuple[str | Table, ...]:
    names = ["class_protocols", "value_protocols", "classes", "values", "recalls", "people", "gap"]
    names.append("single_stream" if "single_stream" in tables else "speed")
    return tuple(tables[name] for name in names if name in tables) or ("None were measured.",)
