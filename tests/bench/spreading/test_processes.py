from __future__ import annotations

import os
import pickle
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

from emer_edge.bench.accuracy.encoded import ReadingPlan
from emer_edge.bench.accuracy.scores import FoldScores, score_readings
from emer_edge.bench.probes.judging import Judge, targets_of
from emer_edge.bench.probes.robustness import robustness
from emer_edge.bench.probes.ways import EYE_WAYS, FACE_WAYS
from emer_edge.bench.spreading.base import AHEAD, CHUNK, InTurn, Opening
from emer_edge.bench.spreading.processes import InProcesses
from emer_edge.data.clips import SkippedClip
from emer_edge.data.dataset import EmerDataset
from emer_edge.errors import BundleError, ConfigurationError, EmerEdgeError, EngineError, WorkerError
from emer_edge.runtime.session import Session

PLAN = ReadingPlan(draws=2, loader="published")


@pytest.fixture(scope="module")
def opening(session: Session) -> Opening:
    return Opening.of(session)


@pytest.fixture(scope="module")
def two(opening: Opening):
    with InProcesses(opening, 2) as spread:
        yield spread


@pytest.fixture
def _nobody_stays():
    before = {each.pid for each in active_children()}
    yield
    assert {each.pid for each in active_children()} <= before


def same(one: FoldScores, other: FoldScores) -> bool:
    assert [each.name for each in one.windows.clips] == [each.name for each in other.windows.clips]
    assert one.windows.skipped == other.windows.skipped
    assert one.outputs.keys() == other.outputs.keys()
    arrays = [
        *((getattr(one.windows, name), getattr(other.windows, name)) for name in ("face", "eye", "gaze", "eye_slots")),
        *((one.owners[each], other.owners[each]) for each in one.owners),
        *((rows, other.outputs[each][head]) for each in one.outputs for head, rows in one.outputs[each].items()),
    ]
    return all(first.tobytes() == second.tobytes() for first, second in arrays)


def test_figures_are_the_same_to_the_last_digit_for_one_two_and_three_workers(
    session: Session, opening: Opening, two: InProcesses, dataset: EmerDataset
) -> None:
    manifest, clips = session.bundle.manifest, dataset.clips[:5]
    told: list[tuple[str, int, int]] = []
    expected = FoldScores.of(score_readings(session, clips, PLAN), manifest)
    found = FoldScores.of(score_readings(session, clips, PLAN, lambda *each: told.append(each), two), manifest)
    assert same(expected, found)
    assert found.windows.clips == clips
    assert told == [("scoring clips", at, 5) for at in range(1, 6)]
    with InProcesses(opening, 3) as three:
        assert same(expected, FoldScores.of(score_readings(session, clips, PLAN, spread=three), manifest))


def test_curves_are_the_same_to_the_last_digit(session: Session, two: InProcesses, dataset: EmerDataset) -> None:
    windows = FoldScores.of(score_readings(session, dataset.clips[:2]), session.bundle.manifest).windows
    judge = Judge(targets_of(session.bundle.manifest.heads, windows.clips), [each.name for each in windows.clips], 10)
    before = session.fuse(windows.face, windows.eye, windows.gaze)
    ways = [[replace(way, levels=way.levels[1:2])] for way in (EYE_WAYS[2], FACE_WAYS[0])]
    expected = robustness(session, windows, judge, before, 3, *ways)
    assert robustness(session, windows, judge, before, 3, *ways, spread=two) == expected


def test_every_way_to_worsen_a_clip_reaches_another_process() -> None:
    ways = (*EYE_WAYS, *FACE_WAYS)
    assert pickle.loads(pickle.dumps(ways)) == ways


def test_a_clip_that_cannot_be_read_is_left_out_as_in_one_process(
    session: Session, two: InProcesses, dataset: EmerDataset, tmp_path: Path
) -> None:
    lost = replace(dataset.clips[0], frames_path=tmp_path / "nowhere")
    expected, _ = score_readings(session, (lost, dataset.clips[1]))
    found, scored = score_readings(session, (lost, dataset.clips[1]), spread=two)
    assert isinstance(found, SkippedClip)
    assert found == expected
    assert not isinstance(scored, SkippedClip)


def test_answers_come_in_order_whoever_is_first(session: Session, two: InProcesses) -> None:
    assert list(two.map_ordered(spread_work.slow_first, range(11))) == list(range(11))
    expected = [("random", 2 * each) for each in range(5)]
    assert list(two.map_ordered(spread_work.doubled, range(5))) == expected
    assert list(InTurn(session).map_ordered(spread_work.doubled, range(5))) == expected
    assert list(two.map_ordered(spread_work.doubled, ())) == []


def test_never_more_than_a_few_answers_wait(opening: Opening, tmp_path: Path) -> None:
    paths = [tmp_path / str(each) for each in range(60)]
    with InProcesses(opening, 2) as spread:
        answers = spread.map_ordered(spread_work.marked, paths)
        assert next(answers) == "0"
        time.sleep(1.0)
        assert len(list(tmp_path.iterdir())) <= 2 * AHEAD * CHUNK
        assert [next(answers) for _ in range(40)] == [str(each) for each in range(1, 41)]
        time.sleep(0.5)
        assert len(list(tmp_path.iterdir())) <= 41 + 2 * AHEAD * CHUNK
        answers.close()


@pytest.mark.usefixtures("_nobody_stays")
@pytest.mark.parametrize(
    ("work", "told"),
    [
        (partial(spread_work.ended, signal_number=signal.SIGKILL), "SIGKILL while .* items 3 to 4 of 9; .*memory"),
        (partial(spread_work.ended, signal_number=signal.SIGSEGV), "SIGSEGV while .* items 3 to 4 of 9; .*--workers 1"),
        (spread_work.left, "ended with code 7 while .* items 3 to 4 of 9"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_worker_that_dies_is_one_clear_error(opening: Opening, work, told: str) -> None:
    with pytest.raises(WorkerError, match=told):
        list(InProcesses(opening, 2).map_ordered(work, range(9)))


@pytest.mark.usefixtures("_nobody_stays")
def test_what_work_raises_is_raised_here_and_workers_start_again_afterwards(opening: Opening) -> None:
    spread = InProcesses(opening, 2)
    with pytest.raises(EngineError, match="the engine refuses item 3"):
        list(spread.map_ordered(spread_work.refused, range(9)))
    with pytest.raises(RuntimeError, match=r"(?s)a worker failed:.*ZeroDivisionError"):
        list(spread.map_ordered(spread_work.mistaken, range(1)))
    with pytest.raises(EmerEdgeError, match=r"item needs a package.*emer-edge\[extra\]") as found:
        list(spread.map_ordered(spread_work.lacking, (3,)))
    assert found.value.exit_code == 2
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    assert list(spread.map_ordered(spread_work.environment, names)) == ["1", "1", "1"]
    spread.close()
    spread.close()


def test_a_bundle_that_changed_meanwhile_is_refused(opening: Opening) -> None:
    changed = replace(opening, manifest_sha256="0" * 64)
    with pytest.raises(BundleError, match="is another bundle than the one that is measured"):
        list(InProcesses(changed, 2).map_ordered(spread_work.doubled, range(3)))


def test_no_workers_are_refused(opening: Opening) -> None:
    with pytest.raises(ConfigurationError, match="at least 1, not 0"):
        InProcesses(opening, 0)


def test_ctrl_c_ends_all_workers_at_once(opening: Opening, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    folder = tmp_path / "pids"
    folder.mkdir()
    script.write_text(
        "import signal\n"
        "import sys\n"
        "from pathlib import Path\n"
        "import spread_work\n"
        "from emer_edge.bench.spreading.base import Opening\n"
        "from emer_edge.bench.spreading.processes import InProcesses\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background may ignore it\n"
        f"    opening = Opening(Path({str(opening.bundle)!r}), {opening.manifest_sha256!r}, {opening.engine!r})\n"
        "    with InProcesses(opening, 2) as spread:\n"
        f"        list(spread.map_ordered(spread_work.waiting, [Path({str(folder)!r})] * 8))\n"
    )
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
        pids = [int(each.name) for each in folder.iterdir()]
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
        assert process.wait(timeout=30) == -signal.SIGINT
    assert said.count("Traceback") == 1  # the script's own; workers say nothing
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not any(Path(f"/proc/{each}").exists() for each in pids)
    assert len(list(folder.iterdir())) == 2


def test_dtypes_survive_the_way_back(session: Session, two: InProcesses, dataset: EmerDataset) -> None:
    scores = FoldScores.of(score_readings(session, dataset.clips[:2], PLAN, spread=two), session.bundle.manifest)
    assert scores.windows.face.dtype == np.float32
    assert all(rows.dtype == np.float32 for heads in scores.outputs.values() for rows in heads.values())
