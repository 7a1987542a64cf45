"""`--record FILE.mcap`: a run as a recording (see `emer_edge.runtime.recording.messages`)."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from emer_edge import __version__
from emer_edge.runtime.clock import monotonic_ns
from emer_edge.runtime.encoding import Encoder
from emer_edge.runtime.faces import Look, alignment_key
from emer_edge.runtime.outputs.background import Background
from emer_edge.runtime.pipeline import Stream
from emer_edge.runtime.recording.keep import RecordOptions, expire, recording_path
from emer_edge.runtime.recording.mcap_writer import RecordingWriter, check_writable
from emer_edge.runtime.recording.messages import (
    CAMERA,
    FRAMES,
    MARKERS,
    RECORD_SCHEMA,
    RESULTS,
    SAMPLES,
    RecordingHead,
    frame_message,
    image_message,
    sample_message,
    without_nulls,
)
from emer_edge.runtime.say import Say
from emer_edge.spec.markers import Marker
from emer_edge.spec.results import Result
from emer_edge.spec.samples import Frame, TrackerSample

__all__ = ["Recorder", "record"]

_LIMITS: Final = {"frame": 16, "sample": 8192, "step": 256, "marker": 1024, "origin": 8}


def record(stream: Stream, options: RecordOptions, say: Say, encoder: Encoder | None = None) -> Background:
    """Record a run.

    Args:
        stream: not opened yet.
        options: where, what, whose, and for how long.
        say: told of recordings that are too old, of failures, and what was written.
        encoder: makes the images; one of its own by default.

    Raises:
        ConfigurationError: see `recording_path` and `check_writable`; or images without a consent ID.
        MissingExtraError: the package `mcap` is not installed, or OpenCV, where images are recorded.
        EmerEdgeError: images are recorded, and the process that encodes them can't be started.
    """
    options.check()
    path = recording_path(options.path)
    check_writable(path)
    if options.retention_days is not None:
        expire(path.parent, options.retention_days, say)
    stream.keep_originals = options.images == "jpeg"
    recorder = Recorder(stream, path, options, say, encoder or Encoder(say))
    output = Background(recorder, say, dict(_LIMITS), wait=stream.machine.pace == "fast")
    stream.tap(_Tap(output))
    stream.markers.listen(lambda marker: output.put("marker", marker))
    return output


class _Tap:
    """Puts everything that a stream takes into the recorder's queue."""

    def __init__(self, output: Background) -> None:
        self._put = output.put

    def on_origin(self, origin_ns: int) -> None:
        self._put("origin", (origin_ns, time.time_ns(), monotonic_ns()))

    def on_frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        self._put("frame", (frame, look, taken_ns))

    def on_sample(self, sample: TrackerSample, taken_ns: int) -> None:
        self._put("sample", (sample, taken_ns))

    def on_step(self, result: Result) -> None:
        self._put("step", result)


class Recorder:
    """Writes what a `Background` gives it.

    Args:
        stream: what is recorded.
        path: the file, which does not exist.
        options: what goes into it.
        say: told what was written.
        encoder: makes the images.
    """

    name = "record"

    def __init__(self, stream: Stream, path: Path, options: RecordOptions, say: Say, encoder: Encoder) -> None:
        self._stream, self._path, self._options, self._say = stream, path, options, say
        self._encoder = encoder.hold()
        if options.images != "none":
            self._encoder.start()  # before any frame comes, so that none waits for it
        self._writer: RecordingWriter | None = None
        self._early: list[Marker] = []

    @property
    def helper_pid(self) -> int | None:
        """See `Helped`."""
        return self._encoder.pid

    def begin(self) -> None:
        """Nothing to do: the file is made when the lattice has begun."""

    def take(self, kind: str, item: Any) -> None:
        """Write an item; OSError where the disk is full or gone."""
        writer = self._writer
        if kind == "origin":
            self._open(*item)
        elif kind == "marker":
            self._marker(item)
        elif writer is None:
            return
        elif kind == "sample":
            sample, taken_ns = item
            writer.write(SAMPLES, sample_message(sample, taken_ns), sample.arrival_ns, sample.stamp_ns)
        elif kind == "frame":
            self._frame(writer, *item)
        else:
            due_ns = item.end_ns + self._stream.source.window.allowance_ns
            writer.write(RESULTS, without_nulls(item.to_dict()), due_ns, item.end_ns)

    def end(self) -> dict[str, int]:
        """Finish the file."""
        self._encoder.release()
        writer, self._writer = self._writer, None
        if writer is None:
            return {}
        writer.close()
        counts = ", ".join(f"{count} {topic[1:]}" for topic, count in writer.counts.items())
        self._say(f"recorded {self._path}: {counts}")
        return {}

    def _open(self, origin_ns: int, unix_ns: int, now_ns: int) -> None:
        if self._writer is not None:
            return
        # A replay's time is the recording's: its origin is put at the wall clock's now.
        reference_ns = origin_ns if self._stream.machine.pace == "fast" else now_ns
        self._writer = RecordingWriter(self._path, self._head(origin_ns, unix_ns, reference_ns))
        early, self._early = self._early, []
        for marker in early:
            self._marker(marker)

    def _marker(self, marker: Marker) -> None:
        if self._writer is None:
            self._early.append(marker)
        else:
            self._writer.write(MARKERS, marker, marker.stamp_ns, marker.stamp_ns)

    def _frame(self, writer: RecordingWriter, frame: Frame, look: Look | None, taken_ns: int) -> None:
        images = self._options.images
        if images != "none":
            unix_ns = max(0, frame.stamp_ns + writer.unix_offset_ns)
            image = image_message(frame, unix_ns, images == "lossless", self._encoder.encode)
            writer.write(CAMERA, image, frame.arrival_ns, frame.stamp_ns)
        message = frame_message(frame, look, taken_ns, images == "jpeg", self._encoder.encode)
        writer.write(FRAMES, message, frame.arrival_ns, frame.stamp_ns)

    def _head(self, origin_ns: int, unix_ns: int, reference_ns: int) -> RecordingHead:
        stream, options = self._stream, self._options
        camera, tracker, manifest = stream.camera, stream.tracker, stream.bundle.manifest
        described = stream.described
        width_px, height_px = camera.size_px
        faces, stimulus = stream.source.faces, stream.source.stimulus
        return RecordingHead(
            schema=RECORD_SCHEMA,
            version=__version__,
            started=datetime.fromtimestamp(unix_ns * 1e-9, timezone.utc).isoformat(timespec="milliseconds"),
            origin_ns=origin_ns,
            unix_offset_ns=unix_ns - reference_ns,
            images=options.images,
            camera=described[0],
            fps=camera.fps,
            width_px=width_px,
            height_px=height_px,
            clock=camera.clock,
            tracker=described[1],
            rate_hz=tracker.rate_hz,
            missing_columns=tuple(tracker.missing_columns),
            synchronised=tracker.synchronised and camera.live == tracker.live,
            display=asdict(stream.display),
            stimulus=None if stimulus is None else asdict(stimulus),
            bundle=manifest.name,
            heads={each.name: tuple(each.classes) for each in manifest.heads},
            aligned_to=alignment_key(manifest.face),
            hop_ns=manifest.window.hop_ns,
            length_ns=manifest.window.length_ns,
            allowance_ns=stream.source.window.allowance_ns,
            detect_every=faces.detect_every,
            subject=faces.subject,
            stream=stream.name,
            participant=options.participant,
            session=options.session,
            consent_id=options.consent_id,
        )
