"""What stands before every rpc, by each way in; who reaches which objects is in tests/integration/test_reach.py."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.node import no_guests, no_web
from wherry_proto import messages, services
from wherry_proto.messages import AuditEntry, ExecStart, TokenInfo
from wherry_service.api.access import Access
from wherry_service.api.audit import AuditLog
from wherry_service.api.callers import Caller, Callers, ask, follow
from wherry_service.api.chain import chained
from wherry_service.api.environments import ExpectedEnvironment
from wherry_service.api.guests import Guest
from wherry_service.api.member import Member, RequestContext
from wherry_service.api.notes import Notes
from wherry_service.api.places import Places
from wherry_service.api.rpc import Handler, checks_of, insteads_of
from wherry_service.api.rules import Inside, Where
from wherry_service.api.table import RULES
from wherry_service.api.tokens import Tokens
from wherry_service.apps.environments import Environments
from wherry_service.assembly import assemble
from wherry_service.errors import Denied, InvalidRequest, NotFound, ServiceError, Unauthenticated
from wherry_service.handlers import Handlers
from wherry_service.settings import Settings
from wherry_service.store.tokens import AuditStore

METHODS = sorted(services.METHODS)


class Spies:
    """Handlers that note that they were reached, and answer nothing."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    def handlers(self) -> dict[str, Handler]:
        return {name: self._handler(name) for name in METHODS}

    def _handler(self, name: str) -> Handler:
        method = services.METHODS[name]

        async def take(request: Any) -> None:
            if method.client_stream:
                async for _ in request:
                    pass
            self.reached.append(name)

        async def unary(request: Any, asker: Any = None) -> Any:
            await take(request)
            return getattr(messages, method.response)()

        async def streaming(request: Any, asker: Any = None) -> AsyncIterator[Any]:
            await take(request)
            yield getattr(messages, method.response)()

        return streaming if method.server_stream else unary


class Audit:
    """An audit log in memory."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []

    async def add(self, entry: AuditEntry) -> None:
        self.entries.append(entry)


class OneEnvironment:
    """There is "main" (in place of `Environments`), and everything is there (in place of `Places`)."""

    def expect(self, name: str) -> None:
        if name not in ("", "main"):
            raise NotFound(f"there is no environment {name!r}")

    async def of(self, kind: str, object_id: str) -> frozenset[str]:
        return frozenset(("main",))


class OneToken:
    """Whoever says "right" has this token (in place of `Tokens`)."""

    def __init__(self, scopes: Iterable[str], environments: Iterable[str] = ("main",)) -> None:
        self.token = TokenInfo(token_id="tk-1", name="t", scopes=list(scopes), environments=list(environments))

    def check(self, token_id: str, secret: str, address: str) -> TokenInfo:
        if secret != "right":
            raise Unauthenticated("no")
        return self.token

    def unrevoked(self, token_id: str) -> TokenInfo:
        if token_id != "tk-1" or self.token.revoked_at_ms:
            raise Unauthenticated("no")
        return self.token


class NoSources:
    """Nothing was sent (in place of `SourceStore`)."""

    def note_sent(self, source_id: str, sender: str) -> None: ...


def access_of(tokens: OneToken) -> Access:
    nobody = RequestContext(cast("Any", None), cast("Any", None), cast("Any", None), cast("Any", NoSources()))
    notes = Notes(AuditLog(cast("AuditStore", Audit())))
    return Access(cast("Tokens", tokens), cast("Places", OneEnvironment()), nobody, notes)


async def call(name: str, handler: Any, **fields: str) -> None:
    """Ask for an rpc with one message."""
    method = services.METHODS[name]
    message = getattr(messages, method.request)()
    for field, value in fields.items():
        setattr(message, field, value)
    if name == "Execs.Run":
        # What is not its first message is checked by none.
        message.start = ExecStart(container_id="co-1")

    async def uploaded() -> AsyncIterator[Any]:
        yield message

    request = uploaded() if method.client_stream else message
    if method.server_stream:
        async with contextlib.aclosing(handler(request)) as answers:
            async for _ in answers:
                pass
    else:
        await handler(request)


class Asked:
    """Calls as `call` does, from within the process."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def call(self, name: str, **fields: str) -> None:
        def handler(request: Any) -> Any:
            return (follow if services.METHODS[name].server_stream else ask)(self.caller, name, request)

        await call(name, handler, **fields)


def run(scenario: Callable[[Spies], Any]) -> list[str]:
    """Return which handlers were reached."""
    spies = Spies()
    asyncio.run(scenario(spies))
    return spies.reached


def test_every_rpc_is_served_by_each_way_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        parts = assemble(tmp_path, Settings(), no_guests, no_web, lambda driver, network: FakeEngine({}))
        served = Handlers(parts)
        for table in (served.over_tcp, served.over_grpc, served.over_frames, served.guests.handlers):
            assert sorted(table) == METHODS
        inside = {name for name, rule in RULES.items() if rule.inside is not Inside.NOTHING}
        # A session is begun by its connection.
        assert set(Guest(served.guests, "co-1", "ap-1").handlers()) == inside - {"Calls.Session"}
        parts.machine.node.receiver.close()

    asyncio.run(scenario())
    assert sorted(RULES) == METHODS


def test_commands_in_containers_are_noted_by_both_sockets_of_this_machine(tmp_path: Path) -> None:
    noted: list[tuple[str, str]] = []

    async def scenario() -> None:
        parts = assemble(tmp_path, Settings(), no_guests, no_web, lambda driver, network: FakeEngine({}))
        notes: Any = parts.entrances.door.notes
        notes.note = lambda action, asked, peer, outcome: noted.append((action, asked.target))
        served = Handlers(parts)
        for table in (served.over_grpc, served.over_frames):
            with pytest.raises(InvalidRequest, match="'co-1' is not an id"):
                await call("Execs.Run", table["Execs.Run"])
        parts.machine.node.receiver.close()

    asyncio.run(scenario())
    assert noted == [("Execs.Run", "co-1")] * 2


def test_what_stands_in_a_handlers_place_is_declared_for_what_is_served_there() -> None:
    by_tcp = {name for name, rule in RULES.items() if isinstance(rule.where, tuple) or rule.where is Where.ANYWHERE}
    inside = {name for name, rule in RULES.items() if rule.inside is not Inside.NOTHING}
    replaced, checked = set(insteads_of(Member)), set(checks_of(Member))
    assert replaced | checked <= by_tcp
    assert not replaced & checked
    # Nothing is checked in the midst of an upload.
    assert not any(services.METHODS[name].client_stream for name in checked)
    assert set(insteads_of(Guest)) <= inside


def test_who_has_no_token_reaches_nothing_over_tcp() -> None:
    async def scenario(spies: Spies) -> None:
        access = access_of(OneToken(("admin",)))
        for name, handler in spies.handlers().items():
            with pytest.raises(Unauthenticated):
                await call(name, access.guard(name, handler, {"wherry-token-secret": "wrong"}, "ipv4:1.2.3.4:5"))
        await access.close()

    assert run(scenario) == []


def test_a_token_that_allows_nothing_reaches_what_looks_at_the_token_itself_over_tcp() -> None:
    async def scenario(spies: Spies) -> None:
        access = access_of(OneToken(()))
        for name, handler in spies.handlers().items():
            guarded = access.guard(name, handler, {"wherry-token-secret": "right"}, "ipv4:1.2.3.4:5")
            if RULES[name].where in (Where.TOKEN, Where.SESSION):
                await call(name, guarded)
            else:
                with pytest.raises((Denied, NotFound)):
                    await call(name, guarded)
        await access.close()

    asks = [name for name in METHODS if RULES[name].where in (Where.TOKEN, Where.SESSION)]
    assert (
        run(scenario)
        == asks
        == ["Calls.Session", "Dashboard.Link", "Tokens.Create", "Tokens.List", "Tokens.Revoke", "Tokens.Who"]
    )


def test_an_admins_token_reaches_all_that_is_served_over_tcp() -> None:
    async def scenario(spies: Spies) -> None:
        access = access_of(OneToken(("admin",), ("*",)))
        for name, handler in spies.handlers().items():
            guarded = access.guard(name, handler, {"wherry-token-secret": "right"}, "ipv4:1.2.3.4:5")
            if RULES[name].where is Where.NOWHERE:
                with pytest.raises(Denied, match="is not served over TCP"):
                    await call(name, guarded)
            else:
                await call(name, guarded, **fields_of(name))
        await access.close()

    assert run(scenario) == [name for name in METHODS if RULES[name].where is not Where.NOWHERE]


def fields_of(name: str) -> dict[str, str]:
    """Name an object in a request that is about one."""
    where = RULES[name].where
    return {where[0]: "one"} if isinstance(where, tuple) and where[0].endswith("_id") and "." not in where[0] else {}


def test_who_names_an_environment_that_is_not_there_reaches_nothing() -> None:
    named = [
        name
        for name in METHODS
        if not services.METHODS[name].client_stream
        and "environment" in getattr(messages, services.METHODS[name].request).__slots__
    ]

    async def scenario(spies: Spies) -> None:
        expected = ExpectedEnvironment(cast("Environments", OneEnvironment()))
        handlers = chained(spies.handlers(), expected)
        for name in named:
            with pytest.raises(NotFound, match="there is no environment 'other'"):
                await call(name, handlers[name], environment="other")
        assert not spies.reached
        for name in METHODS:
            await call(name, handlers[name])

    assert len(named) > 10
    assert run(scenario) == METHODS


def test_what_a_rule_has_audited_is_noted_once_for_the_services_own_user() -> None:
    audit = Audit()

    async def scenario(spies: Spies) -> None:
        notes = Notes(AuditLog(cast("AuditStore", audit)))
        for name, handler in chained(spies.handlers(), notes).items():
            await call(name, handler)
        await notes.close()

    assert run(scenario) == METHODS
    assert sorted(entry.action for entry in audit.entries) == [name for name in METHODS if RULES[name].audited]
    assert {(entry.token_id, entry.outcome) for entry in audit.entries} == {("local", "ok")}


def test_interceptors_are_asked_in_their_order_and_the_first_that_refuses_ends_it() -> None:
    asked: list[str] = []

    class Link:
        def __init__(self, name: str, refuses: bool = False) -> None:
            self.name = name
            self.refuses = refuses

        def around(self, name: str, handler: Any) -> Any:
            async def serve(request: Any) -> Any:
                asked.append(self.name)
                if self.refuses:
                    raise ServiceError("no")
                return await handler(request)

            return serve

    async def scenario(spies: Spies) -> None:
        whole = {"Apps.Stop": spies.handlers()["Apps.Stop"]}
        await call("Apps.Stop", chained(whole, Link("first"), Link("second"))["Apps.Stop"])
        with pytest.raises(ServiceError):
            await call("Apps.Stop", chained(whole, Link("first", refuses=True), Link("second"))["Apps.Stop"])

    assert run(scenario) == ["Apps.Stop"]
    assert asked == ["first", "second", "first"]


# From within the process: the same walk, for each kind of caller.


def callers_of(spies: Spies, tokens: OneToken, audit: Audit | None = None) -> tuple[Callers, Access]:
    access = access_of(tokens)
    notes = Notes(AuditLog(cast("AuditStore", audit or Audit())))
    return Callers(chained(spies.handlers(), notes), spies.handlers(), access), access


def test_who_has_no_token_reaches_nothing_from_within_the_process() -> None:
    async def scenario(spies: Spies) -> None:
        callers, access = callers_of(spies, OneToken(("admin",), ("*",)))
        strangers = (
            callers.by_secret("tk-1", "wrong", "1.2.3.4:5"),
            callers.by_secret("", "", "1.2.3.4:5"),
            callers.by_token("tk-2", "1.2.3.4:5"),
        )
        for stranger in strangers:
            for name in METHODS:
                with pytest.raises(Unauthenticated):
                    await Asked(stranger).call(name, **fields_of(name))
        await access.close()

    assert run(scenario) == []


@pytest.mark.parametrize("way", ["secret", "token"])
def test_a_token_reaches_from_within_the_process_what_it_reaches_over_tcp(way: str) -> None:
    def caller_of(callers: Callers) -> Asked:
        found = callers.by_secret("tk-1", "right", "1.2.3.4:5") if way == "secret" else callers.by_token("tk-1", "")
        return Asked(found)

    async def with_nothing(spies: Spies) -> None:
        callers, access = callers_of(spies, OneToken(()))
        for name in METHODS:
            if RULES[name].where in (Where.TOKEN, Where.SESSION):
                await caller_of(callers).call(name)
            else:
                with pytest.raises((Denied, NotFound)):
                    await caller_of(callers).call(name)
        await access.close()

    async def with_all(spies: Spies) -> None:
        callers, access = callers_of(spies, OneToken(("admin",), ("*",)))
        for name in METHODS:
            if RULES[name].where is Where.NOWHERE:
                with pytest.raises(Denied, match="is not served over TCP"):
                    await caller_of(callers).call(name)
            else:
                await caller_of(callers).call(name, **fields_of(name))
        await access.close()

    assert run(with_nothing) == [name for name in METHODS if RULES[name].where in (Where.TOKEN, Where.SESSION)]
    assert run(with_all) == [name for name in METHODS if RULES[name].where is not Where.NOWHERE]


def test_the_services_own_user_reaches_all_from_within_the_process_and_is_noted() -> None:
    audit = Audit()

    async def scenario(spies: Spies) -> None:
        callers, access = callers_of(spies, OneToken(()), audit)
        for name in METHODS:
            await Asked(callers.local()).call(name)
        await access.close()
        await asyncio.sleep(0)

    assert run(scenario) == METHODS
    assert sorted(entry.action for entry in audit.entries) == [name for name in METHODS if RULES[name].audited]
    assert {entry.token_id for entry in audit.entries} == {"local"}


def test_a_revoked_token_ends_what_it_follows_though_the_same_task_asked_for_more_meanwhile() -> None:
    tokens = OneToken(("admin",), ("*",))
    seen: list[Any] = []

    async def scenario(spies: Spies) -> None:
        async def endless(request: Any) -> AsyncIterator[Any]:
            while True:
                yield messages.LogLines()
                await asyncio.sleep(0)

        callers, access = callers_of(spies, tokens)
        callers = Callers({}, {**spies.handlers(), "Logs.Read": endless}, access)
        caller = callers.by_token("tk-1", "1.2.3.4:5")
        began = asyncio.Event()

        async def page() -> None:
            asked = messages.LogReadRequest(app_id="ap-1")
            async with contextlib.aclosing(follow(caller, "Logs.Read", asked)) as lines:
                async for line in lines:
                    await ask(caller, "Apps.List", messages.AppListRequest())
                    seen.append(line)
                    began.set()

        task = asyncio.ensure_future(page())
        await asyncio.wait_for(began.wait(), 5)
        tokens.token.revoked_at_ms = 1
        access.revoked("tk-1")
        with pytest.raises(Unauthenticated):
            await asyncio.wait_for(task, 5)
        await access.close()

    run(scenario)
    assert seen


def test_what_answers_with_many_messages_is_followed_and_what_answers_with_one_is_asked() -> None:
    async def scenario(spies: Spies) -> None:
        callers, access = callers_of(spies, OneToken(()))
        with pytest.raises(ValueError, match="use follow"):
            await ask(callers.local(), "Logs.Read", messages.LogReadRequest())
        with pytest.raises(ValueError, match="use ask"):
            await anext(follow(callers.local(), "Apps.List", messages.AppListRequest()))
        with pytest.raises(InvalidRequest, match=r"no rpc 'Apps\.Nothing'"):
            callers.local().handler("Apps.Nothing")
        await access.close()

    assert run(scenario) == []
