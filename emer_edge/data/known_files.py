"""Files of other programs that people take for a table that this one reads: named, so that the right one is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from emer_edge.core.errors import DataError

_MAGIC: Final = (
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF....(?:AVI|WAVE|WEBP)", "a picture or a video"),
    (rb"%PDF", "a PDF"),
    (rb"PAR1\x15|ARROW1\x00|\x89HDF|MATLAB 5\.0|\$FL2|RDX[23]|\x80[\x02-\x05]", "a binary data file (HDF5, MAT, SPSS)"),
    (rb"\x1f\x8b|Rar!|7z\xbc\xaf|BZh[1-9]1AY|\xfd7zXZ", "a compressed archive; unpack it first"),
    (rb"version https://git-lfs", "a pointer to a file in Git LFS; fetch the file itself with git lfs pull"),
    (rb"(?:\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)", "a web page, perhaps of a login; download the file itself"),
    (rb"\*\* (?:CONVERTED FROM|DATE)|SR_RESEARCH", "an EyeLink recording"),
    (rb"## \[(?:BeGaze|iView)\]", "an SMI export"),
    (rb"(?:\xef\xbb\xbf)?\s*\{\"url\"|\{\"doc_id\"", "a link to an online document; download the document itself"),
)  # fmt: skip
_HEADERS: Final = (
    (r"^(GazePoint(Left|Right)?[XY]|StrictAverageGaze|PupilLeft|ValidityLeft|GazeEventType)",  # Pro Lab has blanks
     "a Tobii Studio export, which has no gaze directions and another coding of validity"),
    (r"^(currentfix|ipfix|ianame|recordingsessionlabel)", "a report of EyeLink Data Viewer"),
    (r"^(totaldurationof|averagedurationof|numberof)(whole)?fixation|^timetofirst",
     "a table of metrics; export the gaze data, a row a sample"),
    (r"^(fixationid|fixationindex|fixationduration|fixationstart|fixations?durationms|onset|startstamp)",
     "a list of fixations or events; export the gaze data, a row a sample"),
    (r"^(worldindex|normposx|gazetimestamp|gazexpx|sectionid)", "a Pupil Labs export"),
    (r"^(trialsthisn|thisn|keyrespkeys|psychopyversion)", "a PsychoPy log"),
)  # fmt: skip


def refuse_known_file(content: bytes, path: Path) -> None:
    """Raise DataError where the bytes of a file are those of something that is no table, with its name."""
    for magic, what in _MAGIC:
        if re.match(magic, content, re.DOTALL):
            raise DataError(f"{path} is {what}, not a table")


def known_header(header: Sequence[str]) -> str:
    """What has such a header, as `; this looks like ...`; "" where nothing known has."""
    names = [*header, *(re.sub(r"[^a-z]", "", name.lower()) for name in header)]
    found = (what for pattern, what in _HEADERS if any(re.search(pattern, name) for name in names))
    return next((f"; this looks like {what}" for what in found), "")
