from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from described import described
from scipy import stats

from emer_edge.core.progress import silent
from emer_edge.core.window import WindowSpec
from emer_edge.data.dataset import EmerDataset
from emer_edge.data.windows import clip_window, load_faces
from emer_edge.export.judging.guarding import limit_of, make_guard
from emer_edge.export.judging.workshop import read_evidence
from emer_edge.export.sources import Slices, Source, Sources
from emer_edge.model.emert import Emert
from emer_edge.runtime.engines import open_engine


@pytest.mark.parametrize("count", [3, 5, 8, 20])
def test_the_limit_is_the_prediction_bound_of_the_next_person(count: int) -> None:
    farthest = np.exp(np.random.default_rng(count).normal(0.2, 0.1, count))
    logs = np.log(farthest)
    reach = stats.t.ppf(0.95, count - 1) * logs.std(ddof=1) * np.sqrt(1 + 1 / count)
    assert np.log(limit_of(farthest)) == pytest.approx(logs.mean() + reach, rel=0.06)


def test_at_most_one_person_in_twenty_is_alarmed_about() -> None:
    rng = np.random.default_rng(0)
    alarms = [np.exp(people[-1]) > limit_of(np.exp(people[:-1])) for people in rng.normal(0.2, 0.15, (2000, 8))]
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)
    skewed = np.array([1.0] * 38 + [9.0, 9.5])
    assert (skewed > limit_of(skewed)).sum() <= 2
    assert (skewed > limit_of(skewed)).mean() <= 0.05


@pytest.mark.slow
def test_each_file_of_an_encoder_has_a_guard_of_its_own_embeddings(
    int8: Any, nine: Emert, dataset: EmerDataset
) -> None:
    files = {f"{variant}/face_encoder": int8.path / variant / "face_encoder.onnx" for variant in ("cpu", "tensorrt")}
    clips = tuple(dataset.clips)
    people = sorted({clip.participant for clip in clips})
    selection = tuple(clip for clip in clips if clip.participant in people[:4])
    spec = WindowSpec()
    sources = Sources((Source(nine, described(nine)),))

    def made(training: Any, chosen: Any, encoders: dict[str, Path]) -> Any:
        slices = Slices(training, chosen, int8.manifest.data, True)
        return make_guard(encoders, slices, read_evidence(chosen, spec, "causal"), sources, seed=0, progress=silent)

    known, record = made(clips, selection, files)
    assert set(known) == set(record.limits) == set(files)
    assert (record.people, record.alarms) == (4, 0)
    assert len(set(record.limits.values())) == 2
    crops = load_faces(clips[0], clip_window(clips[0], spec, "causal").frames)
    embeddings = open_engine("onnxruntime", files["cpu/face_encoder"], 1).run({"face": crops})["embedding"]
    assert known["cpu/face_encoder"].distance(embeddings[None])[0] < record.limits["cpu/face_encoder"]
    strange = np.random.default_rng(0).random(crops.shape, np.float32)
    embeddings = open_engine("onnxruntime", files["cpu/face_encoder"], 1).run({"face": strange})["embedding"]
    assert known["cpu/face_encoder"].distance(embeddings[None])[0] > record.limits["cpu/face_encoder"]
    few = made(clips, selection[:2], files)
    assert few.startswith("no face guard: it takes 3 selection participants")
    assert made(clips[:8], selection, files).endswith("there are 4 and at most 64")
