"""What the tests of the panel get."""

from __future__ import annotations

from tests.support.panel import site

__all__ = ["site"]
