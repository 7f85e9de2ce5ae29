"""The portable engine: the same graphs on ONNX Runtime and numpy, in a process without torch."""
