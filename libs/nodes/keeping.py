"""Nodes that keep models in files, to be loaded again."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from libs.core.jsonvalue import Json
from libs.nodes.context import OUTPUT_BYTES_MAX, Context, OutputFile
from libs.nodes.declare import Shown, Widget, node
from libs.nodes.saving import PNG_INFO, PREFIX_TOOLTIP, texts
from libs.nodes.sockets import Clip, Model, Vae

_CATEGORY: Final = "advanced/model_merging"
_Prefix: TypeAlias = Annotated[str, PREFIX_TOOLTIP]
_Kept: TypeAlias = Annotated[Model, "What to keep, with everything that was merged into it."]


@node(
    "CheckpointSave", title="Save Checkpoint", category=_CATEGORY, output_node=True, hidden=PNG_INFO
)
def save_checkpoint(
    context: Context,
    *,
    model: _Kept,
    clip: Annotated[Clip, "The text encoders that belong to it."],
    vae: Annotated[Vae, "The VAE that belongs to it."],
    filename_prefix: _Prefix = "checkpoints/ComfyUI",
) -> Shown[None]:
    """Keep a model, its text encoders and its VAE in one checkpoint file, LoRAs and merges included."""
    data = context.loader.model_file(model, clip, vae, texts(context), OUTPUT_BYTES_MAX)
    return Shown(None, {"models": [_saved(context, filename_prefix, data)]})


@node("ModelSave", title="ModelSave", category=_CATEGORY, output_node=True, hidden=PNG_INFO)
def save_model(
    context: Context, *, model: _Kept, filename_prefix: _Prefix = "diffusion_models/ComfyUI"
) -> Shown[None]:
    """Keep a diffusion model alone in a file, LoRAs and merges included."""
    data = context.loader.model_file(model, None, None, texts(context), OUTPUT_BYTES_MAX)
    return Shown(None, {"models": [_saved(context, filename_prefix, data)]})


@node("CLIPSave", title="CLIPSave", category=_CATEGORY, output_node=True, hidden=PNG_INFO)
def save_encoders(
    context: Context,
    *,
    clip: Annotated[Clip, "What to keep."],
    filename_prefix: _Prefix = "clip/ComfyUI",
) -> Shown[None]:
    """Keep text encoders, each in a file of its own whose name says which it is."""
    files = context.loader.encoder_files(clip, texts(context), OUTPUT_BYTES_MAX)
    saved: list[Json] = [
        _saved(context, f"{filename_prefix}_{name}", data) for name, data in files.items()
    ]
    return Shown(None, {"models": saved})


@node("VAESave", title="VAESave", category=_CATEGORY, output_node=True, hidden=PNG_INFO)
def save_vae(
    context: Context,
    *,
    vae: Annotated[Vae, "What to keep."],
    filename_prefix: _Prefix = "vae/ComfyUI_vae",
) -> Shown[None]:
    """Keep a VAE in a file of its own."""
    data = context.loader.vae_file(vae, texts(context), OUTPUT_BYTES_MAX)
    return Shown(None, {"models": [_saved(context, filename_prefix, data)]})


@node(
    "LoraSave",
    title="Extract and Save Lora",
    category="_for_testing",
    output_node=True,
    hidden=PNG_INFO,
    search_aliases=("export lora", "extract lora"),
)
def save_lora(
    context: Context,
    *,
    filename_prefix: _Prefix = "loras/ComfyUI_extracted_lora",
    rank: Annotated[
        int,
        Widget(min=1, max=4096, step=1),
        "How many products of two directions make up each weight's difference: more is nearer, "
        "and larger.",
    ] = 8,
    lora_type: Annotated[
        Literal["standard", "full_diff"],
        "A LoRA of that rank, or all differences as they are, as large as the model.",
    ],
    bias_diff: Annotated[bool, "Keep the differences of biases and norms as well."] = True,
    model_diff: Annotated[Model, "What two models differ by: what ModelMergeSubtract gives."]
    | None = None,
    text_encoder_diff: Annotated[
        Clip, "What two text encoders differ by: what CLIPMergeSubtract gives."
    ]
    | None = None,
) -> Shown[None]:
    """Keep what two models differ by as a LoRA, which makes one of them the other."""
    if model_diff is None and text_encoder_diff is None:
        return Shown(None, {})
    data = context.loader.lora_file(
        model_diff,
        text_encoder_diff,
        texts(context),
        OUTPUT_BYTES_MAX,
        rank=rank,
        kind=lora_type,
        with_biases=bias_diff,
    )
    return Shown(None, {"models": [_saved(context, filename_prefix, data)]})


def _saved(context: Context, prefix: str, data: bytes) -> Json:
    file = OutputFile(
        data=data,
        extension="safetensors",
        mime="application/octet-stream",
        filename_prefix=prefix,
    )
    return context.save(file).as_json()
