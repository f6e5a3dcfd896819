"""The interface between the SDK and what carries its messages."""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from wherry.exception import VersionError
from wherry_proto.messages import Message, SessionDown, SessionUp


class Unreadable(VersionError):
    """What came is no message, or none that this version reads."""

    def __init__(self, where: str, error: object) -> None:
        super().__init__(
            f"the service at {where} answers in a way that this version can't read ({error}): "
            "install the same version on both sides"
        )


class SessionStream(Protocol):
    """An open session stream."""

    def __iter__(self) -> Iterator[SessionDown]: ...

    def cancel(self) -> None:
        """End the stream now; its iterator ends or raises ConnectionError."""

    def abandon(self) -> None:
        """After a fork: the connection is the parent's."""


class Outgoing(Protocol):
    """What a session has to send: taken one by one, each when there is something, or pushed to whoever attaches."""

    def __iter__(self) -> Iterator[SessionUp]: ...

    def attach(self, send: Callable[[SessionUp | None], None], break_off: Callable[[], None]) -> None:
        """Have `send` called, one call at a time, with each message; None ends the stream.

        `break_off` is called when it is not known what was sent: the stream is to end at once.
        """

    @property
    def has_acknowledgements(self) -> bool:
        """Whether acknowledgements wait for the next message."""

    def flush(self) -> None:
        """Send waiting acknowledgements."""


class Exchange(Protocol):
    """A call with many messages both ways. Sending and receiving may happen in different threads."""

    def send(self, message: Message) -> None:
        """Send one more; waits while the service does not read."""

    def end(self) -> None:
        """Say that nothing follows."""

    def __iter__(self) -> Iterator[Message]: ...

    def cancel(self) -> None:
        """End the call now; its iterator ends or raises ConnectionError."""

    @property
    def carries_sockets(self) -> bool:
        """Whether a message of the service can come with a socket: it is on this machine."""

    def received_socket(self) -> socket.socket:
        """Return the socket that came with the last message; raises InternalError if none did."""

    def fileno(self) -> int:
        """Return what is readable when a message has come; only where it carries sockets."""


class Transport(Protocol):
    """Carries messages. Every method raises `wherry.exception` errors: ConnectionError where the service is away,
    and what the service answers otherwise."""

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        """Call a method by its name in `wherry_proto.services`; `timeout` is in seconds."""

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        """Call a method whose answer is many messages."""

    def upload(self, method: str, requests: Iterable[Message]) -> Message:
        """Call a method whose request is many messages."""

    def exchange(self, method: str, first: Message) -> Exchange:
        """Call a method whose request and answer are many messages."""

    def session(self, outgoing: Outgoing) -> SessionStream:
        """Open the session stream."""

    def close(self) -> None:
        """Let go of the connection."""

    def become_child(self) -> None:
        """After a fork: nothing of the parent's connections may be used."""
