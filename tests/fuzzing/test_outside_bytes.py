from __future__ import annotations

import secrets
import time
from random import Random

import pytest
from fuzz_mutations import Target
from fuzz_targets import TARGETS, make_input
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DECODERS = ("emer", "csv", "opengaze", "iviewx", "iscan-2", "iscan-3", "lsl-channels", "camera-records")
FUZZ_S = 600.0
A_SEED = 20
"""Inputs of a decoder for each seed that hypothesis draws: 2000 in all. Readers of files get 200."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda each: each.name)
def test_mutated_inputs_neither_crash_nor_cost_the_frames_behind_them(target: Target) -> None:
    decoder = target.name in DECODERS

    @settings(max_examples=100 if decoder else 40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32 - 1))
    def many(seed: int) -> None:
        for number in range(A_SEED if decoder else 5):
            target.one(*make_input(target, seed, number))

    many()


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda each: each.name)
def test_what_mutations_start_from_is_read(target: Target) -> None:
    for number, seed in enumerate(target.seeds()):
        target.one(seed, make_input(target, 0, number)[1])


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=2000), st.randoms(use_true_random=True))
def test_any_bytes_at_all_are_read_by_every_target(data: bytes, random: Random) -> None:
    for target in TARGETS.values():
        target.one(data, random)


@pytest.mark.slow
def test_ten_minutes_of_mutated_inputs_of_every_target() -> None:
    """Inputs that no run before has seen; `python -m benchmarks.fuzz --only TARGET --seed S --at N` repeats one."""
    seed, counts = secrets.randbits(32), dict.fromkeys(TARGETS, 0)
    until_s = time.monotonic() + FUZZ_S
    while time.monotonic() < until_s:
        for name, target in TARGETS.items():
            turn_s = time.monotonic() + FUZZ_S / len(TARGETS) / 10
            while time.monotonic() < turn_s:
                try:
                    target.one(*make_input(target, seed, counts[name]))
                except Exception as error:
                    raise AssertionError(f"--only {name} --seed {seed} --at {counts[name]}") from error
                counts[name] += 1
    assert min(counts.values()) > 100, counts


def test_the_same_seed_and_number_make_the_same_input() -> None:
    target = TARGETS["emer"]
    made = [make_input(target, seed, number)[0] for seed, number in ((1, 2), (1, 2), (1, 3), (2, 2))]
    assert made[0] == made[1]
    assert len(set(made)) == 3
    assert len({make_input(target, 0, number)[0] for number in range(500)}) > 490
