"""What ComfyUI was started with."""

from __future__ import annotations

from types import SimpleNamespace

args = SimpleNamespace(multi_user=False, disable_metadata=False)
