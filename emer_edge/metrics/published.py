"""The reduction of the published scripts: every metric per batch of 16 clips, averaged over the batches.

It depends on the order of the clips, and the last, smaller batch weighs as much as the others; it is here for
comparison with published tables only, under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["PUBLISHED_BATCH", "published_batch_mean"]

PUBLISHED_BATCH: Final = 16


def published_batch_mean(
    metric: Callable[[ArrayLike, ArrayLike], float],
    truth: ArrayLike,
    predicted: ArrayLike,
    batch: int = PUBLISHED_BATCH,
) -> float:
    """Mean over consecutive batches of `metric(truth, predicted)`, (n,) lists in the order given."""
    true, guessed = np.asarray(truth), np.asarray(predicted)
    return float(
        np.mean([metric(true[at : at + batch], guessed[at : at + batch]) for at in range(0, len(true), batch)])
    )
