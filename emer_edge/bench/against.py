"""This report against an older one: what moved, and what got worse by more than is allowed.

Latencies are compared by percentiles, their medians first, as a mean would follow single outliers. A percentile is
judged where enough measurements stand behind it (10 for a median; to claim a p90 takes 64, a p99 662), and shown where
not.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from emer_edge.bench.bench_options import BenchOptions
from emer_edge.bench.records.accuracy_records import Accuracy
from emer_edge.bench.records.latency_records import Latency
from emer_edge.bench.records.report_records import BenchReport, BundleBench, Comparison, Moved
from emer_edge.core.errors import DataError
from emer_edge.metrics.latency import queries_needed
from emer_edge.report.html import Block, Paragraph, Section
from emer_edge.report.table import Table
from emer_edge.report.words import digits_that_decide, folded, folded_of

_ENOUGH: Final = {"p50_ms": 10, "p90_ms": queries_needed(0.9), "p99_ms": queries_needed(0.99)}
_ENOUGH_STARTS: Final = 3
_ROUNDING: Final = 1e-9  # of binary fractions: a change of exactly the limit is within it
_MORE_IS_WORSE: Final = frozenset({"mae", "mse", "rmse", "nll", "brier", "ece"})
_NOISY: Final = frozenset({"ece"})  # of a few hundred clips it is mostly chance


class _Figure(NamedTuple):
    name: str
    value: float
    more_is_worse: bool = True
    judged: bool = True


def read_report(path: Path) -> BenchReport:
    """Read an older report: a file, or the folder that bench wrote.

    Raises:
        DataError: it can't be read, or is not a report of this schema.
    """
    path = path / "report.json" if path.is_dir() else path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror}; name the report.json that bench wrote") from None
    return BenchReport.from_json(data, str(path))


def compare(
    new: BenchReport, old: BenchReport, path: Path, max_regression: float = BenchOptions.max_regression
) -> Comparison:
    """Compare bundles of the same name and engine, figure by figure, with an older report that lies at `path`."""
    machine = _difference(new.environment, old.environment, ("machine", "cpu", "cores", "power_mode"))
    incomparable = [f"another machine: {machine}"] if machine else []
    figures: list[Moved] = []
    missing: list[str] = []
    for bundle, then in _same_bundles(new.bundles, old.bundles):
        if bundle is None and then is not None:
            missing.append(f"{then.name} in {then.engine}")
        if then is None and bundle is not None:
            incomparable.append(f"{bundle.name} in {bundle.engine} is not in the older report")
        if bundle is None or then is None:
            continue
        reason = _difference(bundle, then, ("device", "threads"))
        if reason:
            incomparable.append(f"{bundle.name}: {reason}")
        elif not machine:
            figures += _moved(bundle.name, _speed(bundle), _speed(then), max_regression)
            missing += _missing(bundle.name, _speed(bundle), _speed(then))
        reason = _other_clips(bundle.accuracy, then.accuracy)
        if reason:
            incomparable.append(f"{bundle.name}: {reason}")
        else:
            figures += _moved(bundle.name, _accuracy(bundle.accuracy), _accuracy(then.accuracy), max_regression)
        if bundle.accuracy is None or not reason:
            missing += _missing(bundle.name, _accuracy(bundle.accuracy), _accuracy(then.accuracy))
    return Comparison(
        path=str(path),
        created=old.created,
        max_regression=max_regression,
        figures=tuple(figures),
        incomparable=tuple(incomparable),
        missing=tuple(missing),
    )


def verdict_of(comparison: Comparison) -> tuple[str, ...]:
    """In words: what can't be compared, and how many figures moved."""
    better = sum(figure.verdict == "better" for figure in comparison.figures)
    moved = (
        f"{len(comparison.worse)} got worse by more than {100 * comparison.max_regression:.4g}%, {better} got better"
    )
    return (
        *(f"not compared: {reason}" for reason in comparison.incomparable),
        *(f"missing now: {name}" for name in comparison.missing),
        f"against {comparison.path} of {comparison.created}: {len(comparison.figures)} figures compared, {moved}",
    )


def moved_table(comparison: Comparison) -> Table:
    """What moved by more than the limit, the worst first; without rows when nothing did."""
    digits = _digits(comparison.figures, comparison.max_regression)
    rows = (
        (figure.bundle, figure.figure, figure.old, figure.new, f"{figure.change:+.{digits}%}", figure.verdict)
        for figure in sorted(comparison.figures, key=lambda figure: (figure.verdict != "worse", -abs(figure.change)))
        if figure.verdict in ("worse", "better")
    )
    header = "Bundle | Figure | then:3 | now:3 | change | "
    return Table.of("What moved", header, rows, "Changes within the limit are left out.")


def _same_bundles(
    new: Sequence[BundleBench], old: Sequence[BundleBench]
) -> Iterator[tuple[BundleBench | None, BundleBench | None]]:
    """Bundles of the same name and engine; several of one name, as of several folds, by their order; then the rest."""
    left = list(old)
    for bundle in new:
        then = next((other for other in left if (other.name, other.engine) == (bundle.name, bundle.engine)), None)
        if then is not None:
            left.remove(then)
        yield bundle, then
    yield from ((None, then) for then in left)


def _missing(bundle: str, new: Iterable[_Figure], old: Iterable[_Figure]) -> Iterator[str]:
    """Figures that are there no more, in the order of the older report; of a part or head that is gone, its name."""
    now = {figure.name for figure in new}
    kept = {name.rpartition("/")[0] for name in now}
    gone = [name for name in (figure.name for figure in old) if name not in now]
    groups = (name if (group := name.rpartition("/")[0]) in kept else group or name for name in gone)
    yield from (f"{bundle}: {name}" for name in dict.fromkeys(groups))


def _moved(bundle: str, new: Iterable[_Figure], old: Iterable[_Figure], limit: float) -> Iterator[Moved]:
    before = {figure.name: figure for figure in old}
    for now in new:
        was = before.get(now.name)
        if was is None:
            continue
        change = (now.value - was.value) / abs(was.value) if was.value else float(now.value != 0)
        worse = change if now.more_is_worse else -change
        verdict = "worse" if worse > limit + _ROUNDING else "better" if worse < -limit - _ROUNDING else "same"
        if not (now.judged and was.judged) and verdict != "same":
            verdict = "unjudged"
        yield Moved(
            bundle=bundle,
            figure=now.name,
            old=was.value,
            new=now.value,
            change=change,
            verdict=verdict,  # type: ignore[arg-type]
        )


def _speed(bundle: BundleBench) -> Iterator[_Figure]:
    for part, latency in bundle.latency.items():
        yield from _percentiles(f"latency/{part}", latency)
    for query, run in bundle.single_stream.items():
        yield from _percentiles(f"closed loop/{query}", run.latency)
        if run.energy.millijoules is not None:
            yield _Figure(f"energy/{query}/millijoules", run.energy.millijoules)
    for several in bundle.several_streams:
        yield _Figure(f"{several.streams} streams/per_stream_ms", several.per_stream_ms)
    if bundle.first_result is not None:
        for name, starts in (("cold_ms", bundle.first_result.cold_ms), ("warm_ms", bundle.first_result.warm_ms)):
            if starts:
                yield _Figure(f"first result/{name}", median(starts), judged=len(starts) >= _ENOUGH_STARTS)
    for live in [*([bundle.streaming] if bundle.streaming else []), *bundle.live_streams]:
        name = "live run" if live.streams == 1 else f"live run of {live.streams}"
        for stage, latency in live.stages.items():
            yield from _percentiles(f"{name}/{stage}", latency)
        if live.peak_rss_mb is not None:
            yield _Figure(f"{name}/peak_rss_mb", live.peak_rss_mb)
    if bundle.loading.rss_mb is not None:
        yield _Figure("loading/rss_mb", bundle.loading.rss_mb)
    yield _Figure("size_bytes", float(bundle.size_bytes))


def _percentiles(name: str, latency: Latency) -> Iterator[_Figure]:
    for percentile, enough in _ENOUGH.items():
        yield _Figure(f"{name}/{percentile}", getattr(latency, percentile), judged=latency.count >= enough)


def _accuracy(accuracy: Accuracy | None) -> Iterator[_Figure]:
    if accuracy is not None:
        for head, record in accuracy.heads.items():
            for metric, value in record.metrics.items():
                name = f"accuracy/fold {accuracy.fold}/{head}/{metric}"
                if math.isfinite(value.value):
                    yield _Figure(name, value.value, metric in _MORE_IS_WORSE, metric not in _NOISY)


def _difference(new: object, old: object, names: Sequence[str]) -> str:
    """The first of the named attributes that differs, in words; empty where none does."""
    for name in names:
        now, then = getattr(new, name), getattr(old, name)
        if now != then:
            return f"{name.replace('_', ' ')} {then} then, {now} now; no times are compared"
    return ""


def _other_clips(new: Accuracy | None, old: Accuracy | None) -> str:
    if new is None or old is None:
        return "" if new is old else "scored on clips in one of the two reports alone"
    if new.fingerprint != old.fingerprint:
        return "scored on other data; no accuracy is compared"
    if new.fold != old.fold:
        return f"scored on fold {old.fold} then, {new.fold} now; no accuracy is compared"
    if new.split_hash != old.split_hash:
        return f"fold {new.fold} holds other clips than then; no accuracy is compared"
    return ""


def _digits(figures: Iterable[Moved], limit: float) -> int:
    """Decimals of per cents at which what got worse differs from the limit."""
    return digits_that_decide(((100 * abs(figure.change), 100 * limit) for figure in figures), fewest=1)


def _then_and_now(report: BenchReport) -> Table:
    figures, limit = ((), 0.0) if report.against is None else (report.against.figures, report.against.max_regression)
    note = "Unjudged: noise alone could do it, as in a tail percentile of few measurements."
    return _changes("Then and now", figures, limit, note)


def _changes(title: str, figures: Sequence[Moved], limit: float, note: str = "") -> Table:
    rows = ((one.bundle, one.figure, one.old, one.new, one.change, one.verdict) for one in figures)
    header = f"Bundle | Figure | then:4 | now:4 | change (%):{_digits(figures, limit)} | verdict"
    return Table.of(title, header, rows, note)


def _against_section(report: BenchReport, tables: dict[str, Table]) -> Section | None:
    comparison = report.against
    if comparison is None:
        return None
    counts = Counter(figure.verdict for figure in comparison.figures)
    moves = ", ".join(f"{counts[name]} {name}" for name in ("worse", "better", "same", "unjudged") if counts[name])
    text = (
        f"Against {comparison.path} of {comparison.created}: {moves or 'nothing can be compared'}. A figure may be "
        f"{100 * comparison.max_regression:.4g}% worse."
    )
    blocks: list[Block] = [Paragraph(text, warning=not comparison.passed)]
    if comparison.missing:
        blocks.append(Paragraph(f"Missing now: {'; '.join(comparison.missing)}.", warning=True))
    moved = [figure for figure in comparison.figures if figure.verdict in ("worse", "better")]
    if moved:
        blocks.append(folded(_changes("What moved", moved, comparison.max_regression)))
    if comparison.incomparable:
        blocks.append(Paragraph(f"Not compared: {'; '.join(comparison.incomparable)}."))
    return Section("Since the older report", (*blocks, *folded_of(tables, "against")))


AGAINST: Final = ({"against": _then_and_now}, _against_section)
