from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lsl_streams import Outlet
from page_inputs import TOKEN
from runtime_inputs import write_tracker, write_video

from emer_edge.bundle import Bundle, load_bundle
from emer_edge.runtime.outputs.page.output import Page
from emer_edge.runtime.session import Session


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The nine-head network with random weights, FP32, and CenterFace; windows of 2.4 s, a result every 0.3 s.

    A machine without torch takes one made elsewhere (`python tests/runtime/random_bundle.py FOLDER`).
    """
    made = os.environ.get("EMER_EDGE_TEST_BUNDLE")
    if made:
        return load_bundle(made)
    from random_bundle import make_bundle

    return make_bundle(tmp_path_factory.mktemp("bundles") / "random.emer")


@pytest.fixture(scope="session")
def session(bundle: Bundle) -> Session:
    return Session(bundle)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "face.avi", 6.0)


@pytest.fixture(scope="session")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracker(tmp_path_factory.mktemp("tracker") / "gaze.csv", 6.0)


@pytest.fixture
def said() -> list[str]:
    """What was said to people."""
    return []


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
    made = Page(bundle.manifest, "0", say=said.append)
    made.begin()
    yield made
    made.end(None)


@pytest.fixture
def guarded(bundle: Bundle, said: list[str]) -> Iterator[Page]:
    """The same behind a token."""
    made = Page(bundle.manifest, "0", TOKEN, say=said.append)
    made.begin()
    yield made
    made.end(None)
