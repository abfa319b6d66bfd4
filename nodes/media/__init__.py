"""Bytes to arrays and back: clips, stills, sound and the memory they need."""
