"""The gate in front of the handlers, for who comes over TCP: token, rule, environment, audit log."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from wherry_proto import services
from wherry_proto.messages import AuditEntry, TokenInfo
from wherry_service.api.audit import AuditLog
from wherry_service.api.member import Member, Surroundings, refusal
from wherry_service.api.places import Places
from wherry_service.api.reach import Named, Reach, value_of
from wherry_service.api.rules import RULES, Where
from wherry_service.api.statuses import status_of
from wherry_service.api.tokens import EVERYWHERE, Tokens, allows
from wherry_service.errors import Denied, Exhausted, ServiceError, Unauthenticated
from wherry_service.store.tokens import AuditStore

ID_KEY = "wherry-token-id"
SECRET_KEY = "wherry-token-secret"
_TARGETS = (
    "app_id", "function_id", "token_id", "object_id", "volume_id", "secret_id", "container_id", "sandbox_id", "name"
)  # fmt: skip


class _Asked:
    """What is noted of a request."""

    __slots__ = ("environment", "noted", "target", "token")

    def __init__(self, request: Any) -> None:
        self.token: TokenInfo | None = None
        # Whether the audit log has it already.
        self.noted = False
        self.environment = str(getattr(request, "environment", ""))
        self.target = str(next((value for key in _TARGETS if (value := getattr(request, key, ""))), ""))

    def found(self, named: Named) -> None:
        """Note what it is about."""
        self.environment = named.environment or self.environment
        self.target = self.target or named.object_id


class Access:
    """Lets in who has a token, to what that is for (implements `edge.Gate`)."""

    def __init__(self, tokens: Tokens, places: Places, surroundings: Surroundings, audit: AuditStore) -> None:
        self._tokens = tokens
        self._places = places
        self._surroundings = surroundings
        self._audit = AuditLog(audit)
        # What each token has open.
        self._open: dict[str, set[asyncio.Task[Any]]] = {}
        # Source files that tokens of the same environments have sent in this life of the service.
        self._sent: dict[tuple[str, ...], set[str]] = {}

    def knows(self, metadata: Mapping[str, str]) -> bool:
        """Whether these prove a token; which, and what it allows, is for `guard`."""
        return self._tokens.is_valid(metadata.get(ID_KEY, ""), metadata.get(SECRET_KEY, ""))

    def guard(self, name: str, handler: Any, metadata: Mapping[str, str], peer: str) -> Any:
        """Return the handler for one request: it raises where the token does not allow it."""

        async def unary(request: Any) -> Any:
            with self._entered(name, request, metadata, peer) as asked:
                serve = await self._allowed(name, handler, request, asked, peer)
                return await serve(request)

        async def streaming(request: Any) -> AsyncIterator[Any]:
            with self._entered(name, request, metadata, peer) as asked:
                serve = await self._allowed(name, handler, request, asked, peer)
                async with contextlib.aclosing(serve(request)) as answers:
                    async for answer in answers:
                        yield answer

        return streaming if services.METHODS[name].server_stream else unary

    def local(self, name: str, handler: Any) -> Any:
        """Return a handler for the service's user, who may do all: it is only noted in the audit log."""
        if not RULES[name].audited:
            return handler
        if services.METHODS[name].client_stream:
            return lambda messages: handler(self._begun(name, messages, _Asked(messages), ""))

        @contextlib.contextmanager
        def noted(request: Any) -> Iterator[None]:
            asked = _Asked(request)
            try:
                yield
            except ServiceError as error:
                self._note(name, asked, "", status_of(name, error)[0])
                raise
            self._note(name, asked, "", "ok")

        async def unary(request: Any) -> Any:
            with noted(request):
                return await handler(request)

        async def streaming(request: Any) -> AsyncIterator[Any]:
            with noted(request):
                async with contextlib.aclosing(handler(request)) as answers:
                    async for answer in answers:
                        yield answer

        return streaming if services.METHODS[name].server_stream else unary

    def revoked(self, token_id: str) -> None:
        """End what a token has open."""
        current = asyncio.current_task()
        for task in self._open.get(token_id, ()):
            if task is not current:
                task.cancel()

    async def close(self) -> None:
        """Wait until the audit log is written, for some seconds."""
        await self._audit.close()

    # Who asks

    @contextlib.contextmanager
    def _entered(self, name: str, request: Any, metadata: Mapping[str, str], peer: str) -> Iterator[_Asked]:
        asked = _Asked(request)
        task = asyncio.current_task()
        assert task is not None
        audited = name in RULES and RULES[name].audited
        try:
            token = self._tokens.check(metadata.get(ID_KEY, ""), metadata.get(SECRET_KEY, ""), _address(peer))
            asked.token = token
            self._open.setdefault(token.token_id, set()).add(task)
            if audited:
                self._audit.check()
            yield asked
        except asyncio.CancelledError:
            if asked.token is not None and asked.token.revoked_at_ms:
                raise Unauthenticated(f"token {asked.token.name!r} was revoked") from None
            raise
        except (Unauthenticated, Denied) as error:
            self._note("login" if asked.token is None else name, asked, peer, status_of(name, error)[0])
            raise
        except Exhausted:
            raise  # a flood of failures is not to fill the audit log
        except ServiceError as error:
            if audited:
                self._note(name, asked, peer, status_of(name, error)[0])
            raise
        else:
            if audited and not asked.noted:
                self._note(name, asked, peer, "ok")
        finally:
            token_id = asked.token.token_id if asked.token is not None else ""
            if (tasks := self._open.get(token_id)) is not None:
                tasks.discard(task)
                if not tasks:
                    del self._open[token_id]

    # What is allowed

    async def _allowed(self, name: str, handler: Any, request: Any, asked: _Asked, peer: str) -> Any:
        rule, token = RULES.get(name), asked.token
        assert token is not None
        if rule is None or rule.where is Where.NOWHERE:
            raise Denied(f"{name} is not served over TCP")
        member = Member(token, self._surroundings, self._places, self._sent)
        reach = Reach(member, self._places)
        if client_id := getattr(request, "client_id", ""):
            member.claim(client_id)
        if rule.where is Where.SESSION:
            return lambda requests: handler(member.claiming(requests), member)
        if rule.where is Where.TOKEN:
            return lambda message: handler(message, token)
        if rule.where is Where.EVERYWHERE:
            if not allows(token, rule.scopes, EVERYWHERE):
                raise Denied(refusal(token, name, EVERYWHERE))
        elif rule.where is Where.ANYWHERE:
            member.check_anywhere(name, rule)
        elif services.METHODS[name].client_stream:
            checked = reach.checked(name, rule, request, asked.found)
            return lambda _: handler(self._begun(name, checked, asked, peer) if rule.audited else checked)
        else:
            await reach.check(name, rule, request, asked.found)
        return member.own_handler(name, handler, asked.environment or "main")

    async def _begun(self, name: str, messages: AsyncIterator[Any], asked: _Asked, peer: str) -> AsyncIterator[Any]:
        """Note a stream when it begins, and not when it has ended: it may last."""
        async for message in messages:
            if not asked.noted:
                asked.noted = True
                where = RULES[name].where
                asked.target = asked.target or (value_of(message, where[0]) if isinstance(where, tuple) else "") or ""
                self._note(name, asked, peer, "ok")
            yield message

    # The audit log

    def _note(self, action: str, asked: _Asked, peer: str, outcome: str) -> None:
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
        self._audit.note(entry)


def _address(peer: str) -> str:
    """Return a peer's address without its port, as in "ipv4:10.0.0.1:4711"."""
    return peer.rpartition(":")[0] or peer
