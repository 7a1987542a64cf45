"""The watch over the board in a run."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

import pytest
from board_trees import orin_nx, write
from runtime_inputs import LiveCamera, LiveTracker, scene

from emer_edge.bundle import Bundle
from emer_edge.runtime.board_watch import BoardWatch
from emer_edge.runtime.pipeline import Pipeline

COOLING = "sys/class/thermal/cooling_device1/cur_state"
EVENTS = "sys/class/hwmon/hwmon1/oc3_event_cnt"
LOAD = "sys/class/devfreq/17000000.gpu/device/load"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    return write(orin_nx(tmp_path), {EVENTS: 4, LOAD: 200})


def test_a_board_that_is_well_is_not_spoken_of(board: Path) -> None:
    said: list[str] = []
    watch = BoardWatch(said.append, board)
    watch.look()
    write(board, {LOAD: 600})
    watch.close()
    watch.close()
    report = watch.report()
    assert report is not None
    assert said == []
    assert (report.looks, report.slowed_looks, report.over_current) == (2, 0, 0)  # 4 were before
    assert str(report) == "47 °C at most; GPU busy 40%; never slowed down"


def test_heat_and_current_are_said_once_with_what_helps(board: Path) -> None:
    said: list[str] = []
    watch = BoardWatch(said.append, board)
    for step, events in ((0, 4), (3, 4), (5, 6), (0, 9)):
        write(board, {COOLING: step, EVENTS: events})
        watch.look()
    assert len(said) == 2
    assert said[0].startswith("the board slows itself down (cpufreq-cpu0 3 of 10, 47 °C in cpu-thermal): results may")
    assert "nvfancontrol" in said[0]
    assert said[1].startswith(
        "the board cuts its clocks because of too much current: results may come late; what helps"
    )
    assert "10W: sudo nvpmodel -m 1" in said[1]
    report = watch.report()
    assert report is not None
    assert str(report).endswith(
        "slowed down in 2 of 4 looks (cpufreq-cpu0 5 of 10); clocks cut by over-current 5 times"
    )
    assert report.to_dict()["slowed"] == ["cpufreq-cpu0 5 of 10"]


def test_a_machine_that_tells_nothing_has_no_report(tmp_path: Path) -> None:
    watch = BoardWatch(print, tmp_path)
    watch.close()
    assert watch.report() is None


def test_a_run_says_what_slows_the_board_and_its_summary_has_it(
    bundle: Bundle, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "root", board)
    said: list[str] = []
    with Pipeline(bundle, LiveCamera([scene(100, 90)]), LiveTracker(), say=said.append) as pipeline:
        next(pipeline)
        write(board, {COOLING: 3, EVENTS: 6})
        begun_s = monotonic()
        while sum("the board " in each for each in said) < 2 and monotonic() - begun_s < 60:  # it looks every 5 s
            sleep(0.05)
        during = [each for each in said if each.startswith("the board ")]
    assert len(during) == 2
    assert "slows itself down" in during[0]
    assert "too much current" in during[1]
    summary = pipeline.summary()
    assert summary.board is not None
    figures = summary.to_dict()["board"]
    assert (figures["gpu_load"], figures["slowed"], figures["over_current"]) == (0.2, ["cpufreq-cpu0 3 of 10"], 2)
    assert "GPU busy 20%" in str(summary.board)
