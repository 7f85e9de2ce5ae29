"""The engine: diffusion on torch, with ComfyUI's numbers. Only this package imports torch."""

import os

# Set before diffusers and transformers are imported: weights come from files, never from a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

import diffusers.utils
import transformers.utils

# Both would load scipy's statistics for losses and schedulers that we never use: a quarter of an
# idle worker's memory. Our own schedules load what they need of it when they are asked for.
for package in (diffusers.utils, transformers.utils):
    package.is_scipy_available = lambda: False
