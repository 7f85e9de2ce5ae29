"""Nodes that turn weights files into models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, TypeAlias

from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import Clip, Model, Vae

WeightFormat = Literal["default", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2"]
SingleEncoderFamily = Literal["stable_diffusion", "sd3"]
DoubleEncoderFamily = Literal["sdxl", "sd3", "flux"]
_EncoderFile: TypeAlias = Annotated[str, Choices("text_encoders"), "The file to load."]
_EncoderDevice: TypeAlias = Annotated[
    Literal["default", "cpu"], Widget(advanced=True), "Where texts are encoded."
]


class Checkpoint(NamedTuple):
    """The three parts of a checkpoint."""

    MODEL: Annotated[Model, "Denoises latents."]
    CLIP: Annotated[Clip, "Encodes texts."]
    VAE: Annotated[Vae, "Turns pictures into latents and back."]


@node(
    "CheckpointLoaderSimple",
    title="Load Checkpoint",
    category="loaders",
    search_aliases=("checkpoint", "model", "load model"),
)
def load_checkpoint(
    context: Context,
    *,
    ckpt_name: Annotated[str, Choices("checkpoints"), "The file to load."],
) -> Checkpoint:
    """Load a checkpoint: the diffusion model, its text encoder and its VAE."""
    return Checkpoint(*context.loader.checkpoint(context.weights("checkpoints", ckpt_name)))


@node("VAELoader", title="Load VAE", category="loaders")
def load_vae(
    context: Context,
    *,
    vae_name: Annotated[str, Choices("vae"), "The file to load."],
) -> Vae:
    """Load a VAE from a file of its own, to use in place of a checkpoint's."""
    return context.loader.vae(context.weights("vae", vae_name))


@node("UNETLoader", title="Load Diffusion Model", category="advanced/loaders")
def load_diffusion_model(
    context: Context,
    *,
    unet_name: Annotated[str, Choices("diffusion_models"), "The file to load."],
    weight_dtype: Annotated[
        WeightFormat, Widget(advanced=True), "Eight bits take less memory and cost some fidelity."
    ],
) -> Model:
    """Load a diffusion model from a file that holds nothing else."""
    path = context.weights("diffusion_models", unet_name)
    return context.loader.diffusion_model(path, weight_dtype)


@node("UnetLoaderGGUF", title="Unet Loader (GGUF)", category="bootleg")
def load_diffusion_model_gguf(
    context: Context,
    *,
    unet_name: Annotated[str, Choices("diffusion_models"), "The file to load."],
) -> Model:
    """Load a diffusion model from a GGUF file, under the name that others gave this node."""
    return context.loader.diffusion_model(context.weights("diffusion_models", unet_name))


@node("CLIPLoader", title="Load CLIP", category="advanced/loaders")
def load_clip(
    context: Context,
    *,
    clip_name: _EncoderFile,
    type: Annotated[SingleEncoderFamily, "The models that the text is for."],
    device: _EncoderDevice | None = None,
) -> Clip:
    """Load a text encoder from a file of its own."""
    return _text_encoders(context, [clip_name], type, device)


@node("DualCLIPLoader", title="DualCLIPLoader", category="advanced/loaders")
def load_two_clips(
    context: Context,
    *,
    clip_name1: _EncoderFile,
    clip_name2: _EncoderFile,
    type: Annotated[DoubleEncoderFamily, "The models that the text is for."],
    device: _EncoderDevice | None = None,
) -> Clip:
    """Load two text encoders that a model uses together, in any order."""
    return _text_encoders(context, [clip_name1, clip_name2], type, device)


@node("TripleCLIPLoader", title="TripleCLIPLoader", category="advanced/loaders")
def load_three_clips(
    context: Context,
    *,
    clip_name1: _EncoderFile,
    clip_name2: _EncoderFile,
    clip_name3: _EncoderFile,
) -> Clip:
    """Load the three text encoders of Stable Diffusion 3, in any order."""
    return _text_encoders(context, [clip_name1, clip_name2, clip_name3], "sd3", None)


@node("CLIPLoaderGGUF", title="CLIPLoader (GGUF)", category="bootleg")
def load_clip_gguf(
    context: Context,
    *,
    clip_name: _EncoderFile,
    type: SingleEncoderFamily,
) -> Clip:
    """Load a text encoder from a GGUF file, under the name that others gave this node."""
    return _text_encoders(context, [clip_name], type, None)


@node("DualCLIPLoaderGGUF", title="DualCLIPLoader (GGUF)", category="bootleg")
def load_two_clips_gguf(
    context: Context,
    *,
    clip_name1: _EncoderFile,
    clip_name2: _EncoderFile,
    type: DoubleEncoderFamily,
) -> Clip:
    """Load two text encoders, of which GGUF files may be some."""
    return _text_encoders(context, [clip_name1, clip_name2], type, None)


@node("TripleCLIPLoaderGGUF", title="TripleCLIPLoader (GGUF)", category="bootleg")
def load_three_clips_gguf(
    context: Context,
    *,
    clip_name1: _EncoderFile,
    clip_name2: _EncoderFile,
    clip_name3: _EncoderFile,
) -> Clip:
    """Load three text encoders, of which GGUF files may be some."""
    return _text_encoders(context, [clip_name1, clip_name2, clip_name3], "sd3", None)


@node("DiffusersLoader", title="Load Diffusers Model", category="advanced/loaders/deprecated")
def load_diffusers(
    context: Context,
    *,
    model_path: Annotated[str, Choices("diffusers"), "The folder to load."],
) -> Checkpoint:
    """Load a model from a folder as the diffusers library writes it."""
    return Checkpoint(*context.loader.checkpoint(context.weights("diffusers", model_path)))


def _text_encoders(context: Context, names: Sequence[str], family: str, device: str | None) -> Clip:
    paths = [context.weights("text_encoders", name) for name in names]
    return context.loader.text_encoders(paths, family, device or "default")
