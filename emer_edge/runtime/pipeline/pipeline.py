"""The public pipeline: a bundle, and a camera and a tracker for each person in; results out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.core.errors import ConfigurationError, EmerEdgeError
from emer_edge.core.results import Result
from emer_edge.core.session_facts import Marker
from emer_edge.metrics.latency import LatencyRecorder
from emer_edge.runtime.board_watch import BoardWatch
from emer_edge.runtime.cameras import Camera
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.engines import PlacedPart, check_engine
from emer_edge.runtime.engines.placing import drivers_of
from emer_edge.runtime.markers import MarkerLog
from emer_edge.runtime.options import MachineOptions, Source, check_sources
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.pipeline.intake import Intake
from emer_edge.runtime.pipeline.replay import Replay, replayed
from emer_edge.runtime.pipeline.runner import LiveRunner
from emer_edge.runtime.pipeline.stream import Stream, check_now
from emer_edge.runtime.pipeline.summary import Summary, resident_mb, summed
from emer_edge.runtime.ring import Bell
from emer_edge.runtime.say import Say, say_to_log
from emer_edge.runtime.session import Session
from emer_edge.runtime.trackers import Tracker
from emer_edge.runtime.validation import Presenter


class Pipeline:
    """Reads faces and eye trackers together and gives one Result per person and hop.

    Use as a context manager and iterate. Sources open, and threads start, on entry. Of n people, each has windows that
    end an n-th of a hop after those of the one before, so that nobody waits for the others; a fast replay has one
    lattice for all, and one call of the engines for all windows that end together.

    Of several people, one whose source fails is `stale` from then on, and the results say why; one whose file ends has
    no more results. The run ends when all have ended, and raises what the last ones failed with.

    Args:
        bundle: a bundle or its folder.
        camera: of one person (see `Source`).
        tracker: of that person; without one the FER heads alone are read.
        sources: of several people, instead; the results carry their names (`Result.stream`).
        machine: engine, threads and pace.
        say: reports when a source goes and comes back, and when eye columns can't be right.
        source_options: what else `Source` takes, of one person: `offset_ms`, `display`, `faces` ...

    Attributes:
        bundle, machine, say: as above.
        streams: name -> stream: its sources, markers and baseline; `listen` to it before the run begins. One person
            without a name is under None.
        markers: a marker that is set here is set in every stream; `markers.listen` reports markers at once.
        root: holds the machine's `etc`, `proc`, `sys` and `var`, for the watch over the board.

    Raises:
        BundleError, EngineError, CameraError, TrackerError: on entry, what can't be opened; of several people, the
            message names the stream.
        ConfigurationError: arguments that make no sense, such as two streams of one name, or `fast` on a live source;
            on entry, no eye tracker for a bundle that needs one, and where engines may have to be built, what `check`
            finds.
    """

    root = Path("/")

    def __init__(
        self,
        bundle: Bundle | str | Path,
        camera: str | Camera = Source.camera,
        tracker: str | Tracker | None = Source.tracker,
        *,
        sources: Sequence[Source] | None = None,
        machine: MachineOptions = MachineOptions(),
        say: Say = say_to_log,
        **source_options: Any,
    ) -> None:
        single = Source(camera, tracker, **source_options)
        if sources is None:
            sources = (single,)
        elif single != Source():
            raise ConfigurationError("a pipeline takes a camera and a tracker, or `sources`, not both")
        check_sources(sources)
        self.bundle = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
        self.machine, self.say = machine, say
        self.streams: Mapping[str | None, Stream] = {
            source.name: Stream(self.bundle, source, machine, say) for source in sources
        }
        self.markers = MarkerLog()
        self.markers.listen(self._mark_all)
        self._session: Session | None = None
        self._stepper: Stepper | None = None
        self._runner: LiveRunner | None = None
        self._board: BoardWatch | None = None
        self._results: Iterator[Result] | None = None
        self._stopping = self._hung = False
        self._memory_mb: dict[str, Any] | None = None
        self._began_s = monotonic()
        self._ended_s: float | None = None

    @property
    def opened(self) -> bool:
        """Whether it has been opened, so that there is a summary."""
        return all(stream.opened for stream in self.streams.values())

    @property
    def described(self) -> str:
        """What is read, in one line, once it is opened."""
        single = self.streams.get(None)
        return ", ".join(map(str, self.streams)) if single is None else " and ".join(single.described)

    @property
    def step_latencies(self) -> Mapping[str, LatencyRecorder]:
        """Step stage -> its latencies, which all streams share; empty before the start."""
        return {} if self._stepper is None else self._stepper.latencies

    @property
    def parts(self) -> Mapping[str, PlacedPart]:
        """Part -> where it runs; empty before the bundle is loaded."""
        return {} if self._session is None else self._session.parts

    def mark(self, label: str, stamp_ns: int | None = None) -> Marker:
        """Set a marker in every stream; from any thread. `streams[name].mark` sets it in one.

        Args:
            label: what it is called.
            stamp_ns: when it was, in the results' time; None: now.

        Raises:
            ConfigurationError: an empty label, or no time in a fast replay, whose time is the recording's.
        """
        check_now(self.machine, stamp_ns)
        return self.markers.add(label, stamp_ns=stamp_ns)

    def check(self) -> None:
        """Look at what the run needs: how it is written, whether it is there, what it needs itself.

        Files are read; no device is opened, and nobody is connected to.

        Raises:
            ConfigurationError: names all problems, one per line.
        """
        problems = [problem for stream in self.streams.values() for problem in stream.problems()]
        texts = Counter(
            text for stream in self.streams.values() for text in (stream.source.camera, stream.source.tracker)
        )
        problems += [
            f"two streams read {text}"
            for text, count in texts.items()
            if count > 1 and isinstance(text, str) and not Path(text).is_file()  # a file may be read twice
        ]
        try:
            check_engine(self.machine.engine)
        except EmerEdgeError as error:
            problems.append(str(error))
        if problems:
            raise ConfigurationError("\n".join(dict.fromkeys(problems)))

    def validate(self, presenter: Presenter, targets_px: Sequence[tuple[float, float]] | None = None) -> bool:
        """Measure how far the gaze is off on targets, before the run, one person after the other.

        The outcome is the stream's `validation`; where it is poor, the results hold a note.

        Args:
            presenter: shows the targets; of several people, `say` names the next.
            targets_px: display pixels; None: the centre and four towards the corners.

        Returns:
            Whether it was done; false when `stop` was called meanwhile.

        Raises:
            ConfigurationError: the run has begun, a tracker is a file, or a target lies outside of a display.
            TrackerError: a tracker fell silent.
        """
        if self.opened:
            raise ConfigurationError("the gaze is validated before a run, not in one")
        try:
            self._load()  # first, as it may take minutes where engines are built
            return all(
                stream.validate(presenter, targets_px, lambda: self._stopping) for stream in self.streams.values()
            )
        except BaseException:
            self.close()
            raise

    def open(self) -> Pipeline:
        """Load the bundle, open all sources, start; entering the context does this."""
        if self._results is None:
            try:
                self._results = self._begin()
            except BaseException:
                self.close()
                raise
        return self

    def stop(self) -> None:
        """Ask for the end: iteration stops soon. Safe in a signal handler and from any thread."""
        self._stopping = True
        if self._runner is not None:
            self._runner.stop()

    def close(self) -> None:
        """Stop, close the sources and free the engines; may be called twice. `summary` still works."""
        self.stop()
        if self._hung:
            return
        if self._ended_s is None:
            self._ended_s = monotonic()
            self._memory_mb = self._resident_mb()
            if self._board is not None:
                self._board.close()
        self._hung = self._runner is not None and not self._runner.close()
        if self._hung:
            return  # a thread that hangs may still use its source and the engines
        for stream in self.streams.values():
            stream.close_sources()
        if self._session is not None:
            self._session.close()

    def summary(self) -> Summary:
        """What the run was like so far; raise ConfigurationError before it was opened.

        With named streams, figures are sums over them, `stages` holds the steps, which all share, and
        `Summary.streams` the streams' own.
        """
        if not self.opened:
            raise ConfigurationError("a pipeline has no summary before it is opened")
        engine = "" if self._session is None else self._session.described
        each_of = {name: item.summary(self._ended_s, engine) for name, item in self.streams.items()}
        whole = each_of.get(None)
        if whole is None:
            named = {str(name): item for name, item in each_of.items()}
            seconds = (self._ended_s or monotonic()) - self._began_s
            whole = summed(named, self._latencies(), seconds=seconds, engine=engine, markers=self.markers.count)
        stuck = 0 if self._runner is None else self._runner.stuck_steps
        dropped = whole.dropped | ({"stuck steps": stuck} if stuck else {})
        board = None if self._board is None else self._board.report()
        engines = {role: str(part) for role, part in self.parts.items()}
        more = self._memory_mb or self._resident_mb()
        return replace(whole, dropped=dropped, board=board, engines=engines, **more)

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        self.open()
        assert self._results is not None
        try:
            return next(self._results)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pipeline:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self) -> Session:
        """The loaded bundle, every part run once."""
        if self._session is None:
            for stream in self.streams.values():
                stream.refuse_blind()
            if any(driver.builds for driver in drivers_of(self.machine.engine)):
                self.check()  # before minutes of building, not after
            self._session = Session(self.bundle, self.machine.engine, self.machine.threads)
            self._session.warm_up()
        return self._session

    def _begin(self) -> Iterator[Result]:
        session, streams = self._load(), list(self.streams.values())
        first = session.detector
        detectors = [first, *(first.twin() for _ in streams[1:])]  # one per face thread
        cores = [stream.open_core(session, detector) for stream, detector in zip(streams, detectors, strict=True)]
        stepper = self._stepper = Stepper(session)
        self._began_s = monotonic()
        if self.machine.pace == "fast":
            replays = [
                Replay.of(core, stream.camera, stream.tracker) for core, stream in zip(cores, streams, strict=True)
            ]
            return self._until_stopped(replayed(stepper, cores, replays))
        bell = Bell()
        intakes = [
            Intake(
                *(core, stream.camera, stream.tracker),
                bell=bell,
                say=stream.say,
                reopen=stream.reopen if self.machine.loop else None,
            )
            for core, stream in zip(cores, streams, strict=True)
        ]
        self._board = BoardWatch(self.say, self.root)
        self._board.start()
        self._runner = LiveRunner(stepper, intakes, bell, self.say)
        self._runner.start(monotonic_ns())
        if self._stopping:  # asked for while all was opened
            self._runner.stop()
        return self._runner.results()

    def _until_stopped(self, results: Iterator[Result]) -> Iterator[Result]:
        while not self._stopping and (result := next(results, None)) is not None:
            yield result

    def _resident_mb(self) -> dict[str, Any]:
        """Resident memory now, as attributes of `Summary`."""
        processes = [stream.camera.pid for stream in self.streams.values() if stream.opened]
        captures = [mb for pid in processes if pid is not None and (mb := resident_mb(pid)[0]) is not None]
        rss_mb, peak_rss_mb = resident_mb()
        return {"rss_mb": rss_mb, "peak_rss_mb": peak_rss_mb, "capture_rss_mb": sum(captures) if captures else None}

    def _latencies(self) -> dict[str, LatencyRecorder]:
        merged: dict[str, LatencyRecorder] = {}
        for stream in self.streams.values():
            for name, recorder in stream.latencies.items():
                if name not in self.step_latencies:
                    merged.setdefault(name, LatencyRecorder()).merge(recorder)
        return merged | dict(self.step_latencies)

    def _mark_all(self, marker: Marker) -> None:
        for stream in self.streams.values():
            stream.markers.add(marker.label, marker.source, marker.stamp_ns, marker.clock)
