"""From words to what a diffusion network is conditioned on."""
