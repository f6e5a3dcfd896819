"""The interface between the SDK and what carries its messages."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from wherry_proto.messages import Message, SessionDown, SessionUp


class Session(Protocol):
    """An open session stream."""

    def __iter__(self) -> Iterator[SessionDown]: ...

    def cancel(self) -> None:
        """End the stream now; its iterator ends or raises ConnectionError."""


class Transport(Protocol):
    """Carries messages. Every method raises `wherry.exception` errors: ConnectionError where the service is away,
    and what the service answers otherwise."""

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        """Call a method by its name in `wherry_proto.services`; `timeout` is in seconds."""

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        """Call a method whose answer is many messages."""

    def upload(self, method: str, requests: Iterable[Message]) -> Message:
        """Call a method whose request is many messages."""

    def session(self, requests: Iterator[SessionUp]) -> Session:
        """Open the session stream. `requests` blocks until there is something to send."""

    def close(self) -> None:
        """Let go of the connection."""
