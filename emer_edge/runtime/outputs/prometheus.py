"""`--metrics :9108` or `metrics://:9108`: metrics of the run for Prometheus, over HTTP.

On loopback unless another host is named, which is said. With a token in EMER_EDGE_METRICS_TOKEN only those read it who
send that, as `Authorization: Bearer`.

The metrics hold no emotion: whole histograms of every stage and of the evidence's age with their exact maxima, counters
of states and losses, gauges of coverage and memory. The histograms' edges grow by a quarter from 0.1 ms to 100 s.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import SplitResult

from emer_edge import __version__
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result, State
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.outputs.base import Host, Output, target_of
from emer_edge.runtime.outputs.pace import Pace
from emer_edge.runtime.outputs.web_access import PageAddress, check_token
from emer_edge.runtime.outputs.web_server import WebHandler, WebServer
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.pipeline.core import AGES, STAGES, STEP_STAGES
from emer_edge.runtime.pipeline.summary import resident_mb

EDGES_S: Final = tuple(float(f"{1e-4 * 10 ** (step / 10):.3g}") for step in range(61))
"""Upper edges of the histograms' buckets, seconds."""

METRICS_TOKEN: Final = "EMER_EDGE_METRICS_TOKEN"
"""Environment variable of the token, which is optional."""

_LOOPBACK: Final = "127.0.0.1"
_POLL_S: Final = 0.2


def parse_address(text: str) -> tuple[str, int]:
    """Read `:9108`, `9108` or `host:9108`; raise ConfigurationError on anything else."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ConfigurationError(f"can't read the address of --metrics {text!r}; write --metrics :9108")
    return host.strip("[]") or _LOOPBACK, int(port)


class Metrics(Output):
    """Serves `/metrics`, and `/healthz`.

    In a run of several streams every metric of one stream has the label `stream`; a step, which all share, and the
    process have one series. To Prometheus an empty label is the same as none. The port is taken at once; port 0 takes a
    free one.

    Raises:
        ConfigurationError: an address that can't be bound.
    """

    name = "metrics"

    def __init__(self, options: tuple[str, int], host: Host) -> None:
        from prometheus_client import CollectorRegistry, Gauge, Info

        registry: Any = CollectorRegistry()
        memory = Gauge("emer_edge_resident_bytes", "Resident memory of the process", registry=registry)
        memory.set_function(lambda: (resident_mb()[0] or 0.0) * 1e6)
        Info("emer_edge", "Version and bundle", registry=registry).info(
            {"version": __version__, "bundle": host.pipeline.bundle.manifest.name}
        )
        self._newest: dict[str | None, Result] = {}
        registry.register(_Collector(host, self._newest))
        address, token = PageAddress(*options), os.environ.get(METRICS_TOKEN) or None
        if token is not None:
            check_token(token)
        pace = self._pace = Pace(host.pipeline.bundle.manifest.window.hop_ns)
        server = self._server = _MetricsServer("--metrics", address, token, pace=pace, say=host.say)
        server.registry = registry
        self._thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True)
        self._thread.start()
        if not address.loopback:
            more = "" if token else f"; {METRICS_TOKEN}=$(openssl rand -hex 16) keeps them from others"
            host.say(f"metrics: other machines can read how this run goes at {self.url}, without encryption{more}")

    @classmethod
    def parse(cls, address: str) -> tuple[str, int]:
        """Host and port of `metrics://HOST:PORT`."""
        return parse_address(target_of(address)[0])

    @property
    def url(self) -> str:
        """The address for Prometheus."""
        return f"{self._server.address.url}metrics"

    def result(self, result: Result) -> bool:
        """Keep the newest of each stream."""
        self._newest[result.stream] = result
        self._pace.mark()
        return True

    def end(self, summary: Summary | None) -> None:
        """Stop answering, and free the port; may be called twice."""
        self._server.shutdown()
        self._server.end()
        self._thread.join()


class _Handler(WebHandler):
    def answer(self, target: SplitResult) -> None:
        from prometheus_client.exposition import choose_encoder

        if target.path not in ("/", "/metrics"):
            self.refuse(HTTPStatus.NOT_FOUND, "there is nothing here; metrics are at /metrics")
        elif not self.admitted():
            self.lock()
        else:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self.send(HTTPStatus.OK, encode(cast(_MetricsServer, self.server).registry), kind)


class _MetricsServer(WebServer):
    handler, registry = _Handler, cast(Any, None)


class _Collector:
    """All metrics of a run, as they are at a scrape; `newest`: stream -> its newest result."""

    def __init__(self, host: Host, newest: Mapping[str | None, Result]) -> None:
        self._pipeline, self._outputs, self._newest = host.pipeline, host.outputs, newest
        self._several = None not in host.pipeline.streams
        self._own = ["stream"] if self._several else []

    def collect(self) -> Iterator[Any]:
        """Counters, gauges, cumulative histograms and the losses of the outputs."""
        yield self._engines()
        yield from self._figures()
        yield from self._histograms("stage", "Time per stage; total is the step latency", "stage", self._stages())
        text = "Age of the newest evidence at its window's end"
        yield from self._histograms("evidence_age", text, "source", self._ages())
        yield self._output_losses()

    def _engines(self) -> Any:
        from prometheus_client.core import InfoMetricFamily

        family = InfoMetricFamily("emer_edge_engine", "What computes each part, and in what", labels=["part"])
        for role, part in self._pipeline.parts.items():
            family.add_metric([role], {"engine": part.engine, "precision": part.precision, "file": part.key})
        return family

    def _figures(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        own = self._own
        results = CounterMetricFamily("emer_edge_results", "Results by state", labels=["state", *own])
        dropped = CounterMetricFamily("emer_edge_dropped", "Items lost, by place", labels=["place", *own])
        frames = CounterMetricFamily("emer_edge_frames", "Camera frames taken", labels=own)
        samples = CounterMetricFamily("emer_edge_samples", "Tracker samples taken", labels=own)
        text = "Covered slots of the window: 8 of the face, 32 of the eyes"
        slots = GaugeMetricFamily("emer_edge_covered_slots", text, labels=["source", *own])
        filling = GaugeMetricFamily("emer_edge_filling_seconds", "Seconds until the first window is full", labels=own)
        text = "Eye columns that the tracker leaves empty"
        degraded = GaugeMetricFamily("emer_edge_degraded_columns", text, labels=own)
        for name, stream in self._pipeline.streams.items():
            tail = [name or ""][: len(own)]
            core, newest = stream.core, self._newest.get(name)
            for state in State:
                results.add_metric([state.value, *tail], core.states[state] if core else 0)
            frames.add_metric(tail, core.evidence.faces.frames if core else 0)
            samples.add_metric(tail, core.evidence.samples if core else 0)
            for place, count in (core.drops() if core else {}).items():
                dropped.add_metric([place, *tail], count)
            filling.add_metric(tail, newest.filling_s if newest else 0)
            degraded.add_metric(tail, len(newest.degraded) if newest else 0)
            if newest is not None:
                slots.add_metric(["face", *tail], newest.face_slots)
                slots.add_metric(["sample", *tail], newest.eye_slots)
        yield from (results, dropped, frames, samples, slots, filling, degraded)

    def _histograms(
        self, name: str, text: str, label: str, recorders: Iterable[tuple[str, str, LatencyRecorder]]
    ) -> Iterator[Any]:
        """Histograms, and the largest value of each: a bucket holds it to a quarter only."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        labels = [label, *self._own]
        histogram = HistogramMetricFamily(f"emer_edge_{name}_seconds", text, labels=labels)
        slowest = GaugeMetricFamily(f"emer_edge_{name}_max_seconds", f"{text}: the largest", labels=labels)
        for key, stream, recorder in recorders:
            values = [key, stream][: len(labels)]
            counts = recorder.within([*(1e3 * edge for edge in EDGES_S), math.inf])
            buckets = list(zip((*map(str, EDGES_S), "+Inf"), counts, strict=True))
            histogram.add_metric(values, buckets, recorder.sum_ns * 1e-9)
            slowest.add_metric(values, recorder.max_ns * 1e-9)
        yield from (histogram, slowest)

    def _stages(self) -> Iterator[tuple[str, str, LatencyRecorder]]:
        """(stage, stream, latencies); a step's have an empty stream, so that a sum over streams counts none twice."""
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

    def _output_losses(self) -> Any:
        from prometheus_client.core import CounterMetricFamily

        labels = ["output", "what", *self._own]
        family = CounterMetricFamily("emer_edge_output_lost", "Items an output has lost", labels=labels)
        lost: Counter[tuple[str, str, str]] = Counter()  # summed over outputs of one name and stream
        for output in self._outputs:
            for what, count in (dict(output.lost) | output.losses()).items():
                lost[output.name, what, output.stream or ""] += count
        for values, count in lost.items():
            family.add_metric(values[: len(labels)], count)
        return family
