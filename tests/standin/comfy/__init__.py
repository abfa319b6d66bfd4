"""Stand-in of the part of ComfyUI's `comfy` that the pack asks for."""
