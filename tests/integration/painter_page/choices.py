"""What the stand-in offers to choose from."""

from __future__ import annotations

from typing import Any

SQUARES = [{"name": "1:1", "width": 256, "height": 256}]
RATIOS = [
    {"name": "1:1", "width": 512, "height": 512},
    {"name": "4:3", "width": 576, "height": 448},
    {"name": "16:9", "width": 672, "height": 384},
    {"name": "9:16", "width": 384, "height": 672},
]
DEMO: dict[str, Any] = {
    "name": "demo",
    "title": "Demo model",
    "available": True,
    "allowed": True,
    "note": "",
    "ratios": SQUARES,
    "num_images_max": 4,
    "negative": True,
    "reference": "start",
    "control_types": [],
    "inpaint": True,
    "demo": {
        "shapes": ["circle", "star"],
        "colours": ["red", "blue"],
        "objects": ["fox", "owl"],
        "scenes": ["at night"],
        "sentences": ["a fox in the snow", "a rocket at night", "a red circle on blue"],
    },
}
LARGE = DEMO | {
    "name": "sdxl",
    "title": "Stable Diffusion XL",
    "ratios": RATIOS,
    "reference": "adapter",
    "control_types": ["canny", "pose"],
    "control_notes": {"depth": "Reading depth needs a file that is not here."},
    "demo": None,
}
LOCKED = LARGE | {
    "name": "flux-dev",
    "title": "Flux dev",
    "allowed": False,
    "note": "For the pro plan",
}
STYLES = [
    {"name": "none", "title": "None"},
    {"name": "photo", "title": "Photo"},
    {"name": "watercolor", "title": "Watercolor"},
    {"name": "line-art", "title": "Line art"},
]
