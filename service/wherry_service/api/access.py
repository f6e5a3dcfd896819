"""The gate in front of the handlers, for who comes over TCP: token, rule, environment, audit log."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from wherry_proto import services
from wherry_proto.messages import AuditEntry, TokenInfo
from wherry_service.api.member import Member, Surroundings
from wherry_service.api.rules import RULES, Rule, Where
from wherry_service.api.statuses import status_of
from wherry_service.api.tokens import EVERYWHERE, Tokens, allows
from wherry_service.errors import Denied, Exhausted, NotFound, ServiceError, Unauthenticated
from wherry_service.store.tokens import AuditStore, EnvironmentStore

log = logging.getLogger(__name__)

ID_KEY = "wherry-token-id"
SECRET_KEY = "wherry-token-secret"
_TARGETS = ("app_id", "function_id", "token_id", "name")


class Access:
    """Lets in who has a token, to what that is for (implements `edge.Gate`)."""

    def __init__(
        self, tokens: Tokens, environments: EnvironmentStore, surroundings: Surroundings, audit: AuditStore
    ) -> None:
        self._tokens = tokens
        self._environments = environments
        self._surroundings = surroundings
        self._audit = audit
        # What each token has open.
        self._open: dict[str, set[asyncio.Task[Any]]] = {}
        self._writing: set[asyncio.Task[None]] = set()
        # Source files that tokens of the same environments have sent in this life of the service.
        self._sent: dict[tuple[str, ...], set[str]] = {}

    def guard(self, name: str, handler: Any, metadata: Mapping[str, str], peer: str) -> Any:
        """Return the handler for one request: it raises where the token does not allow it."""

        async def unary(request: Any) -> Any:
            with self._entered(name, request, metadata, peer) as token:
                serve = await self._allowed(name, handler, request, token)
                return await serve(request)

        async def streaming(request: Any) -> AsyncIterator[Any]:
            with self._entered(name, request, metadata, peer) as token:
                serve = await self._allowed(name, handler, request, token)
                async with contextlib.aclosing(serve(request)) as answers:
                    async for answer in answers:
                        yield answer

        return streaming if services.METHODS[name].server_stream else unary

    def local(self, name: str, handler: Any) -> Any:
        """Return a handler for the service's user, who may do all: it is only noted in the audit log."""
        if not RULES[name].audited:
            return handler

        async def serve(request: Any) -> Any:
            try:
                answer = await handler(request)
            except ServiceError as error:
                self._note(name, request, None, "", status_of(name, error)[0])
                raise
            self._note(name, request, None, "", "ok")
            return answer

        return serve

    def revoked(self, token_id: str) -> None:
        """End what a token has open."""
        current = asyncio.current_task()
        for task in self._open.get(token_id, ()):
            if task is not current:
                task.cancel()

    async def close(self) -> None:
        """Wait until the audit log is written."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    # Who asks

    @contextlib.contextmanager
    def _entered(self, name: str, request: Any, metadata: Mapping[str, str], peer: str) -> Iterator[TokenInfo]:
        token: TokenInfo | None = None
        task = asyncio.current_task()
        assert task is not None
        try:
            token = self._tokens.check(metadata.get(ID_KEY, ""), metadata.get(SECRET_KEY, ""), _address(peer))
            self._open.setdefault(token.token_id, set()).add(task)
            yield token
        except asyncio.CancelledError:
            if token is not None and token.revoked_at_ms:
                raise Unauthenticated(f"token {token.name!r} was revoked") from None
            raise
        except (Unauthenticated, Denied) as error:
            self._note("login" if token is None else name, request, token, peer, status_of(name, error)[0])
            raise
        except Exhausted:
            raise  # a flood of failures is not to fill the audit log
        except ServiceError as error:
            if RULES[name].audited:
                self._note(name, request, token, peer, status_of(name, error)[0])
            raise
        else:
            if RULES[name].audited:
                self._note(name, request, token, peer, "ok")
        finally:
            if token is not None and (tasks := self._open.get(token.token_id)) is not None:
                tasks.discard(task)
                if not tasks:
                    del self._open[token.token_id]

    # What is allowed

    async def _allowed(self, name: str, handler: Any, request: Any, token: TokenInfo) -> Any:
        rule = RULES.get(name)
        if rule is None or rule.where is Where.NOWHERE:
            raise Denied(f"{name} is not served over TCP")
        member = Member(token, self._surroundings, self._environments, self._sent)
        if name == "Apps.Open":
            member.claim(request.client_id)
        if rule.where is Where.SESSION:
            return lambda requests: handler(member.claiming(requests), member)
        if rule.where is Where.HANDLER:
            return member.own_handler(name, handler, rule)
        if rule.where is Where.ANYWHERE:
            member.check_anywhere(name, rule)
        else:
            await self._check(name, rule, request, token)
        return handler

    async def _check(self, name: str, rule: Rule, request: Any, token: TokenInfo) -> None:
        """Raise `Denied` for an environment that is not the token's, `NotFound` for an object that is not in one."""
        where = rule.where
        if where is Where.LOOKUP:
            where = Where.FUNCTION if request.function_id else Where.FIELD
        if where is Where.FIELD or where is Where.EVERYWHERE:
            environment = EVERYWHERE if where is Where.EVERYWHERE else request.environment or "main"
            if not allows(token, rule.scopes, environment):
                raise Denied(_refusal(token, name, environment))
            return
        object_id = getattr(request, f"{where.value}_id")
        found = await self._environment_of(where, object_id)
        if found is None or (EVERYWHERE not in token.environments and found not in token.environments):
            # Alike, so that nobody learns what there is elsewhere.
            raise NotFound(f"{where.value} {object_id[:64]!r} does not exist in the environments of this token")
        if not allows(token, rule.scopes, found):
            raise Denied(_refusal(token, name, found))

    async def _environment_of(self, where: Where, object_id: str) -> str | None:
        if where is Where.APP:
            return await self._environments.of_app(object_id)
        if where is Where.FUNCTION:
            return await self._environments.of_function(object_id)
        function_id = self._surroundings.journal.function_of(object_id)
        if function_id is not None:
            return await self._environments.of_function(function_id)
        return await self._environments.of_call(object_id)

    # The audit log

    def _note(self, action: str, request: Any, token: TokenInfo | None, peer: str, outcome: str) -> None:
        target = next((value for key in _TARGETS if (value := getattr(request, key, ""))), "")
        entry = AuditEntry(
            at_ms=int(time.time() * 1000),
            token_id=token.token_id if token is not None else ("" if peer else "local"),
            token_name=token.name if token is not None else "",
            action=action,
            environment=str(getattr(request, "environment", ""))[:64],
            target=str(target)[:128],
            outcome=outcome,
            peer=peer[:128],
        )
        task = asyncio.ensure_future(self._audit.add(entry))
        self._writing.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the audit log could not be written", exc_info=error)


def _refusal(token: TokenInfo, name: str, environment: str) -> str:
    where = "all environments" if environment == EVERYWHERE else f"environment {environment[:64]!r}"
    return (
        f"token {token.name!r} ({', '.join(token.scopes)} in {', '.join(token.environments)}) does not allow {name} "
        f"in {where}: use another token, or ask an admin for one"
    )


def _address(peer: str) -> str:
    """Return a peer's address without its port, as in "ipv4:10.0.0.1:4711"."""
    return peer.rpartition(":")[0] or peer
