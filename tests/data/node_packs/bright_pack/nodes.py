import os

import comfy.model_management as mm
import comfy.samplers
import comfy.utils
import folder_paths
import numpy as np
import torch
from PIL import Image
from nodes import MAX_RESOLUTION
from server import PromptServer


@PromptServer.instance.routes.get("/bright/hello")
async def hello(request):
    return None


class BrightInvert:
    DESCRIPTION = "Turns a picture around."

    @classmethod
    def INPUT_TYPES(s):
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "The picture."}),
                "strength": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05, "round": 0.01, "display": "slider"}),
                "mode": (["full", "half"], {"default": "full"}),
                "sampler": (comfy.samplers.KSampler.SAMPLERS,),
            },
            "optional": {"mask": ("MASK",), "width": ("INT", {"default": 0, "max": MAX_RESOLUTION, "forceInput": True})},
            "hidden": {"unique_id": "UNIQUE_ID", "prompt": "PROMPT"},
        }

    RETURN_TYPES = ("IMAGE", "MASK")
    RETURN_NAMES = ("picture", "grey")
    OUTPUT_TOOLTIPS = ("The other way round.", "Its brightness.")
    FUNCTION = "run"
    CATEGORY = "bright/colour"
    EXPERIMENTAL = True

    def run(self, image, strength, mode, sampler, mask=None, width=0, unique_id=None, prompt=None):
        assert image.ndim == 4 and unique_id is not None
        bar = comfy.utils.ProgressBar(2)
        bar.update(1)
        out = (1.0 - image.to(mm.get_torch_device())) * strength
        if mode == "half":
            out = comfy.utils.common_upscale(out.movedim(-1, 1), image.shape[2] // 2, image.shape[1] // 2, "bilinear", "disabled").movedim(1, -1)
        bar.update(1)
        return (out, out.mean(dim=-1))


class BrightLatent:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"samples": ("LATENT",), "factor": ("FLOAT", {"default": 2.0})}}

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"
    CATEGORY = "bright"

    def run(self, samples, factor):
        s = samples.copy()
        s["samples"] = s["samples"] * factor
        return (s,)


class BrightSave:
    def __init__(self):
        self.output_dir = folder_paths.get_output_directory()
        self.count = 0

    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"images": ("IMAGE",), "prefix": ("STRING", {"default": "bright/shot", "multiline": False})}}

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    CATEGORY = "bright"

    def save(self, images, prefix):
        self.count += 1
        folder, stem, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, self.output_dir, images.shape[2], images.shape[1])
        results = []
        for number, image in enumerate(images):
            name = f"{stem}_{counter + number:05}_.png"
            pixels = np.clip(255.0 * image.cpu().numpy(), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(os.path.join(folder, name))
            results.append({"filename": name, "subfolder": subfolder, "type": "output"})
        return {"ui": {"images": results, "text": (f"call {self.count}",)}}


class BrightLoad:
    @classmethod
    def INPUT_TYPES(s):
        where = folder_paths.get_input_directory()
        files = [f for f in os.listdir(where) if os.path.isfile(os.path.join(where, f))]
        return {"required": {"image": (sorted(files), {"image_upload": True})}}

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "load"
    CATEGORY = "bright"

    def load(self, image):
        path = folder_paths.get_annotated_filepath(image)
        pixels = np.array(Image.open(path).convert("RGB")).astype(np.float32) / 255.0
        return (torch.from_numpy(pixels)[None],)

    @classmethod
    def VALIDATE_INPUTS(s, image):
        return True if folder_paths.exists_annotated_filepath(image) else f"no {image}"


class BrightCheckpointName:
    @classmethod
    def INPUT_TYPES(s):
        return {"required": {"ckpt_name": (folder_paths.get_filename_list("checkpoints"),), "lora": (["None"] + folder_paths.get_filename_list("loras"),)}}

    RETURN_TYPES = ("STRING",)
    FUNCTION = "run"
    CATEGORY = "bright"

    def run(self, ckpt_name, lora):
        return (folder_paths.get_full_path("checkpoints", ckpt_name),)


NODE_CLASS_MAPPINGS = {
    "BrightInvert": BrightInvert,
    "BrightLatent": BrightLatent,
    "BrightSave": BrightSave,
    "BrightLoad": BrightLoad,
    "BrightCheckpointName": BrightCheckpointName,
}
NODE_DISPLAY_NAME_MAPPINGS = {"BrightInvert": "Bright: Invert"}
