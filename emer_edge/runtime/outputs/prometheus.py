"""`--metrics :9108` or `metrics://:9108`: how the run goes, for Prometheus, over HTTP.

On loopback unless another host is named.

It holds what an operator needs and no emotion: whole histograms of every stage and of the evidence's age with their
exact maxima, counters of states and losses, gauges of coverage and memory. The histograms' edges grow by a quarter from
0.1 ms to 100 s.
"""

from __future__ import annotations

import math
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from emer_edge import __version__
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result, State
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.outputs.base import Host, Output, target_of
from emer_edge.runtime.pipeline import Pipeline, Summary
from emer_edge.runtime.pipeline.core import AGES, STAGES, STEP_STAGES
from emer_edge.runtime.pipeline.summary import resident_mb

EDGES_S: Final = tuple(float(f"{1e-4 * 10 ** (step / 10):.3g}") for step in range(61))
"""Upper edges of the histograms' buckets, seconds."""

_LOOPBACK: Final = "127.0.0.1"


def parse_address(text: str) -> tuple[str, int]:
    """Read `:9108`, `9108` or `host:9108`; raise ConfigurationError on anything else."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigurationError(f"can't read the address of --metrics {text!r}; write --metrics :9108")
    return host.strip("[]") or _LOOPBACK, int(port)


class Metrics(Output):
    """Serves `/metrics`.

    In a run of several streams whatever belongs to one of them has the label `stream`; of a step, which all share, and
    of the process, there is one series. To Prometheus a label that is empty and one that is not there are the same.

    Args:
        options: host and port (see `parse_address`); the port is taken at once, port 0 takes a free one.
        host: the run.

    Raises:
        ConfigurationError: an address that can't be taken.
    """

    name = "metrics"

    def __init__(self, options: tuple[str, int], host: Host) -> None:
        from prometheus_client import CollectorRegistry, Gauge, Info, start_http_server

        registry: Any = CollectorRegistry()
        pipeline, self._host = host.pipeline, options[0]
        memory = Gauge("emer_edge_resident_bytes", "Resident memory of the process", registry=registry)
        memory.set_function(lambda: (resident_mb()[0] or 0.0) * 1e6)
        Info("emer_edge", "Version and bundle", registry=registry).info(
            {"version": __version__, "bundle": pipeline.bundle.manifest.name}
        )
        several = None not in pipeline.streams
        self._newest: dict[str | None, Result] = {}
        registry.register(_Figures(pipeline, self._newest, several))
        registry.register(_Histograms(pipeline, several))
        registry.register(_OutputLosses(host.outputs, several))
        try:
            self._server, self._thread = start_http_server(options[1], self._host, registry)
        except OSError as error:
            raise ConfigurationError(_busy(*options, error)) from None

    @classmethod
    def parse(cls, address: str) -> tuple[str, int]:
        """Host and port of `metrics://HOST:PORT`."""
        return parse_address(target_of(address)[0])

    @property
    def url(self) -> str:
        """Where Prometheus finds it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/metrics"

    def result(self, result: Result) -> bool:
        """Keep the newest of each stream."""
        self._newest[result.stream] = result
        return True

    def end(self, summary: Summary | None) -> None:
        """Stop answering, and give the port back; may be called twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Figures:
    """What is counted and measured of each stream, as it stands at a scrape.

    Args:
        pipeline: whose.
        newest: stream -> its newest result.
        several: whether what belongs to a stream has its label.
    """

    def __init__(self, pipeline: Pipeline, newest: Mapping[str | None, Result], several: bool) -> None:
        self._pipeline, self._newest, self._several = pipeline, newest, several
        self._began_s = time.time()

    def collect(self) -> Iterator[Any]:
        """Counters and gauges."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        own = ["stream"] if self._several else []
        results = CounterMetricFamily("emer_edge_results", "Results by state", labels=["state", *own])
        dropped = CounterMetricFamily("emer_edge_dropped", "Items lost, by place", labels=["place", *own])
        frames = CounterMetricFamily("emer_edge_frames", "Camera frames taken", labels=own)
        samples = CounterMetricFamily("emer_edge_samples", "Tracker samples taken", labels=own)
        slots = GaugeMetricFamily(
            "emer_edge_covered_slots", "Covered slots of the window: 8 of the face, 32 of the eyes",
            labels=["source", *own],
        )  # fmt: skip
        filling = GaugeMetricFamily("emer_edge_filling_seconds", "Seconds until the first window is full", labels=own)
        degraded = GaugeMetricFamily(
            "emer_edge_degraded_columns", "Eye columns that the tracker leaves empty", labels=own
        )
        for name, stream in self._pipeline.streams.items():
            tail = [name or ""][: len(own)]
            core, newest = stream.core, self._newest.get(name)
            for state in State:
                results.add_metric([state.value, *tail], core.states[state] if core else 0, created=self._began_s)
            frames.add_metric(tail, core.evidence.faces.frames if core else 0, created=self._began_s)
            samples.add_metric(tail, core.evidence.samples if core else 0, created=self._began_s)
            for place, count in (core.drops() if core else {}).items():
                dropped.add_metric([place, *tail], count, created=self._began_s)
            filling.add_metric(tail, newest.filling_s if newest else 0)
            degraded.add_metric(tail, len(newest.degraded) if newest else 0)
            if newest is not None:
                slots.add_metric(["face", *tail], newest.face_slots)
                slots.add_metric(["sample", *tail], newest.eye_slots)
        yield from (results, dropped, frames, samples, slots, filling, degraded)


class _Histograms:
    """Stages and ages as they stand at a scrape.

    Args:
        pipeline: whose.
        several: whether what belongs to a stream has its label.
    """

    def __init__(self, pipeline: Pipeline, several: bool) -> None:
        self._pipeline, self._several = pipeline, several

    def collect(self) -> Iterator[Any]:
        """Cumulative histograms, and the largest value of each: a bucket tells it to a quarter only."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        own = ["stream"] if self._several else []
        for name, text, label, kept in (
            ("stage", "Time a stage took; total is hop deadline to result", "stage", self._stages()),
            ("evidence_age", "Age of the newest evidence at its window's end", "source", self._ages()),
        ):
            histogram = HistogramMetricFamily(f"emer_edge_{name}_seconds", text, labels=[label, *own])
            slowest = GaugeMetricFamily(f"emer_edge_{name}_max_seconds", f"{text}: the largest", labels=[label, *own])
            for key, stream, recorder in kept:
                labels = [key, stream][: 1 + len(own)]
                counts = recorder.within([*(1e3 * edge for edge in EDGES_S), math.inf])
                buckets = list(zip((*map(str, EDGES_S), "+Inf"), counts, strict=True))
                histogram.add_metric(labels, buckets, recorder.sum_ns * 1e-9)
                slowest.add_metric(labels, recorder.max_ns * 1e-9)
            yield histogram
            yield slowest

    def _stages(self) -> Iterator[tuple[str, str, LatencyRecorder]]:
        """(stage, stream, latencies); a step's are of no stream, so that a sum over streams counts none twice."""
        for name, stream in self._pipeline.streams.items():
            for stage, recorder in dict(stream.latencies).items():
                if stage in STAGES and not (self._several and stage in STEP_STAGES):
                    yield stage, name or "", recorder
        for stage, recorder in self._pipeline.step_latencies.items() if self._several else ():
            yield stage, "", recorder

    def _ages(self) -> Iterator[tuple[str, str, LatencyRecorder]]:
        for name, stream in self._pipeline.streams.items():
            for age in AGES:
                if age in stream.latencies:
                    yield age.removesuffix(" age"), name or "", stream.latencies[age]


class _OutputLosses:
    """What the other outputs have lost, asked for at every scrape."""

    def __init__(self, outputs: Sequence[Output], several: bool) -> None:
        self._outputs, self._several = outputs, several

    def collect(self) -> Iterator[Any]:
        """The one metric."""
        from prometheus_client.core import CounterMetricFamily

        own = ["stream"] if self._several else []
        family = CounterMetricFamily(
            "emer_edge_output_lost", "Items an output has lost", labels=["output", "what", *own]
        )
        lost: Counter[tuple[str, str, str]] = Counter()  # of two outputs of one kind together
        for each in self._outputs:
            for what, count in (dict(each.lost) | each.losses()).items():
                lost[each.name, what, each.stream or ""] += count
        for labels, count in lost.items():
            family.add_metric(labels[: 2 + len(own)], count)
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
