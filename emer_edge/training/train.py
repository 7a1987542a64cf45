"""Fit EMERT to one fold: draw, fit, score on the selection slice, keep the best epoch.

An unfinished run is kept beside its output, so that a stopped training continues.
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

import emer_edge
from emer_edge.bundle.manifest import DataRecord
from emer_edge.core.errors import CheckpointError, ConfigurationError, DataError
from emer_edge.core.heads import HEADS
from emer_edge.core.progress import Progress, silent
from emer_edge.core.whole_file import Target
from emer_edge.core.window import EventsRule
from emer_edge.data.cache import contents_of
from emer_edge.data.contents import contents_of_clips
from emer_edge.data.dataset import Clip, EmerDataset, clip_hash, new_salt
from emer_edge.data.overview import clocks_of, overview
from emer_edge.data.synth.synthesise import MARKER
from emer_edge.data.windows import ClipWindow
from emer_edge.model.checkpoint import save_checkpoint, write_pickle
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata
from emer_edge.model.saved_files import read_pickle
from emer_edge.model.separable import SeparableNet, packaged_sha256, packaged_tensors
from emer_edge.signals.no_eyes import no_eyes
from emer_edge.training.config import TrainingConfig
from emer_edge.training.examples import Batch, Examples, augment_faces, drop_columns, fit_standardisation
from emer_edge.training.face_features import FaceSource, FrozenFaces, ImageFaces, load_backbone_weights, one_thread
from emer_edge.training.losses import EyeTask, agreement_loss, embed, modality_loss, overall, predict, scores, task_loss

_LARGEST_GRADIENT: Final = 5.0
_STANDARDISING_DRAWS: Final = 4
_AGREEMENT: Final = 4.0  # of FER with eyes and without, beside the labels


@dataclass(frozen=True)
class TrainingSummary:
    """The result of a run.

    Attributes:
        output: the checkpoint.
        heads: heads of the network.
        epoch: the epoch that was kept.
        epochs: epochs of the run.
        scores: figures of that epoch on the selection slice.
        resumed_after: epochs that an earlier, unfinished run had done.
    """

    output: Path
    heads: tuple[str, ...]
    epoch: int
    epochs: int
    scores: dict[str, float]
    resumed_after: int


def train(
    dataset: EmerDataset, config: TrainingConfig, progress: Progress = silent, say: Callable[[str], None] | None = None
) -> TrainingSummary:
    """Fit a network to the training slice of a fold and write its best epoch on the selection slice.

    The held-out fold is never read. Without a selection slice (one participant) the last epoch is kept.

    Args:
        dataset: its rule fills columns 33 to 39, except in the published recipe.
        config: the settings.
        progress: called in every stage.
        say: told why an unfinished run is not continued; by default a warning is logged.

    Raises:
        OutputExistsError: the output exists and `force` is not set, or it has changed while this ran.
        ConfigurationError: settings that don't fit the data, no CUDA device, or a loss that is no longer a number.
        DataError: a clip can't be read, or no clip has a label.
        CheckpointError: backbone weights can't be used, or the output can't be written.
    """
    target = Target.of(config.output, config.force)
    with one_thread(config.frozen_backbone):
        return _Run(dataset, config, progress).train(target, say or logging.getLogger("emer_edge").warning)


@dataclass
class _State:
    """Progress of a run: the epochs done, and the best of them on the selection slice (0 for none)."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("-inf")
    best_figures: dict[str, float] = field(default_factory=dict)
    best_tensors: dict[str, Tensor] = field(default_factory=dict)


class _Run:
    def __init__(self, dataset: EmerDataset, config: TrainingConfig, progress: Progress) -> None:
        self.dataset, self.config, self.progress = dataset, config, progress
        self.device = _device(config.device)
        dataset.fold(config.fold)  # a fold without clips is refused before any work
        training = dataset.training(config.fold)
        selection = dataset.selection(config.fold)
        self.events: EventsRule = "published" if config.recipe == "published" else dataset.events
        self.model = self._network(training)
        heads = self.model.head_names
        self.training, self.selection = (
            Examples(clips, heads, config.window, self.events, progress=progress, label=f"reading {name} clips")
            for name, clips in (("training", training), ("selection", selection))
        )
        if self.model.standardised:
            rng = np.random.default_rng([config.seed, 0])
            drawn = [self._draw(rng) for _ in range(_STANDARDISING_DRAWS)]
            fit_standardisation(self.model, [window for windows in drawn for window in windows])
        self.faces = self._faces()
        with torch.random.fork_rng():
            torch.manual_seed(config.seed + 1)
            self.eye_task = EyeTask(self.model.variant.dim) if config.chosen_eye_loss > 0 else None
        self.network = nn.ModuleList([self.model] if self.eye_task is None else [self.model, self.eye_task])
        self.network.to(self.device)
        # Read once: the selection slice's windows are the same in every epoch.
        self.selection_batches: list[Batch] = []
        if len(self.selection):
            windows, cpu = self.selection.windows(), torch.device("cpu")
            self.selection_batches += self.selection.batches(windows, self.faces, config.chosen_batch, cpu)
        self.optimiser = torch.optim.Adam(
            [parameter for parameter in self.network.parameters() if parameter.requires_grad],
            config.chosen_learning_rate,
            weight_decay=config.weight_decay,
        )

    def train(self, target: Target, say: Callable[[str], None]) -> TrainingSummary:
        config = self.config
        identity = {
            **config.settings(),
            "events": self.events,
            "heads": list(self.model.head_names),
            "data": self.dataset.fingerprint,
            "frames": self._frames(),
            "weights": contents_of([config.backbone_weights]) if config.backbone_weights else None,
            "versions": f"emer-edge {emer_edge.__version__}, torch {torch.__version__}",
        }
        state = (self._resumed(identity, say) if config.resume else None) or _State()
        resumed_after = state.epoch
        while state.epoch < config.chosen_epochs:
            self._epoch(state.epoch)
            state.epoch += 1
            self._judge(state)
            content = {
                "identity": identity,
                "state": vars(state),
                "tensors": self._fitted(self.network),
                "optimiser": self.optimiser.state_dict(),
            }
            write_pickle(resume_path(config.output), content)
            best = f" (best epoch {state.best_epoch})" if state.best_figures else ""
            self.progress(f"training{best}", state.epoch, config.chosen_epochs)
        self.model.load_state_dict(state.best_tensors, strict=False)
        save_checkpoint(target, self.model.eval(), self._metadata(state))
        with suppress(OSError):
            resume_path(config.output).unlink(missing_ok=True)
        return TrainingSummary(
            output=config.output,
            heads=self.model.head_names,
            epoch=state.best_epoch,
            epochs=config.chosen_epochs,
            scores=state.best_figures,
            resumed_after=resumed_after,
        )

    def _frames(self) -> str:
        """Changes with every frame that training may read; the data set's fingerprint holds the sheets and labels."""
        if isinstance(self.faces, FrozenFaces):
            return self.faces.key
        return contents_of_clips((*self.training.clips, *self.selection.clips), self.progress)

    def _resumed(self, identity: Mapping[str, Any], say: Callable[[str], None]) -> _State | None:
        """Continue a run kept under the same identity; None when there is none, or it differs, which is said."""
        path = resume_path(self.config.output)
        if not path.exists():
            return None
        try:
            content = read_pickle(path)
            kept = content["identity"]
            differs = [name for name in identity if name not in kept or kept[name] != identity[name]]
            if differs:
                say(f"{path} holds an unfinished run of other {', '.join(differs)}: training begins anew")
                return None
            state = _State(**content["state"])
            self.network.load_state_dict(content["tensors"], strict=False)
            self.optimiser.load_state_dict(content["optimiser"])
        except (CheckpointError, KeyError, TypeError, ValueError, RuntimeError):
            say(f"{path} holds an unfinished run, but is damaged: training begins anew")
            return None
        return state

    def _network(self, training: Sequence[Clip]) -> Emert:
        config = self.config
        labelled = [name for name in self.dataset.heads if any(name in clip.labels for clip in training)]
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            if config.head is None:
                if not labelled:
                    raise DataError(f"no clip outside of fold {config.fold} of {self.dataset.root} has a label")
                model = Emert("nine", labelled, face_network=config.face_network)
            else:
                model = Emert(config.variant, None if config.variant == "intensity" else (config.head,))
                missing = [name for name in model.head_names if name not in labelled]
                if missing:
                    raise ConfigurationError(
                        f"{self.dataset.root} has no labels for {', '.join(missing)}; it has {', '.join(labelled)}"
                    )
        backbone = model.subnet.f_extractor
        if isinstance(backbone, SeparableNet):
            backbone.load_state_dict(packaged_tensors())
        elif config.backbone_weights is not None:
            load_backbone_weights(backbone, config.backbone_weights, adapt=config.recipe != "published")
        return model

    def _faces(self) -> FaceSource:
        if not self.config.frozen_backbone:
            return ImageFaces()
        backbone = self.model.subnet.f_extractor.to(self.device)
        backbone.requires_grad_(False)
        return FrozenFaces(
            backbone,
            (*self.training.clips, *self.selection.clips),
            (*self.training.candidates, *self.selection.candidates),
            self.dataset.fingerprint,
            progress=self.progress,
        )

    def _draw(self, rng: np.random.Generator) -> list[ClipWindow]:
        return self.training.draw(
            rng,
            published=self.config.recipe == "published",
            candidates_only=self.config.frozen_backbone,
            augment=self.config.augment,
        )

    def _epoch(self, epoch: int) -> None:
        """Fit one epoch. Its randomness depends on seed and epoch alone, so a resumed run goes on as it would have."""
        config = self.config
        rng = np.random.default_rng([config.seed, 1, epoch])
        windows = self._draw(rng)
        order = rng.permutation(len(windows))
        if config.drop_columns:
            windows = drop_columns(windows, config.drop_columns, rng)
        rate = config.chosen_learning_rate * 0.5 * (1.0 + math.cos(math.pi * epoch / config.chosen_epochs))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        if config.frozen_backbone:
            self.model.subnet.f_extractor.eval()
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**63)))
            for batch in self.training.batches(windows, self.faces, config.chosen_batch, self.device, order=order):
                self._step(batch, epoch)

    def _step(self, batch: Batch, epoch: int) -> None:
        config, model, weights = self.config, self.model, self.config.weights
        eye, gaze = model.standardise(batch.eye, batch.gaze)
        hidden = self.eye_task.hide(eye, gaze) if self.eye_task is not None else None
        seen = (eye, gaze) if hidden is None else (hidden.eye, hidden.gaze)
        if config.augment:
            batch = replace(batch, face=augment_faces(batch.face))
        embedded = embed(model, batch)
        fused = model.fuse_standardised(embedded, *seen)
        specific, invariant = model.modality_logits(fused)
        summed = config.recipe == "published"
        outputs, agreement = (fused.heads, torch.zeros(())) if summed else self._face_alone(embedded, fused.heads)
        loss = (
            weights.task * (task_loss(outputs, batch.labels) + _AGREEMENT * agreement)
            + weights.specific * modality_loss(specific, summed=summed)
            + weights.invariant * modality_loss(invariant, summed=summed)
        )
        if self.eye_task is not None and hidden is not None:
            loss = loss + config.chosen_eye_loss * self.eye_task.loss(fused.tokens, hidden, batch.eye, eye)
        if not torch.isfinite(loss):
            raise ConfigurationError(
                f"the loss is no longer a number in epoch {epoch + 1}; lower --learning-rate "
                f"(it was {config.chosen_learning_rate:g}) and start again"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.recipe != "published":
            nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()

    def _face_alone(self, embedded: Tensor, heads: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Have FER heads learn from the face alone, and say the same where there are eyes.

        What the face shows must not depend on an eye tracker: eyes tell the film, and a film's usual expression.
        """
        shown = [name for name in heads if HEADS[name].view == "fer"]
        if not shown:
            return dict(heads), embedded.new_zeros(())
        blind = self.model.fuse_standardised(embedded, *self._blank_eyes(len(embedded))).heads
        return {**heads, **{name: blind[name] for name in shown}}, agreement_loss(heads, blind, shown)

    def _blank_eyes(self, count: int) -> tuple[Tensor, Tensor]:
        eye, gaze = self.model.standardise(*(torch.from_numpy(each).to(self.device) for each in no_eyes(1)))
        return eye.expand(count, -1, -1), gaze.expand(count, -1, -1)

    def _judge(self, state: _State) -> None:
        """Keep this epoch if it is the best so far on the selection slice; the last one without a slice."""
        figures: dict[str, float] = {}
        if self.selection_batches:
            figures = scores(
                predict(self.model, (batch.to(self.device) for batch in self.selection_batches)), self.selection.labels
            )
        score = overall(figures)
        if figures and score <= state.best_score:
            return
        state.best_epoch, state.best_score, state.best_figures = state.epoch, score, figures
        state.best_tensors = {name: tensor.detach().cpu().clone() for name, tensor in self._fitted(self.model).items()}

    def _fitted(self, network: nn.Module) -> dict[str, torch.Tensor]:
        """The tensors that fitting changes: a frozen backbone comes from its file, not from what is kept."""
        frozen = "f_extractor." if self.config.frozen_backbone else None
        return {name: tensor for name, tensor in network.state_dict().items() if frozen is None or frozen not in name}

    def _metadata(self, state: _State) -> CheckpointMetadata:
        config, salt = self.config, new_salt()
        synthetic = (self.dataset.root / MARKER).is_file()
        return CheckpointMetadata(
            variant=config.variant,
            heads=self.model.head_names,
            classes=self.model.classes,
            standardised=self.model.standardised,
            events=self.events,
            window=config.window,
            data=DataRecord(
                fingerprint=self.dataset.fingerprint,
                salt=salt,
                fold=config.fold,
                training_hashes=tuple(sorted(clip_hash(salt, clip) for clip in self.training.clips)),
                selection_hashes=tuple(sorted(clip_hash(salt, clip) for clip in self.selection.clips)),
                synthetic=synthetic,
                clocks=clocks_of(self.dataset.checks.values()),
            ),
            overview=overview(self.dataset),
            recipe=config.settings(),
            epoch=state.best_epoch,
            scores=state.best_figures,
            face_network=config.face_network,
            backbone=packaged_sha256() if config.face_network == "separable" else None,
            research_only=not synthetic,
            versions={
                "emer-edge": emer_edge.__version__,
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
            },
        )


def _device(device: str) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("this machine has no CUDA device that torch can use; leave --device out")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def resume_path(output: Path) -> Path:
    """Where an unfinished run for `output` is kept."""
    return output.with_name(output.name + ".resume")
