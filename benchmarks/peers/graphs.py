"""The whole window as one ONNX graph by PyTorch's exporter, quantised by ONNX Runtime's tools and by OpenVINO's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from benchmarks.peers.material import CALIBRATED, Material

INPUTS = ("face", "eye", "gaze")


def whole_graph(material: Material) -> Path:
    """The FP32 graph of a window: inputs `face` (1, 8, 3, 112, 112), `eye`, `gaze`; an output per head."""
    path = material.folder / "whole.onnx"
    if path.exists():
        return path
    import torch

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = material.model()

        def forward(self, face: Any, eye: Any, gaze: Any) -> tuple[Any, ...]:
            outputs = self.model(face, eye, gaze)
            return tuple(outputs[name] for name in self.model.head_names)

    whole = Whole().eval()
    example = tuple(torch.from_numpy(value) for value in material.windows("calibration").inputs(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            example,
            str(path),
            input_names=list(INPUTS),
            output_names=list(whole.model.head_names),
            dynamo=False,
            opset_version=17,
        )
    return path


def onnxruntime_int8(material: Material) -> Path:
    """ONNX Runtime's own quantiser on the whole graph.

    Convolutions, residual sums and pooling are static Q/DQ with unsigned activations and signed per-channel weights,
    calibrated on real windows; LSTMs and matrix products, which static Q/DQ slows down, are dynamic.
    """
    path = material.folder / "whole-int8.onnx"
    if path.exists():
        return path
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quant_pre_process,
        quantize_dynamic,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        def __init__(self) -> None:
            windows = material.windows("calibration")
            self.left = iter(dict(zip(INPUTS, windows.inputs(at), strict=True)) for at in range(CALIBRATED))

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    prepared, static = (material.folder / f"whole-{name}.onnx" for name in ("prepared", "static"))
    quant_pre_process(str(whole_graph(material)), str(prepared), skip_symbolic_shape=True)
    index = {output: node for node in onnx.load(prepared).graph.node for output in node.output}
    model = onnx.load(prepared)
    sums = [
        node.name
        for node in model.graph.node
        if node.op_type == "Add" and any(index[name].op_type == "Conv" for name in node.input if name in index)
    ]
    chosen = [node.name for node in model.graph.node if node.op_type in ("Conv", "MaxPool")] + sums
    quantize_static(
        str(prepared),
        str(static),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=chosen,
        calibrate_method=CalibrationMethod.MinMax,
        extra_options={"CalibMovingAverage": True},
    )
    quantize_dynamic(
        str(static), str(path), op_types_to_quantize=["LSTM", "MatMul"], per_channel=True, weight_type=QuantType.QInt8
    )
    prepared.unlink()
    static.unlink()
    return path


def openvino_int8(material: Material) -> Path:
    """NNCF's post-training quantisation of the whole graph, for transformers, calibrated on the same windows."""
    path = material.folder / "whole-nncf.xml"
    if path.exists():
        return path
    import logging

    import nncf
    import openvino

    logging.getLogger("nncf").setLevel(logging.ERROR)
    windows = material.windows("calibration")
    samples = [dict(zip(INPUTS, windows.inputs(at), strict=True)) for at in range(CALIBRATED)]
    model = openvino.convert_model(str(whole_graph(material)))
    quantised = nncf.quantize(
        model, nncf.Dataset(samples), subset_size=CALIBRATED, model_type=nncf.ModelType.TRANSFORMER
    )
    openvino.save_model(quantised, str(path), compress_to_fp16=False)
    return path
