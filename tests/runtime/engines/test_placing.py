"""Each part where it is fastest, and falling back aloud: on a CPU, and on a GPU played by it (see gpu_stand_in)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from board_trees import orin_nx
from gpu_stand_in import StandIn, played
from placed_bundles import MIXED, PURE, write_placed_bundle

from emer_edge.bundle import Bundle
from emer_edge.bundle.golden_file import GOLDEN_NAME, Golden, write_golden
from emer_edge.bundle.manifest import FileRecord
from emer_edge.core.errors import BundleError, EngineError
from emer_edge.runtime.board import read_jetson
from emer_edge.runtime.engines import kept_choice
from emer_edge.runtime.engines.choosing import time_parts
from emer_edge.runtime.engines.kept_choice import KeptChoice, keep_choice
from emer_edge.runtime.engines.tensorrt.engine import TensorRtEngine, why_not
from emer_edge.runtime.session import Session

on_a_cpu = pytest.mark.skipif(why_not() is None, reason="there is a GPU here: auto is TensorRT")


@pytest.fixture
def orin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with played(StandIn(True), monkeypatch, tmp_path / "cache") as stand_in:
        yield stand_in


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_placed_bundle(tmp_path)


def slowed(choice: KeptChoice, *keys: str) -> KeptChoice:
    """The choice of a machine on which these files take a second, so that tests hang on no clock."""
    parts = tuple(msgspec.structs.replace(part, p50_ms=1000.0 if part.key in keys else 1.0) for part in choice.parts)
    rows = [
        msgspec.structs.replace(row, step_ms=sum(1000.0 if key in keys else 1.0 for key in row.parts.values()))
        for row in choice.combinations
    ]
    return msgspec.structs.replace(choice, parts=parts, combinations=tuple(sorted(rows, key=lambda row: row.step_ms)))


def computes(session: Session) -> dict[str, str]:
    assert session.detector.engines
    return {role: f"{part.engine} {part.key}" for role, part in session.parts.items()}


def test_every_part_is_timed_on_gpu_and_cpu_in_every_precision(orin: StandIn, bundle: Bundle) -> None:
    labels: list[str] = []
    choice = time_parts(bundle, progress=lambda label, done, total: labels.append(label))
    assert {part.key: (part.engine, part.precision) for part in choice.parts} == {
        key: ("tensorrt" if key.startswith("tensorrt") else "onnxruntime", precision)
        for key, precision in bundle.manifest.precision.parts.items()
    }
    assert {part.runs for part in choice.parts} == {40}
    assert all(part.p50_ms is not None and part.p50_ms > 0 for part in choice.parts)
    assert [row.difference for row in choice.combinations] == [0.0] * 5
    assert {tuple(row.parts.values()) for row in choice.combinations} == {
        tuple(parts.values()) for parts in (*PURE, MIXED)
    }
    for part in ("face_encoder", "face_encoder-int8", "fusion", "face_detector"):
        assert f"building {part}, percent" in labels
    assert orin.live == []


def test_works_take_turns_in_every_round(cache: None, monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    from emer_edge.runtime.engines.timing import time_in_turns

    order: list[str] = []
    taken = time_in_turns({name: lambda name=name: order.append(name) for name in "abc"}, rounds=20)
    assert {name: len(durations) for name, durations in taken.items()} == dict.fromkeys("abc", 20)
    rounds = ["".join(order[at : at + 3]) for at in range(0, len(order), 3)]
    assert len(rounds) > 20  # the warm-up is not among the durations
    assert {"".join(sorted(each)) for each in rounds} == {"abc"}
    assert len(set(rounds)) > 3


def test_auto_takes_what_was_fastest_and_named_engines_the_fastest_of_their_own(
    orin: StandIn, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    choice = time_parts(bundle)
    of_the_gpu = ("tensorrt/fusion", "tensorrt/face_encoder", "tensorrt/face_detector")
    keep_choice(bundle, slowed(choice, *of_the_gpu, "cpu/face_encoder", "cpu/face_encoder-int8"))
    caplog.clear()
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert computes(session) == {
            "face_encoder": "tensorrt tensorrt/face_encoder-int8",
            "fusion": "onnxruntime cpu/fusion",
            "face_detector": "onnxruntime cpu/face_detector",
        }
        assert session.described.endswith(", fusion on onnxruntime, face_detector on onnxruntime")
    assert caplog.text == ""
    with Session(bundle, "tensorrt") as session:
        assert set(session.engines.values()) == {"tensorrt"}
        assert session.networks == PURE[3]
    with Session(bundle, "onnxruntime") as session:
        assert computes(session)["fusion"] == "onnxruntime cpu/fusion"
        assert set(session.engines.values()) == {"onnxruntime"}
    assert orin.live == []


def test_what_did_not_pass_together_is_never_put_together(orin: StandIn, tmp_path: Path) -> None:
    bundle = write_placed_bundle(tmp_path, PURE)  # the mix is not listed
    choice = time_parts(bundle)
    assert MIXED not in [row.parts for row in choice.combinations]
    keep_choice(bundle, slowed(choice, "tensorrt/fusion", "cpu/face_encoder", "cpu/face_encoder-int8"))
    with Session(bundle, "auto") as session:
        assert session.networks in PURE


def test_without_times_the_first_precision_is_used_and_build_named(
    orin: StandIn, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks == PURE[1]
        assert len([said for said in session.said if f"emer-edge build {bundle.path}" in said]) == 1
    assert caplog.text.count("were not timed here") == 1


@on_a_cpu
def test_a_machine_without_a_gpu_chooses_among_the_precisions_of_its_cpu(cache: None, bundle: Bundle) -> None:
    choice = time_parts(bundle)
    assert {part.engine for part in choice.parts} == {"onnxruntime"}
    assert [row.parts for row in choice.combinations if row.agrees].count(PURE[0]) == 1
    keep_choice(bundle, slowed(choice, "cpu/face_encoder"))
    with Session(bundle) as session:
        assert session.networks == PURE[2]
        assert session.parts["face_encoder"].precision == "int8"
    keep_choice(bundle, slowed(choice, "cpu/face_encoder-int8"))
    with Session(bundle) as session:
        assert session.networks == PURE[0]
        face, eye, gaze = (np.zeros(shape, np.float32) for shape in ((1, 8, 3, 112, 112), (1, 32, 39), (1, 32, 2)))
        expected = session.predict(face, eye, gaze)
    with Session(bundle, parts=PURE[2]) as session:
        assert session.networks == PURE[2]
        np.testing.assert_allclose(session.predict(face, eye, gaze)["er-valence"], expected["er-valence"])


def with_golden(bundle: Bundle, golden: Golden) -> Bundle:
    """The bundle with other golden inputs and outputs, and their hash."""
    content = write_golden(golden)
    (bundle.path / GOLDEN_NAME).write_bytes(content)
    record = FileRecord(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    return Bundle(
        bundle.path, msgspec.structs.replace(bundle.manifest, files=bundle.manifest.files | {GOLDEN_NAME: record})
    )


@on_a_cpu
def test_a_combination_that_computes_something_else_here_is_left_out_and_said(
    cache: None, bundle: Bundle, said: list[str]
) -> None:
    golden = bundle.golden()
    ends = dict(golden.ends) | {2: {head: values + 10_000 for head, values in golden.ends[2].items()}}
    bundle = with_golden(bundle, Golden(golden.inputs, golden.outputs, ends))
    choice = time_parts(bundle, say=said.append)
    assert [row.parts for row in choice.combinations if not row.agrees] == [PURE[2]]
    assert any("cpu/face_encoder-int8 + cpu/fusion is left out: it differs by" in each for each in said)
    keep_choice(bundle, slowed(choice, "cpu/face_encoder"))
    with Session(bundle) as session:
        assert session.networks == PURE[0]


@on_a_cpu
def test_a_part_whose_outputs_are_not_those_of_export_is_left_out(cache: None, bundle: Bundle, said: list[str]) -> None:
    golden = bundle.golden()
    key: Any = ("cpu", "face_encoder-int8")
    outputs = dict(golden.outputs) | {key: {"embedding": -golden.outputs[key]["embedding"]}}
    bundle = with_golden(bundle, Golden(golden.inputs, outputs, golden.ends))
    choice = time_parts(bundle, say=said.append)
    assert [part.key for part in choice.parts if part.refused] == ["cpu/face_encoder-int8"]
    assert [row.parts for row in choice.combinations] == [PURE[0]]
    assert any("cpu/face_encoder-int8 is left out on ONNX Runtime: it differs by" in each for each in said)


@pytest.mark.case("an older bundle without golden inputs", before="there was nothing to time")
def test_a_bundle_without_golden_inputs_is_refused(cache: None, bundle: Bundle) -> None:
    files = {name: file for name, file in bundle.manifest.files.items() if name != GOLDEN_NAME}
    older = dataclasses.replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, files=files))
    with pytest.raises(BundleError, match=r"has no golden\.npz; .*export it again"):
        time_parts(older)


@pytest.mark.case("a part that TensorRT can't build", before="run ended with exit code 2, with --engine auto too")
def test_auto_falls_back_part_by_part_with_one_sentence(
    orin: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    also = {"face_encoder": "tensorrt/face_encoder", "fusion": "cpu/fusion"}
    bundle = write_placed_bundle(tmp_path, (*PURE, also), broken=["tensorrt/fusion"])
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks == also
        assert session.engines["face_encoder"] == "tensorrt"
        (sentence,) = [each for each in session.said if "falls back" in each]
        assert sentence.startswith(
            "fusion can't run on TensorRT, so it falls back: fusion on ONNX Runtime; tensorrt 10.3"
        )
        assert sentence in caplog.text
    assert orin.live == []
    with pytest.raises(EngineError, match=r"can't parse fusion\.onnx"):
        Session(bundle, "tensorrt")
    assert orin.live == []


@pytest.mark.case("parts that were never judged together, one of which TensorRT can't build", before="exit code 2")
def test_a_fall_back_that_was_never_judged_takes_the_other_parts_along(
    orin: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_placed_bundle(tmp_path, PURE, broken=["tensorrt/fusion", "tensorrt/face_detector"])
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks == PURE[0]
        assert computes(session)["face_detector"] == "onnxruntime cpu/face_detector"
        assert len([each for each in session.said if "falls back" in each]) == 2
        assert any("face_encoder on ONNX Runtime, fusion on ONNX Runtime" in each for each in session.said)
    assert orin.live == []


def test_a_part_that_can_not_be_built_is_a_row_and_the_others_are_timed(
    orin: StandIn, tmp_path: Path, said: list[str]
) -> None:
    bundle = write_placed_bundle(tmp_path, broken=["tensorrt/fusion"])
    choice = time_parts(bundle, say=said.append)
    assert [part.key for part in choice.parts if part.refused] == ["tensorrt/fusion"]
    assert MIXED in [row.parts for row in choice.combinations]
    assert [each for each in said if "tensorrt/fusion is left out on TensorRT: tensorrt 10.3.0 can't parse" in each]


def test_times_of_another_tensorrt_or_module_are_of_no_use_and_that_is_said(
    orin: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = keep_choice(bundle, slowed(time_parts(bundle), "tensorrt/fusion"))
    orin.library.attributes[16] = 8  # a power mode that leaves half of the multiprocessors on
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks == PURE[1]
    assert "with 16 multiprocessors then, tensorrt 10.3.0 on Orin" in caplog.text
    path.write_bytes(b"{}")
    caplog.clear()
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks == PURE[1]
    assert f"the times kept in {path} are of no use here" in caplog.text


def test_another_power_mode_is_said_and_the_choice_stays(
    orin: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choice = slowed(time_parts(bundle), "tensorrt/fusion")
    keep_choice(bundle, msgspec.structs.replace(choice, power_mode="0 15W"))
    plans = sorted(each.name for each in kept_choice.engine_folder().glob("*.plan"))
    monkeypatch.setattr("emer_edge.runtime.engines.placing.mode_now", lambda: "2 MAXN_SUPER")
    with caplog.at_level(logging.WARNING), Session(bundle, "auto") as session:
        assert session.networks in (MIXED, PURE[0], PURE[2])
    assert "timed in power mode 0 15W, this is 2 MAXN_SUPER" in caplog.text
    assert f"emer-edge build {bundle.path}" in caplog.text
    assert sorted(each.name for each in kept_choice.engine_folder().glob("*.plan")) == plans


def test_times_carry_the_power_mode_that_the_board_is_in(
    cache: None, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = read_jetson(orin_nx(tmp_path / "board"))
    monkeypatch.setattr(kept_choice, "read_jetson", lambda: board)
    path = keep_choice(bundle, time_parts(bundle))
    assert json.loads(path.read_text())["power_mode"] == "2 15W"


def test_plans_belong_to_a_module_and_its_multiprocessors(orin: StandIn, bundle: Bundle) -> None:
    part = bundle.part("tensorrt", "fusion")
    engine = TensorRtEngine(part)
    assert engine.plan.sidecar.machine.multiprocessors == "16"
    engine.close()
    orin.library.attributes[16] = 8
    other = TensorRtEngine(part)
    assert other.plan.built
    assert other.plan.path != engine.plan.path
    other.close()
    orin.library.attributes[16] = 16
    again = TensorRtEngine(part)
    assert not again.plan.built
    again.close()


def test_lines_of_nvidias_tools_check_plan_and_outputs(orin: StandIn, bundle: Bundle) -> None:
    choice = time_parts(bundle)
    checks = {part.key: part.check for part in choice.parts}
    timed, compared = checks["tensorrt/face_encoder"]
    (plan,) = kept_choice.engine_folder().glob("face_encoder-????????????????-*.plan")
    assert timed == f"trtexec --loadEngine={plan} --useCudaGraph --shapes=face:1x3x112x112"
    path = bundle.part("tensorrt", "face_encoder").path
    assert compared.startswith(f"polygraphy run {path} --trt --onnxrt --strongly-typed --rtol 0 --atol embedding:")
    assert compared.endswith(" --input-shapes 'face:[1,3,112,112]'")
    assert not any("shapes" in line for line in checks["tensorrt/face_detector"])
    assert checks["cpu/face_encoder"] == ()


def test_the_choice_is_private_and_says_what_it_belongs_to(orin: StandIn, bundle: Bundle) -> None:
    path = keep_choice(bundle, time_parts(bundle))
    assert path.stat().st_mode & 0o777 == 0o600
    document = json.loads(path.read_text())
    assert "16 multiprocessors" in document["facts"]["tensorrt"]
    assert document["facts"]["onnxruntime"].startswith("ONNX Runtime ")


@on_a_cpu
@pytest.mark.case("a machine without a GPU", before="build ended with exit code 2 where no TensorRT was installed")
def test_build_times_keeps_and_prints_the_choice_on_a_machine_without_a_gpu(cache: None, bundle: Bundle) -> None:
    command = [sys.executable, "-m", "emer_edge", "build", str(bundle.path)]
    without = "import sys; sys.modules['tensorrt_rtx'] = sys.modules['tensorrt'] = None"
    code = f"{without}; sys.argv = {command[2:]!r}; from emer_edge.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no engines are built, as TensorRT can't run here: " in done.stderr
    assert "timing side by side: 45 done" in done.stderr
    assert "Parts timed in turns, 40 runs each, 1 thread" in done.stderr
    assert "cpu/face_encoder-int8" in done.stderr
    assert done.stderr.count("chosen") == 3
    assert f"next: emer-edge run {bundle.path}" in done.stderr
    (path,) = kept_choice.engine_folder().glob("choice-*.json")
    assert f"wrote {path}" in done.stderr
    kept = msgspec.json.decode(path.read_bytes(), type=KeptChoice)
    with Session(bundle) as session:
        assert session.networks == kept.combinations[0].parts


def test_build_with_a_part_that_tensorrt_refuses_ends_with_1_and_keeps_the_rest(
    orin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from emer_edge.cli import main

    bundle = write_placed_bundle(tmp_path, broken=["tensorrt/fusion"])
    monkeypatch.setattr(sys, "argv", ["emer-edge", "build", str(bundle.path)])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    told = capfd.readouterr().err
    assert end.value.code == 1
    refusal = next(line for line in told.splitlines() if line.startswith("fusion has no engine: "))
    assert "tensorrt 10.3.0 can't parse fusion.onnx: [ShapeInferenceError] (op_type:Relu)" in refusal
    for part in ("face_encoder", "face_encoder-int8", "face_detector"):
        assert f"building {part}, percent" in told
    assert "to check tensorrt/" in told or "chosen" in told
    assert list(kept_choice.engine_folder().glob("choice-*.json"))
