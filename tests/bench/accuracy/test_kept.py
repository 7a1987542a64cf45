from __future__ import annotations

import os
import shutil
import tracemalloc
from dataclasses import replace
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from time import sleep

import pytest
from bench_bundles import SALT, UNTIMED, same_scores, write_bundle

from emer_edge.bench.accuracy.clip_scores import FoldScores, score_readings
from emer_edge.bench.accuracy.kept import Kept
from emer_edge.bench.accuracy.scored_folds import score_fold
from emer_edge.bench.bench_options import BenchOptions, ProbeOptions, ScoringOptions, WorkerOptions
from emer_edge.bench.benchmark import run_bench
from emer_edge.bench.records import Estimated
from emer_edge.bundle import Bundle, Manifest
from emer_edge.bundle.manifest import DataRecord
from emer_edge.core.errors import WorkerError
from emer_edge.data.cache import cache_folder
from emer_edge.data.dataset import Clip, EmerDataset
from emer_edge.runtime.session import Session
from emer_edge.runtime.spreading import Spread

PLAN = ScoringOptions(draws=2, loader="published")


@pytest.fixture(scope="module")
def clips(dataset: EmerDataset) -> tuple[Clip, ...]:
    return dataset.fold(1)


@pytest.fixture(scope="module")
def scores(session: Session, clips: tuple[Clip, ...]) -> FoldScores:
    return FoldScores.of(score_readings(Spread(session), clips, PLAN), session.bundle.manifest)


@pytest.fixture(autouse=True)
def folder() -> Path:
    """Where finished parts lie, with none in it."""
    folder_path = cache_folder() / "bench"
    shutil.rmtree(folder_path, ignore_errors=True)
    return folder_path


def test_any_partition_of_the_clips_gives_the_same_figures_to_the_last_digit(
    session: Session, bundle: Bundle, clips: tuple[Clip, ...], scores: FoldScores
) -> None:
    with Session(bundle) as other:
        later = list(score_readings(Spread(other), clips[1:], PLAN))
    first = list(score_readings(Spread(session), clips[:1], PLAN))
    assert same_scores(scores, FoldScores.of([*first, *later], bundle.manifest))


def test_scores_are_found_again(folder: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores) -> None:
    kept = Kept()
    assert kept.scores(session, clips, PLAN, lambda: (scores, 2.5))[0] is scores
    result, seconds = Kept().scores(session, clips, PLAN, lambda: pytest.fail("it was kept"))
    assert seconds == 2.5
    assert same_scores(scores, result)
    (path,) = folder.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    kept.forget()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("changed", ["plan", "clips", "broken", "cut"])
def test_what_is_not_the_same_is_scored_anew(
    folder: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores, changed: str
) -> None:
    kept = Kept()
    kept.scores(session, clips, PLAN, lambda: (scores, 1.0))
    (path,) = folder.iterdir()
    plan = ScoringOptions(draws=3, loader="published") if changed == "plan" else PLAN
    some = clips[:2] if changed == "clips" else clips
    if changed == "broken":
        path.write_bytes(b"no archive")
    if changed == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    requested: list[int] = []
    kept.scores(session, some, plan, lambda: requested.append(1) or (scores, 1.0))
    assert requested == [1]


def reversed_in_place(path: Path) -> None:
    """Another content of the same size under the same mtime."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.case(
    "a bench is interrupted, eye sheets or frames are repaired, and the same command is given again",
    source="https://github.com/ScrollPrize/villa/pull/1661",
    before="324 of 324 answers were those of the old sheets",
)
@pytest.mark.parametrize(
    "changed", ["nothing", "sheet", "first frame", "any other frame", "last frame", "a frame more", "label"]
)
def test_every_input_of_kept_scores_is_in_their_key(
    tmp_path: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores, changed: str
) -> None:
    first = clips[0]
    frames, sheet = tmp_path / first.name, tmp_path / first.sheet_path.name
    shutil.copytree(first.frames_path, frames)
    shutil.copyfile(first.sheet_path, sheet)
    own = (replace(first, frames_path=frames, sheet_path=sheet), *clips[1:])
    Kept().scores(session, own, PLAN, lambda: (scores, 1.0))
    names = first.frame_names
    if changed == "sheet":
        reversed_in_place(sheet)
    elif changed == "a frame more":
        shutil.copyfile(frames / names[0], frames / f"99999{Path(names[0]).suffix}")
    elif changed.endswith("frame"):
        reversed_in_place(frames / names[{"first frame": 0, "any other frame": 1, "last frame": -1}[changed]])
    labels = {name: value + 0.5 for name, value in first.labels.items()} if changed == "label" else first.labels
    again = (replace(own[0], labels=labels), *clips[1:])
    requested: list[int] = []
    Kept().scores(session, again, PLAN, lambda: requested.append(1) or (scores, 1.0))
    assert requested == ([] if changed == "nothing" else [1])


def test_scores_of_clips_that_changed_meanwhile_are_not_kept(
    tmp_path: Path, folder: Path, session: Session, clips: tuple[Clip, ...], scores: FoldScores
) -> None:
    sheet = tmp_path / clips[0].sheet_path.name
    shutil.copyfile(clips[0].sheet_path, sheet)
    own = (replace(clips[0], sheet_path=sheet), *clips[1:])
    Kept().scores(session, own, PLAN, lambda: reversed_in_place(sheet) or (scores, 1.0))
    assert not folder.exists()


def test_records_are_kept_too(folder: Path, session: Session) -> None:
    kept = Kept()
    key = kept.key_of(session, "probes", 3)
    assert key != kept.key_of(session, "probes", 4)
    record = Estimated(value=1 / 3, low=None, high=0.5)
    assert kept.record(key, Estimated, lambda: record, lambda: False) == record
    assert not folder.exists(), "an input changed meanwhile"
    assert kept.record(key, Estimated, lambda: record, lambda: True) == record
    assert kept.record(key, Estimated, lambda: pytest.fail("it was kept"), lambda: True) == record
    (folder / f"{key}.json").write_bytes(b"{")
    assert kept.record(key, Estimated, lambda: record, lambda: True) == record


def test_an_interrupted_run_goes_on_and_leaves_nothing_behind(
    tmp_path: Path, folder: Path, bundle: Bundle, dataset: EmerDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    options = BenchOptions(
        bundles=(bundle.path,),
        data=dataset,
        output=tmp_path / "out",
        latency=UNTIMED,
        scoring=ScoringOptions(draws=1, resamples=5),
    )
    with monkeypatch.context() as patch:
        patch.setattr("emer_edge.bench.benchmark.time_bundles", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_bench(options)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".json", ".npz"]
    monkeypatch.setattr("emer_edge.bench.accuracy.clip_scores.score_clip", interrupted)
    monkeypatch.setattr("emer_edge.bench.benchmark.probe_bundle", interrupted)
    with Session(bundle) as opened:
        expected = score_fold(Spread(opened), dataset, 1, options.scoring, kept=Kept()).accuracy
    report = run_bench(options)
    assert report.bundles[0].accuracy == expected
    assert list(folder.iterdir()) == []
    assert (tmp_path / "out" / "predictions.csv").exists()


def test_a_killed_worker_ends_the_run_and_the_next_one_goes_on_after_what_was_scored(
    tmp_path: Path, parts: dict[str, bytes], manifest: Manifest, dataset: EmerDataset
) -> None:
    record = DataRecord(fingerprint="", salt=SALT, fold=0, training_hashes=(), selection_hashes=())
    paths = [write_bundle(tmp_path / f"{at}.emer", parts, manifest, name=str(at), data=record).path for at in (1, 2)]
    options = BenchOptions(
        bundles=tuple(paths),
        data=dataset,
        folds=(1, 2),
        latency=UNTIMED,
        scoring=ScoringOptions(draws=1, resamples=2),
        probing=ProbeOptions(probes=()),
        work=WorkerOptions(workers=2),
    )
    known = set(active_children())
    scored: list[tuple[int, int]] = []

    def kill_the_second() -> None:
        first: set[BaseProcess] = set()
        while not first or (second := set(active_children()) - known - first) == set():
            first = first or set(active_children()) - known if len(active_children()) - len(known) > 1 else first
            sleep(0.01)
        for item in second:
            item.kill()

    def report_progress(what: str, done: int, total: int) -> None:
        if what == "scoring clips":
            scored.append((done, total))

    killer = Thread(target=kill_the_second, daemon=True)
    killer.start()
    with pytest.raises(WorkerError, match="was ended by SIGKILL; the kernel does so when memory runs out"):
        run_bench(options, report_progress)
    killer.join()
    assert scored == [(1, 3), (2, 3), (3, 3)]
    report = run_bench(replace(options, work=WorkerOptions()), report_progress)
    assert scored == [(1, 3), (2, 3), (3, 3)] * 2  # of the second bundle alone
    assert [bundle.accuracy is not None for bundle in report.bundles] == [True, True]


def test_a_cache_that_cannot_be_written_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, session: Session, clips: tuple[Clip, ...], scores: FoldScores, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("emer_edge.data.cache.cache_folder", lambda: tmp_path / "file")
    kept = Kept()
    assert kept.scores(session, clips, PLAN, lambda: (scores, 1.0))[0] is scores
    kept.forget()


@pytest.mark.slow
def test_images_do_not_pile_up(session: Session, dataset: EmerDataset) -> None:
    peaks = []
    for some in (dataset.clips[:1], dataset.clips[:5]):
        tracemalloc.start()
        scores = FoldScores.of(score_readings(Spread(session), some, ScoringOptions(draws=1)), session.bundle.manifest)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(scores.windows) == len(some)
    image = 3 * 112 * 112 * 4
    assert peaks[1] - peaks[0] < 4 * image
