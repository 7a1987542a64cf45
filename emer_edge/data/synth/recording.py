"""Write a synthetic recording: a face video and a tracker's export.

<out>/recording.json   the files, the display, the participant
<out>/synthetic.json   the acts
<out>/video.avi        640 x 480, MPEG-4 (4 MB a minute); Motion JPEG (140) where OpenCV lacks FFmpeg
<out>/tracker.tsv      Tobii Pro Lab's export, 120 rows per second
"""

from __future__ import annotations

import csv
import errno
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import COLUMN_KEYS, MOVEMENT_CODES, MOVEMENT_TYPE, VALIDITY, VALIDITY_CODES
from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target, whole_folder
from emer_edge.data.images import import_cv2
from emer_edge.data.recordings import RECORDING_FILE, SYNTHETIC_FILE, write_recording_file
from emer_edge.data.synth.eyes import DISPLAY, RATE_HZ, EyeTraits, SyntheticEyes, record
from emer_edge.data.synth.faces import PICTURE_PX, Appearance, Pose, render
from emer_edge.data.synth.gaze import Feeling
from emer_edge.data.synth.plan import CLIP_SECONDS

_SIZE_PX: Final = (640, 480)
_SCALE: Final = 2.4  # of a picture: a little higher than the scene, so that it can move; its edges go on to the sides
_RISE_S: Final = 0.8
_PARTICIPANT: Final = 1  # their numbers, as in a data set of the same seed
_FILM: Final = 1
_VIDEO_QUALITY: Final = 85
_FILES: Final = frozenset({"video.avi", "tracker.tsv", SYNTHETIC_FILE, RECORDING_FILE})
_TSV_COLUMNS: Final = (
    "Recording timestamp [μs]",
    "Sensor",
    "Recording resolution width [px]",
    "Recording resolution height [px]",
)


@dataclass(frozen=True)
class Act:
    """A felt emotion for the eyes and a shown one for the face, from `start_s` on, with strength 0 to 1.2."""

    start_s: float
    felt: str
    shown: str
    strength: float = 1.0


SCRIPT: Final = (
    Act(0.0, "happiness", "happiness"),
    Act(1 * CLIP_SECONDS, "sadness", "happiness"),
    Act(2 * CLIP_SECONDS, "surprise", "surprise"),
    Act(3 * CLIP_SECONDS, "fear", "neutral"),
    Act(4 * CLIP_SECONDS, "disgust", "disgust"),
    Act(5 * CLIP_SECONDS, "anger", "anger"),
)
"""The default acts; the second one smiles over sadness."""


def write_recording(
    out: Path | str,
    seconds: float = 30.0,
    seed: int = 0,
    script: Sequence[Act] = SCRIPT,
    fps: int = 30,
    progress: Progress = silent,
    force: bool = False,
) -> Path:
    """Write a recording folder.

    Args:
        out: the folder to make.
        seconds: length.
        seed: same seed, same frames and rows.
        script: acts in order of time, the first from second 0.
        fps: frames per second.
        progress: called after each second of video.
        force: replace a recording that was made here.

    Raises:
        OutputExistsError: `out` exists and `force` is not set, or it holds files of others.
        ConfigurationError: an empty or unordered script, an unknown emotion, or a length below one frame.
        DataError: the folder can't be written.
        MissingExtraError: OpenCV is not installed.
    """
    out = Path(out)
    _check(script, seconds, fps)
    target = Target.of(out, force, lambda file: file.as_posix() in _FILES)
    traits = EyeTraits.draw(np.random.default_rng([seed, 2, _PARTICIPANT]))
    feelings = [Feeling(act.start_s, act.felt, act.strength) for act in script]
    rng = np.random.default_rng([seed, 6, _PARTICIPANT, _FILM])
    eyes = record(feelings, traits, _FILM, round(seconds * RATE_HZ), rng=rng)
    acts = {"schema": 1, "seed": seed, "film": _FILM, "acts": [asdict(act) for act in script if act.start_s < seconds]}
    try:
        with whole_folder(target) as partial:
            _write_video(partial / "video.avi", scene_frames(script, seconds, seed, fps), fps,
                         round(seconds * fps), progress=progress)  # fmt: skip
            _write_tsv(partial / "tracker.tsv", eyes)
            (partial / SYNTHETIC_FILE).write_text(json.dumps(acts, indent=2) + "\n", encoding="utf-8")
            write_recording_file(
                partial, video="video.avi", tracker="tracker.tsv", display=DISPLAY, participant=str(_PARTICIPANT)
            )
    except OSError as error:
        raise DataError(f"can't write the recording {out}: {error.strerror or error}") from error
    return out


def scene_frames(script: Sequence[Act], seconds: float, seed: int = 0, fps: int = 30) -> Iterator[NDArray[np.uint8]]:
    """Draw the frames of a scene, (480, 640, 3) uint8 B, G, R, in which everything moves a little.

    Raises:
        ConfigurationError: an empty or unordered script, an unknown emotion, or a length below one frame.
    """
    _check(script, seconds, fps)
    who = Appearance.of(seed, _PARTICIPANT)
    rng = np.random.default_rng([seed, 7, _PARTICIPANT])
    frequency, phase = rng.uniform(0.05, 0.4, 8), rng.uniform(0, 2 * np.pi, 8)
    centre = np.array(PICTURE_PX) / 2
    base = Pose(np.column_stack([_SCALE * np.eye(2), np.array(_SIZE_PX) / 2 - _SCALE * centre]), _SIZE_PX)
    amounts = np.zeros(len(EMOTIONS))
    blink_s = rng.uniform(1.0, 4.0)
    for number in range(round(seconds * fps)):
        time_s = number / fps
        act = [act for act in script if act.start_s <= time_s][-1]
        target = np.zeros(len(EMOTIONS))
        target[EMOTIONS.index(act.shown)] = min(act.strength, 1.0)
        amounts += (target - amounts) * (1.0 - np.exp(-3.0 / (_RISE_S * fps)))
        if time_s > blink_s + 0.15:
            blink_s = time_s + rng.uniform(1.5, 5.0)
        waves = np.sin(2 * np.pi * time_s * frequency + phase)
        turn, grow = 0.8 * (waves[0] + waves[1]), 1.0 + 0.008 * (waves[2] + waves[3])
        pose = base.jittered(turn, grow, (3.0 * (waves[4] + waves[5]), 2.5 * (waves[6] + waves[7])))
        yield render(amounts, who, pose, rng, eyes_closed=time_s >= blink_s)


def _check(script: Sequence[Act], seconds: float, fps: int) -> None:
    starts = [act.start_s for act in script]
    if not starts or starts[0] > 0 or starts != sorted(starts):
        raise ConfigurationError("a script needs acts in order of time, the first from second 0")
    unknown = sorted({name for act in script for name in (act.felt, act.shown)} - set(EMOTIONS))
    if unknown:
        raise ConfigurationError(f"the script names {', '.join(unknown)}; the emotions are {', '.join(EMOTIONS)}")
    if fps < 1 or round(seconds * fps) < 1:
        raise ConfigurationError(f"{seconds:g} s at {fps} frames a second is no video")


def _write_video(path: Path, frames: Iterator[NDArray[np.uint8]], fps: int, total: int, progress: Progress) -> None:
    cv2 = import_cv2()
    path.touch()  # OpenCV does not say why it can't
    for back_end, codec in ((cv2.CAP_FFMPEG, "FMP4"), (cv2.CAP_OPENCV_MJPEG, "MJPG")):
        writer = cv2.VideoWriter(str(path), back_end, cv2.VideoWriter_fourcc(*codec), float(fps), _SIZE_PX)
        if writer.isOpened():
            break
    else:
        raise DataError(f"OpenCV can't write the video {path}; its build lacks the encoders of MPEG-4 and Motion JPEG")
    if back_end != cv2.CAP_FFMPEG:
        logging.getLogger("emer_edge").warning(
            "OpenCV was built without FFmpeg here and writes no MPEG-4: %s is Motion JPEG, some thirty times as large",
            path.name,
        )
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _VIDEO_QUALITY)
    try:
        for done, frame in enumerate(frames, start=1):
            writer.write(frame)
            if done % fps == 0 or done == total:
                progress("frames", done, total)
    finally:
        writer.release()
    with path.open("rb") as file:  # OpenCV reports no error of the disk; it writes the size last
        stated = int.from_bytes(file.read(8)[4:], "little") + 8
    if stated != path.stat().st_size:
        raise OSError(errno.ENOSPC, "the video came out cut short; is the disk full?")


def _write_tsv(path: Path, eyes: SyntheticEyes) -> None:
    words = {MOVEMENT_TYPE: MOVEMENT_CODES, **dict.fromkeys(range(39)[VALIDITY], VALIDITY_CODES)}
    coded = {column: {code: word for word, code in table.items()} for column, table in words.items()}
    size = (DISPLAY.width_px, DISPLAY.height_px)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\r\n")
        table.writerow([*_TSV_COLUMNS, *COLUMN_KEYS])
        for time_ns, row in zip(eyes.times_ns.tolist(), eyes.cells.tolist(), strict=True):
            cells = [
                coded[at][cell] if at in coded else f"{cell:.10g}" if cell == cell else ""
                for at, cell in enumerate(row)
            ]
            table.writerow([round(time_ns / 1000), "Eye Tracker", *size, *cells])
