"""API Mall Video: the Python half of the node pack."""
