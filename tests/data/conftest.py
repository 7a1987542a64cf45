from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from emer_folders import clip_names, folds_of, write_release, write_sets


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(params=[write_sets, write_release], ids=["sets", "release"])
def small_root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    names = clip_names(6)
    write: Callable[..., Path] = request.param
    return write(tmp_path / "EMER", names, folds_of(names))
