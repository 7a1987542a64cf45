from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_work import clips_of

from emer_edge.data.dataset import EmerDataset


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five participants, four clips each."""
    return clips_of(tmp_path_factory, 5, 4, 8, seed=1)


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield cache


@pytest.fixture(scope="session")
def small(small_root: Path) -> EmerDataset:
    return EmerDataset.open(small_root)
