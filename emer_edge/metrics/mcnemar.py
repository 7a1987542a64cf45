"""McNemar's exact test: two classifiers on the same items."""

from __future__ import annotations

import math
from fractions import Fraction

from emer_edge.errors import ConfigurationError

__all__ = ["mcnemar_p"]


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided exact p of counts of items that only one of two classifiers got right.

    Binomial with probability 1/2 on the discordant items (McNemar 1947, doi 10.1007/BF02295996); 1 without any. It
    takes items as independent: with several items a person it describes and does not test.

    Raises:
        ConfigurationError: a count below 0.
    """
    if min(only_first, only_second) < 0:
        raise ConfigurationError(f"counts are at least 0, not {only_first} and {only_second}")
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(discordant, at) for at in range(fewer + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**discordant)))
