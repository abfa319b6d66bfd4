"""A user folder, and a stand-in gateway where a journal's clips are asked for."""

from tests.jobs.conftest import gateway, user

__all__ = ["gateway", "user"]
