"""Node packs written for ComfyUI's class protocol: their classes become node types of this house."""
