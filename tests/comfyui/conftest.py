"""What the tests of ComfyUI's side get."""

from __future__ import annotations

from tests.support.fixtures import comfy, decoded_pictures, open_comfy, slow_comfy

__all__ = ["comfy", "decoded_pictures", "open_comfy", "slow_comfy"]
