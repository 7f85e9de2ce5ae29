"""Workflows whose pictures are known: ComfyUI made them from the same checkpoint and seeds.

Each ends in SaveLatent and SaveImage, so that both the latent before the VAE and the picture can
be compared. The names are those of the files in `reference/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

Workflow = dict[str, dict[str, Any]]

CHECKPOINT = "sd15small.safetensors"
PICTURE = "fidelity_input.png"
SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "ddim", "lcm")
SCHEDULERS = ("normal", "karras", "simple", "sgm_uniform", "beta")
MORE_SAMPLERS = (
    "heun",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpmpp_2s_ancestral",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "ddpm",
    "uni_pc",
    "uni_pc_bh2",
    "euler_cfg_pp",
    "res_multistep",
    "deis",
    "ipndm",
    "dpm_fast",
    "dpm_adaptive",
)
MORE_SCHEDULERS = ("exponential", "ddim_uniform", "linear_quadratic", "kl_optimal")
LONG = (
    "a highly detailed painting of a castle on a hill above a river at dawn, mist over the water, "
    "two horses in the foreground, soft golden light, dramatic clouds, intricate brush strokes, "
    "muted palette of green and ochre, a small village with red roofs in the far distance, "
    "birds in the sky, cinematic composition, masterpiece, award winning, trending, a wooden "
    "bridge, wild flowers, old stone walls covered with ivy, a lonely traveller with a lantern, "
    "warm windows, smoke from chimneys"
)
# One of each kind, for every run of the tests; the others are for whoever has the minutes.
CHOSEN = (
    "m_euler_normal",
    "m_euler_ancestral_karras",
    "m_dpmpp_2m_karras",
    "s_dpmpp_2m_sde",
    "s_uni_pc",
    "p_long_weight",
    "n_img2img_06",
    "n_inpaint_ddim",
    "n_area",
    "n_lora_stack",
    "n_controlnet_adv",
    "n_vpred_zsnr",
    "n_freeu",
)


def cases() -> dict[str, Workflow]:
    """Return every case by its name."""
    found = {
        f"m_{sampler}_{scheduler}": basic(sampler_name=sampler, scheduler=scheduler)
        for sampler, scheduler in product(SAMPLERS, SCHEDULERS)
    }
    found |= {f"s_{sampler}": basic(sampler_name=sampler) for sampler in MORE_SAMPLERS}
    found |= {
        f"k_{scheduler}": basic(scheduler=scheduler, sampler_name="dpmpp_2m")
        for scheduler in MORE_SCHEDULERS
    }
    found |= {
        "p_weight": basic(text="a (red:1.4) fox in the ((snow)) with [a\\(b\\)] (tree:0.5)"),
        "p_long": basic(text=LONG),
        "p_long_weight": basic(
            text=LONG.replace("castle", "(castle:1.5)").replace("lantern", "(lantern:0.3)")
        ),
        "p_empty": basic(text="", negative=""),
        "p_longneg": basic(negative=LONG),
        "g_wide": basic(width=192),
        "g_odd": basic(width=136, height=72),
        "g_batch2": basic(batch_size=2),
        "g_batch3_ancestral": basic(batch_size=3, sampler_name="euler_ancestral"),
        "c_cfg1": basic(cfg=1.0),
        "c_cfg15": basic(cfg=15.0),
        "c_bigseed": basic(seed=2**64 - 1),
    }
    return found | {f"n_{name}": make() for name, make in GRAPHS.items()}


def basic(
    text: str = "a red fox in the snow",
    negative: str = "blurry, low quality",
    width: int = 64,
    height: int = 64,
    batch_size: int = 1,
    **sampling: Any,
) -> Workflow:
    """Return text to picture, with the sampler's inputs changed as given."""
    settings = {
        "seed": 1234,
        "steps": 6,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    size = {"width": width, "height": height, "batch_size": batch_size}
    return {
        "ckpt": _node("CheckpointLoaderSimple", ckpt_name=CHECKPOINT),
        "pos": _node("CLIPTextEncode", clip=["ckpt", 1], text=text),
        "neg": _node("CLIPTextEncode", clip=["ckpt", 1], text=negative),
        "lat": _node("EmptyLatentImage", **size),
        "ks": _node(
            "KSampler",
            model=["ckpt", 0],
            positive=["pos", 0],
            negative=["neg", 0],
            latent_image=["lat", 0],
            **(settings | sampling),
        ),
        "dec": _node("VAEDecode", samples=["ks", 0], vae=["ckpt", 2]),
        "slat": _node("SaveLatent", samples=["ks", 0], filename_prefix="latents/case"),
        "simg": _node("SaveImage", images=["dec", 0], filename_prefix="images/case"),
    }


def _node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def _with_picture(**sampling: Any) -> Workflow:
    return basic(**sampling) | {"img": _node("LoadImage", image=PICTURE)}


def _with_second_text(text: str, **size: Any) -> Workflow:
    return basic(**size) | {"pos2": _node("CLIPTextEncode", clip=["ckpt", 1], text=text)}


def _two_texts(class_type: str, **inputs: Any) -> Workflow:
    graph = _with_second_text("oil painting")
    graph["cmb"] = _node(class_type, **inputs)
    graph["ks"]["inputs"]["positive"] = ["cmb", 0]
    return graph


def _clip_skip() -> Workflow:
    graph = basic()
    graph["skip"] = _node("CLIPSetLastLayer", clip=["ckpt", 1], stop_at_clip_layer=-2)
    for text in ("pos", "neg"):
        graph[text]["inputs"]["clip"] = ["skip", 0]
    return graph


def _from_picture(denoise: float) -> Workflow:
    graph = _with_picture(denoise=denoise, seed=77)
    graph["lat"] = _node("VAEEncode", pixels=["img", 0], vae=["ckpt", 2])
    return graph


def _inpaint_mask() -> Workflow:
    graph = _with_picture(seed=5)
    graph["enc"] = _node("VAEEncode", pixels=["img", 0], vae=["ckpt", 2])
    graph["lat"] = _node("SetLatentNoiseMask", samples=["enc", 0], mask=["img", 1])
    return graph


def _inpaint_ddim() -> Workflow:
    graph = _with_picture(seed=5, sampler_name="ddim")
    around = {"pixels": ["img", 0], "vae": ["ckpt", 2], "mask": ["img", 1], "grow_mask_by": 6}
    graph["lat"] = _node("VAEEncodeForInpaint", **around)
    return graph


def _area() -> Workflow:
    graph = _with_second_text("a blue lake", width=128, height=96)
    place = {"width": 64, "height": 64, "x": 32, "y": 16, "strength": 1.0}
    graph["area"] = _node("ConditioningSetArea", conditioning=["pos2", 0], **place)
    both = {"conditioning_1": ["pos", 0], "conditioning_2": ["area", 0]}
    graph["cmb"] = _node("ConditioningCombine", **both)
    graph["ks"]["inputs"]["positive"] = ["cmb", 0]
    return graph


def _timestep_range() -> Workflow:
    graph = _with_second_text("a blue lake")
    for name, text, start, end in (("tr0", "pos", 0.0, 0.4), ("tr1", "pos2", 0.4, 1.0)):
        part = {"conditioning": [text, 0], "start": start, "end": end}
        graph[name] = _node("ConditioningSetTimestepRange", **part)
    both = {"conditioning_1": ["tr0", 0], "conditioning_2": ["tr1", 0]}
    graph["cmb"] = _node("ConditioningCombine", **both)
    graph["ks"]["inputs"]["positive"] = ["cmb", 0]
    return graph


def _two_stages() -> Workflow:
    graph = basic(steps=8)
    shared = ("model", "positive", "negative", "cfg", "sampler_name", "scheduler", "steps")
    common = {name: graph["ks"]["inputs"][name] for name in shared}
    first = {"add_noise": "enable", "noise_seed": 9, "latent_image": ["lat", 0]}
    first |= {"start_at_step": 0, "end_at_step": 5, "return_with_leftover_noise": "enable"}
    second = {"add_noise": "disable", "noise_seed": 0, "latent_image": ["ks1", 0]}
    second |= {"start_at_step": 5, "end_at_step": 10000, "return_with_leftover_noise": "disable"}
    graph["ks1"] = _node("KSamplerAdvanced", **common, **first)
    graph["ks"] = _node("KSamplerAdvanced", **common, **second)
    return graph


def _hires_fix() -> Workflow:
    graph = basic(steps=4)
    scaling = {"upscale_method": "bilinear", "width": 96, "height": 96, "crop": "disabled"}
    graph["up"] = _node("LatentUpscale", samples=["ks", 0], **scaling)
    changed = {"latent_image": ["up", 0], "denoise": 0.5, "seed": 8}
    graph["ks2"] = _node("KSampler", **(graph["ks"]["inputs"] | changed))
    for reader in ("dec", "slat"):
        graph[reader]["inputs"]["samples"] = ["ks2", 0]
    return graph


def _with_loras(*loras: tuple[str, float, float]) -> Workflow:
    graph = basic()
    model, clip = ["ckpt", 0], ["ckpt", 1]
    for name, of_model, of_clip in loras:
        strengths = {"strength_model": of_model, "strength_clip": of_clip}
        inputs = {"model": model, "clip": clip, "lora_name": f"{name}.safetensors"}
        graph[name] = _node("LoraLoader", **inputs, **strengths)
        model, clip = [name, 0], [name, 1]
    graph["ks"]["inputs"]["model"] = model
    for text in ("pos", "neg"):
        graph[text]["inputs"]["clip"] = clip
    return graph


def _with_controlnet(class_type: str, **inputs: Any) -> Workflow:
    graph = _with_picture()
    graph["cn"] = _node("ControlNetLoader", control_net_name="fid_cn.safetensors")
    hint = {"control_net": ["cn", 0], "image": ["img", 0]}
    graph["cna"] = _node(class_type, **hint, **inputs)
    graph["ks"]["inputs"]["positive"] = ["cna", 0]
    if "negative" in inputs:
        graph["ks"]["inputs"]["negative"] = ["cna", 1]
    return graph


def _patched(**patches: dict[str, Any]) -> Workflow:
    graph = basic()
    model = ["ckpt", 0]
    for class_type, inputs in patches.items():
        graph[class_type] = _node(class_type, model=model, **inputs)
        model = [class_type, 0]
    graph["ks"]["inputs"]["model"] = model
    return graph


def _tiled() -> Workflow:
    graph = basic(width=256, height=256, steps=2)
    tiles = {"tile_size": 128, "overlap": 32, "temporal_size": 64, "temporal_overlap": 8}
    graph["dec"] = _node("VAEDecodeTiled", samples=["ks", 0], vae=["ckpt", 2], **tiles)
    return graph


_TO_AND_FROM = {"conditioning_to": ["pos", 0], "conditioning_from": ["pos2", 0]}
_ONE_AND_TWO = {"conditioning_1": ["pos", 0], "conditioning_2": ["pos2", 0]}
GRAPHS: Mapping[str, Callable[[], Workflow]] = {
    "clipskip2": _clip_skip,
    "img2img_06": lambda: _from_picture(0.6),
    "img2img_03": lambda: _from_picture(0.3),
    "inpaint_mask": _inpaint_mask,
    "inpaint_ddim": _inpaint_ddim,
    "combine": lambda: _two_texts("ConditioningCombine", **_ONE_AND_TWO),
    "concat": lambda: _two_texts("ConditioningConcat", **_TO_AND_FROM),
    "average": lambda: _two_texts(
        "ConditioningAverage", **_TO_AND_FROM, conditioning_to_strength=0.6
    ),
    "area": _area,
    "timestep_range": _timestep_range,
    "advanced_two_stage": _two_stages,
    "hires_fix": _hires_fix,
    "vpred_zsnr": lambda: _patched(
        ModelSamplingDiscrete={"sampling": "v_prediction", "zsnr": True},
        RescaleCFG={"multiplier": 0.7},
    ),
    "freeu": lambda: _patched(FreeU_V2={"b1": 1.3, "b2": 1.4, "s1": 0.9, "s2": 0.2}),
    "vae_tiled": _tiled,
    "lora": lambda: _with_loras(("fid_a", 0.8, 0.6)),
    "lora_stack": lambda: _with_loras(("fid_a", 0.8, 0.6), ("fid_b", -0.5, 1.0)),
    "controlnet": lambda: _with_controlnet(
        "ControlNetApply", conditioning=["pos", 0], strength=0.7
    ),
    "controlnet_adv": lambda: _with_controlnet(
        "ControlNetApplyAdvanced",
        positive=["pos", 0],
        negative=["neg", 0],
        strength=1.0,
        start_percent=0.2,
        end_percent=0.8,
    ),
}
