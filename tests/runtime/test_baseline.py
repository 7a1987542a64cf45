from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
from runtime_inputs import FPS, RATE_HZ, WINDOW, sample, scene

from emer_edge.bundle import Bundle
from emer_edge.core.errors import ConfigurationError
from emer_edge.core.results import Gap, Result, State
from emer_edge.core.samples import Frame, TrackerSample
from emer_edge.core.session_facts import Baseline
from emer_edge.core.window import NANOSECONDS
from emer_edge.runtime.baseline_meter import BaselineMeter
from emer_edge.runtime.options import BaselineOptions, MachineOptions, Source
from emer_edge.runtime.pipeline import Pipeline, PipelineCore
from emer_edge.runtime.pipeline.core import Stepper
from emer_edge.runtime.session import Session

HOP_NS, LENGTH_NS = WINDOW.hop_ns, WINDOW.length_ns
STEP_NS = NANOSECONDS // RATE_HZ
SECOND = NANOSECONDS


def with_pupils(stamp_ns: int, left_mm: float, right_mm: float, seen: bool = True) -> TrackerSample:
    plain = sample(stamp_ns, seen)
    return replace(plain, left=replace(plain.left, pupil_mm=left_mm), right=replace(plain.right, pupil_mm=right_mm))


def ok(end_ns: int, valence: float = 0.0, happiness: float = 0.5, gap: float | None = None) -> Result:
    shares: dict[str, float] = {"happiness": happiness, "sadness": 1.0 - happiness}
    known = None if gap is None else Gap(gap)
    return Result(end_ns, State.OK, heads={"fer-7": shares, "fer-valence": valence}, gap=known)


def run_core(session: Session, hops: int, options: BaselineOptions) -> tuple[list[Result], Baseline | None]:
    """Results and baseline of a core on samples whose pupils are 3.0, 3.1 or 3.5 mm left (median 3.1) and 0.2 mm more
    right; from hop 10 on they are 0.4 mm wider."""
    core, stepper = PipelineCore(session, RATE_HZ, Source(baseline=options)), Stepper(session)
    core.evidence.start(0)
    results: list[Result] = []
    frame = tick = 0
    for hop in range(1, hops + 1):
        end_ns = hop * HOP_NS
        while tick * STEP_NS <= end_ns:
            at_ns = tick * STEP_NS
            pupil = (3.0, 3.1, 3.5)[tick % 3] + (0.4 if at_ns > 10 * HOP_NS else 0.0)
            core.on_samples([with_pupils(at_ns, pupil, pupil + 0.2)])
            tick += 1
        while frame * NANOSECONDS // FPS <= end_ns:
            at_ns = frame * NANOSECONDS // FPS
            core.on_frame(Frame(frame, scene(100 + frame % 60, 90), at_ns, at_ns, "media"))
            frame += 1
        results += stepper.step([core], end_ns)
    return results, core.baseline


@pytest.fixture(scope="module")
def plain(session: Session) -> list[Result]:
    return run_core(session, 19, BaselineOptions())[0]


def test_a_run_measures_its_baseline_and_leaves_results_alone(session: Session, plain: list[Result]) -> None:
    measured, baseline = run_core(session, 19, BaselineOptions(3.0))
    for one, other in zip(plain, measured, strict=True):
        assert (one.heads, one.gap, one.state) == (other.heads, other.gap, other.state)
        assert other.from_baseline is None
    assert baseline is not None
    # Windows of 2.4 s every 0.3 s: the first and two more cover 3 s, so they end with hops 8, 9 and 10.
    assert (baseline.windows, baseline.seconds) == (3, pytest.approx(3.0))
    assert (baseline.from_ns, baseline.to_ns) == (0, 10 * HOP_NS)
    left, right = baseline.pupils["left"], baseline.pupils["right"]
    assert (left.median_mm, left.mad_mm, left.samples) == (pytest.approx(3.1), pytest.approx(0.1), 3 * RATE_HZ)
    assert (right.median_mm, right.mad_mm, right.samples) == (pytest.approx(3.3), pytest.approx(0.1), 3 * RATE_HZ)
    windows = [each for each in plain if each.state is State.OK][:3]
    for name, value in baseline.heads.items():
        if isinstance(value, dict):
            for emotion, share in value.items():
                assert share == pytest.approx(np.mean([each.heads[name][emotion] for each in windows]))  # type: ignore[index]
            assert sum(value.values()) == pytest.approx(1.0, abs=1e-5)
        else:
            assert value == pytest.approx(np.mean([each.heads[name] for each in windows]))
    assert baseline.gap_distance == pytest.approx(np.mean([each.gap.distance for each in windows]))  # type: ignore[union-attr]
    assert any(note.startswith("baseline: 2.4 of 3 s") for note in measured[8].notes)
    assert not any("baseline" in note for note in measured[-1].notes)


def test_an_applied_baseline_stands_beside_the_values(session: Session, plain: list[Result]) -> None:
    results, baseline = run_core(session, 19, BaselineOptions(3.0, apply=True))
    assert [each.from_baseline is None for each in results] == [True] * 10 + [False] * 9
    last = results[-1]
    assert baseline is not None
    assert last.heads == plain[-1].heads
    beside = last.from_baseline
    assert beside is not None
    assert set(beside.heads) == {"er-valence", "er-arousal", "fer-valence", "fer-arousal", "fer-intensity"}
    for name, change in beside.heads.items():
        assert change == last.heads[name] - baseline.heads[name]  # type: ignore[operator]
    assert beside.pupil_mm == {"left": pytest.approx(3.5), "right": pytest.approx(3.7)}
    assert beside.pupil_change_mm == {"left": pytest.approx(0.4), "right": pytest.approx(0.4)}
    assert last.gap is not None
    assert baseline.gap_distance is not None
    assert beside.gap_distance == last.gap.distance - baseline.gap_distance
    plain_dict = last.to_dict()
    assert plain_dict["heads"] == last.heads
    assert plain_dict["from_baseline"]["pupil_change_mm"]["left"] == pytest.approx(0.4)
    assert any(note.startswith("from_baseline: minus the first 3.0 s") for note in last.notes)


def test_only_what_valid_windows_cover_counts_and_once() -> None:
    meter = BaselineMeter(BaselineOptions(20.0), 10 * SECOND, 10)

    def feed(from_s: int, to_s: int, pupil_mm: float) -> None:
        for tenth in range(10 * from_s + 1, 10 * to_s + 1):
            meter.on_sample(with_pupils(tenth * SECOND // 10, pupil_mm, nan))

    feed(0, 10, 3.0)
    meter.on_result(ok(10 * SECOND, 0.1))
    feed(10, 15, 3.0)
    meter.on_result(ok(15 * SECOND, 0.3))
    feed(15, 30, 9.0)
    for end in (20, 25, 30):  # the face is missing
        meter.on_result(Result(end * SECOND, State.NO_FACE))
    assert meter.baseline is None
    assert meter.notes() == ("baseline: 15.0 of 20 s of valid data",)
    feed(30, 40, 4.0)
    meter.on_result(ok(40 * SECOND, 0.8))
    baseline = meter.baseline
    assert baseline is not None
    assert baseline.seconds == pytest.approx(25.0)  # 0 to 15 and 30 to 40
    assert baseline.heads["fer-valence"] == pytest.approx(0.4)
    assert baseline.heads["fer-7"] == {"happiness": 0.5, "sadness": 0.5}
    assert baseline.gap_distance is None
    assert set(baseline.pupils) == {"left"}
    assert baseline.pupils["left"].samples == 250
    assert baseline.pupils["left"].median_mm == 3.0
    assert meter.on_result(ok(50 * SECOND)).from_baseline is None


def test_eyes_that_are_not_seen_have_no_pupils() -> None:
    meter = BaselineMeter(BaselineOptions(5.0, apply=True), 10 * SECOND, 10)
    for tenth in range(1, 101):
        meter.on_sample(with_pupils(tenth * SECOND // 10, 3.0, 3.0, seen=tenth % 2 == 0))
    meter.on_result(ok(10 * SECOND, gap=0.4))
    assert meter.baseline is not None
    assert meter.baseline.pupils["right"].samples == 50
    later = meter.on_result(ok(30 * SECOND, 0.5, gap=0.1)).from_baseline
    assert later is not None
    assert (later.pupil_mm, later.pupil_change_mm) == ({}, {})
    assert later.heads == {"fer-valence": 0.5}
    assert later.gap_distance == pytest.approx(-0.3)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 3601.0, nan])
def test_lengths_no_baseline_can_have(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match="a baseline takes"):
        BaselineOptions(seconds)


def test_a_baseline_is_applied_only_where_one_is_measured() -> None:
    with pytest.raises(ConfigurationError, match="--baseline 30s"):
        BaselineOptions(apply=True)


@pytest.mark.case("a baseline in a fast replay", source="", before="it held no pupils: samples went past it")
def test_a_fast_replay_measures_pupils_too(bundle: Bundle, video: Path, tracker: Path) -> None:
    source = Source(str(video), str(tracker), offset_ms=0.0, baseline=BaselineOptions(2.0))
    with Pipeline(bundle, sources=[source], machine=MachineOptions(pace="fast")) as pipeline:
        assert list(pipeline)
        baseline = pipeline.streams[None].baseline
        assert baseline is not None
        assert set(baseline.pupils) == {"left", "right"}
        assert not any("was not completed" in note for note in pipeline.summary().notes)
