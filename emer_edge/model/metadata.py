"""What a checkpoint of this project says about itself."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from emer_edge.bundle.manifest import DataRecord
from emer_edge.errors import CheckpointError, ConfigurationError
from emer_edge.model.variants import VARIANTS, VariantName, check_heads
from emer_edge.spec.columns import COLUMN_KEYS
from emer_edge.spec.window import EventsRule, WindowSpec

__all__ = ["FORMAT", "CheckpointMetadata"]

FORMAT: Final = "emer-edge/1"


class CheckpointMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a checkpoint, plain values only.

    Attributes:
        format: `emer-edge/1`.
        variant: see `emer_edge.model.variants`.
        heads: names of its heads in output order.
        classes: class names of each class head in output order.
        columns: keys of the 39 eye columns in input order.
        standardised: whether columns are standardised inside the network, by constants among its tensors.
        events: how columns 33 to 39 were filled.
        window: the window it was trained on.
        data: what it was trained on; None when unknown.
        recipe: the settings of the training run.
        epoch: the epoch that the selection slice chose, from 1; 0 for a network that was not trained.
        scores: figures of that epoch on the selection slice, `<head>/<metric>` -> value.
        backbone_seed: the frozen backbone's convolutions were drawn from this seed; None for a trained backbone.
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
    recipe: dict[str, str | int | float | bool | None] = {}
    epoch: int = 0
    scores: dict[str, float] = {}
    backbone_seed: int | None = None
    research_only: bool = False
    demo: bool = False
    versions: dict[str, str] = {}

    def __post_init__(self) -> None:
        check_heads(self.variant, self.heads)
        if self.standardised == VARIANTS[self.variant].published:
            raise ValueError(f"the {self.variant} variant can't have standardised = {self.standardised}")

    def to_builtins(self) -> dict[str, Any]:
        """Return the metadata as dicts, lists, numbers and strings."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

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
            return msgspec.convert(document, cls)
        except (msgspec.ValidationError, ConfigurationError) as error:
            raise CheckpointError(f"the metadata of {where} is not valid: {error}") from None
