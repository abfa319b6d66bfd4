"""API Mall over HTTP: what may be asked, what may be answered, and what a failure cost."""
