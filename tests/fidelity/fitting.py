"""Finds the weights of the checkpoint that are not drawn: those of its last layers.

The UNet's last convolution is fitted in closed form, so that the network really predicts noise and
sampling ends in bounded, vivid pictures; on flat or saturated ones no difference would show. The
ends of the VAE are levelled. `python -m tests.fidelity.fitting` writes what is found; on another
CPU it is rounded differently, and then the references belong to other weights.
"""

from __future__ import annotations

from typing import Any

import torch
from safetensors.torch import save_file
from torch import Generator, Tensor

from tests.fidelity.checkpoint import FITTED, SCALE, SEED, drawn, named

LAYERS = (
    "model.diffusion_model.out.2.",
    "first_stage_model.decoder.conv_out.",
    "first_stage_model.quant_conv.",
)


@torch.no_grad()
def fitted() -> dict[str, Tensor]:
    """Return the tensors of the layers that are fitted, in half precision."""
    generator = Generator().manual_seed(SEED + 1)
    unet, vae, text = drawn(generator)
    for network in (unet, vae, text):
        for parameter in network.parameters():
            # What is fitted must see what both engines will load.
            parameter.copy_(parameter.half().float())
    _fit_noise(unet, text, generator)
    _level_decoder(vae, generator)
    _level_encoder(vae, generator)
    found = named(unet, vae, text)
    return {name: found[name] for name in found if name.startswith(LAYERS)}


def smooth_fields(count: int, channels: int, side: int, generator: Generator) -> Tensor:
    """Return smooth random pictures of unit variance: a stand-in for latents."""
    spectrum = torch.fft.rfft2(torch.randn(count, channels, side, side, generator=generator))
    rows = torch.fft.fftfreq(side)[:, None]
    columns = torch.fft.rfftfreq(side)[None]
    spectrum = spectrum / (0.02 + (columns**2 + rows**2).sqrt()) ** 1.2
    fields: Tensor = torch.fft.irfft2(spectrum, s=(side, side))
    return fields.div(fields.std(dim=(2, 3), keepdim=True))


def _fit_noise(
    unet: Any, text: Any, generator: Generator, samples: int = 24, side: int = 16
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


def _level_decoder(vae: Any, generator: Generator) -> None:
    latents = smooth_fields(1, 4, 32, generator) / SCALE * 0.9
    decoded = vae.decode(latents).sample
    vae.decoder.conv_out.weight.mul_(0.45 / decoded.std())
    vae.decoder.conv_out.bias.copy_(-decoded.mean(dim=(0, 2, 3)) * 0.45 / decoded.std())


def _level_encoder(vae: Any, generator: Generator) -> None:
    moments = vae.quant_conv(vae.encoder(torch.tanh(smooth_fields(1, 3, 128, generator))))
    vae.quant_conv.weight[:4].mul_(1 / SCALE / moments[:, :4].std())
    vae.quant_conv.weight[4:].mul_(0.01)
    vae.quant_conv.bias[4:].fill_(-12.0)


if __name__ == "__main__":
    save_file(fitted(), FITTED)
