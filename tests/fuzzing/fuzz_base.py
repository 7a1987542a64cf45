"""What a target of fuzzing is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from fuzz_mutations import Mutate


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    Attributes:
        name: of the decoder or reader.
        seeds: valid inputs to start from.
        mutate: makes an input of one of them.
        one: takes an input; any exception is a failure. The random numbers only cut it into pieces.
        inputs: how many are asked for.
        modules: what a coverage-guided engine instruments.
    """

    name: str
    seeds: Callable[[], tuple[bytes, ...]]
    mutate: Mutate
    one: Callable[[bytes, Random], None]
    inputs: int
    modules: tuple[str, ...] = ()
