"""Limits that several floors share."""

# Bytes of a value that travels within a message; a larger one is a blob.
MAX_INLINE = 1 << 20
