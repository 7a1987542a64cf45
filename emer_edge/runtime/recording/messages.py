"""The messages of a recording, and the conversion of items to messages and back; results as rows of numbers, too.

Every message is JSON; a number that is missing is left out. Topics:

    /samples   tracker samples as the pipeline took them
    /frames    camera frames as the pipeline took them: stamps and detections; with images also the lossless crop
    /camera    the images, `foxglove.CompressedImage`; only with `--record-video`
    /results   results, as `Result.to_dict` gives them
    /markers   markers

All `*_ns` are host monotonic time. `log_time` and `publish_time` of a message are its arrival and stamp as Unix time.
"""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import numpy as np

from emer_edge.core.errors import DataError
from emer_edge.core.results import GAP_NUMBERS, State, gap_numbers
from emer_edge.core.samples import EyeReading, Frame, TrackerSample
from emer_edge.core.window import FACE_SIZE_PX
from emer_edge.data.images import import_cv2
from emer_edge.runtime.encoding import CROP, LOOK, WHOLE, encoded
from emer_edge.runtime.faces.looks import Face, FaceCandidate, Look, Missing

SAMPLES: Final = "/samples"
FRAMES: Final = "/frames"
CAMERA: Final = "/camera"
RESULTS: Final = "/results"
MARKERS: Final = "/markers"
RECORD_SCHEMA: Final = 1

STATE_CODES: Final = {State.OK: 0, State.FILLING: 1, State.NO_FACE: 2, State.NO_GAZE: 3, State.STALE: 4}


class RecordingHead(msgspec.Struct, omit_defaults=True):
    """Metadata at the beginning of a recording.

    Attributes:
        schema: of the recording.
        version: of emer-edge.
        started: wall clock, ISO 8601.
        origin_ns: start of the lattice of hops.
        unix_offset_ns: Unix time minus host monotonic time.
        images: `none`, `jpeg` or `lossless`.
        camera, fps, width_px, height_px, clock: the camera.
        tracker, rate_hz, missing_columns, synchronised: the eye tracker, and whether its times could be compared.
        display, stimulus: as of `Display` and `StimulusRect`; the whole display without `stimulus`.
        bundle: its name.
        heads: head -> class names, empty for values.
        aligned_to: `alignment_key` of the crops.
        hop_ns, length_ns, allowance_ns, detect_every, subject: options of the run.
        stream: its name, where the run reads several people.
        participant, session, consent_id: pseudonyms.
    """

    schema: int
    version: str
    started: str
    origin_ns: int
    unix_offset_ns: int
    images: str
    camera: str
    fps: float
    width_px: int
    height_px: int
    clock: str
    tracker: str
    rate_hz: float
    missing_columns: tuple[str, ...]
    synchronised: bool
    display: dict[str, float]
    bundle: str
    heads: dict[str, tuple[str, ...]]
    aligned_to: str
    hop_ns: int
    length_ns: int
    allowance_ns: int
    detect_every: int
    subject: str
    stimulus: dict[str, float] | None = None
    stream: str | None = None
    participant: str | None = None
    session: str | None = None
    consent_id: str | None = None


class EyeMessage(msgspec.Struct, omit_defaults=True):
    """One eye (see `EyeReading`)."""

    valid: bool
    gaze_x_px: float | None = None
    gaze_y_px: float | None = None
    gaze_x_mm: float | None = None
    gaze_y_mm: float | None = None
    direction_x: float | None = None
    direction_y: float | None = None
    direction_z: float | None = None
    position_x_mm: float | None = None
    position_y_mm: float | None = None
    position_z_mm: float | None = None
    pupil_mm: float | None = None


class SampleMessage(msgspec.Struct, omit_defaults=True):
    """A tracker sample; `taken_ns` as of `Output.sample`."""

    stamp_ns: int
    arrival_ns: int
    taken_ns: int
    left: EyeMessage
    right: EyeMessage
    device_ns: int | None = None


class LookMessage(msgspec.Struct, omit_defaults=True):
    """The detection in a frame (see `Look`); `crop` is a PNG."""

    detect_ms: float
    anew: bool = False
    missed: str | None = None
    box_px: tuple[float, float, float, float] | None = None
    landmarks_px: tuple[float, ...] | None = None
    score: float | None = None
    crop: bytes | None = None


class FrameMessage(msgspec.Struct, omit_defaults=True):
    """A camera frame; the `sequence` of the message is that of its image."""

    index: int
    stamp_ns: int
    arrival_ns: int
    taken_ns: int
    clock: str
    width_px: int
    height_px: int
    look: LookMessage | None = None


class _Time(msgspec.Struct):
    sec: int
    nsec: int


class ImageMessage(msgspec.Struct):
    """`foxglove.CompressedImage`: https://docs.foxglove.dev/docs/sdk/schemas/compressed-image."""

    timestamp: _Time
    frame_id: str
    data: bytes
    format: str


def sample_message(sample: TrackerSample, taken_ns: int) -> SampleMessage:
    """A sample as its message."""
    left, right = _eye_message(sample.left), _eye_message(sample.right)
    return SampleMessage(sample.stamp_ns, sample.arrival_ns, taken_ns, left, right=right, device_ns=sample.device_ns)


def sample_of(message: SampleMessage) -> TrackerSample:
    """The sample of a message."""
    left, right = _eye_of(message.left), _eye_of(message.right)
    return TrackerSample(message.device_ns, message.stamp_ns, message.arrival_ns, left=left, right=right)


def frame_message(frame: Frame, look: Look | None, taken_ns: int, *, with_crop: bool) -> FrameMessage:
    """A frame as its message, without its image; `with_crop` adds the crop of a usable face, as a PNG."""
    detection = None
    if look is not None:
        face, candidate = look.face, look.candidate
        detection = LookMessage(
            detect_ms=look.detect_ns * 1e-6,
            anew=look.anew,
            missed=None if look.missed is None else look.missed.value,
            box_px=None if face is None else face.box_px,
            landmarks_px=None if face is None else tuple(face.landmarks_px.ravel().tolist()),
            score=None if face is None else face.score,
            crop=encoded(candidate.crop, CROP) if candidate is not None and with_crop else None,
        )
    height, width = frame.shape[:2]
    times = (frame.stamp_ns, frame.arrival_ns, taken_ns)
    return FrameMessage(frame.index, *times, clock=frame.clock, width_px=width, height_px=height, look=detection)


def look_of(message: FrameMessage) -> Look | None:
    """The detection in a recorded frame; raise DataError where its crop is damaged."""
    detection = message.look
    if detection is None:
        return None
    face = candidate = None
    if detection.box_px is not None and detection.landmarks_px is not None:
        landmarks = np.array(detection.landmarks_px, np.float32).reshape(-1, 2)
        face = Face(detection.box_px, landmarks, detection.score or 0.0)
    if detection.crop is not None:
        cv2 = import_cv2()
        crop = cv2.imdecode(np.frombuffer(detection.crop, np.uint8), cv2.IMREAD_COLOR)
        if crop is None or crop.shape != (FACE_SIZE_PX, FACE_SIZE_PX, 3):
            raise DataError("the recording holds a crop that is damaged")
        candidate = FaceCandidate(message.stamp_ns, crop, 0, 0)
    try:
        missed = None if detection.missed is None else Missing(detection.missed)
    except ValueError:
        raise DataError(f"the recording gives an unknown reason for a missed face: {detection.missed!r}") from None
    return Look(face, candidate, missed, detection.anew, detect_ns=0)


def image_message(frame: Frame, unix_ns: int, lossless: bool) -> ImageMessage:
    """A frame's image: the camera's own JPEG where the frame has it, else JPEG of quality 90, or PNG."""
    if frame.original is not None and not lossless:
        data = frame.original
    else:
        data = encoded(frame.image, WHOLE if lossless else LOOK)
    return ImageMessage(_Time(*divmod(unix_ns, 1_000_000_000)), "camera", data, "png" if lossless else "jpeg")


def without_nulls(value: Any) -> Any:
    """A plain value without the keys whose value is None: what a reader of the schemas expects."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def result_channels(heads: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Label and unit of each channel; `heads`: head -> its class names, empty for a value."""
    channels = [("state", "code")]
    for name, classes in heads.items():
        channels += [(f"{name} {label}", "probability") for label in classes] or [(name, "scale")]
    return channels + [(f"gap {name.replace('_', ' ')}", unit) for name, unit in GAP_NUMBERS.items()]


def result_row(result: dict[str, Any], heads: dict[str, tuple[str, ...]]) -> list[float]:
    """The channels' numbers of a result as `Result.to_dict` gives it; NaN where missing."""
    row: list[float | None] = [float(STATE_CODES[State(result["state"])])]
    for name, classes in heads.items():
        value = result["heads"].get(name)
        shares = value if isinstance(value, dict) else {}
        row += [shares.get(label) for label in classes] if classes else [value]
    row += gap_numbers(result.get("gap"))
    return [math.nan if number is None else float(number) for number in row]


def _eye_message(eye: EyeReading) -> EyeMessage:
    numbers = (*eye.gaze_px, *eye.gaze_mm, *eye.direction, *eye.position_mm, eye.pupil_mm)
    return EyeMessage(eye.valid, *(None if math.isnan(number) else float(number) for number in numbers))


def _eye_of(message: EyeMessage) -> EyeReading:
    numbers = (math.nan if number is None else number for number in msgspec.structs.astuple(message)[1:])
    x_px, y_px, x_mm, y_mm, x, y, z, *position_mm, pupil_mm = numbers
    at_mm = (position_mm[0], position_mm[1], position_mm[2])
    return EyeReading((x_px, y_px), (x_mm, y_mm), (x, y, z), at_mm, pupil_mm=pupil_mm, valid=message.valid)
