"""From noise to a latent: parameterisations, schedules, samplers, guidance."""
