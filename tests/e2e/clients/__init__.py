"""Clients of ComfyUI, as they are published, against a whole house."""
