"""A data set in one table: what is there, what was left out, and what was guessed. It names no clip and no person.

`info`, `train`, `export`, `bench` and `predict` show the same table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from emer_edge.core.heads import HEADS, ClassHead
from emer_edge.core.window import EYE_SLOTS, FACE_SLOTS
from emer_edge.data.checks import ClipCheck
from emer_edge.data.dataset import EmerDataset, UsableClips

_MOST_UNEQUAL: Final = 1.1


def overview(found: EmerDataset | UsableClips) -> dict[str, str]:
    """Describe a data set, or clips without their labels: what -> figures, in the order of reading."""
    clips, skipped, checks = found.clips, found.skipped, tuple(found.checks.values())
    rows = {"clips": f"{len(clips):,} of {len(clips) + len(skipped):,} can be used"}
    people, films = ({getattr(clip, name) for clip in clips} - {None} for name in ("participant", "film"))
    rows["participants"] = f"{len(people)}, {len(films)} films, by the names of the clips"
    rows["folds"] = _counts(Counter(clip.fold for clip in clips), sort=True)
    rows |= _labels(found) if isinstance(found, EmerDataset) else {}
    rows |= _files(checks, len(found.unused))
    rows |= _coverage(checks)
    if guesses := _guesses(found, checks):
        rows["guesses"] = "; ".join(guesses)
    return {name: text for name, text in rows.items() if text}


def _labels(dataset: EmerDataset) -> dict[str, str]:
    rows = {}
    for name in dataset.heads:
        head, labels = HEADS[name], [clip.labels[name] for clip in dataset.clips if name in clip.labels]
        if isinstance(head, ClassHead):
            rows[name] = _counts(Counter(head.classes[int(label)] for label in labels))
        else:
            rows[name] = f"{_range(labels)} in {len(labels):,} clips"
    return rows


def _files(checks: Sequence[ClipCheck], unused: int) -> dict[str, str]:
    frames, sizes, notes = [check.frames for check in checks], Counter[str](), Counter[str]()
    for facts in frames:
        sizes.update(facts.sizes)
        notes.update(facts.notes)
    ignored = {
        "copies of frames": sum(facts.copies for facts in frames),
        "files that are no images": sum(facts.others for facts in frames),
        "eye sheets of no clip": unused,
    }
    return {
        "frames": f"{sizes.total():,}, {_range([facts.count for facts in frames])} a clip",
        "sizes": _counts(sizes),
        "images": _counts(notes),
        "not read": ", ".join(f"{count:,} {what}" for what, count in ignored.items() if count),
    }


def _coverage(checks: Sequence[ClipCheck]) -> dict[str, str]:
    lost = Counter[str]()
    for check in checks:
        lost.update(check.lost)
    gaps = [check.longest_gap_s for check in checks if check.timed]
    return {
        "face slots": _counts(Counter(f"{check.face_slots} of {FACE_SLOTS}" for check in checks)),
        "eye slots": f"{_range([check.eye_slots for check in checks])} of {EYE_SLOTS} covered",
        "seconds": _range([check.seconds for check in checks]),
        "clocks": _counts(clocks_of(checks)),
        "longest gap": f"{max(gaps):.2f} s" if gaps else "",
        "rows left out": _counts(lost),
    }


def clocks_of(checks: Iterable[ClipCheck]) -> dict[str, int]:
    """How the rows of sheets got their times -> clips; `none` where they are spread over the window."""
    return dict(Counter(check.clock or "none" for check in checks))


def _guesses(found: EmerDataset | UsableClips, checks: Sequence[ClipCheck]) -> list[str]:
    told = sum("told by the rate" in check.clock for check in checks)
    untimed = sum(not check.clock for check in checks)
    guesses = [f"the unit of time of {told} sheets, from their rate"] if told else []
    if untimed:
        guesses.append(
            f"rows and frames of {untimed} clips without times are spread evenly over the window; --sheet-rate says "
            "their rows a second"
        )
    rows = [check.rows for check in checks if not check.timed]
    if rows and max(rows) > _MOST_UNEQUAL * min(rows):
        guesses.append(f"sheets without times hold {_range(rows)} rows: their clips, or their rates, differ")
    guesses += found.notes
    if isinstance(found, EmerDataset) and found.regrouped:
        guesses.append("the folds share participants, so the clips were dealt into five new ones")
    return guesses


def _counts(counts: Mapping[int, int] | Mapping[str, int], *, sort: bool = False) -> str:
    items = sorted(counts.items()) if sort else sorted(counts.items(), key=lambda item: -item[1])
    listed = [f"{name}: {count:,}" for name, count in items]
    return ", ".join(listed if len(listed) <= 8 else [*listed[:7], f"{len(listed) - 7} others"])


def _range(values: Iterable[float]) -> str:
    numbers = sorted(values)
    if not numbers:
        return "none"
    low, middle, high = (f"{value:.4g}" for value in (numbers[0], median(numbers), numbers[-1]))
    return low if low == high else f"{low} to {high} (median {middle})"
