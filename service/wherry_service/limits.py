"""Limits that several floors share."""

# Bytes of a value that travels within a message; a larger one is a blob.
MAX_INLINE = 1 << 20

# Bytes of the state directory's path. That of a unix socket has at most 107; the longest here is
# DIR/run/co-ULID/runner.sock.
MAX_STATE_DIR = 107 - len("/run/co-/runner.sock") - 26
