"""The portable engine: the same graphs on ONNX Runtime and numpy, in a process without torch."""

import os

# Set before ONNX Runtime is imported, which reports to its maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
