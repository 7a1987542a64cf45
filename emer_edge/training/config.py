"""Settings of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from emer_edge.core.errors import ConfigurationError
from emer_edge.core.window import WindowSpec

if TYPE_CHECKING:
    from emer_edge.model.metadata import FaceNetwork, VariantName

Device = Literal["auto", "cpu", "cuda"]
Recipe = Literal["emer-edge", "published"]
"""`emer-edge`: all heads in one network, standardised columns, an eye-behaviour task of its own. `published`: as the
authors of EMERT train."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss.

    Attributes:
        invariant, specific: of the modality loss on invariant and on specific features.
        task: of the heads' losses.
    """

    invariant: float = 0.01
    specific: float = 0.01
    task: float = 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of a training run.

    Attributes:
        output: the checkpoint to write; `<output>.resume` beside it holds an unfinished run.
        fold: the held-out fold, 1 to 5.
        recipe: `emer-edge` or `published`.
        head: the one head of a published recipe (`fer-intensity` trains FER-7 too); None for all labelled heads.
        epochs, batch, learning_rate: None takes the published 200, 16 and 1e-4, or, with a frozen backbone, 60, 32
            and 1e-3.
        weight_decay: of Adam.
        eye_loss: weight of this project's own eye-behaviour task; 0 disables it. None takes 0.1, or 0 in the published
            recipe.
        drop_columns: share of training windows that lose groups of eye columns which common trackers lack.
        augment: worsen half of the training windows: noise, offsets and lost samples of the eyes, mirrored faces in
            other light; faces before a frozen backbone stay as they are.
        frozen_backbone: compute the faces' features once and fit the rest.
        backbone_weights: a torchvision ResNet-18 state dict to start from; without one a frozen backbone is the
            packaged face encoder (`emer_edge.model.separable`), which is no ResNet-18.
        seed: of initial weights, draws and dropout.
        window: the window.
        device: `auto`, `cpu` or `cuda`.
        resume: continue an unfinished run of the same settings.
        force: replace `output`.

    Raises:
        ConfigurationError: a setting is out of range, or two contradict each other.
    """

    output: Path
    fold: int = 1
    recipe: Recipe = "emer-edge"
    head: str | None = None
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    eye_loss: float | None = None
    drop_columns: float = 0.0
    augment: bool = False
    frozen_backbone: bool = False
    backbone_weights: Path | None = None
    seed: int = 0
    window: WindowSpec = field(default_factory=WindowSpec)
    device: Device = "auto"
    resume: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        if self.recipe not in ("emer-edge", "published"):
            raise ConfigurationError(f"recipes are emer-edge and published, not {self.recipe!r}")
        if self.recipe == "published":
            if self.head is None:
                raise ConfigurationError("the published recipe trains one head a checkpoint: name it with --head")
            _ = self.variant  # raises for an unknown head
            if self.frozen_backbone:
                raise ConfigurationError("the published recipe trains the backbone: leave --frozen-backbone out")
            if self.eye_loss:
                raise ConfigurationError("the published recipe has no eye-behaviour task: leave --eye-loss out")
            if self.drop_columns:
                raise ConfigurationError("the published recipe trains on whole rows: leave --drop-columns out")
            if self.augment:
                raise ConfigurationError("the published recipe trains on clips as they are: leave --augment out")
        elif self.head is not None:
            raise ConfigurationError("--head belongs to --recipe published; otherwise all labelled heads are trained")
        if not 1 <= self.fold <= 5:
            raise ConfigurationError(f"folds are numbered 1 to 5, not {self.fold}")
        for name, value in (("epochs", self.chosen_epochs), ("batch", self.chosen_batch)):
            if value < 1:
                raise ConfigurationError(f"{name} must be 1 or more, not {value}")
        if not 0 <= self.drop_columns <= 1:
            raise ConfigurationError(f"columns are dropped from a share of windows, 0 to 1, not {self.drop_columns:g}")
        if not self.chosen_learning_rate > 0 or not self.weight_decay >= 0 or not self.chosen_eye_loss >= 0:
            raise ConfigurationError("the learning rate must be above 0, weight decay and eye loss 0 or more")

    @property
    def variant(self) -> VariantName:
        """The variant of EMERT that is trained."""
        from emer_edge.model.metadata import variant_of

        return "nine" if self.head is None else variant_of(self.head)

    @property
    def face_network(self) -> FaceNetwork:
        """What sees a face."""
        return "separable" if self.frozen_backbone and self.backbone_weights is None else "resnet18"

    @property
    def weights(self) -> LossWeights:
        """The published weights of the loss's parts."""
        return LossWeights(0.3, 0.1, 1.0) if self.variant == "intensity" else LossWeights()

    @property
    def chosen_epochs(self) -> int:
        """`epochs`, or its default."""
        return (60 if self.frozen_backbone else 200) if self.epochs is None else self.epochs

    @property
    def chosen_batch(self) -> int:
        """`batch`, or its default."""
        return (32 if self.frozen_backbone else 16) if self.batch is None else self.batch

    @property
    def chosen_learning_rate(self) -> float:
        """`learning_rate`, or its default."""
        return (1e-3 if self.frozen_backbone else 1e-4) if self.learning_rate is None else self.learning_rate

    @property
    def chosen_eye_loss(self) -> float:
        """`eye_loss`, or its default."""
        if self.eye_loss is not None:
            return self.eye_loss
        return 0.0 if self.recipe == "published" else 0.1

    def settings(self) -> dict[str, str | int | float | bool | None]:
        """Return all that decides the result, as plain values: kept in the checkpoint, compared on resuming."""
        plain = ("recipe", "head", "fold", "weight_decay", "drop_columns", "augment", "frozen_backbone", "seed")
        return {
            **{name: getattr(self, name) for name in plain},
            **{name: getattr(self, f"chosen_{name}") for name in ("epochs", "batch", "learning_rate", "eye_loss")},
            "backbone_weights": self.backbone_weights.name if self.backbone_weights else None,
            "window_ns": self.window.length_ns,
            "hops_per_slot": self.window.hops_per_slot,
            "pick": self.window.pick,
        }
