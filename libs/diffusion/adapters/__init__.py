"""What changes a network's weights: LoRA and its kin, and blends of two networks."""
