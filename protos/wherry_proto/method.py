"""What is known of one method of a service."""

from typing import NamedTuple


class Method(NamedTuple):
    """One method of a service: its path, its messages by name, and who streams."""

    path: str
    request: str
    response: str
    client_stream: bool
    server_stream: bool
