"""Moderation: clears the text before a run, and looks at every output before anybody sees it."""

import os

# Set before ONNX Runtime is imported, which reports to its maker otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
