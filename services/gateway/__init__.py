"""The gateway: REST and WebSocket on 8188, in ComfyUI's dialect and HIP-35's."""
