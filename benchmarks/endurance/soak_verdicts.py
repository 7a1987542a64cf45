"""What a soak's journal says: figures, floors, and the plot. Reads nothing but the journal's entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from benchmarks.common import Floor
from benchmarks.endurance.faults import EFFECTS, OUTPUT_KINDS, Fault
from benchmarks.endurance.figures import calm, growth, histogram, percentiles, ratio_of_ends
from benchmarks.endurance.oracle import Oracle, holes
from emer_edge.core.window import WindowSpec
from emer_edge.report.time_series import Band, Course, stacked, time_series
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
        for each in entries:
            by_kind.setdefault(each["what"], []).append(each)
        self.results, self.samples = by_kind.get("result", []), by_kind.get("sample", [])
        self.backs, self.said = by_kind.get("back", []), by_kind.get("said", [])
        self.stalls = [(each["from_ns"], each["to_ns"]) for each in by_kind.get("stall", [])]
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
        found = [(-1e9, self.spec.length_ns * 1e-9)]
        backs = {(each["kind"], each["at_ns"]) for each in self.backs}
        for each in self.faults:
            if each.to_ns is None:
                found.append((self.seconds(each.from_ns), 1e9))
                continue
            over_s = self.seconds(each.to_ns)
            if each.kind in EFFECTS:
                over_s += EFFECTS[each.kind].recovery_s((each.to_ns - each.from_ns) * 1e-9)
            else:
                after = [at for kind, at in backs if kind == each.kind and at >= each.to_ns]
                over_s = self.seconds(min(after)) if after else over_s
            found.append((self.seconds(each.from_ns), over_s + _AFTER_S))
        return found

    def violations(self, first: int = 0) -> list[str]:
        """What the oracle has against the results from number `first` on."""
        oracle = Oracle(self.spec, WindowOptions().allowance_ns, self.origin_ns)
        return [text for each in self.results[first:] for text in oracle.objections(each, self.faults, self.stalls)]

    def cpu_shares(self) -> tuple[list[float], list[float]]:
        """Times in s, and the share of a core used since the sample before."""
        times, shares = [], []
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            times.append(self.seconds(after["at_ns"]))
            spent_s = max(0.0, after["cpu_s"] - before["cpu_s"])  # a process that nobody has waited for yet is missing
            shares.append(spent_s / ((after["at_ns"] - before["at_ns"]) * 1e-9))
        return times, shares


def judge(entries: Entries) -> tuple[list[Floor], dict[str, Any]]:
    """Floors and figures of a journal; a run that was cut off is judged by what it has left."""
    run = Judged(entries)
    asked_s = run.start["seconds"]
    warm_s, ends_s = min(_WARM_S, asked_s / 3), min(_ENDS_S, asked_s / 3)
    times = [run.seconds(each["at_ns"]) for each in run.samples]
    is_calm = calm(times, run.troubles_s())
    quiet = [each for each, fit in zip(run.samples, is_calm, strict=True) if fit]
    quiet_s = [at for at, fit in zip(times, is_calm, strict=True) if fit]
    grown = {key: growth(quiet_s, [each[key] for each in quiet], warm_s) for key in ("rss_mb", "threads", "fds")}
    shared = [(at, each) for at, each in zip(quiet_s, quiet, strict=True) if each["pss_mb"] is not None]
    for key in ("pss_mb", "uss_mb"):
        grown[key] = growth([at for at, _ in shared], [each[key] for _, each in shared], warm_s)
    results_s = [run.seconds(each["end_ns"]) for each in run.results]
    totals = [each["total_ms"] for each in run.results]
    ends = ratio_of_ends(results_s, totals, ends_s)
    violations = run.violations()
    missing = holes([each["end_ns"] for each in run.results], run.start["hop_ns"])
    dropped = run.results[-1]["dropped"] if run.results else {}
    counted = dropped.get("late steps", 0) + dropped.get("results", 0)
    away = [each["kind"] for each in run.backs if each["after_s"] is None]
    lost = sum(count for each in run.summary.get("outputs", {}).values() for count in each.values())
    lasted_s = results_s[-1] if results_s else 0.0
    floors = [
        Floor("seconds of results", lasted_s, asked_s - 2.0, True, " s"),
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
        "seconds_asked": asked_s,
        "seconds_of_results": lasted_s,
        "warm_up_s": warm_s,
        "faults": dict(Counter(each.kind for each in run.faults)),
        "states": dict(Counter(each["state"] for each in run.results)),
        "violations": violations[:_SHOWN],
        "samples": {"all": len(run.samples), "calm": len(quiet)},
        "grown": grown,
        "rss_mb_at_most": max([each["rss_mb"] for each in run.samples], default=None),
        "cpu_share": percentiles(shares) | {"mean": sum(shares) / len(shares) if shares else None},
        "total_ms": percentiles(totals),
        "total_ms_histogram": _text(histogram(totals)),
        "ends": ends,
        "result_age_ms": percentiles([each["age_ms"] for each in run.results]),
        "windows_without_result": missing,
        "dropped": dropped,
        "outputs_back_after_s": {
            kind: [each["after_s"] for each in run.backs if each["kind"] == kind] for kind in OUTPUT_KINDS
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
    last_s = max([run.seconds(each["end_ns"]) for each in run.results] + [0.0])
    for at in range(int(last_s // 60) + 1):
        results = [each for each in run.results if 60 * at <= run.seconds(each["end_ns"]) < 60 * at + 60]
        samples = [each for each in run.samples if 60 * at <= run.seconds(each["at_ns"]) < 60 * at + 60]
        totals = [each["total_ms"] for each in results]
        middle = {
            key: sorted(each[key] for each in samples)[len(samples) // 2]
            for key in ("rss_mb", "threads", "fds")
            if samples
        }
        rows.append(
            {
                "minute": at + 1,
                **middle,
                "total_ms": percentiles(totals),
                "histogram": _text(histogram(totals)) if totals else "",
                "states": dict(Counter(each["state"] for each in results)),
            }
        )
    return rows


def plot(entries: Entries) -> str:
    """Memory, threads, CPU and latencies over time, faults behind them, as SVG."""
    run = Judged(entries)
    bands = _bands(run)
    times = [run.seconds(each["at_ns"]) / 60 for each in run.samples]
    shared = [each for each in run.samples if each["pss_mb"] is not None]
    span = 0.0, max([*times, 1e-9])
    rows = [each for each in minutes(run) if each["total_ms"]["count"] and each["minute"] - 0.5 <= span[1]]
    middles = [each["minute"] - 0.5 for each in rows]
    cpu_s, shares = run.cpu_shares()
    drawings = [
        time_series(
            "Memory of all processes of the run; bands: what failed",
            "MB",
            "minutes",
            [
                Course("RSS", times, [each["rss_mb"] for each in run.samples]),
                Course(
                    "PSS", [run.seconds(each["at_ns"]) / 60 for each in shared], [each["pss_mb"] for each in shared]
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
                Course("threads", times, [each["threads"] for each in run.samples]),
                Course("file descriptors", times, [each["fds"] for each in run.samples]),
            ],
            bands,
            span=span,
        ),
        time_series(
            "CPU time of all processes",
            "% of a core",
            "minutes",
            [Course("CPU", [at / 60 for at in cpu_s], [100 * each for each in shares])],
            bands,
            span=span,
        ),
        time_series(
            "Hop deadline to result, by the minute",
            "ms",
            "minutes",
            [Course(name, middles, [each["total_ms"][name] for each in rows]) for name in ("p50", "p99", "max")],
            bands,
            span=span,
        ),
    ]
    return stacked(f"emer-edge run for {run.start['seconds'] / 60:g} minutes, seed {run.start['seed']}", drawings)


def _bands(run: Judged) -> list[Band]:
    last_s = max([run.seconds(each["at_ns"]) for each in run.samples] + [0.0])
    sensors = [each for each in run.faults if each.kind in EFFECTS]
    bands = []
    for each in run.faults:
        others = [one for one in sensors if one is not each and abs(one.from_ns - each.from_ns) < _TOGETHER_NS]
        name = "outputs" if each.kind not in EFFECTS else "both" if others else EFFECTS[each.kind].source
        to_s = last_s if each.to_ns is None else run.seconds(each.to_ns)
        bands.append(Band(name, run.seconds(each.from_ns) / 60, to_s / 60))
    return sorted(bands, key=lambda each: _BANDS.index(each.name))


def _faults(entries: Iterable[dict[str, Any]]) -> list[Fault]:
    """One fault of each pair of entries, its beginning and its end."""
    found: dict[tuple[str, int], Fault] = {}
    for each in entries:
        found[each["kind"], each["from_ns"]] = Fault(each["kind"], each["from_ns"], each["to_ns"])
    return list(found.values())


def _worst(grown: dict[str, float], ending: str = "") -> float:
    return max(grown[f"grown{ending}"], grown[f"fitted{ending}"])


def _text(bins: Iterable[tuple[float, int]]) -> str:
    """A histogram in a line: `edge:count`, upper edges in ms."""
    return " ".join(f"{edge:g}:{count}" for edge, count in bins)
