from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emer_edge.bench.run import BenchOptions
from emer_edge.bench.spreading.base import InTurn
from emer_edge.bench.spreading.choice import Spreading
from emer_edge.bench.spreading.on_dask import OnDask
from emer_edge.bench.spreading.processes import InProcesses
from emer_edge.bundle import Bundle
from emer_edge.cli.app import app
from emer_edge.cli.parsing import worker_number
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import ConfigurationError, MissingExtraError
from emer_edge.runtime.session import Session


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        (Spreading(), InTurn),
        (Spreading(workers=0), InTurn),
        (Spreading(workers=2), InProcesses),
        (Spreading(scheduler="tls://host:8786"), OnDask),
    ],
    ids=["default", "none", "two", "machines"],
)
def test_who_works(bundle: Bundle, dataset: EmerDataset, chosen: Spreading, kind: type) -> None:
    with Session(bundle) as session, chosen.over(session, dataset.clips) as spread:
        assert type(spread) is kind


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"workers": -1}, "from 0 on, not -1"),
        ({"workers": 2, "scheduler": "tcp://host:8786"}, "not by both"),
        ({"scheduler": "host:8786"}, "tcp://HOST:PORT or tls://HOST:PORT"),
        ({"scheduler": ""}, "tcp://HOST:PORT"),
    ],
    ids=["fewer than none", "both", "no address", "empty"],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Spreading(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=told):
        BenchOptions(bundles=(Path("a.emer"),), data=Path("data"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"workers": 2}, {"scheduler": "tcp://host:8786"}], ids=str)
def test_workers_score_clips_and_nothing_else(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="name a data set with --data"):
        BenchOptions(bundles=(Path("a.emer"),), **options)  # type: ignore[arg-type]


def test_a_missing_dask_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emer_edge.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--scheduler needs distributed.*emer-edge\[distributed\]"):
        Spreading(scheduler="tcp://host:8786")


def test_workers_are_a_number_or_auto() -> None:
    assert (worker_number("0"), worker_number(" 3 ")) == (0, 3)
    assert worker_number("auto") == len(os.sched_getaffinity(0))
    for text in ("many", "-1", "1.5", ""):
        with pytest.raises(ConfigurationError, match="workers are a number from 0 on, or auto"):
            worker_number(text)


def test_the_command_refuses_before_it_opens_anything(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["bench", str(tmp_path / "no.emer"), "--workers", "many"])
    assert isinstance(found.exception, ConfigurationError)
