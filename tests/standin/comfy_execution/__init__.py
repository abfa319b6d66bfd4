"""Stand-in of the part of ComfyUI's `comfy_execution` that the pack asks for."""
