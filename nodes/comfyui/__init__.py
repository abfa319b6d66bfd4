"""All that knows ComfyUI and torch beside the five node files."""
