"""The parts of a bundle as ONNX graphs, written from the torch modules' weights."""
