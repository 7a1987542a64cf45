from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emer_edge.bench import BenchOptions, run_bench
from emer_edge.bench.accuracy.encoded import READINGS, ReadingPlan
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.accuracy.scores import FoldScores, score_readings
from emer_edge.bench.accuracy.scoring import score_fold
from emer_edge.bench.records import Estimated
from emer_edge.bundle import Bundle
from emer_edge.data.clips import Clip
from emer_edge.data.dataset import EmerDataset
from emer_edge.runtime.session import Session

PLAN = ReadingPlan(draws=2, loader="published")


@pytest.fixture(scope="module")
def session(bundle: Bundle):
    with bundle.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def clips(dataset: EmerDataset) -> tuple[Clip, ...]:
    return dataset.fold(1)


@pytest.fixture(scope="module")
def scores(session: Session, clips: tuple[Clip, ...]) -> FoldScores:
    return FoldScores.of(score_readings(session, clips, PLAN), session.bundle.manifest)


def same(one: FoldScores, other: FoldScores) -> bool:
    assert one.windows.clips == other.windows.clips
    assert one.windows.skipped == other.windows.skipped
    arrays = [
        *((getattr(one.windows, name), getattr(other.windows, name)) for name in ("face", "eye", "gaze", "eye_slots")),
        *((one.owners[each], other.owners[each]) for each in READINGS),
        *((rows, other.outputs[each][head]) for each in READINGS for head, rows in one.outputs[each].items()),
    ]
    return all(np.array_equal(first, second) for first, second in arrays)


def test_any_partition_of_the_clips_gives_the_same_figures_to_the_last_digit(
    session: Session, bundle: Bundle, clips: tuple[Clip, ...], scores: FoldScores
) -> None:
    with bundle.open() as other:
        later = list(score_readings(other, clips[1:], PLAN))
    first = list(score_readings(session, clips[:1], PLAN))
    assert same(scores, FoldScores.of([*first, *later], bundle.manifest))


def test_scores_are_found_again(tmp_path: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores) -> None:
    kept = Kept(tmp_path)
    assert kept.scores(session, clips, PLAN, lambda: (scores, 2.5))[0] is scores
    found, seconds = Kept(tmp_path).scores(session, clips, PLAN, lambda: pytest.fail("it was kept"))
    assert seconds == 2.5
    assert same(scores, found)
    kept.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changed", ["plan", "clips", "broken", "cut"])
def test_what_is_not_the_same_is_scored_anew(
    tmp_path: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores, changed: str
) -> None:
    kept = Kept(tmp_path)
    kept.scores(session, clips, PLAN, lambda: (scores, 1.0))
    (path,) = (tmp_path / ".unfinished").iterdir()
    plan = ReadingPlan(draws=3, loader="published") if changed == "plan" else PLAN
    some = clips[:2] if changed == "clips" else clips
    if changed == "broken":
        path.write_bytes(b"no archive")
    if changed == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    asked: list[int] = []
    kept.scores(session, some, plan, lambda: asked.append(1) or (scores, 1.0))
    assert asked == [1]


def test_records_are_kept_too(tmp_path: Path, bundle: Bundle) -> None:
    kept = Kept(tmp_path)
    key = kept.key_of(bundle.path, "probes", 3)
    assert key != kept.key_of(bundle.path, "probes", 4)
    record = Estimated(value=1 / 3, low=None, high=0.5)
    assert kept.record(key, Estimated, lambda: record) == record
    assert kept.record(key, Estimated, lambda: pytest.fail("it was kept")) == record
    (tmp_path / ".unfinished" / f"{key}.json").write_bytes(b"{")
    assert kept.record(key, Estimated, lambda: record) == record


def test_an_interrupted_run_goes_on_and_leaves_nothing_behind(
    tmp_path: Path, bundle: Bundle, dataset: EmerDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    options = BenchOptions(
        bundles=(bundle.path,),
        data=dataset,
        output=tmp_path / "out",
        draws=1,
        repeats=1,
        warmup=0,
        rests=0,
        starts=0,
        streams=(),
        min_seconds=0.0,
        min_queries=0,
        stream_s=0,
        resamples=5,
    )
    with monkeypatch.context() as patch:
        patch.setattr("emer_edge.bench.run.time_bundles", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_bench(options)
    assert sorted(each.suffix for each in (tmp_path / "out" / ".unfinished").iterdir()) == [".json", ".npz"]
    monkeypatch.setattr("emer_edge.bench.accuracy.scores.score_clip", interrupted)
    monkeypatch.setattr("emer_edge.bench.run.probe_bundle", interrupted)
    with bundle.open() as opened:
        expected = score_fold(opened, dataset, 1, 5, options.plan, kept=Kept(tmp_path / "out")).accuracy
    report = run_bench(options)
    assert report.bundles[0].accuracy == expected
    assert not (tmp_path / "out" / ".unfinished").exists()
    assert (tmp_path / "out" / "predictions.csv").exists()
