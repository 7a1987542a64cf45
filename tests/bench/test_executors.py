from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import spread_work
from bench_bundles import same_scores
from dask_peers import Peers

from emer_edge.bench.accuracy.clip_scores import FoldScores, score_readings
from emer_edge.bench.bench_options import ScoringOptions, WorkerOptions
from emer_edge.bench.cluster import spread_clips
from emer_edge.bench.probes.effects import Judge, targets_of
from emer_edge.bench.probes.robustness import robustness
from emer_edge.bench.probes.worse_input import WAYS
from emer_edge.bundle import load_bundle
from emer_edge.core.errors import BundleError, EmerEdgeError, EngineError, WorkerError
from emer_edge.data.dataset import EmerDataset, SkippedClip
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import AHEAD, Spread

PLAN = ScoringOptions(draws=2, loader="published")
TWO = WorkerOptions(workers=2)


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory):
    """A scheduler and two workers."""
    peers_started = Peers(tmp_path_factory.mktemp("cluster"), 2)
    yield peers_started
    peers_started.end()


@pytest.fixture(scope="module")
def two(session: Session, dataset: EmerDataset):
    """Two processes."""
    with spread_clips(session, dataset.clips, TWO) as spread:
        yield spread


@pytest.fixture(scope="module", params=["processes", "cluster"])
def many(request: pytest.FixtureRequest, session: Session, dataset: EmerDataset):
    """Two processes, or the cluster."""
    if request.param == "processes":
        yield request.getfixturevalue("two")
        return
    peers = request.getfixturevalue("peers")
    peers.wait_for(2)  # both take part
    with spread_clips(session, dataset.clips[:5], WorkerOptions(scheduler=peers.address)) as spread:
        yield spread


@pytest.fixture
def nobody_stays():
    before = {item.pid for item in active_children()}
    yield
    assert {item.pid for item in active_children()} <= before


def test_one_process_or_none_is_this_one(session: Session, dataset: EmerDataset) -> None:
    for workers in (0, 1):
        with spread_clips(session, dataset.clips, WorkerOptions(workers=workers)) as spread:
            assert type(spread) is Spread
            assert list(spread.map_ordered(spread_work.process, range(3))) == [os.getpid()] * 3


def test_figures_are_the_same_to_the_last_digit_whoever_works(
    session: Session, many: Spread, dataset: EmerDataset
) -> None:
    manifest, clips = session.bundle.manifest, dataset.clips[:5]
    reported: list[tuple[str, int, int]] = []
    expected = FoldScores.of(score_readings(Spread(session), clips, PLAN), manifest)
    scores = FoldScores.of(score_readings(many, clips, PLAN, lambda *item: reported.append(item)), manifest)
    assert same_scores(expected, scores)
    assert scores.windows.clips == clips
    assert scores.windows.face.dtype == np.float32
    assert all(rows.dtype == np.float32 for heads in scores.outputs.values() for rows in heads.values())
    assert reported == [("scoring clips", at, 5) for at in range(1, 6)]
    assert many.notes == ()  # one model of processor


def test_curves_are_the_same_to_the_last_digit(session: Session, two: Spread, dataset: EmerDataset) -> None:
    windows = FoldScores.of(score_readings(Spread(session), dataset.clips[:2]), session.bundle.manifest).windows
    judge = Judge(targets_of(session.bundle.manifest.heads, windows.clips), [clip.name for clip in windows.clips], 10)
    ways = [replace(way, levels=way.levels[1:2]) for way in (WAYS[2], WAYS[4])]
    expected = robustness(Spread(session), windows, judge, count=3, ways=ways)
    assert robustness(two, windows, judge, count=3, ways=ways) == expected


def test_every_way_to_worsen_a_clip_reaches_another_process() -> None:
    assert pickle.loads(pickle.dumps(WAYS)) == WAYS


def test_a_clip_that_cannot_be_read_is_left_out_as_in_one_process(
    session: Session, two: Spread, dataset: EmerDataset, tmp_path: Path
) -> None:
    lost = replace(dataset.clips[0], frames_path=tmp_path / "nowhere")
    expected, _ = score_readings(Spread(session), (lost, dataset.clips[1]))
    result, scored = score_readings(two, (lost, dataset.clips[1]))
    assert isinstance(result, SkippedClip)
    assert result == expected
    assert not isinstance(scored, SkippedClip)


def test_answers_come_in_order_whoever_is_first(session: Session, many: Spread) -> None:
    assert list(many.map_ordered(spread_work.slow_first, range(11))) == list(range(11))
    expected = [("random", 2 * at) for at in range(5)]
    assert list(many.map_ordered(spread_work.doubled, range(5))) == expected
    assert list(Spread(session).map_ordered(spread_work.doubled, range(5))) == expected
    assert list(many.map_ordered(spread_work.doubled, ())) == []


def test_never_more_than_a_few_answers_wait(many: Spread, tmp_path: Path) -> None:
    paths = [tmp_path / str(at) for at in range(60)]
    answers = many.map_ordered(spread_work.marked, paths)
    assert next(answers) == "0"
    time.sleep(1.0)
    assert len(list(tmp_path.iterdir())) <= 2 * AHEAD + 1
    assert [next(answers) for _ in range(40)] == [str(at) for at in range(1, 41)]
    time.sleep(0.5)
    assert len(list(tmp_path.iterdir())) <= 41 + 2 * AHEAD + 1
    answers.close()


def test_the_bundle_is_opened_once_a_process(two: Spread) -> None:
    result = set(two.map_ordered(spread_work.process_and_session, range(20)))
    assert len(result) == len({process for process, _ in result}) <= 2


def test_what_work_raises_is_raised_here_and_the_workers_go_on(many: Spread) -> None:
    with pytest.raises(EngineError, match="the engine refuses item 3"):
        list(many.map_ordered(spread_work.refused, range(9)))
    with pytest.raises(ZeroDivisionError):
        list(many.map_ordered(spread_work.mistaken, range(1)))
    with pytest.raises(EmerEdgeError, match=r"item needs a package.*\.\[extra\]") as result:
        list(many.map_ordered(spread_work.lacking, (3,)))
    assert result.value.exit_code == 2
    with pytest.raises(WorkerError, match="memory ran out in a worker; use fewer"):
        list(many.map_ordered(spread_work.hungry, range(1)))
    assert list(many.map_ordered(spread_work.doubled, range(1))) == [("random", 0)]


def test_processes_compute_with_one_thread(two: Spread) -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert list(two.map_ordered(spread_work.environment, names)) == ["1", "1", "1"]


@pytest.mark.usefixtures("nobody_stays")
@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            partial(spread_work.ended, signal_number=signal.SIGKILL),
            "ended by SIGKILL; .*memory runs out; .*--workers 1",
        ),
        (partial(spread_work.ended, signal_number=signal.SIGSEGV), "ended by SIGSEGV; .*--workers 1"),
        (spread_work.left, "ended with code 7; .*__main__"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_worker_that_dies_is_one_clear_error(session: Session, dataset: EmerDataset, work, message: str) -> None:
    with spread_clips(session, dataset.clips, TWO) as spread, pytest.raises(WorkerError, match=message):
        list(spread.map_ordered(work, range(9)))


def test_a_bundle_that_changed_meanwhile_is_refused(session: Session, dataset: EmerDataset, tmp_path: Path) -> None:
    manifest = session.bundle.path / "manifest.json"
    whole = manifest.read_bytes()
    with spread_clips(session, dataset.clips[:1], TWO) as spread:
        manifest.write_bytes(whole + b"\n")
        try:
            with pytest.raises(BundleError, match="is another bundle than the one that is measured"):
                list(spread.map_ordered(spread_work.marked, [tmp_path / "done"]))
        finally:
            manifest.write_bytes(whole)
    assert not (tmp_path / "done").exists()


def test_a_cluster_that_differs_is_refused_before_any_work(session: Session, peers: Peers, tmp_path: Path) -> None:
    folder = tmp_path / "gone.emer"
    shutil.copytree(session.bundle.path, folder)
    options = WorkerOptions(scheduler=peers.address)
    with Session(load_bundle(folder)) as opened, spread_clips(opened, (), options) as spread:
        shutil.rmtree(folder)
        with pytest.raises(WorkerError, match=r"Dask workers can't take part; .*there is no bundle at"):
            list(spread.map_ordered(spread_work.marked, [tmp_path / "done"]))
    assert not (tmp_path / "done").exists()


SCRIPT = """
import signal
from pathlib import Path
import spread_work
from emer_edge.runtime.spreading import spread_over
from emer_edge.bundle import load_bundle
from emer_edge.runtime.session import Session

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it
    session = Session(load_bundle(Path({bundle!r})), {engine!r})
    with session, spread_over(session, 2) as spread:
        list(spread.map_ordered(spread_work.waiting, [Path({folder!r})] * 8))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_workers_end_at_once_with_the_process_that_deals(
    session: Session, tmp_path: Path, number: signal.Signals
) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "pids"
    folder.mkdir()
    script.write_text(SCRIPT.format(bundle=str(session.bundle.path), engine=session.engine_name, folder=str(folder)))
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        while len(list(folder.iterdir())) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        pids = [int(path.name) for path in folder.iterdir()]
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        said = process.stderr.read()
        assert process.wait(timeout=30) == -number
    if number == signal.SIGINT:
        assert said.count("Traceback") == 1  # the script's own; workers say nothing
        assert said.rstrip().endswith("KeyboardInterrupt")
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(list(folder.iterdir())) == 2


def test_an_address_where_nobody_answers(session: Session) -> None:
    options = WorkerOptions(scheduler="tcp://127.0.0.1:9")
    with (
        spread_clips(session, (), options, patience_s=1.0) as spread,
        pytest.raises(WorkerError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9 .*dask scheduler"),
    ):
        list(spread.map_ordered(spread_work.doubled, range(2)))


@pytest.mark.slow
def test_clusters_that_lose_their_workers_or_their_scheduler(session: Session, tmp_path: Path) -> None:
    peers = Peers(tmp_path, 0)
    options = WorkerOptions(scheduler=peers.address)
    try:
        with (
            spread_clips(session, (), options, patience_s=2.0) as spread,
            pytest.raises(WorkerError, match="has no workers; start"),
        ):
            list(spread.map_ordered(spread_work.doubled, range(2)))
        peers.hire()
        peers.wait_for(1)
        with spread_clips(session, (), options, patience_s=4.0) as spread:
            assert list(spread.map_ordered(spread_work.doubled, range(1))) == [("random", 0)]
            with pytest.raises(WorkerError, match=r"the last worker of the Dask scheduler at .* has gone"):
                list(spread.map_ordered(partial(spread_work.ended, signal_number=9), range(9)))
        peers.hire()
        peers.wait_for(2)
        with spread_clips(session, (), options, patience_s=4.0) as spread:
            answers = spread.map_ordered(spread_work.doubled, range(40))
            assert next(answers) == ("random", 0)
            peers.scheduler.kill()
            with pytest.raises(WorkerError, match=r"the Dask scheduler at .* was lost"):
                list(answers)
    finally:
        peers.end()
