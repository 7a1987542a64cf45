from __future__ import annotations

import numpy as np
import pytest

from emer_edge.bench.probes.exchanges import exchangeable, exchanged, strata


def test_strata_hold_items_of_one_key_and_leave_out_those_without() -> None:
    groups = strata(["a", None, "b", "a", "c", "b", "a"])
    assert [each.tolist() for each in groups] == [[0, 3, 6], [2, 5], [4]]
    assert exchangeable(groups).tolist() == [0, 2, 3, 5, 6]


@pytest.mark.parametrize("seed", range(5))
def test_permutations_stay_in_their_stratum_and_go_to_other_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    owners = [f"p{at % 9}" for at in range(90)]
    keys = [None if at % 17 == 0 else int(rng.integers(6)) for at in range(90)]
    order = exchanged(strata(keys), owners, rng)
    assert sorted(order) == list(range(90))
    for at, taken in enumerate(order):
        assert keys[at] == keys[taken]
        if keys[at] is None:
            assert taken == at
        else:
            assert owners[at] != owners[taken]


def test_someone_with_most_of_a_stratum_still_keeps_no_place() -> None:
    owners = ["most"] * 7 + ["other"] * 2
    order = exchanged([np.arange(9)], owners, np.random.default_rng(0))
    assert sorted(order) == list(range(9))
    assert (order != np.arange(9)).all()


def test_every_partner_is_as_likely_as_another() -> None:
    owners = [f"p{at}" for at in range(5)]
    rng = np.random.default_rng(1)
    counts = np.zeros((5, 5))
    for _ in range(4000):
        counts[np.arange(5), exchanged([np.arange(5)], owners, rng)] += 1
    assert np.diag(counts).sum() == 0
    assert counts[~np.eye(5, dtype=bool)] == pytest.approx(1000, abs=120)


def test_one_seed_gives_one_permutation() -> None:
    owners = [f"p{at % 4}" for at in range(40)]
    orders = [exchanged([np.arange(40)], owners, np.random.default_rng(each)).tolist() for each in (3, 3, 4)]
    assert orders[0] == orders[1] != orders[2]
