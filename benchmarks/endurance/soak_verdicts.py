"""Figures, floors and plot of a soak, from the entries of its journal alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.common import Floor
from benchmarks.endurance.faults import EFFECTS, OUTPUT_KINDS, Fault
from benchmarks.endurance.figures import calm, growth, histogram, percentiles, ratio_of_ends
from benchmarks.endurance.oracle import Oracle, holes
from benchmarks.endurance.time_series import Band, Course, stacked, time_series
from emer_edge.core.window import WindowSpec
from emer_edge.runtime.options import WindowOptions

__all__ = ["Judged", "judge", "plot"]

_WARM_S: Final = 300.0
_ENDS_S: Final = 600.0
_RSS_SHARE: Final = 0.02
_P99_RATIO: Final = 1.2
_AFTER_S: Final = 3.0  # a capture process that has just started still grows
_SHOWN: Final = 20
_BANDS: Final = ("camera", "tracker", "both", "outputs")
_TOGETHER_NS: Final = 2_000_000_000  # pulling a plug takes a moment

Entries = Sequence[dict[str, Any]]


class Judged:
    """A journal, taken apart.

    Args:
        entries: of the journal; at least its start.

    Attributes:
        start: the first entry.
        results, samples, backs, stalls, said: entries of these kinds, in order.
        faults: as they happened.
        origin_ns: start of the lattice; of the journal, where no result came.
    """

    def __init__(self, entries: Entries) -> None:
        self.start = entries[0]
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            by_kind.setdefault(entry["what"], []).append(entry)
        self.results, self.samples = by_kind.get("result", []), by_kind.get("sample", [])
        self.backs, self.said = by_kind.get("back", []), by_kind.get("said", [])
        self.stalls = [(stall["from_ns"], stall["to_ns"]) for stall in by_kind.get("stall", [])]
        self.end = by_kind.get("end", [{}])[-1]
        summary = by_kind.get("summary", [{}])[-1]
        self.summary: dict[str, Any] = summary.get("summary", {})
        self.recording_mb = summary.get("recording_mb")
        self.faults = _faults(by_kind.get("fault", []))
        hop_ns = self.start["hop_ns"]
        self.origin_ns: int = self.results[0]["end_ns"] - hop_ns if self.results else self.start["at_ns"]
        self.spec = WindowSpec(self.start["length_ns"], round(self.start["length_ns"] / 8 / hop_ns))

    def seconds(self, at_ns: int) -> float:
        """Time since the lattice began."""
        return (at_ns - self.origin_ns) * 1e-9

    def troubles_s(self) -> list[tuple[float, float]]:
        """When something was wrong, or might have been still."""
        spans = [(-1e9, self.spec.length_ns * 1e-9)]
        backs = {(back["kind"], back["at_ns"]) for back in self.backs}
        for fault in self.faults:
            if fault.to_ns is None:
                spans.append((self.seconds(fault.from_ns), 1e9))
                continue
            over_s = self.seconds(fault.to_ns)
            if fault.kind in EFFECTS:
                over_s += EFFECTS[fault.kind].recovery_s((fault.to_ns - fault.from_ns) * 1e-9)
            else:
                after = [at for kind, at in backs if kind == fault.kind and at >= fault.to_ns]
                over_s = self.seconds(min(after)) if after else over_s
            spans.append((self.seconds(fault.from_ns), over_s + _AFTER_S))
        return spans

    def violations(self, first: int = 0) -> list[str]:
        """What the oracle has against the results from number `first` on."""
        oracle = Oracle(self.spec, WindowOptions().allowance_ns, self.origin_ns)
        return [text for result in self.results[first:] for text in oracle.objections(result, self.faults, self.stalls)]

    def cpu_shares(self) -> tuple[list[float], list[float]]:
        """Times in s, and the share of a core used since the sample before."""
        times, shares = [], []
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            times.append(self.seconds(after["at_ns"]))
            spent_s = max(0.0, after["cpu_s"] - before["cpu_s"])  # a process that nobody has waited for yet is missing
            shares.append(spent_s / ((after["at_ns"] - before["at_ns"]) * 1e-9))
        return times, shares


def judge(entries: Entries) -> tuple[list[Floor], dict[str, Any]]:
    """Floors and figures of a journal; a run that was cut off is judged by the entries it left."""
    run = Judged(entries)
    length_s = run.start["seconds"]
    warm_s, ends_s = min(_WARM_S, length_s / 3), min(_ENDS_S, length_s / 3)
    times = [run.seconds(sample["at_ns"]) for sample in run.samples]
    is_calm = calm(times, run.troubles_s())
    quiet = [sample for sample, fit in zip(run.samples, is_calm, strict=True) if fit]
    quiet_s = [at for at, fit in zip(times, is_calm, strict=True) if fit]
    grown = {key: growth(quiet_s, [sample[key] for sample in quiet], warm_s) for key in ("rss_mb", "threads", "fds")}
    shared = [(at, sample) for at, sample in zip(quiet_s, quiet, strict=True) if sample["pss_mb"] is not None]
    for key in ("pss_mb", "uss_mb"):
        grown[key] = growth([at for at, _ in shared], [sample[key] for _, sample in shared], warm_s)
    results_s = [run.seconds(result["end_ns"]) for result in run.results]
    totals = [result["total_ms"] for result in run.results]
    ends = ratio_of_ends(results_s, totals, ends_s)
    violations = run.violations()
    missing = holes([result["end_ns"] for result in run.results], run.start["hop_ns"])
    dropped = run.results[-1]["dropped"] if run.results else {}
    counted = dropped.get("late steps", 0) + dropped.get("results", 0)
    away = [back["kind"] for back in run.backs if back["after_s"] is None]
    lost = sum(count for counts in run.summary.get("outputs", {}).values() for count in counts.values())
    lasted_s = results_s[-1] if results_s else 0.0
    floors = [
        Floor("seconds of results", lasted_s, length_s - 2.0, True, " s"),
        Floor("exit code of the run", abs(run.end.get("code") or 0) if run.end else 1, 1, False),
        Floor(
            "growth of RSS after the warm-up", 100 * _worst(grown["rss_mb"], "_share"), 100 * _RSS_SHARE, False, " %"
        ),
        Floor("growth of threads", _worst(grown["threads"]), 1, False),
        Floor("growth of file descriptors", _worst(grown["fds"]), 1, False),
        Floor("p99 of the last results over that of the first", ends["ratio"], _P99_RATIO, False),
        Floor("results whose state the faults do not explain", len(violations), 1, False),
        Floor("windows without a result that nobody counted", abs(missing - counted), 1, False),
        Floor("outputs that did not come back", len(away), 1, False),
        Floor("items that outputs have lost", lost, 1, False),
    ]
    _, shares = run.cpu_shares()
    figures = {
        "seed": run.start["seed"],
        "arguments": run.start["arguments"],
        "bundle": run.start["bundle"],
        "seconds_asked": length_s,
        "seconds_of_results": lasted_s,
        "warm_up_s": warm_s,
        "faults": dict(Counter(fault.kind for fault in run.faults)),
        "states": dict(Counter(result["state"] for result in run.results)),
        "violations": violations[:_SHOWN],
        "samples": {"all": len(run.samples), "calm": len(quiet)},
        "grown": grown,
        "rss_mb_at_most": max([sample["rss_mb"] for sample in run.samples], default=None),
        "cpu_share": percentiles(shares) | {"mean": sum(shares) / len(shares) if shares else None},
        "total_ms": percentiles(totals),
        "total_ms_histogram": _text(histogram(totals)),
        "ends": ends,
        "result_age_ms": percentiles([result["age_ms"] for result in run.results]),
        "windows_without_result": missing,
        "dropped": dropped,
        "outputs_back_after_s": {
            kind: [back["after_s"] for back in run.backs if back["kind"] == kind] for kind in OUTPUT_KINDS
        },
        "outputs_lost": run.summary.get("outputs", {}),
        "recording_mb": run.recording_mb,
        "machine_stalls": len(run.stalls),
        "run_said": len(run.said),
        "ended": run.end,
        "minutes": minutes(run),
    }
    return floors, figures


def minutes(run: Judged) -> list[dict[str, Any]]:
    """Memory, threads, latencies and states of each minute."""
    rows = []
    last_s = max([run.seconds(result["end_ns"]) for result in run.results] + [0.0])
    for at in range(int(last_s // 60) + 1):
        results = [result for result in run.results if 60 * at <= run.seconds(result["end_ns"]) < 60 * at + 60]
        samples = [sample for sample in run.samples if 60 * at <= run.seconds(sample["at_ns"]) < 60 * at + 60]
        totals = [result["total_ms"] for result in results]
        middle = {
            key: sorted(sample[key] for sample in samples)[len(samples) // 2]
            for key in ("rss_mb", "threads", "fds")
            if samples
        }
        rows.append(
            {
                "minute": at + 1,
                **middle,
                "total_ms": percentiles(totals),
                "histogram": _text(histogram(totals)) if totals else "",
                "states": dict(Counter(result["state"] for result in results)),
            }
        )
    return rows


def plot(entries: Entries) -> str:
    """Memory, threads, CPU and latencies over time, faults behind them, as SVG."""
    run = Judged(entries)
    bands = _bands(run)
    times = [run.seconds(sample["at_ns"]) / 60 for sample in run.samples]
    shared = [sample for sample in run.samples if sample["pss_mb"] is not None]
    span = 0.0, max([*times, 1e-9])
    rows = [minute for minute in minutes(run) if minute["total_ms"]["count"] and minute["minute"] - 0.5 <= span[1]]
    middles = [row["minute"] - 0.5 for row in rows]
    cpu_s, shares = run.cpu_shares()
    drawings = [
        time_series(
            "Memory of all processes of the run; bands: what failed",
            "MB",
            "minutes",
            [
                Course("RSS", times, [sample["rss_mb"] for sample in run.samples]),
                Course(
                    "PSS",
                    [run.seconds(sample["at_ns"]) / 60 for sample in shared],
                    [sample["pss_mb"] for sample in shared],
                ),
            ],
            bands,
            span=span,
        ),
        time_series(
            "Threads and file descriptors of all processes",
            "count",
            "minutes",
            [
                Course("threads", times, [sample["threads"] for sample in run.samples]),
                Course("file descriptors", times, [sample["fds"] for sample in run.samples]),
            ],
            bands,
            span=span,
        ),
        time_series(
            "CPU time of all processes",
            "% of a core",
            "minutes",
            [Course("CPU", [at / 60 for at in cpu_s], [100 * share for share in shares])],
            bands,
            span=span,
        ),
        time_series(
            "Step latency (deadline to result), by the minute",
            "ms",
            "minutes",
            [Course(name, middles, [row["total_ms"][name] for row in rows]) for name in ("p50", "p99", "max")],
            bands,
            span=span,
        ),
    ]
    return stacked(f"emer-edge run for {run.start['seconds'] / 60:g} minutes, seed {run.start['seed']}", drawings)


def _bands(run: Judged) -> list[Band]:
    last_s = max([run.seconds(sample["at_ns"]) for sample in run.samples] + [0.0])
    sensors = [fault for fault in run.faults if fault.kind in EFFECTS]
    bands = []
    for fault in run.faults:
        others = [one for one in sensors if one is not fault and abs(one.from_ns - fault.from_ns) < _TOGETHER_NS]
        name = "outputs" if fault.kind not in EFFECTS else "both" if others else EFFECTS[fault.kind].source
        to_s = last_s if fault.to_ns is None else run.seconds(fault.to_ns)
        bands.append(Band(name, run.seconds(fault.from_ns) / 60, to_s / 60))
    return sorted(bands, key=lambda band: _BANDS.index(band.name))


def _faults(entries: Iterable[dict[str, Any]]) -> list[Fault]:
    """One fault of each pair of entries, its beginning and its end."""
    faults: dict[tuple[str, int], Fault] = {}
    for entry in entries:
        faults[entry["kind"], entry["from_ns"]] = Fault(entry["kind"], entry["from_ns"], entry["to_ns"])
    return list(faults.values())


def _worst(grown: dict[str, float], ending: str = "") -> float:
    return max(grown[f"grown{ending}"], grown[f"fitted{ending}"])


def _text(bins: Iterable[tuple[float, int]]) -> str:
    """A histogram on one line: `edge:count`, upper edges in ms."""
    return " ".join(f"{edge:g}:{count}" for edge, count in bins)
