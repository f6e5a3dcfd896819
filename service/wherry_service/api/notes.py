"""What is noted in the audit log of a request: who asked for what, about what, and how it went."""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from wherry_proto import services
from wherry_proto.messages import AuditEntry, TokenInfo
from wherry_service.api.audit import AuditLog
from wherry_service.api.chain import during
from wherry_service.api.reach import Named, value_of
from wherry_service.api.statuses import status_of
from wherry_service.api.table import RULES
from wherry_service.errors import ServiceError

_TARGETS = (
    "app_id", "function_id", "token_id", "object_id", "volume_id", "secret_id", "container_id", "sandbox_id", "name",
    "input_id",
)  # fmt: skip


class NotedRequest:
    """What is noted of a request."""

    __slots__ = ("environment", "noted", "target", "token")

    def __init__(self, request: Any) -> None:
        self.token: TokenInfo | None = None
        # Whether the audit log has it already.
        self.noted = False
        self.environment = str(getattr(request, "environment", ""))
        self.target = str(next((value for key in _TARGETS if (value := getattr(request, key, ""))), ""))
        self.target = self.target or ", ".join(getattr(request, "input_ids", ()))

    def found(self, named: Named) -> None:
        """Note what it is about."""
        self.environment = named.environment or self.environment
        self.target = self.target or named.object_id


class Notes:
    """Writes the audit log; before handlers, what the service's own user does (implements `chain.Interceptor`)."""

    def __init__(self, log: AuditLog) -> None:
        self.log = log

    def around(self, name: str, handler: Any) -> Any:
        """Return a handler for the service's user, who may do all: it is only noted in the audit log."""
        if not RULES[name].audited:
            return handler
        if services.METHODS[name].client_stream:
            return lambda messages: handler(self.begun(name, messages, NotedRequest(messages), ""))

        async def find(request: Any, entered: None) -> Any:
            return handler

        @contextlib.contextmanager
        def enter(request: Any) -> Iterator[None]:
            asked = NotedRequest(request)
            try:
                yield
            except ServiceError as error:
                self.note(name, asked, "", status_of(name, error)[0])
                raise
            self.note(name, asked, "", "ok")

        return during(name, enter, find)

    async def begun(
        self, name: str, messages: AsyncIterator[Any], asked: NotedRequest, peer: str
    ) -> AsyncIterator[Any]:
        """Note a stream when it begins, and not when it has ended: it may last."""
        async for message in messages:
            if not asked.noted:
                asked.noted = True
                where = RULES[name].where
                asked.target = asked.target or (value_of(message, where[0]) if isinstance(where, tuple) else "") or ""
                self.note(name, asked, peer, "ok")
            yield message

    def note(self, action: str, asked: NotedRequest, peer: str, outcome: str) -> None:
        """Write an entry; `peer` is "" for the service's own user."""
        token = asked.token
        entry = AuditEntry(
            at_ms=int(time.time() * 1000),
            token_id=token.token_id if token is not None else ("" if peer else "local"),
            token_name=token.name if token is not None else "",
            action=action,
            environment=asked.environment[:64],
            target=asked.target[:128],
            outcome=outcome,
            peer=peer[:128],
        )
        self.log.note(entry)

    async def close(self) -> None:
        """Wait until the audit log is written, for some seconds."""
        await self.log.close()
