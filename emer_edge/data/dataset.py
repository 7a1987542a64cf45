"""A copy of EMER as a data set: clips, folds and their slices, and salted hashes of clips.

The three slices of a fold never overlap: the test clips (`fold`), the clips for choices (`selection`), and the rest
for fitting (`training`). Choices are calibration, precision, temperatures and the epoch. A bundle stores a `clip_hash`
of its training clips, which names nobody.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from emer_edge.core.errors import ConfigurationError, DataError
from emer_edge.core.heads import HEADS, View
from emer_edge.core.progress import Progress, silent
from emer_edge.core.window import NEW_RULE, EventsRule, WindowSpec
from emer_edge.data.cache import contents_of
from emer_edge.data.checks import ClipCheck, check_clips
from emer_edge.data.frames import list_frames, natural_key
from emer_edge.data.images import read_crop
from emer_edge.data.labels import Classes, open_labels
from emer_edge.data.layout import FOLDS, ClipFiles, Layout, describe_clip, find_layout
from emer_edge.data.sheets import EyeTrack, read_sheet


@dataclass(frozen=True)
class SkippedClip:
    """An unusable clip, and the reason."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Clip:
    """One clip; frames and eye rows are read from disk on demand.

    Attributes:
        name: its folder name, which is its ID in the label file.
        participant, stimulus, induced_emotion: from the name, or None.
        fold: 1 to 5, 0 for a clip outside of any data set.
        frames_path: folder of its face crops.
        sheet_path: its eye sheet.
        labels: head -> class index or value, of the labelled heads.
        sheet_rate_hz: of a sheet that tells no times, where somebody said it; else 0.
        shares: head -> shares of its classes among raters, where they are told.
    """

    name: str
    participant: str | None
    stimulus: str | None
    induced_emotion: str | None
    fold: int
    frames_path: Path
    sheet_path: Path
    labels: Mapping[str, int | float]
    sheet_rate_hz: float = 0.0
    shares: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, files: ClipFiles, sheet_rate_hz: float = 0.0) -> Clip:
        """The clip of some files, without labels."""
        return cls(
            files.name, *describe_clip(files.name), fold=files.fold, frames_path=files.frames, sheet_path=files.sheet,
            labels={}, sheet_rate_hz=sheet_rate_hz,
        )  # fmt: skip

    @property
    def film(self) -> str | None:
        """The film by the name, with its emotion, which alone tells those called `film` apart; None without one."""
        return None if self.stimulus is None else "_".join(filter(None, (self.stimulus, self.induced_emotion)))

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        """File names of its frames in natural order; DataError when they can't be listed."""
        try:
            return list_frames(self.frames_path).names
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error

    @property
    def frame_paths(self) -> tuple[Path, ...]:
        """Paths of its frames in natural order."""
        return tuple(self.frames_path / name for name in self.frame_names)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Read one frame: (112, 112, 3) uint8, B, G, R; DataError when it is no image."""
        try:
            return read_crop(self.frames_path / self.frame_names[index])
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error

    def eye(self) -> EyeTrack:
        """Read its eye rows, cached; DataError when the sheet can't be used."""
        try:
            return read_sheet(self.sheet_path).clocked(self.sheet_rate_hz)
        except DataError as error:
            raise DataError(f"clip {self.name}: {error}") from error


_MOST_UNCOVERED: Final = 0.25


@dataclass(frozen=True)
class UsableClips:
    """The clips of a data set's files that can be used, labelled or not.

    Attributes:
        layout: the files.
        clips, skipped: those that can be used, without labels, in natural order of their names, and the others.
        checks: clip -> what it holds, of all whose files could be read.
    """

    layout: Layout
    clips: tuple[Clip, ...]
    skipped: tuple[SkippedClip, ...]
    checks: Mapping[str, ClipCheck]

    @property
    def unused(self) -> tuple[Path, ...]:
        """Sheets that belong to no clip."""
        return self.layout.unused

    @property
    def notes(self) -> tuple[str, ...]:
        """What was guessed or derived in reading the sheets, as sentences, each once."""
        noted: dict[str, list[str]] = {}
        for files in self.layout.clips:
            for note in self.checks[files.name].notes if files.name in self.checks else ():
                noted.setdefault(note, []).append(files.sheet.name)
        return tuple(
            f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {note}" for note, names in noted.items()
        )

    @classmethod
    def of(
        cls, layout: Layout, window: WindowSpec, progress: Progress = silent, *, sheet_rate_hz: float = 0.0
    ) -> UsableClips:
        """Check all clips of a data set, `sheet_rate_hz` being that of sheets that tell no times."""
        skipped = [SkippedClip(name, reason) for name, reason in layout.broken.items()]
        clips: list[Clip] = []
        checks: dict[str, ClipCheck] = {}
        for files, check in check_clips(layout, window, progress, sheet_rate_hz=sheet_rate_hz):
            if isinstance(check, ClipCheck):
                checks[files.name] = check
            if problem := check if isinstance(check, str) else check.problem:
                skipped.append(SkippedClip(files.name, problem))
            else:
                clips.append(Clip.of(files, sheet_rate_hz))
        return cls(layout, tuple(clips), tuple(skipped), checks)

    def refuse_many_uncovered(self) -> None:
        """Raise DataError when more than a quarter of the clips, and at least two, cover too little of a window."""
        below = [f"{name}: {check.problem}" for name, check in self.checks.items() if check.problem]
        if len(below) > max(1, _MOST_UNCOVERED * len(self.checks)):
            raise DataError(
                f"{self.layout.root}: {len(below)} of {len(self.checks)} clips cover too little of a window; the "
                f"first: {below[0]}"
            )


def in_order(skipped: Iterable[SkippedClip], root: Path, strict: bool = False) -> tuple[SkippedClip, ...]:
    """Unusable clips in natural order of their names; DataError with the first of them if `strict`."""
    ordered = tuple(sorted(skipped, key=lambda clip: natural_key(clip.name)))
    for clip in ordered if strict else ():
        raise DataError(f"{root}: clip {clip.name} can't be used: {clip.reason}")
    return ordered


_SELECTION_SHARE: Final = 1 / 6
_SELECTION_DRAWS: Final = 200


@dataclass(frozen=True)
class EmerDataset:
    """A copy of EMER.

    Attributes:
        root: its folder.
        clips: usable clips, in natural order of their names.
        skipped: unusable clips.
        heads: heads of the label file, in the order of `HEADS`.
        events: how columns 33 to 39 of its windows are filled.
        fingerprint: SHA-256 over clip names, folds, labels and the contents of the sheets.
        checks: clip -> what its frames and its sheet hold, of all whose files could be read.
        unused: sheets that belong to no clip.
        regrouped: whether the folds are new ones from `regroup`.
        notes: what was guessed or derived in reading labels and sheets, as sentences.
    """

    root: Path
    clips: tuple[Clip, ...]
    skipped: tuple[SkippedClip, ...]
    heads: tuple[str, ...]
    events: EventsRule
    fingerprint: str
    checks: Mapping[str, ClipCheck] = field(default_factory=dict)
    unused: tuple[Path, ...] = ()
    regrouped: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        view: View | None = None,
        mapping: Mapping[str, str] | None = None,
        classes: Classes | None = None,
        strict: bool = False,
        events: EventsRule = NEW_RULE,
        keep_folds: bool = False,
        window: WindowSpec = WindowSpec(),
        sheet_rate_hz: float = 0.0,
        progress: Progress = silent,
    ) -> EmerDataset:
        """Open a copy of EMER in either of its layouts.

        Reads label, sheet and all frames of every clip; caches sheets and what frames are, outside of the data folder.

        Args:
            root: folder of the data set.
            view: of a label file without view names.
            mapping: head (or `id`) -> column of the label file, where it differs from the default.
            classes: emotions in the order of their codes, where the label file uses codes.
            strict: fail on the first unusable clip instead of skipping it.
            events: `causal-2`, `causal`, or `published` to keep columns 33 to 39 as the sheets have them.
            keep_folds: keep folds that share participants, instead of dealing their clips into new ones (`regroup`).
            window: a clip that covers less of it than its floors is left out.
            sheet_rate_hz: rows a second of sheets that tell no times; 0 spreads their rows over the window.
            progress: called for each clip.

        Raises:
            DataError: no data set, folds, labels, known label columns or usable clip, many clips that cover too little
                of a window, or any unusable clip if `strict`.
            ConfigurationError: the label file needs a view or classes.
        """
        root = Path(root)
        layout = find_layout(root)
        table = open_labels(layout.labels, view=view, mapping=mapping)
        order = table.code_order(classes)
        usable = UsableClips.of(layout, window, progress, sheet_rate_hz=sheet_rate_hz)
        usable.refuse_many_uncovered()
        clips: list[Clip] = []
        unusable = list(usable.skipped)
        for clip in usable.clips:
            try:
                clips.append(replace(clip, labels=table.labels(clip.name, order), shares=table.shares(clip.name)))
            except DataError as error:
                unusable.append(SkippedClip(clip.name, str(error)))
        skipped = in_order(unusable, root, strict)
        if not clips:
            first = f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
            raise DataError(f"{root} holds no usable clip, {len(skipped)} were skipped{first}")
        dataset = cls(
            root,
            tuple(clips),
            skipped,
            table.heads,
            events=events,
            fingerprint=_fingerprint(clips),
            checks=usable.checks,
            unused=usable.unused,
            notes=(*(f"{table.path.name}: {note}" for note in table.notes), *usable.notes),
        )
        return regroup(dataset) if dataset.shared_participants and not keep_folds else dataset

    @property
    def folds(self) -> tuple[int, ...]:
        """The folds that have clips."""
        return tuple(sorted({clip.fold for clip in self.clips}))

    @property
    def shared_participants(self) -> dict[str, tuple[int, ...]]:
        """Participants in several folds, with these folds; such figures say less about new people."""
        folds: dict[str, set[int]] = {}
        for clip in self.clips:
            if clip.participant is not None:
                folds.setdefault(clip.participant, set()).add(clip.fold)
        return {name: tuple(sorted(several)) for name, several in folds.items() if len(several) > 1}

    def fold(self, fold: int) -> tuple[Clip, ...]:
        """The test clips of a fold; ConfigurationError when it has none."""
        if fold not in self.folds:
            raise ConfigurationError(
                f"{self.root} has no clips in fold {fold}; its folds are {', '.join(map(str, self.folds))}"
            )
        return tuple(clip for clip in self.clips if clip.fold == fold)

    def training(self, fold: int, seed: int = 0) -> tuple[Clip, ...]:
        """The clips for fitting a network of this fold: outside of the fold and its selection slice."""
        chosen = set(map(id, self.selection(fold, seed)))
        return tuple(clip for clip in self._outside(fold) if id(clip) not in chosen)

    def selection(self, fold: int, seed: int = 0) -> tuple[Clip, ...]:
        """The clips for choices: those of about a sixth of the participants outside of the fold.

        Of 200 seeded draws of participants, the one whose class distribution is closest to that of all these clips. A
        clip without a participant counts as one. Empty with only one participant.
        """
        clips = self._outside(fold)
        groups = sorted({_group(clip) for clip in clips})
        count = min(max(1, round(len(groups) * _SELECTION_SHARE)), len(groups) - 1)
        if count < 1:
            return ()
        counts = _class_counts(clips, groups, next((name for name in self.heads if HEADS[name].kind == "class"), None))
        spread = _shares(counts.sum(axis=0))
        rng = np.random.default_rng([seed, fold])
        draws = [rng.permutation(len(groups))[:count] for _ in range(_SELECTION_DRAWS)]
        best = min(draws, key=lambda drawn: float(np.abs(_shares(counts[drawn].sum(axis=0)) - spread).sum()))
        chosen = {groups[at] for at in best}
        return tuple(clip for clip in clips if _group(clip) in chosen)

    def _outside(self, fold: int) -> tuple[Clip, ...]:
        if fold not in FOLDS:
            raise ConfigurationError(f"folds are numbered 1 to 5, not {fold}")
        clips = tuple(clip for clip in self.clips if clip.fold != fold)
        if not clips:
            raise DataError(f"{self.root} has no clips outside of fold {fold}, so there is nothing to train on")
        return clips


def regroup(dataset: EmerDataset, seed: int = 0) -> EmerDataset:
    """Deal the clips into five new folds that share no participant.

    Participants in seeded order, those with most clips first, go to the fold with the fewest clips so far: other folds,
    and figures, than the published ones.
    """
    counts = Counter(_group(clip) for clip in dataset.clips)
    rng, names = np.random.default_rng(seed), sorted(counts)
    names = sorted((names[at] for at in rng.permutation(len(names))), key=lambda name: -counts[name])
    sizes = dict.fromkeys(FOLDS, 0)
    fold_of: dict[str, int] = {}
    for name in names:
        fold_of[name] = fold = min(FOLDS, key=sizes.__getitem__)
        sizes[fold] += counts[name]
    clips = tuple(replace(clip, fold=fold_of[_group(clip)]) for clip in dataset.clips)
    return replace(dataset, clips=clips, fingerprint=_fingerprint(clips), regrouped=True)


def new_salt() -> str:
    """A random salt for a bundle's hashes, 32 hexadecimal digits."""
    return secrets.token_hex(16)


def clip_hash(salt: str, clip: Clip) -> str:
    """Salted hash of a clip, 32 hexadecimal digits.

    It covers the bytes of the first, middle and last frame: a renamed clip keeps its hash, and clips of the same name
    in two data sets have different ones.

    Raises:
        DataError: the clip has no frames, or one can't be read.
    """
    paths = clip.frame_paths
    digest = hashlib.sha256(salt.encode())
    for at in sorted({0, len(paths) // 2, len(paths) - 1}):
        try:
            content = paths[at].read_bytes()
        except OSError as error:
            raise DataError(f"can't open the frame {paths[at]}: {error.strerror}") from None
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _group(clip: Clip) -> str:
    return f"participant {clip.participant}" if clip.participant is not None else f"clip {clip.name}"


def _class_counts(clips: Iterable[Clip], groups: Sequence[str], head: str | None) -> NDArray[np.float64]:
    """(groups, classes): how many clips of each group have each class of a head; all zeros without a head."""
    row = {group: at for at, group in enumerate(groups)}
    counts: NDArray[np.float64] = np.zeros((len(groups), HEADS[head].width if head else 1))
    for clip in clips:
        if head is not None and head in clip.labels:
            at: tuple[int, int] = (row[_group(clip)], int(clip.labels[head]))
            counts[at] += 1
    return counts


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts / max(float(counts.sum()), 1.0)


def _fingerprint(clips: Iterable[Clip]) -> str:
    digest = hashlib.sha256()
    for clip in sorted(clips, key=lambda clip: clip.name):
        labels = ",".join(f"{head}={told!r}" for head, told in (*sorted(clip.labels.items()), *clip.shares.items()))
        rate = f"\x00{clip.sheet_rate_hz:g}" if clip.sheet_rate_hz else ""
        digest.update(f"{clip.name}\x00{clip.fold}\x00{contents_of([clip.sheet_path])}\x00{labels}{rate}\n".encode())
    return digest.hexdigest()
