from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from lsl_streams import Outlet
from page_inputs import TOKEN, page_of

from emer_edge.bundle import Bundle
from emer_edge.runtime.outputs.page.output import Page


@pytest.fixture
def outlet() -> Iterator[Callable[..., Outlet]]:
    """Makes LSL streams (see `Outlet`) that end with the test, whatever becomes of it."""
    made: list[Outlet] = []

    def make(*args, **options) -> Outlet:
        made.append(Outlet(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def page(bundle: Bundle, said: list[str]) -> Iterator[Page]:
    """A page without a run, on a free port."""
    made = page_of(bundle, say=said.append)
    made.begin()
    yield made
    made.end(None)


@pytest.fixture
def guarded(bundle: Bundle, said: list[str]) -> Iterator[Page]:
    """The same behind a token."""
    made = page_of(bundle, "0", TOKEN, say=said.append)
    made.begin()
    yield made
    made.end(None)
