from __future__ import annotations

import math

import pytest

from emer_edge.errors import ConfigurationError
from emer_edge.export.choosing.searching import fewest_that_hold, layers_named_by

LAYERS = ("conv1", "layer1.0.conv1", "layer1.0.add", "eye_lstm.0")


@pytest.mark.parametrize("most", [1, 2, 7, 28, 33])
def test_the_fewest_are_found_in_few_tries(most: int) -> None:
    for least in range(1, most + 1):
        tried: list[int] = []

        def holds(count: int, least: int = least, tried: list[int] = tried) -> bool:
            tried.append(count)
            return count >= least

        assert fewest_that_hold(holds, most) == least
        assert len(tried) == len(set(tried)) <= 2 * math.log2(most) + 2
        assert least in tried


def test_where_nothing_holds_the_answer_is_all() -> None:
    tried: list[int] = []
    assert fewest_that_hold(lambda count: bool(tried.append(count)), 28) == 28
    assert tried == [1, 2, 4, 8, 16, 28]


def test_layers_are_named_by_patterns_in_their_own_order() -> None:
    assert layers_named_by((), LAYERS) == ()
    assert layers_named_by(("lstm", r"^conv1$"), LAYERS) == ("conv1", "eye_lstm.0")
    assert layers_named_by(("conv",), LAYERS) == ("conv1", "layer1.0.conv1")


@pytest.mark.parametrize(
    ("pattern", "message"), [("fc", "matches no layer; .*conv1, layer1.0.conv1"), ("[", "regular")]
)
def test_patterns_that_name_nothing_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        layers_named_by((pattern,), LAYERS)
