"""A pack without nodes: what ComfyUI itself needs to load any pack."""

from __future__ import annotations

NODE_CLASS_MAPPINGS: dict[str, type] = {}
