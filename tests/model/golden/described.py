"""What a checkpoint of a network of this project says of itself."""

from __future__ import annotations

from typing import Any

from emer_edge.core.window import WindowSpec
from emer_edge.model.emert import Emert
from emer_edge.model.metadata import CheckpointMetadata


def described(model: Emert, **changes: Any) -> CheckpointMetadata:
    """Causal events and the default window, unless told otherwise."""
    given = {"events": "causal", "window": WindowSpec(), **changes}
    return CheckpointMetadata(variant="nine", heads=model.head_names, classes=model.classes, standardised=True, **given)
