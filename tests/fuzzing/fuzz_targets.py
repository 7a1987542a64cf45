"""Everything that reads bytes from outside, as functions that a fuzzer calls: they return, or they have failed."""

from __future__ import annotations

from random import Random

from fuzz_files import FILES
from fuzz_mutations import Target
from fuzz_streams import STREAMS

TARGETS: dict[str, Target] = {item.name: item for item in (*STREAMS, *FILES)}


def make_input(target: Target, seed: int, number: int) -> tuple[bytes, Random]:
    """Input `number` of a target: the same for the same seed, whatever came before."""
    random = Random(f"{seed}/{target.name}/{number}")
    return target.mutate(random, random.choice(target.seeds())), random
