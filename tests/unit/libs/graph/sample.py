"""A small catalogue and graphs over it, for tests that need some but not the real node types."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from libs.graph.schema import Catalogue, InputSpec, NodeSchema, OutputSpec

DATA = Path(__file__).parents[3] / "data"
HIP35: dict[str, Any] = json.loads((DATA / "hip35_example.json").read_text())
COMFY: dict[str, Any] = json.loads((DATA / "comfy_example.json").read_text())

SDXL = "sdxl_base_1.0.safetensors"
CORE_TYPES = (
    "MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK", "CONTROL_NET", "LORA",
    "INT", "FLOAT", "STRING", "BOOLEAN",
)  # fmt: skip
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "ddim", "lcm")
SCHEDULERS = ("normal", "karras", "simple", "sgm_uniform", "beta")


def wire(name: str, kind: str, **more: Any) -> InputSpec:
    return InputSpec(name=name, type=kind, socket=True, **more)


def whole(name: str, default: int, low: int, high: int, **more: Any) -> InputSpec:
    return InputSpec(name=name, type="INT", default=default, min=low, max=high, **more)


def real(name: str, default: float, low: float, high: float, **more: Any) -> InputSpec:
    return InputSpec(name=name, type="FLOAT", default=default, min=low, max=high, **more)


def text(name: str = "text", **more: Any) -> InputSpec:
    return InputSpec(name=name, type="STRING", **more)


def combo(name: str, *options: str, **more: Any) -> InputSpec:
    return InputSpec(name=name, type="COMBO", options=options, **more)


def files(name: str, folder: str, **more: Any) -> InputSpec:
    return InputSpec(name=name, type="COMBO", choices=folder, **more)


def kind(name: str, inputs: tuple[InputSpec, ...], outputs: str = "", **more: Any) -> NodeSchema:
    """Declare a node type; outputs are `NAME` or `NAME:TYPE`, separated by spaces."""
    made = [part.partition(":") for part in outputs.split()]
    return NodeSchema(
        type=name,
        display_name=more.pop("display_name", name),
        category=more.pop("category", "test"),
        function=f"tests:{name}",
        inputs=inputs,
        outputs=tuple(OutputSpec(name=n, type=t or n) for n, _, t in made),
        **more,
    )


def side(name: str) -> InputSpec:
    return whole(name, 512, 16, 16384, step=8)


SAMPLING = (
    wire("model", "MODEL"),
    whole("seed", 0, 0, 2**64 - 1, control_after_generate=True),
    whole("steps", 20, 1, 10000),
    real("cfg", 8.0, 0.0, 100.0, step=0.1, round=0.01),
    combo("sampler_name", *SAMPLERS),
    combo("scheduler", *SCHEDULERS),
    wire("positive", "CONDITIONING"),
    wire("negative", "CONDITIONING"),
    wire("latent_image", "LATENT"),
    real("denoise", 1.0, 0.0, 1.0, step=0.01),
)

TYPES = (
    kind(
        "CheckpointLoaderSimple",
        (files("ckpt_name", "checkpoints"),),
        "MODEL CLIP VAE",
        display_name="Load Checkpoint",
        category="loaders",
    ),
    kind(
        "CLIPTextEncode",
        (text(multiline=True, dynamic_prompts=True, tooltip="The words."), wire("clip", "CLIP")),
        "CONDITIONING",
    ),
    kind(
        "EmptyLatentImage",
        (side("width"), side("height"), whole("batch_size", 1, 1, 4096)),
        "LATENT",
    ),
    kind("KSampler", SAMPLING, "LATENT"),
    kind(
        "KSamplerAdvanced",
        (*SAMPLING, whole("start_at_step", 0, 0, 10000), whole("end_at_step", 10000, 0, 10000)),
        "LATENT",
    ),
    kind("BasicScheduler", (wire("model", "MODEL"), whole("steps", 20, 1, 10000)), "SIGMAS"),
    kind(
        "SamplerCustom",
        (wire("model", "MODEL"), wire("sigmas", "SIGMAS"), wire("latent_image", "LATENT")),
        "LATENT",
    ),
    kind("VAEDecode", (wire("samples", "LATENT"), wire("vae", "VAE")), "IMAGE"),
    kind("VAEEncode", (wire("pixels", "IMAGE"), wire("vae", "VAE")), "LATENT"),
    kind(
        "SaveImage",
        (wire("images", "IMAGE"), text("filename_prefix", default="ComfyUI")),
        "images:IMAGE",
        output_node=True,
        hidden={"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
    ),
    kind("PreviewImage", (wire("images", "IMAGE"),), output_node=True),
    kind(
        "LoadImage",
        (files("image", "input", image_upload=True),),
        "IMAGE MASK",
        validates=frozenset({"image"}),
    ),
    kind("LatentUpscaleBy", (wire("samples", "LATENT"), real("scale_by", 1.5, 0.01, 8)), "LATENT"),
    kind("RepeatLatentBatch", (wire("samples", "LATENT"), whole("amount", 1, 1, 64)), "LATENT"),
    kind(
        "ImageUpscaleWithModel",
        (wire("upscale_model", "UPSCALE_MODEL"), wire("image", "IMAGE")),
        "IMAGE",
    ),
    kind("UpscaleModelLoader", (files("model_name", "upscale"),), "UPSCALE_MODEL"),
    kind(
        "LoraLoader",
        (
            wire("model", "MODEL"),
            wire("clip", "CLIP"),
            files("lora_name", "loras"),
            real("strength_model", 1.0, -100.0, 100.0),
        ),
        "MODEL CLIP",
    ),
    kind("ControlNetLoader", (files("control_net_name", "controlnet"),), "CONTROL_NET"),
    kind("PrimitiveInt", (InputSpec(name="value", type="INT"),), "INT"),
    kind("Measure", (wire("image", "IMAGE"),), "width:INT height:INT"),
    kind(
        "Many",
        (
            InputSpec(name="on", type="BOOLEAN", required=False),
            text("note", required=False),
            wire("mask", "MASK", required=False),
            whole("level", 3, 0, 9, required=False),
            combo("letter", *"abcdefghijklmnopqrstu", required=False),
        ),
        "A:IMAGE B:IMAGE",
    ),
    kind("Either", (wire("it", "IMAGE,MASK"),), "IMAGE"),
    kind("Anything", (wire("it", "*"),), "it:*"),
    kind("Open", (), "IMAGE", accepts_any_input=True),
    kind("Placed", (wire("image", "IMAGE"),), "IMAGE", hidden={"unique_id": "UNIQUE_ID"}),
    kind(
        "Describe",
        (wire("image", "IMAGE"), whole("width", 9000, 0, 9999), whole("height", 9000, 0, 9999)),
        "CONDITIONING",
    ),
    kind("Judge", (whole("level", 5, 0, 9),), "IMAGE", validates=frozenset({"level"})),
    kind("Chain", (wire("image", "IMAGE", required=False),), "IMAGE"),
    kind("Show", (wire("it", "*"),), output_node=True),
    kind("Meter", (wire("images", "IMAGE"), whole("steps", 0, 0, 100000)), "images:IMAGE"),
    *(kind(f"Make{name}", (), name) for name in CORE_TYPES),
    *(kind(f"Take{name}", (wire("it", name),), output_node=True) for name in CORE_TYPES),
)

CATALOGUE = Catalogue(
    types={schema.type: schema for schema in TYPES},
    choices={
        "checkpoints": (
            SDXL,
            "flux1-dev.safetensors",
            "flux1-schnell.safetensors",
            "demo.safetensors",
        ),
        "loras": ("pixel_art_v2.safetensors", "film_grain.safetensors"),
        "controlnet": ("controlnet-sdxl-depth.safetensors",),
        "upscale": ("4x.safetensors",),
    },
)


def comfy() -> dict[str, Any]:
    """Return a fresh copy of the example in ComfyUI's form."""
    return copy.deepcopy(COMFY)


def hip35() -> dict[str, Any]:
    """Return a fresh copy of the specification's example."""
    return copy.deepcopy(HIP35)


def changed(node_id: str, **inputs: Any) -> dict[str, Any]:
    """Return the example with some inputs of one node set anew."""
    prompt = comfy()
    prompt[node_id]["inputs"].update(inputs)
    return prompt


def used(class_type: str, **inputs: Any) -> Any:
    """Return a node in ComfyUI's form."""
    return {"class_type": class_type, "inputs": inputs}


def chain(length: int) -> dict[str, Any]:
    """Return a prompt of `length` nodes, each hanging on the one before."""
    prompt: dict[str, Any] = {"0": used("Chain")}
    for place in range(1, length - 1):
        prompt[str(place)] = used("Chain", image=[str(place - 1), 0])
    prompt[str(length - 1)] = used("Show", it=[str(length - 2), 0])
    return prompt
