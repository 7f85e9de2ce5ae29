"""Stable Diffusion's noise schedule."""

import torch


def alphas_cumprod(steps: int = 1000, first: float = 0.00085, last: float = 0.012) -> torch.Tensor:
    """How much of the picture's power is left at each time."""
    betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, dim=0).float()
