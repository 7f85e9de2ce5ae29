"""The checkpoint that the reference pictures were made with: random weights that work.

`python -m tests.fidelity.checkpoint FILE` writes it, always the same from the same seed. It is
Stable Diffusion 1.5 with a smaller UNet. Nothing is downloaded or trained: the UNet's last
convolution is fitted in closed form, so that the network really predicts noise and sampling ends
in bounded, vivid pictures. On flat or saturated ones no difference would show.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from tests.fidelity.ldm_names import text_name, unet_name, vae_name, vae_tensor

SEED = 0
SCALE = 0.18215
# Louder text makes guidance of 7 on random weights explode, quieter text shows nothing.
TEXT_GAIN = 0.8
UNET: Mapping[str, Any] = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (320, 640),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "sample_size": 512,
    "block_out_channels": (128, 256, 512, 512),
    "norm_num_groups": 32,
    "scaling_factor": SCALE,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
TEXT: Mapping[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 49407,
}


@torch.no_grad()
def make_checkpoint() -> dict[str, Tensor]:
    """Return the tensors of the checkpoint, in half precision.

    The order of every draw matters: another order is another checkpoint.
    """
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED + 1)
    unet = UNet2DConditionModel(**UNET).eval()
    vae = AutoencoderKL(**VAE).eval()
    text = CLIPTextModel(CLIPTextConfig(**TEXT)).eval()
    _make_text_matter(unet, text, generator)
    for network in (unet, vae, text):
        for parameter in network.parameters():
            # What is fitted below must see what both engines will load.
            parameter.copy_(parameter.half().float())
    _fit_noise(unet, text, generator)
    _level_decoder(vae, generator)
    _level_encoder(vae, generator)
    return _named(unet, vae, text)


def smooth_fields(count: int, channels: int, side: int, generator: torch.Generator) -> Tensor:
    """Return smooth random pictures of unit variance: a stand-in for latents."""
    spectrum = torch.fft.rfft2(torch.randn(count, channels, side, side, generator=generator))
    rows = torch.fft.fftfreq(side)[:, None]
    columns = torch.fft.rfftfreq(side)[None]
    spectrum = spectrum / (0.02 + (columns**2 + rows**2).sqrt()) ** 1.2
    fields: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
    return fields.div(fields.std(dim=(2, 3), keepdim=True))


def _make_text_matter(unet: Any, text: Any, generator: torch.Generator) -> None:
    for name, parameter in text.named_parameters():
        if "token_embedding" in name:
            parameter.normal_(0, 1.0, generator=generator)
        elif "position_embedding" in name:
            parameter.normal_(0, 0.3, generator=generator)
    for name, parameter in unet.named_parameters():
        if ".attn2.to_q." in name or ".attn2.to_k." in name:
            parameter.mul_(2.0)
        elif ".attn2.to_out.0.weight" in name:
            parameter.mul_(TEXT_GAIN)


def _fit_noise(
    unet: Any, text: Any, generator: torch.Generator, samples: int = 24, side: int = 16
) -> None:
    """Fit the last convolution by ridge regression: from its features to the noise."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    signal = torch.cumprod(1 - betas, 0).float()
    grabbed: dict[str, Tensor] = {}
    hook = unet.conv_out.register_forward_pre_hook(
        lambda _module, inputs: grabbed.__setitem__("features", inputs[0])
    )
    width = unet.conv_out.in_channels
    left = torch.zeros(width + 1, width + 1, dtype=torch.float64)
    right = torch.zeros(width + 1, 4, dtype=torch.float64)
    ids = torch.randint(300, 40000, (samples, 77), generator=generator)
    ids[:, 0], ids[:, 20:] = 49406, 49407
    for sample in range(samples):
        timestep = torch.tensor([int(1 + (sample + 0.5) / samples * 997)])
        context = text(ids[sample : sample + 1]).last_hidden_state
        clean = smooth_fields(1, 4, side, generator) * 0.9
        noise = torch.randn(clean.shape, generator=generator)
        share = signal[timestep].view(-1, 1, 1, 1)
        noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
        unet(noisy, timestep, encoder_hidden_states=context)
        features = grabbed["features"][0].reshape(width, -1).double()
        features = torch.cat([features, torch.ones(1, features.shape[1], dtype=torch.float64)])
        left += features @ features.T
        right += features @ noise[0].reshape(4, -1).double().T
    hook.remove()
    ridge = 1e-4 * left.diagonal().mean() * torch.eye(width + 1, dtype=torch.float64)
    solution = torch.linalg.solve(left + ridge, right).T.float()
    # The outer taps stay small and not zero: a layout mixed up would show.
    unet.conv_out.weight.mul_(0.01)
    unet.conv_out.weight[:, :, 1, 1] = solution[:, :-1]
    unet.conv_out.bias.copy_(solution[:, -1])


def _level_decoder(vae: Any, generator: torch.Generator) -> None:
    latents = smooth_fields(1, 4, 32, generator) / SCALE * 0.9
    decoded = vae.decode(latents).sample
    vae.decoder.conv_out.weight.mul_(0.45 / decoded.std())
    vae.decoder.conv_out.bias.copy_(-decoded.mean(dim=(0, 2, 3)) * 0.45 / decoded.std())


def _level_encoder(vae: Any, generator: torch.Generator) -> None:
    moments = vae.quant_conv(vae.encoder(torch.tanh(smooth_fields(1, 3, 128, generator))))
    vae.quant_conv.weight[:4].mul_(1 / SCALE / moments[:, :4].std())
    vae.quant_conv.weight[4:].mul_(0.01)
    vae.quant_conv.bias[4:].fill_(-12.0)


def _named(unet: Any, vae: Any, text: Any) -> dict[str, Tensor]:
    levels = len(VAE["block_out_channels"])
    named = {
        f"model.diffusion_model.{unet_name(name, UNET)}": tensor
        for name, tensor in unet.state_dict().items()
    }
    named |= {
        f"first_stage_model.{vae_name(name, levels)}": vae_tensor(name, tensor)
        for name, tensor in vae.state_dict().items()
    }
    named |= {
        f"cond_stage_model.transformer.{text_name(name)}": tensor
        for name, tensor in text.state_dict().items()
    }
    return {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in named.items()
    }


if __name__ == "__main__":
    save_file(make_checkpoint(), Path(sys.argv[1]))
