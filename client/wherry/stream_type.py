"""Where the output of a command that runs in a container goes."""

import enum


class StreamType(enum.Enum):
    """Where a stream of a command goes. (reference: StreamType)"""

    # Kept here, until it is read.
    PIPE = -1
    # Printed here, as it comes.
    STDOUT = -2
    # Dropped.
    DEVNULL = -3
