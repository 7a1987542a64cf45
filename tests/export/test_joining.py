from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emer_edge.export.choosing.choice import Choice
from emer_edge.export.choosing.timing import Timing
from emer_edge.export.joining import Member, join
from emer_edge.export.judging.evidence import Evidence
from emer_edge.export.judging.gate import agreement, compare
from emer_edge.export.judging.trial import Trial
from emer_edge.metrics.latency import summarise
from emer_edge.spec.heads import EMOTIONS

CLASSES = {"er-7": EMOTIONS, "fer-7": EMOTIONS}
CLIPS, DRAWS = 48, 2


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    rng = np.random.default_rng(0)
    count = CLIPS * DRAWS
    labels = {name: rng.integers(0, 7, CLIPS).repeat(DRAWS).astype(float) for name in CLASSES}
    return Evidence(
        readers=(),
        frames=np.zeros((count, 8), np.int64),
        eye=np.zeros((count, 32, 39), np.float32),
        gaze=np.zeros((count, 32, 2), np.float32),
        labels=labels,
        participants=tuple(f"p{clip % 12}" for clip in range(CLIPS) for _ in range(DRAWS)),
        clips=np.arange(CLIPS).repeat(DRAWS),
    )


def member(number: int, head: str, evidence: Evidence, precision: Any = "int8", noise: float = 0.01) -> Member:
    """A network of one head whose answers are right more often than not, and whose parts take 1 to 4 ms."""
    rng = np.random.default_rng(number)
    truth = np.eye(7)[evidence.labels[head].astype(int)]
    full = {head: (2 * truth + rng.normal(size=truth.shape)).astype(np.float32)}
    after = {head: full[head] + rng.normal(scale=noise, size=truth.shape).astype(np.float32)}
    given = (evidence.labels, evidence.participants, CLASSES)
    trial = Trial(after, compare(full, after, *given, clips=evidence.clips), agreement(full, after), 20.0 + number)
    ending = "" if number == 1 else f"_{number}"
    names = {part: f"{part}{ending}" for part in ("face_encoder", "fusion")}
    times = {
        each: {part: summarise([factor * size * 1_000_000] * 5) for part, size in (("face_encoder", 3), ("fusion", 1))}
        for each, factor in (("fp32", 4), (precision, number))
    }
    choice = Choice(
        precision,
        {f"cpu/{part}": Path(f"{name}.onnx") for part, name in names.items()},
        Timing("onnxruntime", "CPU", (), times),
        {"cpu": trial, "tensorrt": trial},
    )
    choice.fp32_outputs = full
    choice.kept_high = ("conv1",) if number == 2 else ()
    choice.notes = ["for all", f"for network {number}"]
    choice.macs = {f"cpu/{part}": {"total": 100, "int8": 50 * number} for part in names}
    choice.macs["cpu/step"] = {"total": 200, "int8": 100 * number}
    return Member((head,), names, choice)


def test_one_network_is_left_as_it_is(evidence: Evidence) -> None:
    only = member(1, "er-7", evidence)
    assert join([only], evidence, CLASSES) is only.choice


def test_times_and_operations_add_up(evidence: Evidence) -> None:
    joined = join([member(1, "er-7", evidence), member(2, "fer-7", evidence)], evidence, CLASSES)
    assert joined.final_ms == {"face_encoder": 3, "fusion": 1, "face_encoder_2": 6, "fusion_2": 2, "step": 12}
    assert joined.fp32_ms["step"] == 32
    assert set(joined.parts) == {"cpu/face_encoder", "cpu/fusion", "cpu/face_encoder_2", "cpu/fusion_2"}
    assert joined.macs["cpu/step"] == {"total": 400, "int8": 300}
    assert joined.int8_macs["cpu/step"] == 0.75
    assert joined.int8_macs["cpu/fusion_2"] == 1.0
    assert joined.kept_high == ("fer-7: conv1",)
    assert joined.notes[0].startswith("2 networks cost 2 face encoders: every face is encoded 2 times")
    assert joined.notes[1:] == ["for all", "er-7: for network 1", "fer-7: for network 2"]


def test_a_shared_encoder_counts_once(evidence: Evidence) -> None:
    first, second = member(1, "er-7", evidence), member(2, "fer-7", evidence)
    second = replace(second, names={**second.names, "face_encoder": "face_encoder"}, shares=True)
    joined = join([first, second], evidence, CLASSES)
    assert joined.final_ms == {"face_encoder": 3, "fusion": 1, "fusion_2": 2, "step": 6}
    assert joined.macs["cpu/step"]["total"] == 300
    assert "2 networks share one face encoder" in joined.notes[0]


def test_the_gap_between_two_networks_is_judged(evidence: Evidence) -> None:
    members = [member(1, "er-7", evidence), member(2, "fer-7", evidence)]
    trial = join(members, evidence, CLASSES).trials["cpu"]
    names = [each.name for each in trial.changes]
    alone = {each.name for one in members for each in one.choice.trials["cpu"].changes}
    assert len(names) == len(set(names))
    assert {each for each in names if each.startswith("gap/")} == set(names) - alone != set()
    assert trial.embedding_db == 21.0
    assert set(trial.agreement) == {"er-7", "fer-7"}


def test_networks_of_two_precisions_are_called_by_the_rounder_one(evidence: Evidence) -> None:
    members = [member(1, "er-7", evidence, precision="fp32"), member(2, "fer-7", evidence)]
    joined = join(members, evidence, CLASSES)
    assert joined.precision == "int8"
    assert joined.final_ms["step"] == 4 + 8
    assert joined.fp32_ms["step"] == 4 + 16
