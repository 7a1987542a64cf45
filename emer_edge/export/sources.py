"""What an export starts from: a network, what is known about it, and the clips that choices are made on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch

from emer_edge.bundle.manifest import DataRecord
from emer_edge.data.clips import Clip
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.hashes import clip_hash, new_salt
from emer_edge.data.labels import Classes, parse_classes
from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.export.options import ExportOptions
from emer_edge.model.checkpoint import open_checkpoints
from emer_edge.model.demo import load_demo_checkpoint
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.progress import Progress

__all__ = ["Slices", "Source", "open_slices", "open_source"]

_MARKER: Final = "synthetic.json"
_DEMO_PARTICIPANTS: Final = 18
_DEMO_FRAMES: Final = 12
_DEMO_SEED: Final = 1_000_003
"""Of the synthetic clips that the demo checkpoint is calibrated on: other people than those it was trained on."""


@dataclass(frozen=True)
class Source:
    """A network in evaluation mode and its metadata."""

    model: Emert
    metadata: CheckpointMetadata


@dataclass(frozen=True)
class Slices:
    """Clips to make choices on.

    Attributes:
        training: calibration and matching use these.
        selection: the gate, temperatures and the gap use these.
        record: what the manifest says about the data behind the network.
        synthetic: whether the clips are this project's own synthetic ones.
        made_up: whether they were synthesised for this export.
        skipped: clips that could not be used.
    """

    training: tuple[Clip, ...]
    selection: tuple[Clip, ...]
    record: DataRecord
    synthetic: bool
    made_up: bool
    skipped: int

    def hashes(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """Salted hashes of clips, sorted so that their order tells nothing."""
        return tuple(sorted(clip_hash(self.record.salt, clip) for clip in clips))


def open_source(options: ExportOptions) -> Source:
    """Read the checkpoint to export.

    Raises:
        CheckpointError: it can't be used, holds numbers that are not finite, or was trained on other columns.
        ConfigurationError: several networks at once.
    """
    if not options.checkpoints:
        model, metadata = load_demo_checkpoint()
    else:
        orders = dict(options.classes)
        if options.label_classes:
            orders = {**dict.fromkeys(("er-7", "fer-7"), _code_order(options.label_classes)), **orders}
        opened = open_checkpoints(options.checkpoints, orders)
        if len(opened) > 1:
            raise ConfigurationError(
                f"{len(opened)} checkpoints make {len(opened)} networks, and a bundle holds one; export them one by one"
            )
        model, metadata = opened[0]
    broken = [name for name, each in model.state_dict().items() if not bool(torch.isfinite(each).all())]
    if broken:
        raise CheckpointError(
            f"the checkpoint holds NaN or infinite numbers in {', '.join(broken[:5])}; train it again"
        )
    if tuple(metadata.columns) != COLUMN_KEYS:
        odd = [each for each in metadata.columns if each not in COLUMN_KEYS] or list(metadata.columns)[:3]
        raise CheckpointError(f"the checkpoint reads other eye columns than this emer-edge writes: {', '.join(odd)}")
    return Source(model, metadata)


def _code_order(classes: Classes | str) -> Sequence[str]:
    parsed = parse_classes(classes) if isinstance(classes, str) else classes
    return [parsed[code] for code in sorted(parsed)] if isinstance(parsed, Mapping) else parsed


@contextmanager
def open_slices(source: Source, options: ExportOptions, progress: Progress) -> Iterator[Slices | None]:
    """Open the clips to make choices on; None where there are none and none are needed.

    Raises:
        ConfigurationError: a quantised export of a user's checkpoint without data, or a fold that it was trained on.
        DataError: the data can't be used.
    """
    if options.data is not None:
        yield _slices(options.data, source, options)
    elif source.metadata.demo and options.precision in ("int8", "auto"):
        with TemporaryDirectory(prefix="emer-edge-") as folder:
            yield _made_up(Path(folder) / "clips", source, progress)
    elif options.precision == "int8":
        raise ConfigurationError(
            "int8 needs EMER clips to measure ranges on: pass --data ROOT, or choose --precision fp16 or fp32"
        )
    else:
        yield None


def _slices(dataset: EmerDataset, source: Source, options: ExportOptions) -> Slices:
    synthetic = (dataset.root / _MARKER).is_file()
    known = source.metadata.data
    if known is not None:
        if options.fold is not None and known.fold and options.fold != known.fold:
            raise ConfigurationError(
                f"the checkpoint was trained with fold {known.fold} held out, not fold {options.fold}; "
                f"leave --fold out or pass --fold {known.fold}"
            )
        hashed = {clip_hash(known.salt, clip): clip for clip in dataset.clips}
        training = tuple(hashed[each] for each in known.training_hashes if each in hashed)
        selection = tuple(hashed[each] for each in known.selection_hashes if each in hashed)
        if training and selection:
            return Slices(training, selection, known, synthetic, False, len(dataset.skipped))
    fold = options.fold or (known.fold if known is not None and known.fold else 1)
    training, selection = dataset.training(fold), dataset.selection(fold)
    if known is None:
        salt = new_salt()
        known = DataRecord(
            fingerprint=dataset.fingerprint,
            salt=salt,
            fold=fold,
            training_hashes=tuple(sorted(clip_hash(salt, each) for each in training)),
            selection_hashes=tuple(sorted(clip_hash(salt, each) for each in selection)),
            synthetic=synthetic,
        )
    return Slices(training, selection, known, synthetic, False, len(dataset.skipped))


def _made_up(root: Path, source: Source, progress: Progress) -> Slices:
    from emer_edge.data.synth import synthesise

    synthesise(root, participants=_DEMO_PARTICIPANTS, seed=_DEMO_SEED, frames=_DEMO_FRAMES, progress=progress)
    dataset = EmerDataset.open(root, events=source.metadata.events, progress=progress)
    known = source.metadata.data or DataRecord(
        fingerprint=dataset.fingerprint,
        salt=new_salt(),
        fold=0,
        training_hashes=(),
        selection_hashes=(),
        synthetic=True,
    )
    selection = (*dataset.fold(1), *dataset.fold(2))
    chosen = set(map(id, selection))
    training = tuple(each for each in dataset.clips if id(each) not in chosen)
    return Slices(training, selection, known, True, True, 0)
