"""The page about kinds of models, printed from the table: `python -m libs.nodes.atlas`."""

from __future__ import annotations

import sys

from libs.graph.architectures import ARCHITECTURES, Facts

HEAD = """\
# Kinds of models

What each kind of model wants and gives. The table is data (`libs/graph/architectures.py`), and this page is printed
from it (`python -m libs.nodes.atlas > docs/architectures.md`; a test keeps the page in step). `studio models
architectures` prints the same. A kind is told by the tensors in its files, never by a file's name.

| kind | resolution | memory of the GPU | status | LoRA |
| --- | --- | --- | --- | --- |
"""

FILES = """
## Where files belong

| what | folder in `models` | loaded by |
| --- | --- | --- |
| a whole model in one file | `checkpoints` | `CheckpointLoaderSimple` |
| a whole model in a folder, as diffusers writes it | `diffusers` or `checkpoints` | `DiffusersLoader`, `CheckpointLoaderSimple` |
| a diffusion network alone: `flux1-dev.safetensors`, `flux1-dev-Q4_K_S.gguf` | `diffusion_models` (or `unet`) | `UNETLoader`, `UnetLoaderGGUF` |
| text encoders: `clip_l`, `clip_g`, `t5xxl_fp16`, `t5xxl_fp8_e4m3fn` | `text_encoders` (or `clip`) | `CLIPLoader`, `DualCLIPLoader`, `TripleCLIPLoader` |
| a VAE alone: `ae.safetensors` | `vae` | `VAELoader` |
| a motion module of AnimateDiff: `mm_sd_v15_v2.safetensors` | `motion` | `MotionModelLoader` |
| a CLIP vision or SigLIP network | `clip_vision` | `CLIPVisionLoader` |
| a style model: `flux1-redux-dev.safetensors` | `style_models` | `StyleModelLoader` |
| CogVideoX: its transformer, T5 and its VAE | `diffusion_models`, `text_encoders`, `vae` | `CogVideoXLoader` |
| a tokenizer of T5 that is not the usual one | beside its encoder, or `tokenizers` | found by itself |

The vocabulary of T5 1.1 ships with the house. An encoder with another one brings it in its own file (GGUF, or a tensor
`spiece_model`), or has `tokenizer.json` or `spiece.model` beside it.

## How the families differ

- Stable Diffusion 3 takes CLIP-L, CLIP-G and T5-XXL; one that is not loaded counts as zeros. Texts are never cut.
- Flux takes T5-XXL for the words and CLIP-L for their sum. `FluxGuidance` says how strictly dev follows them; schnell
  paints in four steps with `cfg` 1. Neither paints more than 2048 pixels a side: a graph that asks for more is refused.
- Repainting: `InpaintModelConditioning` shows an inpainting network (Stable Diffusion, SDXL, Flux Fill) the picture and
  the mask. `InstructPixToPixConditioning` shows Flux Canny and Flux Depth the drawing that they follow.
- Two models of one kind are blended with `ModelMergeSimple` and its neighbours.

How videos are made: [videos.md](videos.md). Example workflows for each kind lie in `libs/nodes/examples`.
"""


def page() -> str:
    """Return the whole page as Markdown."""
    rows = "\n".join(_row(facts) for facts in ARCHITECTURES)
    return f"{HEAD}{rows}\n\n{''.join(_more(facts) for facts in ARCHITECTURES).rstrip()}\n{FILES}"


def _row(facts: Facts) -> str:
    lora = "yes" if facts.lora_compatible else "no"
    return f"| {facts.title} | {facts.resolution} | {facts.vram} | {facts.status} | {lora} |"


def _more(facts: Facts) -> str:
    lines = [f"- **{facts.title}**: {facts.structure}."]
    if facts.text_encoders:
        lines.append(f"Text encoders: {', '.join(facts.text_encoders)}.")
    if facts.variants:
        lines.append(f"Variants: {', '.join(facts.variants)}.")
    lines += [f"Not here: {name}, since {reason}." for name, reason in facts.unavailable.items()]
    if facts.note:
        lines.append(facts.note)
    return " ".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
