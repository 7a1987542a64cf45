"""FP16 regions and explicit INT8 quantisation of parts, per variant."""
