"""Write a synthetic data set in EMER's layout.

    <out>/face/set1 .. set5/<clip>/<n>.jpg    112 x 112 aligned crops
    <out>/eye/<clip>.xlsx                     39 columns, 120 rows a second
    <out>/EMER_label.xlsx                     both views
    <out>/synthetic.json                      its parameters

Every clip has its own random numbers, so the bytes don't depend on the number of workers.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import ConfigurationError, DataError, MissingExtraError
from emer_edge.core.heads import EMOTIONS
from emer_edge.core.leaving import end_with_parent
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target, whole_folder
from emer_edge.data.images import import_cv2
from emer_edge.data.synth.eyes import RATE_HZ, EyeTraits, record
from emer_edge.data.synth.faces import Appearance, align_pose, landmarks, render
from emer_edge.data.synth.gaze import Feeling
from emer_edge.data.synth.plan import CLIP_SECONDS, ClipPlan, plan_clips

_CREATED: Final = datetime(2024, 1, 1)  # fixed, because XLSX files hold their date of creation


def _write_sheet(path: Path, name: str, header: Iterable[str], rows: Iterable[Sequence[str | float]]) -> None:
    """Write an XLSX file; NaN is left blank."""
    try:
        import xlsxwriter
    except ImportError as error:
        raise MissingExtraError("writing synthetic sheets", "xlsxwriter", "synth") from error
    content = io.BytesIO()
    try:
        with xlsxwriter.Workbook(content, {"constant_memory": True}) as book:
            book.set_properties({"created": _CREATED})
            page = book.add_worksheet(name)
            page.write_row(0, 0, header)
            for number, row in enumerate(rows, start=1):
                for column, cell in enumerate(row):
                    if isinstance(cell, str):
                        page.write_string(number, column, cell)
                    elif cell == cell:  # not NaN
                        page.write_number(number, column, cell)
    except xlsxwriter.exceptions.FileCreateError as error:  # of its temporary files
        raise error.args[0] from None
    path.write_bytes(content.getvalue())


MARKER: Final = "synthetic.json"
_FILES: Final = re.compile(r"face/set[1-5]/[^/]+/\d+\.jpg|eye/[^/]+\.xlsx|EMER_label\.xlsx|synthetic\.json")
_SCHEMA: Final = 1
_JPEG_QUALITY: Final = 90
_BLINKING: Final = 0.04  # share of frames with closed eyes
_INLINE: Final = 12  # fewer clips are drawn faster than workers start


def synthesise(
    out: Path | str,
    participants: int = 60,
    seed: int = 0,
    clips_per_participant: int = 10,
    frames: int = 24,
    progress: Progress = silent,
    workers: int | None = None,
    force: bool = False,
) -> Path:
    """Write a synthetic data set.

    Args:
        out: the folder to make.
        participants: 5 or more, in five folds that share no face (people beyond the 120 packaged ones begin again).
        seed: same seed and numbers, same bytes.
        clips_per_participant: of different films.
        frames: least face crops per clip; up to a quarter more.
        progress: called after each clip.
        workers: processes; one per core by default. More than one needs the caller's script to be importable
            (`if __name__ == "__main__":`).
        force: replace an existing synthetic data set.

    Returns:
        The folder.

    Raises:
        OutputExistsError: `out` exists and `force` is not set, or it holds files of others.
        DataError: `out` exists and is no synthetic data set, or can't be written, or the package's faces are damaged.
        ConfigurationError: a number out of range.
        MissingExtraError: OpenCV or XlsxWriter is not installed.
    """
    out = Path(out)
    if frames < 8:
        raise ConfigurationError(f"a clip needs at least 8 frames, not {frames}")
    plans = plan_clips(participants, clips_per_participant, seed)
    import_cv2()
    if force and out.exists() and not (out / MARKER).is_file():
        raise DataError(f"{out} is not a synthetic data set (it holds no {MARKER}); remove it yourself if it can go")
    target = Target.of(out, force, lambda file: bool(_FILES.fullmatch(file.as_posix())))
    about = {
        "schema": _SCHEMA,
        "participants": participants,
        "clips_per_participant": clips_per_participant,
        "frames": frames,
        "seed": seed,
    }
    try:
        with whole_folder(target) as partial_out:
            (partial_out / "eye").mkdir()
            for fold in range(1, 6):
                (partial_out / "face" / f"set{fold}").mkdir(parents=True)
            rows = [(plan.name, *plan.labels.values()) for plan in plans]
            _write_sheet(partial_out / "EMER_label.xlsx", "labels", ("ID", *plans[0].labels), rows)
            progress("clips", 0, len(plans))
            for done, _ in enumerate(_written(partial(_write_clip, partial_out, seed, frames), plans, workers), 1):
                progress("clips", done, len(plans))
            (partial_out / MARKER).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"can't write the data set {out}: {error.strerror or error}") from error
    return out


def _written(write: partial[None], plans: list[ClipPlan], workers: int | None) -> Iterator[None]:
    # the cores that this process may use
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = workers or cores or 1
    if count <= 1 or len(plans) <= _INLINE:
        yield from map(write, plans)
        return
    # spawn: a fork of a process with threads (an inference engine's, say) can hang.
    with ProcessPoolExecutor(count, get_context("spawn"), end_with_parent) as pool:
        try:
            yield from pool.map(write, plans, chunksize=2)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_clip(root: Path, seed: int, frames: int, plan: ClipPlan) -> None:
    cv2 = import_cv2()
    folder = root / "face" / f"set{plan.fold}" / plan.name
    folder.mkdir()
    for number, image in enumerate(clip_faces(plan, seed, frames), start=1):
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / f"{number}.jpg").write_bytes(encoded.tobytes())
    _write_sheet(root / "eye" / f"{plan.name}.xlsx", "eye", COLUMN_KEYS, clip_eyes(plan, seed).tolist())


def clip_faces(plan: ClipPlan, seed: int, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Draw the aligned crops of a clip, (112, 112, 3) uint8 B, G, R, at equal intervals."""
    who = Appearance.of(seed, plan.participant)
    rng = np.random.default_rng([seed, 5, plan.participant, plan.film])
    shown, felt = EMOTIONS.index(plan.shown), EMOTIONS.index(plan.felt)
    idle = rng.dirichlet(np.full(len(EMOTIONS), 0.5)) * rng.uniform(0.0, 0.06)
    count = frames + int(rng.integers(0, frames // 4 + 1))
    for number in range(1, count + 1):
        time_s = number * CLIP_SECONDS / count
        amounts = idle * rng.uniform(0.5, 1.0)
        amounts[shown] += plan.shown_strength * plan.course.shown(time_s) * rng.uniform(0.92, 1.0)
        amounts[felt] += 0.6 * plan.course.leaked(time_s)
        blinks = bool(rng.random() < _BLINKING)
        pose = align_pose(landmarks(amounts, who)).jittered(
            rng.normal(0, 1.5), 1.0 + rng.normal(0, 0.012), (rng.normal(0, 0.8), rng.normal(0, 0.8))
        )
        yield render(amounts, who, pose, rng, eyes_closed=blinks)


def clip_eyes(plan: ClipPlan, seed: int) -> NDArray[np.float64]:
    """Eye rows of a clip: (n, 39) float64, NaN where blank; n varies around 1,440."""
    traits = EyeTraits.draw(np.random.default_rng([seed, 2, plan.participant]))
    rng = np.random.default_rng([seed, 3, plan.participant, plan.film])
    count = round(CLIP_SECONDS * RATE_HZ) + int(rng.integers(-20, 21))
    return record([Feeling(0.0, plan.felt, plan.felt_strength)], traits, plan.film, count, rng=rng).cells
