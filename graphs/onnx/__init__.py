"""ONNX out: the whole sampling program as one model of standard operators."""
