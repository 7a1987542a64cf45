"""Metrics of predictions and latency: NumPy only, the same figures in training, export, run and bench."""

from __future__ import annotations

from typing import Final

__all__ = ["RESAMPLES"]

RESAMPLES: Final = 1000
"""Bootstrap draws of an interval."""
