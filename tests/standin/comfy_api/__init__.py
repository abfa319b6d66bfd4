"""Stand-in of the part of ComfyUI's `comfy_api` that the pack asks for."""
