"""Whether the clips of a data set can be used: their frames, their clocks, and how much of a window they cover.

Every command that reads a data set asks here, so that a broken clip has one fate and one reason in all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from emer_edge.core.errors import DataError
from emer_edge.core.progress import Progress, silent
from emer_edge.core.results import State
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS, NANOSECONDS, WindowSpec
from emer_edge.data.frames import FrameFacts, check_frames, frame_times_ns, list_frames
from emer_edge.data.layout import ClipFiles, Layout
from emer_edge.data.sheets import EyeTrack, read_sheet
from emer_edge.signals.rows import eye_slots, face_slots, hop_candidates

_MOST_THREADS: Final = 8


@dataclass(frozen=True)
class ClipCheck:
    """What a clip holds.

    Attributes:
        frames: its frames.
        clock: unit of the sheet's times, or their rate, and what told it; empty where it has none.
        lost: why rows of the sheet were left out -> number of rows.
        face_slots, eye_slots: covered slots of its window.
        seconds: from the start of its first row to its last; the window's length without times.
        longest_gap_s: between two rows; 0 without times.
        problem: why it can't be used, or empty.
        rows: of its sheet.
        timed: whether the sheet holds times.
        notes: what was guessed or derived in its sheet.
    """

    frames: FrameFacts
    clock: str
    lost: dict[str, int]
    face_slots: int
    eye_slots: int
    seconds: float
    longest_gap_s: float
    problem: str = ""
    rows: int = 0
    timed: bool = False
    notes: tuple[str, ...] = ()


def check_clip(files: ClipFiles, window: WindowSpec, sheet_rate_hz: float = 0.0) -> ClipCheck:
    """Read all frames and the eye sheet of a clip; DataError where one can't be used."""
    frames = check_frames(files.frames)
    read = read_sheet(files.sheet)
    track = read.clocked(sheet_rate_hz)
    faces, eyes = _covered(track, files.frames, window)
    times_ns = track.times_in(window.length_ns)
    seconds = float(times_ns[-1]) / NANOSECONDS
    gap_s = float(np.diff(times_ns).max(initial=0)) / NANOSECONDS if read.timed else 0.0
    check = ClipCheck(
        frames, track.clock, dict(track.lost), faces, eye_slots=eyes, seconds=seconds, longest_gap_s=gap_s
    )
    if window.coverage(faces, eyes) is not State.OK:
        clock = f"by its clock ({track.clock})" if track.timed else "without times"
        problem = (
            f"{faces} of {FACE_SLOTS} face slots and {eyes} of {EYE_SLOTS} eye slots are covered, at least "
            f"{window.min_face_slots} and {window.min_eye_slots} are needed: {frames.count} frames and "
            f"{len(track.rows)} rows over {seconds:.2f} s {clock}"
        )
        check = replace(check, problem=problem)
    return replace(check, notes=track.notes, rows=len(track.rows), timed=read.timed)


def _covered(track: EyeTrack, frames: Path, window: WindowSpec) -> tuple[int, int]:
    """Covered face and eye slots of the clip's window, as `PreparedClip` cuts it."""
    times_ns = track.times_in(window.length_ns)
    end_ns = int(times_ns[-1])
    taken_ns = frame_times_ns(frames, list_frames(frames).names, end_ns)
    candidates = taken_ns[hop_candidates(taken_ns, end_ns, window)]
    faces, eyes = face_slots(candidates, end_ns, window)[1], eye_slots(times_ns, track.seen, end_ns, window)[1]
    return int(faces.sum()), int(eyes.sum())


def check_clips(
    layout: Layout, window: WindowSpec, progress: Progress = silent, *, sheet_rate_hz: float = 0.0
) -> Iterator[tuple[ClipFiles, ClipCheck | str]]:
    """Check all clips of a data set in parallel: yield each with its check, or with the reason why there is none."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(cores, _MOST_THREADS))
    try:
        checked = pool.map(partial(_checked, window=window, sheet_rate_hz=sheet_rate_hz), layout.clips)
        for done, (files, check) in enumerate(zip(layout.clips, checked, strict=True), start=1):
            progress("reading clips", done, len(layout.clips))
            yield files, check
    finally:
        pool.shutdown(cancel_futures=True)


def _checked(files: ClipFiles, window: WindowSpec, sheet_rate_hz: float) -> ClipCheck | str:
    try:
        return check_clip(files, window, sheet_rate_hz)
    except DataError as error:
        return str(error)
