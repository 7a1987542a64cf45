"""`--metrics :9108`: how the run goes, for Prometheus, over HTTP. On loopback unless another host is named.

It holds what an operator needs and no emotion: whole histograms of every stage and of the evidence's age with their
exact maxima, counters of states and losses, gauges of coverage and memory. The histograms' edges grow by a quarter from
0.1 ms to 100 s.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from emer_edge import __version__
from emer_edge.errors import ConfigurationError
from emer_edge.extras import require
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.faces import Look
from emer_edge.runtime.outputs.base import Losing, Output
from emer_edge.runtime.outputs.latencies import Latencies
from emer_edge.runtime.outputs.of_stream import OfStream, Run, streams_of
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.pipeline.core import AGES, STAGES, STEP_STAGES
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
    """Serves `/metrics`; hears items as a tap of each stream.

    In a run of several streams whatever belongs to one of them has the label `stream`; of a step, which all share, and
    of the process, there is one series. To Prometheus a label that is empty and one that is not there are the same.

    Args:
        run: not opened yet.
        address: see `parse_address`; the port is taken at once, port 0 takes a free one.

    Attributes:
        name: `metrics`.
        outputs: those whose losses are told.
        series: stream -> its tap; one stream's under None.

    Raises:
        MissingExtraError: the package `prometheus-client` is not installed.
        ConfigurationError: an address that can't be read or taken.
    """

    name = "metrics"

    def __init__(self, run: Run, address: str) -> None:
        require("--metrics", ["prometheus_client"], "metrics")
        from prometheus_client import CollectorRegistry, Gauge, Info, start_http_server

        host, port = parse_address(address)
        registry: Any = CollectorRegistry()
        self.outputs: Sequence[Output] = ()
        memory = Gauge("emer_edge_resident_bytes", "Resident memory of the process", registry=registry)
        memory.set_function(lambda: (resident_mb()[0] or 0.0) * 1e6)
        Info("emer_edge", "Version and bundle", registry=registry).info(
            {"version": __version__, "bundle": run.bundle.manifest.name}
        )
        streams = streams_of(run)
        families = _Families(registry, several=None not in streams)
        series = self.series = {name: _Series(families, name) for name in streams}
        step = None if None in streams else lambda: run.step_latencies
        registry.register(_Histograms({name: each.latencies for name, each in series.items()}, step))
        registry.register(_OutputLosses(self, several=step is not None))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise ConfigurationError(_busy(host, port, error)) from None
        self._host = host
        for name, stream in streams.items():
            stream.tap(series[name])

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


class _Families:
    """What is counted and measured of a stream."""

    def __init__(self, registry: Any, several: bool) -> None:
        from prometheus_client import Counter, Gauge

        own = ("stream",) if several else ()

        def counter(name: str, text: str, *labels: str) -> Any:
            return Counter(f"emer_edge_{name}", text, (*labels, *own), registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Any:
            return Gauge(f"emer_edge_{name}", text, (*labels, *own), registry=registry)

        self.states = counter("results", "Results by state", "state")
        self.dropped = counter("dropped", "Items lost, by place", "place")
        self.frames = counter("frames", "Camera frames taken")
        self.samples = counter("samples", "Tracker samples taken")
        self.slots = gauge("covered_slots", "Covered slots of the window: 8 of the face, 32 of the eyes", "source")
        self.filling = gauge("filling_seconds", "Seconds until the first window is full")
        self.degraded = gauge("degraded_columns", "Eye columns that the tracker leaves empty")


class _Series:
    """One stream's series: a tap of it."""

    def __init__(self, families: _Families, stream: str | None) -> None:
        self._families = families
        self._own: tuple[str, ...] = () if stream is None else (stream,)
        self.latencies = Latencies((*STAGES, *AGES))
        self._frames, self._samples = self._of(families.frames), self._of(families.samples)
        self._filling, self._degraded = self._of(families.filling), self._of(families.degraded)
        self._seen: dict[str, int] = {}
        for state in State:
            self._of(families.states, state.value)

    def on_origin(self, origin_ns: int) -> None:
        """Nothing to do."""

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Count a frame, and time what it cost to look at it."""
        self._frames.inc()
        self.latencies.look(look)

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Count a sample."""
        self._samples.inc()

    def on_step(self, result: Result) -> None:
        """Count and time a step."""
        families = self._families
        self._of(families.states, result.state.value).inc()
        self.latencies.result(result)
        self._of(families.slots, "face").set(result.face_slots)
        self._of(families.slots, "sample").set(result.eye_slots)
        self._filling.set(result.filling_s)
        self._degraded.set(len(result.degraded))
        for place, count in result.dropped.items():
            self._of(families.dropped, place).inc(max(0, count - self._seen.get(place, 0)))
            self._seen[place] = count

    def _of(self, family: Any, *labels: str) -> Any:
        """This stream's child of a family."""
        labels = (*labels, *self._own)
        return family.labels(*labels) if labels else family


class _Histograms:
    """Stages and ages as they stand at a scrape.

    Args:
        of_streams: stream -> its latencies; the only one's under None.
        step: latencies of the steps that all streams share; None where there is one stream.
    """

    def __init__(
        self,
        of_streams: Mapping[str | None, Latencies],
        step: Callable[[], Mapping[str, LatencyRecorder]] | None,
    ) -> None:
        self._of_streams, self._step = of_streams, step

    def collect(self) -> Iterator[Any]:
        """Cumulative histograms, and the largest value of each: a bucket tells it to a quarter only."""
        from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily

        own = ["stream"] if self._step is not None else []
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
        for stream, latencies in self._of_streams.items():
            for name, recorder in dict(latencies.recorders).items():
                if name not in AGES and (self._step is None or name not in STEP_STAGES):
                    yield name, stream or "", recorder
        for name, recorder in ({} if self._step is None else self._step()).items():
            yield name, "", recorder

    def _ages(self) -> Iterator[tuple[str, str, LatencyRecorder]]:
        for stream, latencies in self._of_streams.items():
            for name in AGES:
                yield name.removesuffix(" age"), stream or "", latencies.recorders[name]


class _OutputLosses:
    """What the other outputs have lost, asked for at every scrape."""

    def __init__(self, metrics: Metrics, several: bool) -> None:
        self._metrics, self._several = metrics, several

    def collect(self) -> Iterator[Any]:
        """The one metric."""
        from prometheus_client.core import CounterMetricFamily

        own = ["stream"] if self._several else []
        family = CounterMetricFamily(
            "emer_edge_output_lost", "Items an output has lost", labels=["output", "what", *own]
        )
        for each in self._metrics.outputs:
            name, stream = (each.kind, each.stream) if isinstance(each, OfStream) else (getattr(each, "name", ""), "")
            if isinstance(each, Losing):
                for what, count in each.lost().items():
                    family.add_metric([name, what, stream][: 2 + len(own)], count)
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
