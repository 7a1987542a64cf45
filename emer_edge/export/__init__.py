"""From a checkpoint to a verified bundle: ONNX parts, precision, matching, the accuracy gate."""
