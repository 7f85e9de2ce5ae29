"""The engine: diffusion on torch, with ComfyUI's numbers. Only this package imports torch."""

import os

# Set before diffusers and transformers are imported: weights come from files, never from a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
