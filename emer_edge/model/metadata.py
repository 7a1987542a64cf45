"""The metadata of a checkpoint of this project, and the variants of EMERT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import msgspec

from emer_edge.bundle.manifest import DataRecord
from emer_edge.core.columns import COLUMN_KEYS
from emer_edge.core.errors import CheckpointError, ConfigurationError
from emer_edge.core.heads import HEADS, ClassHead, head
from emer_edge.core.standard_streams import all_printable
from emer_edge.core.window import EventsRule, WindowSpec

VariantName = Literal["discrete", "va", "intensity", "nine"]
FaceNetwork = Literal["resnet18", "separable"]
"""EMERT's own, and that of the demo weights (`emer_edge.model.separable`)."""

FORMAT: Final = "emer-edge/1"


@dataclass(frozen=True)
class Variant:
    """One variant.

    Attributes:
        name: `discrete`, `va` and `intensity` are the published ones, `nine` is this project's.
        dim: width of a token.
        projection_layers: layers of the four projections 128 -> dim.
        modules: published names of its heads' layers, in the order of the heads; none for `nine`.
    """

    name: VariantName
    dim: int
    projection_layers: int
    modules: tuple[str, ...]

    @property
    def published(self) -> bool:
        """Whether parameters carry published names and columns enter raw."""
        return bool(self.modules)


VARIANTS: Final[dict[str, Variant]] = {
    variant.name: variant
    for variant in (
        Variant("discrete", 32, 2, ("cls_head",)),
        Variant("va", 64, 1, ("cls_head",)),
        Variant("intensity", 64, 1, ("cls_head_e", "cls_head_in")),
        Variant("nine", 64, 1, ()),
    )
}


def variant_of(name: str) -> VariantName:
    """Return the published variant that predicts a head; raise ConfigurationError for an unknown head."""
    spec = head(name)
    if isinstance(spec, ClassHead):
        return "discrete"
    return "intensity" if spec.target == "intensity" else "va"


def published_heads(name: str) -> tuple[str, ...]:
    """All heads of the published network that predicts a head: intensity comes with the seven classes of its view."""
    return (f"{head(name).view}-7", name) if variant_of(name) == "intensity" else (name,)


def check_heads(variant: VariantName, heads: Sequence[str] | None) -> tuple[str, ...]:
    """Return the heads of a network in the order of its outputs.

    Args:
        variant: the variant.
        heads: names; None means all for `nine`, and for a published variant that leaves no choice.

    Raises:
        ConfigurationError: the variant has no such heads.
    """
    if variant != "nine":
        fitting = [published_heads(name) for name in HEADS if variant_of(name) == variant]
        chosen = tuple(heads) if heads is not None else fitting[0]
        if chosen not in fitting or (heads is None and len(fitting) > 1):
            listed = ", ".join(" with ".join(names) for names in fitting)
            raise ConfigurationError(f"the {variant} variant predicts one of {listed}")
        return chosen
    chosen = tuple(HEADS) if heads is None else tuple(heads)
    for name in chosen:
        head(name)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigurationError("a network needs at least one head, and each head once")
    return chosen


class CheckpointMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a checkpoint, plain values only.

    Attributes:
        format: `emer-edge/1`.
        variant: one of `VARIANTS`.
        heads: names of its heads in output order.
        classes: class names of each class head in output order.
        columns: keys of the 39 eye columns in input order.
        standardised: whether columns are standardised inside the network, by constants among its tensors.
        events: how columns 33 to 39 were filled.
        window: the window it was trained on.
        data: what it was trained on; None when unknown.
        overview: the table of that data set (`emer_edge.data.overview`).
        recipe: the settings of the training run.
        epoch: the epoch that the selection slice chose, from 1; 0 for a network that was not trained.
        scores: figures of that epoch on the selection slice, `<head>/<metric>` -> value.
        face_network: what sees a face: EMERT's ResNet-18, or the network of the demo weights.
        backbone: SHA-256 of the packaged face encoder that stayed frozen (`emer_edge.model.separable`); None for a
            backbone of one's own.
        backbone_seed: of checkpoints of older versions: the frozen backbone's convolutions were drawn from this seed.
        research_only: EMER's agreement covers the data behind it.
        demo: demo weights, trained on synthetic clips.
        versions: package -> version at training.
    """

    format: str = FORMAT
    variant: VariantName
    heads: tuple[str, ...]
    classes: dict[str, tuple[str, ...]]
    columns: tuple[str, ...] = COLUMN_KEYS
    standardised: bool
    events: EventsRule
    window: WindowSpec
    data: DataRecord | None = None
    overview: dict[str, str] = {}
    recipe: dict[str, str | int | float | bool | None] = {}
    epoch: int = 0
    scores: dict[str, float] = {}
    face_network: FaceNetwork = "resnet18"
    backbone: str | None = None
    backbone_seed: int | None = None
    research_only: bool = False
    demo: bool = False
    versions: dict[str, str] = {}

    def __post_init__(self) -> None:
        check_heads(self.variant, self.heads)
        if self.standardised == VARIANTS[self.variant].published:
            raise ValueError(f"the {self.variant} variant can't have standardised = {self.standardised}")
        if VARIANTS[self.variant].published and self.face_network != "resnet18":
            raise ValueError(f"the {self.variant} variant can't have face_network = {self.face_network}")

    def to_builtins(self) -> dict[str, Any]:
        """Return the metadata as dicts, lists, numbers and strings."""
        return cast("dict[str, Any]", msgspec.to_builtins(self))

    @classmethod
    def from_builtins(cls, document: Any, where: str) -> CheckpointMetadata:
        """Read what `to_builtins` returned; raise CheckpointError naming the wrong field, or another format."""
        written = document.get("format") if isinstance(document, dict) else None
        if written != FORMAT:
            raise CheckpointError(
                f"{where} has the format {written!r}, this emer-edge reads {FORMAT!r}; "
                "train it again, or upgrade emer-edge"
            )
        try:
            return msgspec.convert(all_printable(document), cls)
        except (msgspec.ValidationError, ConfigurationError) as error:
            raise CheckpointError(f"the metadata of {where} is not valid: {error}") from None
