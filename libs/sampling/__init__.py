"""From noise to a latent, on any arrays: levels, schedules, samplers, guidance. No torch in here.

Arrays are whatever the engine brings (torch tensors, numpy arrays): samplers use operators alone,
the rest asks `array_api_compat` for the namespace. Noise levels are floats, so that no device is
waited for in the loop.
"""
