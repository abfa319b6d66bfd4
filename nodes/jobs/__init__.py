"""The paid work: what is asked for, and the runner that sees it through to a file on this disk."""
