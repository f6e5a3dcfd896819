"""The HTTP API: what the commands list and do, as JSON, and calls of functions by programs that are not in Python."""
