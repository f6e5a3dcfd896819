"""The gate in front of the handlers, for who comes over TCP: token, rule, environment, audit log."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from wherry_proto import services
from wherry_proto.messages import TokenInfo
from wherry_service.api.chain import during
from wherry_service.api.member import Member, RequestContext, refusal
from wherry_service.api.notes import NotedRequest, Notes
from wherry_service.api.places import Places
from wherry_service.api.reach import Reach
from wherry_service.api.rules import Where
from wherry_service.api.statuses import status_of
from wherry_service.api.table import RULES
from wherry_service.api.tokens import EVERYWHERE, Tokens, allows
from wherry_service.errors import Denied, Exhausted, ServiceError, Unauthenticated

ID_KEY = "wherry-token-id"
SECRET_KEY = "wherry-token-secret"


class Access:
    """Lets in who has a token, to what that is for (implements `edge.Gate`)."""

    def __init__(self, tokens: Tokens, places: Places, surroundings: RequestContext, notes: Notes) -> None:
        self._tokens = tokens
        self._places = places
        self._surroundings = surroundings
        self._notes = notes
        # What each token has open: tasks, and how many requests each of them has.
        self._open: dict[str, Counter[asyncio.Task[Any]]] = {}
        # Source files that tokens of the same environments have sent in this life of the service.
        self._sent: dict[tuple[str, ...], set[str]] = {}

    def knows(self, metadata: Mapping[str, str]) -> bool:
        """Whether these prove a token; which, and what it allows, is for `guard`."""
        return self._tokens.is_valid(metadata.get(ID_KEY, ""), metadata.get(SECRET_KEY, ""))

    def guard(self, name: str, handler: Any, metadata: Mapping[str, str], peer: str) -> Any:
        """Return the handler for one request: it raises where the token does not allow it."""

        def prove() -> TokenInfo:
            return self._tokens.check(metadata.get(ID_KEY, ""), metadata.get(SECRET_KEY, ""), _address(peer))

        return self._guard(name, handler, prove, peer)

    def guard_token(self, name: str, handler: Any, token_id: str, peer: str) -> Any:
        """Return the handler for one request of who has proven that token before: it raises once it is revoked."""
        return self._guard(name, handler, lambda: self._tokens.unrevoked(token_id), peer)

    def _guard(self, name: str, handler: Any, prove: Callable[[], TokenInfo], peer: str) -> Any:
        def enter(request: Any) -> AbstractContextManager[NotedRequest]:
            return self._entered(name, request, prove, peer)

        def find(request: Any, asked: NotedRequest) -> Awaitable[Any]:
            return self._allowed(name, handler, request, asked, peer)

        return during(name, enter, find)

    def revoked(self, token_id: str) -> None:
        """End what a token has open."""
        current = asyncio.current_task()
        for task in list(self._open.get(token_id, ())):
            if task is not current:
                task.cancel()

    async def close(self) -> None:
        """Wait until the audit log is written, for some seconds."""
        await self._notes.close()

    # Who asks

    @contextlib.contextmanager
    def _entered(self, name: str, request: Any, prove: Callable[[], TokenInfo], peer: str) -> Iterator[NotedRequest]:
        asked = NotedRequest(request)
        task = asyncio.current_task()
        assert task is not None
        audited = name in RULES and RULES[name].audited
        try:
            token = prove()
            asked.token = token
            self._open.setdefault(token.token_id, Counter())[task] += 1
            if audited:
                self._notes.log.check()
            yield asked
        except asyncio.CancelledError:
            if asked.token is not None and asked.token.revoked_at_ms:
                raise Unauthenticated(f"token {asked.token.name!r} was revoked") from None
            raise
        except (Unauthenticated, Denied) as error:
            self._notes.note("login" if asked.token is None else name, asked, peer, status_of(name, error)[0])
            raise
        except Exhausted:
            raise  # a flood of failures is not to fill the audit log
        except ServiceError as error:
            if audited:
                self._notes.note(name, asked, peer, status_of(name, error)[0])
            raise
        else:
            if audited and not asked.noted:
                self._notes.note(name, asked, peer, "ok")
        finally:
            token_id = asked.token.token_id if asked.token is not None else ""
            if (tasks := self._open.get(token_id)) is not None:
                # One of this process's own may have several at a time (callers.py).
                tasks[task] -= 1
                if tasks[task] <= 0:
                    del tasks[task]
                if not tasks:
                    del self._open[token_id]

    # What is allowed

    async def _allowed(self, name: str, handler: Any, request: Any, asked: NotedRequest, peer: str) -> Any:
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
            return lambda _: handler(self._notes.begun(name, checked, asked, peer) if rule.audited else checked)
        else:
            await reach.check(name, rule, request, asked.found)
        return member.own_handler(name, handler, asked.environment or "main")


def _address(peer: str) -> str:
    """Return a peer's address without its port, as in "ipv4:10.0.0.1:4711"."""
    return peer.rpartition(":")[0] or peer
