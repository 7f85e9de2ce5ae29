"""IP-Adapters (Ye et al. 2023): pictures that a UNet attends to beside the text."""
