from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import spread_work
from dask_peers import Peers

from emer_edge.bench.accuracy.encoded import ReadingPlan
from emer_edge.bench.accuracy.scores import FoldScores, score_readings
from emer_edge.bench.spreading import on_dask
from emer_edge.bench.spreading.base import AHEAD, CHUNK, Opening
from emer_edge.bench.spreading.machines import Machine, SharedClips, differences, look
from emer_edge.bench.spreading.on_dask import OnDask
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import EngineError, WorkerError
from emer_edge.runtime.session import Session

PLAN = ReadingPlan(draws=2)
READINGS = ("newest", "draws", "live")


@pytest.fixture(scope="module")
def opening(session: Session) -> Opening:
    return Opening.of(session)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory):
    """A scheduler and two workers."""
    found = Peers(tmp_path_factory.mktemp("cluster"), 2)
    yield found
    found.end()


@pytest.fixture
def machines(peers: Peers, opening: Opening, dataset: EmerDataset):
    with OnDask(peers.address, opening, dataset.clips[:5]) as spread:
        yield spread


def test_two_machines_give_the_same_figures_to_the_last_digit(
    session: Session, machines: OnDask, peers: Peers, dataset: EmerDataset
) -> None:
    while peers.said.count("Registered to") < 2:  # both take part
        assert all(each.poll() is None for each in peers.workers), peers.said
    clips = dataset.clips[:5]
    expected = FoldScores.of(score_readings(session, clips, PLAN), session.bundle.manifest)
    found = FoldScores.of(score_readings(session, clips, PLAN, spread=machines), session.bundle.manifest)
    assert found.windows.clips == clips
    for name in ("face", "eye", "gaze", "face_slots", "eye_slots"):
        assert getattr(found.windows, name).tobytes() == getattr(expected.windows, name).tobytes()
    for reading in READINGS:
        for head, rows in expected.outputs[reading].items():
            assert found.outputs[reading][head].tobytes() == rows.tobytes()
    assert machines.notes == ()  # one model of processor


def test_answers_come_in_order_and_few_of_them_wait(machines: OnDask, tmp_path: Path) -> None:
    paths = [tmp_path / str(each) for each in range(40)]
    answers = machines.map_ordered(spread_work.marked, paths)
    assert [next(answers) for _ in range(10)] == [str(each) for each in range(10)]
    assert len(list(tmp_path.iterdir())) <= 10 + (2 * AHEAD + 1) * CHUNK
    assert list(answers) == [str(each) for each in range(10, 40)]
    assert list(machines.map_ordered(spread_work.doubled, ())) == []


def test_what_work_raises_there_is_raised_here(machines: OnDask) -> None:
    with pytest.raises(EngineError, match="the engine refuses item 3"):
        list(machines.map_ordered(spread_work.refused, range(9)))


@pytest.mark.parametrize("changed", ["sheet", "frames", "gone"])
def test_a_machine_with_other_clips_is_named(
    opening: Opening, dataset: EmerDataset, tmp_path: Path, changed: str
) -> None:
    clip = dataset.clips[0]
    copied = replace(clip, frames_path=tmp_path / "frames", sheet_path=tmp_path / clip.sheet_path.name)
    shutil.copytree(clip.frames_path, copied.frames_path)
    shutil.copy(clip.sheet_path, copied.sheet_path)
    shared = SharedClips.of((copied, dataset.clips[1]))
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
    none = SharedClips((), ())
    here = Machine.here()
    gone = look(replace(opening, bundle=tmp_path / "gone.emer"), none)
    with pytest.raises(WorkerError, match=rf"{here.host} \(tcp://b:1\): there is no bundle at .*gone.emer"):
        differences(here, {"tcp://a:1": here, "tcp://b:1": gone})
    other = look(replace(opening, manifest_sha256="0" * 64), none)
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


def test_a_cluster_that_differs_is_refused_before_any_work(
    peers: Peers, opening: Opening, dataset: EmerDataset, tmp_path: Path
) -> None:
    spread = OnDask(peers.address, replace(opening, bundle=tmp_path / "gone.emer"), dataset.clips[:1])
    with spread, pytest.raises(WorkerError, match=r"Dask workers can't take part; .*there is no bundle at"):
        list(spread.map_ordered(spread_work.marked, [tmp_path / "done"]))
    assert not (tmp_path / "done").exists()


def test_an_address_where_nobody_answers(opening: Opening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_dask, "_PATIENCE_S", 1.0)
    spread = OnDask("tcp://127.0.0.1:9", opening, ())
    with spread, pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*dask scheduler"):
        list(spread.map_ordered(spread_work.doubled, range(2)))


def test_clusters_that_lose_their_workers_or_their_scheduler(
    opening: Opening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_dask, "_PATIENCE_S", 2.0)
    monkeypatch.setattr(on_dask, "_LOOK_S", 0.5)
    peers = Peers(tmp_path, 0)
    try:
        with OnDask(peers.address, opening, ()) as spread, pytest.raises(WorkerError, match="has no workers; start"):
            list(spread.map_ordered(spread_work.doubled, range(2)))
        monkeypatch.setattr(on_dask, "_PATIENCE_S", 60.0)
        peers.hire()
        with OnDask(peers.address, opening, ()) as spread:
            assert list(spread.map_ordered(spread_work.doubled, range(1))) == [("random", 0)]
            monkeypatch.setattr(on_dask, "_PATIENCE_S", 1.0)
            with pytest.raises(WorkerError, match=r"the last worker of the Dask scheduler at .* has gone"):
                list(spread.map_ordered(partial(spread_work.ended, signal_number=9), range(9)))
        monkeypatch.setattr(on_dask, "_PATIENCE_S", 60.0)
        peers.hire()
        with OnDask(peers.address, opening, ()) as spread:
            answers = spread.map_ordered(spread_work.doubled, range(40))
            assert next(answers) == ("random", 0)
            peers.scheduler.kill()
            with pytest.raises(WorkerError, match=r"the Dask scheduler at .* was lost"):
                list(answers)
    finally:
        peers.end()
