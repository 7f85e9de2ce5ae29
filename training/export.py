"""Writes the trained networks as one checkpoint file: `python -m training.export --help`."""

import argparse
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from libs.text.tokenizer import END, START
from training.denoiser import Pair
from training.latents import load_codec, statistics
from training.ldm import single_file
from training.loop import say
from training.tokens import TOKENS, CompactVocabulary

LATENT_SCALE: Final = 0.18215
EMBEDDING: Final = "embeddings.token_embedding.weight"
NAME: Final = "hanzo-demo-64"
FOLDER: Final = Path("libs/weights/demo")


def full_embedding(small: torch.Tensor, vocabulary: CompactVocabulary) -> torch.Tensor:
    """Spread the learned rows over CLIP's vocabulary; a word never seen means `unknown`."""
    full = small[vocabulary.unknown].repeat(TOKENS, 1)
    for token, row in vocabulary.rows.items():
        full[token] = small[row]
    full[START], full[END] = small[vocabulary.start], small[vocabulary.end]
    return full


def scaled_codec(
    weights: dict[str, torch.Tensor], mean: torch.Tensor, deviation: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Move mean and deviation of the latents into the codec, so that 0.18215 makes them unit."""
    mean, factor = mean.flatten(), deviation.flatten() * LATENT_SCALE
    scaled = dict(weights)
    weight, bias = weights["quant_conv.weight"].clone(), weights["quant_conv.bias"].clone()
    weight[:4] /= factor.view(-1, 1, 1, 1)
    bias[:4] = (bias[:4] - mean) / factor
    bias[4:] -= 2 * factor.log()
    scaled["quant_conv.weight"], scaled["quant_conv.bias"] = weight, bias
    matrix = weights["post_quant_conv.weight"]
    scaled["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + matrix[:, :, 0, 0] @ mean
    scaled["post_quant_conv.weight"] = matrix * factor.view(1, -1, 1, 1)
    return scaled


def checkpoint(codec: Path, latents: Path, denoiser: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of the file, in half precision."""
    state: dict[str, Any] = torch.load(denoiser, weights_only=True)
    vocabulary = CompactVocabulary(state["known"])
    pair = Pair(vocabulary.size)
    pair.load_state_dict(state["average"])
    text = dict(pair.text.state_dict())
    name = next(key for key in text if key.endswith(EMBEDDING))
    text[name] = full_embedding(text[name], vocabulary)
    vae = scaled_codec(load_codec(codec).state_dict(), *statistics(latents))
    tensors = single_file(pair.unet.state_dict(), vae, text)
    halves = {key: value.detach().half().contiguous() for key, value in tensors.items()}
    # The field's own marker: this model predicts velocity, not noise.
    halves["v_pred"] = torch.zeros(0, dtype=torch.float16)
    return halves


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=Path, default=Path("build/training/vae.pt"))
    parser.add_argument("--latents", type=Path, default=Path("build/training/latents"))
    parser.add_argument("--denoiser", type=Path, default=Path("build/training/denoiser.pt"))
    parser.add_argument("--out", type=Path, default=FOLDER / f"{NAME}.safetensors")
    arguments = parser.parse_args()
    tensors = checkpoint(arguments.codec, arguments.latents, arguments.denoiser)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.out, metadata={"modelspec.title": NAME, "license": "Apache-2.0"})
    say(file=arguments.out, tensors=len(tensors), bytes=arguments.out.stat().st_size)


if __name__ == "__main__":
    main()
