"""A short validation of the gaze before a run: targets, what is seen of them, accuracy and precision."""

from __future__ import annotations

from emer_edge.runtime.validation.present import Presenter, presenter
from emer_edge.runtime.validation.validating import five_targets, validate_gaze

__all__ = ["Presenter", "five_targets", "presenter", "validate_gaze"]
