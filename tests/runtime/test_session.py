from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from emer_edge.bundle import Bundle, BundleWriter, load_bundle
from emer_edge.core.errors import BundleError, ConfigurationError, EngineError
from emer_edge.core.heads import HEADS
from emer_edge.runtime.session import Session

Window = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture
def windows() -> Window:
    rng = np.random.default_rng(0)
    shapes = ((3, 8, 3, 112, 112), (3, 32, 39), (3, 32, 2))
    face, eye, gaze = (rng.random(shape, np.float32) for shape in shapes)
    return face, eye * 900, gaze * 900


def test_heads_and_ranges(session: Session, windows: Window) -> None:
    outputs = session.predict(*windows)
    assert list(outputs) == list(HEADS)
    for name, values in outputs.items():
        assert values.shape == (3, HEADS[name].width)
        assert values.dtype == np.float32
        if HEADS[name].kind == "class":
            np.testing.assert_allclose(values.sum(axis=1), 1.0, atol=1e-6)


def test_temperature_divides_the_logits(session: Session, windows: Window) -> None:
    face, eye, gaze = windows
    embeddings = session.encode(face.reshape(-1, 3, 112, 112)).reshape(3, 8, 128)
    logits = session.logits(embeddings, eye, gaze)["er-7"] / 0.05
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(session.fuse(embeddings, eye, gaze)["er-7"], expected, atol=1e-5)


def test_batches_do_not_change_the_numbers(session: Session, windows: Window) -> None:
    together = session.predict(*windows)
    for at in range(3):
        alone = session.predict(*(each[at : at + 1] for each in windows))
        for name in together:
            np.testing.assert_allclose(alone[name][0], together[name][at], atol=1e-5)


def test_no_windows_give_empty_outputs(session: Session, windows: Window) -> None:
    assert session.predict(*(each[:0] for each in windows))["fer-7"].shape == (0, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda face, eye, gaze: (face[0], eye, gaze), r"face must have the shape \(N, 8, 3, 112, 112\), not \(8, 3"),
        (lambda face, eye, gaze: (face, eye[:, :, :38], gaze), r"\(N, 32, 39\), not \(3, 32, 38\)"),
        (lambda face, eye, gaze: (face, eye, gaze[:2]), "3 of face, 3 of eye, 2 of gaze"),
        (lambda face, eye, gaze: (face.astype(np.float64), eye, gaze), "face must be float32, not float64"),
        (lambda face, eye, gaze: (face, np.where(eye < 9, np.float32(np.nan), eye), gaze), "eye holds .* not finite"),
    ],
    ids=["no batch axis", "38 columns", "other count", "double", "nan"],
)  # fmt: skip
def test_bad_input(session: Session, windows: Window, change: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        session.predict(*change(*windows))  # type: ignore[operator]


def test_a_session_takes_a_folder_too_and_once_closed_says_so(bundle: Bundle, windows: Window) -> None:
    with Session(bundle.path) as session:
        pass
    with pytest.raises(EngineError, match="closed"):
        session.predict(*windows)


def test_a_session_is_made_of_what_was_read_once_and_frees_it(bundle: Bundle, tmp_path: Path, windows: Window) -> None:
    copy = tmp_path / "copy.emer"
    shutil.copytree(bundle.path, copy)
    loaded = load_bundle(copy)
    shutil.rmtree(copy)  # from here on nothing can be opened, by whatever means
    with Session(loaded) as session:
        with pytest.raises(BundleError, match=r"lacks cpu/fusion.onnx: it is missing"):
            loaded.content("cpu/fusion.onnx")
        loaded.content("cpu/face_detector.onnx")
        session.warm_up()
        assert set(session.predict(*windows)) == set(HEADS)
        with pytest.raises(BundleError, match=r"lacks cpu/face_detector.onnx: it is missing"):
            loaded.content("cpu/face_detector.onnx")


def test_a_file_that_changed_after_it_was_freed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = tmp_path / "copy.emer"
    shutil.copytree(bundle.path, copy)
    loaded = load_bundle(copy)
    Session(loaded).close()
    content = bytearray((copy / "cpu/fusion.onnx").read_bytes())
    content[-1] ^= 1
    (copy / "cpu/fusion.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=r"cpu/fusion.onnx is not the file that was exported \(wrong hash\)"):
        Session(loaded)


def _rewritten(bundle: Bundle, folder: Path, fusion: bytes) -> Bundle:
    with BundleWriter(folder / "other.emer") as writer:
        for name in ("face_encoder", "face_detector"):
            writer.add(f"cpu/{name}.onnx", bundle.part("cpu", name).content)
        writer.add("cpu/fusion.onnx", fusion)
        return writer.commit(msgspec.structs.replace(bundle.manifest, guard=None))


def test_fusion_of_another_bundle(bundle: Bundle, tmp_path: Path) -> None:
    other = _rewritten(bundle, tmp_path, bundle.part("cpu", "face_encoder").content)
    with pytest.raises(BundleError, match="takes face and gives embedding"):
        Session(other)


def test_infinite_output_is_an_error(bundle: Bundle, tmp_path: Path) -> None:
    shapes = {"embeddings": ["N", 8, 128], "eye": ["N", 32, 39], "gaze": ["N", 32, 2]}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    outputs, nodes, constants = [], [], []
    nodes.append(helper.make_node("Flatten", ["eye"], ["cells"]))
    for name, head in HEADS.items():
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", head.width]))
        ones = np.ones((32 * 39, head.width), np.float32)
        constants.append(numpy_helper.from_array(ones, f"{name} ones"))
        nodes.append(helper.make_node("MatMul", ["cells", f"{name} ones"], [f"{name} 1"]))
        for power, squared in (("1", "2"), ("2", "4"), ("4", "8")):
            made = name if squared == "8" else f"{name} {squared}"
            nodes.append(helper.make_node("Mul", [f"{name} {power}", f"{name} {power}"], [made]))
    graph = helper.make_graph(nodes, "fusion", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    with Session(_rewritten(bundle, tmp_path, model.SerializeToString())) as session:
        embeddings, gaze = np.zeros((1, 8, 128), np.float32), np.zeros((1, 32, 2), np.float32)
        assert session.fuse(embeddings, np.ones((1, 32, 39), np.float32), gaze)["er-7"].shape == (1, 7)
        with pytest.raises(EngineError, match="not finite for er-7"):
            session.fuse(embeddings, np.full((1, 32, 39), 900, np.float32), gaze)
