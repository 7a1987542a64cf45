"""The aligned crops of an EMER data set from raw face videos, with the code of a live run.

<output>/<folders as in the input>/<clip>/00001.png ...   112 x 112; the number is that of the frame, from 1
<output>/prepare.csv                                      one row per clip
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from emer_edge.bundle.manifest import FaceRecord
from emer_edge.bundle.variants import CPU, file_of
from emer_edge.core.errors import CameraError, DataError, OutputExistsError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target, whole_file, whole_folder
from emer_edge.core.window import NANOSECONDS
from emer_edge.data.cache import contents_of
from emer_edge.data.frames import is_litter, natural_key
from emer_edge.data.images import import_cv2
from emer_edge.runtime.cameras import open_camera
from emer_edge.runtime.cameras.video import PHOTOS
from emer_edge.runtime.faces import FaceSource, Missing
from emer_edge.runtime.faces.follower import Appearance, unlike
from emer_edge.runtime.options import FaceOptions, Subject
from emer_edge.runtime.session import Session

ImageFormat = Literal["png", "jpg"]
REPORT_FILE: Final = "prepare.csv"
_VIDEOS: Final = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})
_CROP: Final = re.compile(r"\d{5,}\.(?:png|jpg)")
_QUALITY: Final = 95  # of JPEG
_COLUMNS: Final = ("clip", "frames", "crops", *(missing.value for missing in Missing), "problem", "made_from")


@dataclass(frozen=True)
class PreparedVideo:
    """One prepared video.

    Attributes:
        clip: its path in the output.
        frames: its frames; 0 when it was kept.
        crops: crops written.
        missed: reason why frames gave none -> number of frames.
        problem: why it has no crops, or empty.
        kept: it had been prepared before and was not changed.
    """

    clip: str
    frames: int = 0
    crops: int = 0
    missed: Mapping[Missing, int] = field(default_factory=dict)
    problem: str = ""
    kept: bool = False


def prepare_videos(
    source: Path,
    output: Path,
    session: Session,
    record: FaceRecord,
    *,
    subject: Subject = FaceOptions.subject,
    image_format: ImageFormat = "png",
    force: bool = False,
    progress: Progress = silent,
) -> tuple[PreparedVideo, ...]:
    """Cut the subject's face out of every frame of every video.

    A frame without a usable face gives no crop, nor does one whose crop is unlike the others of its clip. A clip is
    written atomically, and existing clips of the same video and options are kept, so that a run continues after a stop.

    Args:
        source: a folder of videos, or of folders of frames, in any depth; or one video.
        output: the folder to write, by convention a data set's `face`.
        session: the bundle whose detector finds the faces.
        record: template of the crops, and whether brightness is matched.
        subject: which face to follow when a video starts with several.
        image_format: `png`, or `jpg` of quality 95, which is a third as large.
        force: replace existing clips.
        progress: called for each video.

    Raises:
        OutputExistsError: a clip that would be replaced holds files of others, or one that would be kept was made from
            another video, with other options, or by a run that left no word of it.
        DataError: there is no video, two of them would have the same name, the output is the input or inside or around
            it, or it can't be written.
    """
    clips = find_videos(source)
    _refuse_own(source, output, clips.values())
    if not clips:
        raise DataError(f"{source} holds no video ({', '.join(sorted(_VIDEOS))}) and no folder of images")
    rows = read_report(output / REPORT_FILE, _COLUMNS)
    detector = session.detector
    options = detector_hash(session), record, subject, image_format
    made_from = {name: _made_from(video, options) for name, video in clips.items()}
    others = [
        name for name in clips if (output / name).is_dir() and rows.get(name, {}).get("made_from") != made_from[name]
    ]
    if others and not force:
        more = f"and {len(others) - 1} more clips " if others[1:] else ""
        raise OutputExistsError(
            output / others[0],
            f"{more}may be of another video or of other options; remove what is old, or cut all again with --force",
        )
    done = []
    try:
        output.mkdir(parents=True, exist_ok=True)
        for number, (name, video) in enumerate(clips.items(), start=1):
            if (output / name).is_dir() and not force:
                done.append(PreparedVideo(name, kept=True))
            else:
                faces = FaceSource(detector, record, NANOSECONDS, FaceOptions(subject, detect_every=1))
                target = Target.of(output / name, force, lambda file: bool(_CROP.fullmatch(file.as_posix())))
                done.append(_prepare(name, video, target, faces, image_format=image_format))
                rows[name] = _row(done[-1]) | {"made_from": made_from[name]}
                _write_report(output / REPORT_FILE, rows)
            progress("preparing videos", number, len(clips))
    except OSError as error:
        raise DataError(f"can't write crops to {output}: {error.strerror or error}") from error
    if all(video.problem for video in done):
        raise DataError(f"no video of {source} gave a crop; {done[0].clip}: {done[0].problem}")
    return tuple(done)


def _prepare(name: str, video: Path, target: Target, faces: FaceSource, image_format: ImageFormat) -> PreparedVideo:
    crops: dict[Path, Appearance] = {}
    try:
        with whole_folder(target) as partial, open_camera(str(video), "fast") as camera:
            for frame in camera:
                face = faces.on_frame(frame)
                if face is not None:
                    crop = partial / f"{frame.index + 1:05d}.{image_format}"
                    write_crop(crop, face.crop)
                    crops[crop] = Appearance.of(face.crop)
            covered = [crop for crop, odd in zip(crops, unlike(list(crops.values())), strict=True) if odd]
            for crop in covered:
                crop.unlink()
    except CameraError as error:
        return PreparedVideo(name, faces.frames, problem=str(error))
    missed = dict((faces.missed + Counter({Missing.COVERED: len(covered)})).most_common())
    reasons = ", ".join(f"{count} {reason.value}" for reason, count in missed.items())
    problem = "" if crops else f"no frame has a usable face: {reasons}"
    return PreparedVideo(name, faces.frames, len(crops) - len(covered), missed, problem=problem)


def _refuse_own(source: Path, output: Path, videos: Iterable[Path]) -> None:
    """Refuse to cut crops out of crops, or to write among what is read, by whatever links."""
    given, made = source.resolve(), output.resolve()
    if given == made or made in given.parents or (source.is_dir() and given in made.parents):
        raise DataError(f"{output} is the same folder as {source}, or one is inside the other; choose another output")
    for video in videos:
        if made in video.resolve().parents:
            raise DataError(f"{video} lies in {output}, the output; choose another output")
    if (given / REPORT_FILE).is_file():
        raise DataError(f"{source} holds a {REPORT_FILE}: its images are crops already; name the folder of raw videos")


def _made_from(video: Path, options: object) -> str:
    """What a clip depends on, as a hash: the contents of a video or of a folder's images, and the options."""
    files = [video] if video.is_file() else [path for path in sorted(video.iterdir()) if path.suffix.lower() in PHOTOS]
    return hashlib.sha256(f"{contents_of(files)} {options!r}".encode()).hexdigest()[:32]


def detector_hash(session: Session) -> str:
    """SHA-256 of the parts that find faces: crops hang on them."""
    files, used = session.bundle.manifest.files, session.detector.record.parts
    parts = (files[file_of(CPU, name)].sha256 for name in session.bundle.parts(CPU) if name in used)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def write_crop(path: Path, crop: Any) -> None:
    """Write a crop, (112, 112, 3) uint8 B, G, R, as PNG or JPEG by its ending; DataError where OpenCV can't."""
    cv2 = import_cv2()
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if path.suffix == ".jpg" else []
    written, encoded = cv2.imencode(path.suffix, crop, options)
    if not written:
        raise DataError(f"OpenCV can't encode {path.name}")
    path.write_bytes(encoded.tobytes())


def find_videos(source: Path) -> dict[str, Path]:
    """Name in the output -> video or folder of frames, in natural order."""
    if source.is_file():
        return {source.stem: source}
    if not source.is_dir():
        raise DataError(f"there is no folder of videos at {source}")
    names: dict[str, Path] = {}
    seen: set[str] = set()
    for folder, inner, files in os.walk(source, followlinks=True):
        inner[:] = [name for name in inner if not is_litter(name)]
        if os.path.realpath(folder) in seen:  # links that lead to each other
            inner.clear()
            continue
        seen.add(os.path.realpath(folder))
        path = Path(folder)
        suffixes = {name: os.path.splitext(name)[1].lower() for name in files if not is_litter(name)}
        videos = [path / name for name, suffix in suffixes.items() if suffix in _VIDEOS]
        if not PHOTOS.isdisjoint(suffixes.values()):
            videos.append(path)
        for video in videos:
            relative = video.relative_to(source)
            name = (relative.with_suffix("") if video.is_file() else relative).as_posix()
            name = source.resolve().name if name == "." else name
            if name in names:
                raise DataError(f"{names[name]} and {video} would both become the clip {name}; rename one")
            names[name] = video
    return {name: names[name] for name in sorted(names, key=natural_key)}


def _row(video: PreparedVideo) -> dict[str, str | int]:
    counts = {reason.value: video.missed.get(reason, 0) for reason in Missing}
    return {"clip": video.clip, "frames": video.frames, "crops": video.crops, **counts, "problem": video.problem}


def read_report(path: Path, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Rows of an earlier run by clip; none where the file is missing or has other columns."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            return {row["clip"]: row for row in table} if table.fieldnames == list(columns) else {}
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}


def _write_report(path: Path, rows: dict[str, dict[str, Any]]) -> None:
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        table.writerows(rows.values())
