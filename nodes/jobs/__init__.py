"""The paid work: what is asked for, the journal that remembers it, and the runner that sees it through."""
