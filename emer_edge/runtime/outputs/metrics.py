"""`--metrics :9108`: how the run goes, for Prometheus, over HTTP. On loopback unless another host is named.

It holds what an operator needs and no emotion: whole histograms of every stage and of the evidence's age with their
exact maxima, counters of states and losses, gauges of coverage and memory. The histograms' edges grow by a quarter from
0.1 ms to 100 s.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from emer_edge import __version__
from emer_edge.errors import ConfigurationError
from emer_edge.extras import require
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.base import Losing, Output
from emer_edge.runtime.outputs.latencies import Latencies
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.pipeline.core import AGES, STAGES
from emer_edge.runtime.pipeline.summary import resident_mb
from emer_edge.spec.results import Result, State
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["EDGES_S", "Metrics", "parse_address"]

EDGES_S: Final = tuple(float(f"{1e-4 * 10 ** (step / 10):.3g}") for step in range(61))
"""Upper edges of the histograms' buckets, seconds."""

_LOOPBACK: Final = "127.0.0.1"


def parse_address(text: str) -> tuple[str, int]:
    """Read `:9108`, `9108` or `host:9108`; raise ConfigurationError on anything else."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigurationError(f"can't read the address of --metrics {text!r}; write --metrics :9108")
    return host.strip("[]") or _LOOPBACK, int(port)


class Metrics:
    """Serves `/metrics`; hears items as a tap of the pipeline.

    Args:
        pipeline: not opened yet.
        address: see `parse_address`; the port is taken at once, port 0 takes a free one.

    Attributes:
        name: `metrics`.
        outputs: those whose losses are told.

    Raises:
        MissingExtraError: the package `prometheus-client` is not installed.
        ConfigurationError: an address that can't be read or taken.
    """

    name = "metrics"

    def __init__(self, pipeline: Pipeline, address: str) -> None:
        require("--metrics", ["prometheus_client"], "metrics")
        from prometheus_client import CollectorRegistry, Counter, Gauge, Info, start_http_server

        host, port = parse_address(address)
        registry: Any = CollectorRegistry()
        self.outputs: Sequence[Output] = ()

        def counter(name: str, text: str, *labels: str) -> Any:
            return Counter(f"emer_edge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return Gauge(f"emer_edge_{name}", text, labels, registry=registry)

        self._latencies = Latencies((*STAGES, *AGES))
        self._states = counter("results", "Results by state", "state")
        self._dropped = counter("dropped", "Items lost, by place", "place")
        self._frames = counter("frames", "Camera frames taken")
        self._samples = counter("samples", "Tracker samples taken")
        self._slots = gauge("covered_slots", "Covered slots of the window: 8 of the face, 32 of the eyes", "source")
        self._filling = gauge("filling_seconds", "Seconds until the first window is full")
        self._degraded = gauge("degraded_columns", "Eye columns that the tracker leaves empty")
        memory = gauge("resident_bytes", "Resident memory of the process")
        memory.set_function(lambda: (resident_mb()[0] or 0.0) * 1e6)
        for state in State:
            self._states.labels(state.value)
        Info("emer_edge", "Version and bundle", registry=registry).info(
            {"version": __version__, "bundle": pipeline.bundle.manifest.name}
        )
        registry.register(_Histograms(self._latencies))
        registry.register(_OutputLosses(self))
        self._seen: dict[str, int] = {}
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigurationError(_busy(host, port, error)) from None
        self._host = host
        pipeline.tap(self)

    @property
    def url(self) -> str:
        """Where Prometheus finds it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/metrics"

    def begin(self) -> None:
        """Nothing to do: it answers already."""

    def result(self, result: Result) -> bool:
        """Nothing to do: results are counted as the steps are taken."""
        return True

    def end(self, summary: Summary | None) -> None:
        """Stop answering, and give the port back; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and time every look at one, also those that no window uses."""
        self._frames.inc()
        self._latencies.look(look)

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample."""
        self._samples.inc()

    def on_step(self, result: Result) -> None:
        """Count and time a step."""
        self._states.labels(result.state.value).inc()
        self._latencies.result(result)
        self._slots.labels("face").set(result.face_slots)
        self._slots.labels("sample").set(result.eye_slots)
        self._filling.set(result.filling_s)
        self._degraded.set(len(result.degraded))
        for place, count in result.dropped.items():
            self._dropped.labels(place).inc(max(0, count - self._seen.get(place, 0)))
            self._seen[place] = count


class _Histograms:
    """Stages and ages as they stand at a scrape."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies

    def collect(self) -> Iterator[Any]:
        """Cumulative histograms, and the largest value of each: a bucket tells it to a quarter only."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        recorders = dict(self._latencies.recorders)
        ages = {name: recorders.pop(name) for name in AGES}
        for name, text, label, kept in (
            ("stage", "Time a stage took; total is hop deadline to result", "stage", recorders),
            ("evidence_age", "Age of the newest evidence at its window's end", "source", ages),
        ):
            histogram = HistogramMetricFamily(f"emer_edge_{name}_seconds", text, labels=[label])
            slowest = GaugeMetricFamily(f"emer_edge_{name}_max_seconds", f"{text}: the largest", labels=[label])
            for key, recorder in kept.items():
                labels = [key.removesuffix(" age")]
                counts = recorder.within([*(1e3 * edge for edge in EDGES_S), math.inf])
                buckets = list(zip((*map(str, EDGES_S), "+Inf"), counts, strict=True))
                histogram.add_metric(labels, buckets, recorder.sum_ns * 1e-9)
                slowest.add_metric(labels, recorder.max_ns * 1e-9)
            yield histogram
            yield slowest


class _OutputLosses:
    """What the other outputs have lost, asked for at every scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        """The one metric."""
        from prometheus_client.core import CounterMetricFamily

        family = CounterMetricFamily("emer_edge_output_lost", "Items an output has lost", labels=["output", "what"])
        for each in self._metrics.outputs:
            if isinstance(each, Losing):
                for what, count in each.lost().items():
                    family.add_metric([each.name, what], count)
        yield family


def _busy(host: str, port: int, error: OSError) -> str:
    shown = "" if host == _LOOPBACK else host
    reason = error.strerror or str(error)
    for other in range(port + 1, min(port + 100, 65536)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, other))
            except OSError:
                continue
        return f"can't serve metrics on {host}:{port}: {reason}; try --metrics {shown}:{other}"
    return f"can't serve metrics on {host}:{port}: {reason}; name an address of this machine, as --metrics :9108"
