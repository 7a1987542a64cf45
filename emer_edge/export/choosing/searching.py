"""Which layers INT8 has to leave alone: those named by hand, and as few of the most sensitive as the gate takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from emer_edge.errors import ConfigurationError

__all__ = ["fewest_that_hold", "layers_named_by"]


def layers_named_by(patterns: Sequence[str], layers: Sequence[str]) -> tuple[str, ...]:
    """Layers whose name holds a match of any of some regular expressions, in the order of `layers`.

    Raises:
        ConfigurationError: a pattern is no regular expression, or matches no layer; the message lists their names.
    """
    named: set[str] = set()
    for pattern in patterns:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ConfigurationError(f"--exclude {pattern!r} is no regular expression: {error}") from None
        matched = {each for each in layers if compiled.search(each)}
        if not matched:
            raise ConfigurationError(f"--exclude {pattern!r} matches no layer; the layers are {', '.join(layers)}")
        named |= matched
    return tuple(each for each in layers if each in named)


def fewest_that_hold(holds: Callable[[int], bool], most: int) -> int:
    """Find the least count in 1..`most` that holds, given that 0 does not and that more never hold worse.

    Tries 1, 2, 4, ... until one holds, then halves what lies between it and the last that did not: at most
    2 log2(most) + 2 calls. Where nothing holds the answer is `most`.
    """
    failing, count = 0, 1
    while not holds(min(count, most)):
        if count >= most:
            return most
        failing, count = count, 2 * count
    holding = min(count, most)
    while holding - failing > 1:
        middle = (failing + holding) // 2
        if holds(middle):
            holding = middle
        else:
            failing = middle
    return holding
