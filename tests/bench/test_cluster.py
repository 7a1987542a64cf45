from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emer_edge.bench.bench_options import BenchOptions, WorkerOptions
from emer_edge.bench.cluster import Machine, differences, look, marked
from emer_edge.cli.app import app
from emer_edge.cli.parsing import worker_number
from emer_edge.core.errors import ConfigurationError, MissingExtraError, WorkerError
from emer_edge.data.dataset import EmerDataset
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Opening, forget


@pytest.fixture(scope="module")
def opening(session: Session):
    yield Opening.of(session)
    forget()


@pytest.mark.parametrize("changed", ["sheet", "frames", "gone"])
def test_a_machine_with_other_clips_is_named(
    opening: Opening, dataset: EmerDataset, tmp_path: Path, changed: str
) -> None:
    clip = dataset.clips[0]
    copied = replace(clip, frames_path=tmp_path / "frames", sheet_path=tmp_path / clip.sheet_path.name)
    shutil.copytree(clip.frames_path, copied.frames_path)
    shutil.copy(clip.sheet_path, copied.sheet_path)
    shared = marked((copied, dataset.clips[1]))
    assert look(opening, shared).wrong is None
    if changed == "sheet":
        copied.sheet_path.write_bytes(copied.sheet_path.read_bytes() + b"\n")
    elif changed == "frames":
        shutil.copy(dataset.clips[1].frame_paths[0], copied.frame_paths[0])
    else:
        shutil.rmtree(copied.frames_path)
    with pytest.raises(WorkerError, match=f"1 of 1 Dask workers .* \\(tcp://b:1\\): .*clip {clip.name}.*shared folder"):
        differences(Machine.here(), {"tcp://b:1": look(opening, shared)})


def test_a_machine_without_the_bundle_or_with_another_one_is_named(opening: Opening, tmp_path: Path) -> None:
    here = Machine.here()
    gone = look(replace(opening, bundle=tmp_path / "gone.emer"), ())
    with pytest.raises(WorkerError, match=rf"{here.host} \(tcp://b:1\): there is no bundle at .*gone.emer"):
        differences(here, {"tcp://a:1": here, "tcp://b:1": gone})
    other = look(replace(opening, manifest_sha256="0" * 64), ())
    with pytest.raises(WorkerError, match=r"1 of 2 .*another bundle than the one that is measured"):
        differences(here, {"tcp://a:1": here, "tcp://b:1": other})


def test_other_versions_are_refused_and_other_processors_are_told() -> None:
    here = Machine("one", "1.0", "CPU A, numpy 2")
    with pytest.raises(WorkerError, match=r"two \(tcp://b:1\) has emer-edge 0\.9, this machine 1\.0"):
        differences(here, {"tcp://a:1": here, "tcp://b:1": Machine("two", "0.9", "CPU A, numpy 2")})
    with pytest.raises(WorkerError, match="tcp://b:1: No module named"):
        differences(here, {"tcp://b:1": WorkerError("No module named 'emer_edge'")})
    (note,) = differences(here, {"tcp://a:1": here, "tcp://b:1": Machine("two", "1.0", "CPU B, numpy 2")})
    assert "scored on two (CPU B, numpy 2) too" in note
    assert "last digits may differ" in note


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": -1}, "from 0 on, not -1"),
        ({"workers": 2, "scheduler": "tcp://host:8786"}, "not by both"),
        ({"scheduler": "host:8786"}, "tcp://HOST:PORT or tls://HOST:PORT"),
        ({"scheduler": ""}, "tcp://HOST:PORT"),
    ],
    ids=["fewer than none", "both", "no address", "empty"],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WorkerOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"workers": 2}, {"scheduler": "tcp://host:8786"}], ids=str)
def test_workers_score_clips_and_nothing_else(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="name a data set with --data"):
        BenchOptions(bundles=(Path("a.emer"),), work=WorkerOptions(**options))  # type: ignore[arg-type]


def test_a_missing_dask_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emer_edge.core.packages.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--scheduler needs distributed.*\.\[distributed\]"):
        WorkerOptions(scheduler="tcp://host:8786")


def test_workers_are_a_number_or_auto() -> None:
    assert (worker_number("0"), worker_number(" 3 ")) == (0, 3)
    assert worker_number("auto") == len(os.sched_getaffinity(0))
    for text in ("many", "-1", "1.5", ""):
        with pytest.raises(ConfigurationError, match="workers are a number from 0 on, or auto"):
            worker_number(text)


def test_the_command_refuses_before_it_opens_anything(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["bench", str(tmp_path / "no.emer"), "--workers", "many"])
    assert isinstance(result.exception, ConfigurationError)
