"""`--record FILE.mcap` or just `FILE.mcap`: a run as a recording, in `emer_edge.runtime.recording.messages`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from emer_edge import __version__
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Result
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Marker
from emer_edge.runtime.clock.mapping import WallClock, monotonic_ns
from emer_edge.runtime.faces import Look, alignment_key
from emer_edge.runtime.options import DETECT_EVERY, Source
from emer_edge.runtime.outputs.base import Host, Output, blamed, retention_of, target_of
from emer_edge.runtime.pipeline import Summary
from emer_edge.runtime.recording import messages
from emer_edge.runtime.recording.keep import Images, RecordOptions, expire, is_folder, record_target, recording_path
from emer_edge.runtime.recording.mcap_writer import RecordingWriter, check_writable


class Recorder(Output):
    """Writes a recording; the file is made with the first item. Expired recordings, and what was written, are said."""

    name = "record"
    keeps = once = True
    queued = MappingProxyType({"frame": 16, "sample": 8192, "result": 256, "marker": 1024})

    def __init__(self, options: RecordOptions, host: Host) -> None:
        self._stream, self._options, self._say = host.own, options, host.say
        self._fast = host.pipeline.machine.pace == "fast"
        if options.retention_days is not None:
            expire(options.path.parent, options.retention_days, host.say)
        self._writer: RecordingWriter | None = None
        self._early: list[Marker] = []

    @classmethod
    def parse(cls, address: str) -> RecordOptions:
        """The options of `FILE.mcap?images=jpeg&consent-id=TEXT&participant=ID&session=ID&retention-days=DAYS`."""
        path, parameters = target_of(address, path=True)
        target = record_target(path if Path(path).suffix else f"{path}/")
        images = {name: name for name in get_args(Images)}
        try:
            return RecordOptions(
                target,
                images[parameters.pop("images", "none")],
                consent_id=parameters.pop("consent-id", None),
                participant=parameters.pop("participant", None),
                session=parameters.pop("session", None),
                retention_days=retention_of(parameters),
                **parameters,
            )
        except (KeyError, TypeError, ValueError):
            raise ConfigurationError(
                f"can't read {address}; write FILE.mcap, or FILE.mcap?images=jpeg&consent-id=TEXT; images are none, "
                "jpeg or lossless, and participant, session and retention-days are possible, too"
            ) from None

    @classmethod
    def settle(cls, options: RecordOptions, sources: Sequence[Source]) -> Sequence[RecordOptions]:
        """The file, or of named people FOLDER/TIME-STREAM.mcap.

        Raises:
            ConfigurationError: as `RecordOptions.check`, a folder that is none, or a file that exists already.
            MissingExtraError: the package `mcap` is not installed, or OpenCV, where images are recorded.
        """
        named = [source for source in sources if source.name is not None]
        if named and not is_folder(options.path):
            raise ConfigurationError(
                f"--record {options.path} is a file; several streams are recorded in one file each: name a folder"
            )
        missing = ", ".join(str(source.name) for source in named if source.consent_id is None)
        if options.images != "none" and missing:
            raise ConfigurationError(
                f"--record-video needs a consent-id of every person: add consent-id to the [[stream]] {missing}"
            )
        path = recording_path(options.path)
        settled = []
        for source in sources:
            own = replace(
                options,
                path=path if source.name is None else path.with_name(f"{path.stem}-{source.name}.mcap"),
                consent_id=source.consent_id or options.consent_id,
                participant=source.participant or options.participant,
            )
            try:
                own.check()
                check_writable(own.path, new_folder=is_folder(options.path))
            except ConfigurationError as error:
                raise blamed(source, error) from None
            settled.append(own)
        return settled

    def sample(self, sample: TrackerSample, taken_ns: int) -> None:
        """Write a sample; OSError where the disk is full or gone, as for all items."""
        message = messages.sample_message(sample, taken_ns)
        self._opened().write(messages.SAMPLES, message, sample.arrival_ns, sample.stamp_ns)

    def frame(self, frame: Frame, look: Look | None, taken_ns: int) -> None:
        """Write a frame, and its image."""
        writer, images = self._opened(), self._options.images
        if images != "none":
            unix_ns = max(0, frame.stamp_ns + writer.unix_offset_ns)
            image = messages.image_message(frame, unix_ns, images == "lossless")
            writer.write(messages.CAMERA, image, frame.arrival_ns, frame.stamp_ns)
        message = messages.frame_message(frame, look, taken_ns, with_crop=images == "jpeg")
        writer.write(messages.FRAMES, message, frame.arrival_ns, frame.stamp_ns)

    def result(self, result: Result) -> bool:
        """Write a result."""
        due_ns = result.end_ns + self._stream.source.window.allowance_ns
        writer = self._opened()
        if jump_ns := self._clock.jump_ns():
            writer.clock_jump(monotonic_ns(), jump_ns * 1e-9)
        writer.write(messages.RESULTS, messages.without_nulls(result.to_dict()), due_ns, result.end_ns)
        return True

    def marker(self, marker: Marker) -> None:
        """Write a marker, or keep it until the run has begun."""
        if self._writer is None:
            self._early.append(marker)
        else:
            self._writer.write(messages.MARKERS, marker, marker.stamp_ns, marker.stamp_ns)

    def end(self, summary: Summary | None) -> None:
        """Finish the file."""
        if summary is None and self._writer is None:
            return
        writer = self._opened()
        writer.close()
        counts = ", ".join(f"{count} {topic[1:]}" for topic, count in writer.counts.items())
        self._say(f"recorded {self._options.path}: {counts}")

    def _opened(self) -> RecordingWriter:
        """The file, made with the first item: the lattice has begun by then."""
        if self._writer is None:
            core = self._stream.core
            clock = self._clock = WallClock()
            origin_ns = 0 if core is None else core.evidence.origin_ns
            # In a fast replay, the lattice's origin is the wall clock's now.
            offset_ns = clock.offset_ns + (monotonic_ns() - origin_ns if self._fast else 0)
            self._options.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._writer = RecordingWriter(self._options.path, self._head(origin_ns, offset_ns))
            early, self._early = self._early, []
            for marker in early:
                self.marker(marker)
        return self._writer

    def _head(self, origin_ns: int, unix_offset_ns: int) -> messages.RecordingHead:
        stream, options = self._stream, self._options
        camera, tracker, manifest = stream.camera, stream.tracker, stream.bundle.manifest
        (camera_words, tracker_words), source = stream.described, stream.source
        width_px, height_px = camera.size_px
        started = datetime.fromtimestamp((origin_ns + unix_offset_ns) * 1e-9, timezone.utc)
        return messages.RecordingHead(
            schema=messages.RECORD_SCHEMA,
            version=__version__,
            started=started.isoformat(timespec="milliseconds"),
            origin_ns=origin_ns,
            unix_offset_ns=unix_offset_ns,
            images=options.images,
            camera=camera_words,
            fps=camera.fps,
            width_px=width_px,
            height_px=height_px,
            clock=camera.clock,
            tracker=tracker_words,
            rate_hz=tracker.rate_hz,
            missing_columns=tuple(tracker.missing_columns),
            synchronised=tracker.synchronised and camera.live == tracker.live,
            display=asdict(stream.display),
            stimulus=None if source.stimulus is None else asdict(source.stimulus),
            bundle=manifest.name,
            heads={head.name: tuple(head.classes) for head in manifest.heads},
            aligned_to=alignment_key(manifest.face),
            hop_ns=manifest.window.hop_ns,
            length_ns=manifest.window.length_ns,
            allowance_ns=source.window.allowance_ns,
            detect_every=source.faces.detect_every or DETECT_EVERY,
            subject=source.faces.subject,
            stream=stream.name,
            participant=options.participant,
            session=options.session,
            consent_id=options.consent_id,
        )
