"""What a peer can make the service hold: each bound of docs/internals/limits.md, reached."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node import payload
from tests.unit.service.test_dispatcher import FUNCTION
from tests.unit.service.test_dispatcher import World as Calls
from tests.unit.service.test_local_api import INFO, frame
from tests.unit.service.test_local_api import World as Api
from tests.unit.service.test_local_api import run as speak
from wherry_proto import rows
from wherry_proto.messages import (
    CallKind,
    CallStart,
    CallValuesRequest,
    CallWatch,
    FailureKind,
    Hello,
    Input,
    Payload,
    ServerStopRequest,
    SessionUp,
    YieldsTaken,
)
from wherry_service.api import guests, sessions
from wherry_service.api.budget import Budget
from wherry_service.api.guests import Guests
from wherry_service.api.session_rules import SessionRules
from wherry_service.api.sessions import Session, SessionApi
from wherry_service.calls import claims, notices
from wherry_service.calls import client as clients
from wherry_service.calls.client import Client
from wherry_service.calls.exchange import Exchange
from wherry_service.calls.values import Values
from wherry_service.calls.watching import LOOKUPS
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, Rarely
from wherry_service.frames import FrameError, read_header
from wherry_service.ids import new_id
from wherry_service.pools.container import Container
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.yields import YieldStore

HALF = (1 << 20) - 64
# A frame of a body that never comes whole.
BEGUN = b"\0\0\0\2" + HALF.to_bytes(4, "big") + b"{}" + b"x" * (HALF - 1)


# Connections and the bytes of their requests


def test_requests_that_never_end_take_no_more_than_their_budget(tmp_path: Path, caplog: Any) -> None:
    async def scenario(world: Api) -> None:
        world.api.max_connections = 20
        world.api.budget = Budget(3 << 20)
        peers = [await world.connect() for _ in range(3)]
        for peer in peers:
            peer.writer.write(BEGUN)
            await peer.writer.drain()
        assert await world.ask(INFO)
        last = await world.connect()
        last.writer.write(BEGUN)
        with contextlib.suppress(ConnectionError):
            await last.writer.drain()
        # Who still writes sees the connection end; who reads is told why.
        for kind, status, text in await last.rest():
            assert (kind, status) == ("error", "RESOURCE_EXHAUSTED")
            assert "3 MiB together" in text
        for peer in peers:
            peer.writer.close()
        async with asyncio.timeout(5):
            while world.api.budget.used:
                await asyncio.sleep(0)

    speak(tmp_path, scenario)
    assert [record.message for record in caplog.records if "MiB open" in record.message]


def test_a_request_that_waits_for_its_answer_counts_until_it_has_it(tmp_path: Path) -> None:
    async def scenario(world: Api) -> None:
        peer = await world.connect()
        peer.writer.write(frame(["call", "Server.Stop", rows.to_row(ServerStopRequest(), [])], b"x" * 100_000))
        async with asyncio.timeout(5):
            while world.api.budget.used < 100_000:
                await asyncio.sleep(0)
            peer.writer.close()
            while world.api.budget.used:
                await asyncio.sleep(0)

    speak(tmp_path, scenario)


def test_containers_together_are_bounded_and_the_one_that_has_most_goes(caplog: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(guests, "MAX_ALL_BYTES", 10 << 20)
    made = Guests({}, None, None, None, None, None, None)  # type: ignore[arg-type]

    class Played:
        def __init__(self) -> None:
            self.budget = Budget(64 << 20, made._budget)
            self.connections = {1}
            self.dropped = 0

        def drop_unfinished(self) -> None:
            self.dropped += 1
            self.budget.change(-self.budget.used)

    greedy, modest = Played(), Played()
    made._apis = {"co-greedy": greedy, "co-modest": modest}  # type: ignore[dict-item]
    assert greedy.budget.change(8 << 20)
    assert modest.budget.change(3 << 20)
    assert (greedy.dropped, modest.dropped) == (1, 0)
    assert made._budget.used == 3 << 20
    assert "container co-greedy has the most" in caplog.text


def test_what_is_told_rarely_is_told_once_in_a_while() -> None:
    now = 0.0
    rarely = Rarely(10.0, lambda: now)
    assert rarely.may_tell("a")
    assert not rarely.may_tell("a")
    assert rarely.may_tell("b")
    now = 10.0
    assert rarely.may_tell("a")
    for number in range(1000):
        rarely.may_tell(str(number))
    assert len(rarely._told) <= 64


# Headers


@pytest.mark.parametrize(
    "head",
    [
        b'{"t":"ready","seconds":NaN}',
        b'{"t":"ready","seconds":-Infinity}',
        b'{"t":"x","type":"\\ud800"}',
        b'{"t":"x","type":"\\uDfff"}',
        b'{"t":"\xed\xa0\x80"}',
        '{"t":"x"}'.encode("utf-16"),
        b'{"t":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"",
    ],
)
def test_headers_that_could_not_be_written_on_are_refused(head: bytes) -> None:
    with pytest.raises(FrameError, match="not JSON"):
        read_header(head)


def test_whole_pairs_of_surrogates_are_text() -> None:
    assert read_header(b'["\\ud83d\\ude00"]') == ["😀"]


@pytest.mark.parametrize(
    ("message", "where", "value"),
    [
        (YieldsTaken(), 1, 1 << 32),
        (YieldsTaken(), 1, -1),
        (Payload(), 3, 1 << 63),
        (Payload(), 0, 1 << 31),
        (Input(), 2, 10**300),
    ],
)
def test_numbers_that_no_field_holds_are_refused(message: Any, where: int, value: int) -> None:
    row = rows.to_row(message, [])
    row[where] = value
    with pytest.raises(rows.RowError, match="out of range"):
        rows.from_row(type(message), row, b"")


# What a client asks


class _Guest:
    container_id = "co-1"

    def restrict(self, client: Client, message: SessionUp) -> None:
        """All is allowed."""


class Asked(Calls):
    """A session of code in a container, or of a client."""

    def begin(self, guest: bool = True) -> Session:
        api = SessionApi(self.clients, self.journal, self.dispatcher, "sv-1")
        return api.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)), _Guest() if guest else None)


def ask(tmp_path: Path, work: Any, guest: bool = True) -> None:
    async def main() -> None:
        world = Asked(tmp_path)
        try:
            await work(world, world.begin(guest))
        finally:
            await world.pools.close_all(0.0)
            world.database.close()

    asyncio.run(main())


def start(kind: int = CallKind.REMOTE) -> CallStart:
    return CallStart(call_id=new_id("fc"), function_id=FUNCTION, kind=kind)


@pytest.mark.parametrize(("limit", "guest"), [("MAX_GUEST_CALLS", True), ("MAX_CALLS", False)])
def test_calls_beyond_the_most_are_answered_and_not_kept(
    tmp_path: Path, monkeypatch: Any, limit: str, guest: bool
) -> None:
    monkeypatch.setattr(clients, limit, 100)

    async def work(world: Asked, session: Session) -> None:
        calls = [start() for _ in range(150)]
        session.receive(SessionUp(calls=calls))
        assert len(session.client.calls) == 100
        assert len(world.journal._calls) == 100
        more = Input(input_id=new_id("in"), call_id=calls[120].call_id, payload=payload())
        session.receive(SessionUp(inputs=[more]))
        message = session.client.take()
        assert message is not None
        (output,) = message.outputs
        assert output.failure is not None
        assert output.failure.kind == FailureKind.EXHAUSTED
        assert "100 calls open already" in output.failure.message
        # A known one may be offered again.
        session.receive(SessionUp(calls=[calls[0]]))

    ask(tmp_path, work, guest)


@pytest.mark.parametrize(("limit", "guest"), [("MAX_GUEST_UNREAD", True), ("MAX_UNREAD", False)])
def test_one_who_asks_and_does_not_read_is_ended(tmp_path: Path, monkeypatch: Any, limit: str, guest: bool) -> None:
    monkeypatch.setattr(clients, limit, 50)

    async def work(world: Asked, session: Session) -> None:
        call = start()
        session.receive(SessionUp(calls=[call]))
        watch = SessionUp(watches=[CallWatch(call_id=call.call_id)])
        while not session.client.is_deaf:
            session.receive(watch)
        with pytest.raises(Exhausted, match="asks for more than it reads"):
            session.receive(watch)
        assert len(session.client._states) <= 51

    ask(tmp_path, work, guest)


def test_lookups_of_calls_are_few_at_a_time_and_bounded(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(clients, "MAX_LOOKUPS", 100)

    async def work(world: Asked, session: Session) -> None:
        watches = [CallWatch(call_id=new_id("fc")) for _ in range(101)]
        session.receive(SessionUp(watches=watches))
        with pytest.raises(Exhausted):
            session.receive(SessionUp(watches=watches))
        await world.until(lambda: session.client.num_lookups == 0)
        assert len(session.client._states) == 101

    ask(tmp_path, work)


@pytest.mark.parametrize(
    "message",
    [
        SessionUp(taken=["in-1"] * (sessions.MAX_ROWS + 1)),
        SessionUp(calls=[CallStart(call_id=new_id("fc"), kind=CallKind.WEB)]),
        SessionUp(calls=[CallStart(call_id="fc-x", kind=CallKind.REMOTE)]),
        SessionUp(inputs=[Input(input_id="i" * 65)]),
        SessionUp(inputs=[Input(method="m" * 257)]),
        SessionUp(inputs=[Input(index=1 << 40)]),
        SessionUp(inputs=[Input(payload=Payload(data=b"x" * (sessions.MAX_PAYLOAD + 1)))]),
        SessionUp(inputs=[Input(payload=Payload(blob_id="b" * 129))]),
        SessionUp(inputs=[Input(payload=Payload(size=1 << 63))]),
    ],
)
def test_messages_that_no_client_sends_are_refused(tmp_path: Path, message: SessionUp) -> None:
    async def work(world: Asked, session: Session) -> None:
        with pytest.raises(InvalidRequest):
            session.receive(message)

    ask(tmp_path, work)


def test_a_queue_counts_the_bytes_that_came_and_not_those_that_were_claimed(tmp_path: Path) -> None:
    async def work(world: Asked, session: Session) -> None:
        call = start(CallKind.MAP)
        item = Input(input_id=new_id("in"), call_id=call.call_id, payload=Payload(data=b"x" * 1000, size=0))
        session.receive(SessionUp(calls=[call], inputs=[item]))
        found = world.journal.open_input(item.input_id)
        assert found is not None
        assert found.payload.size == 1000

    ask(tmp_path, work)


# What is remembered


def test_those_who_follow_calls_that_are_unknown_leave_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        database.begin()
        values = Values(YieldStore(database), BlobStore(tmp_path / "blobs"))
        for _ in range(20):
            with pytest.raises(NotFound):
                await anext(values.serve(CallValuesRequest(call_id=new_id("fc"))))
        assert (values._news, values._following) == ({}, {})
        database.close()

    asyncio.run(scenario())


def test_what_a_found_container_says_it_holds_is_forgotten(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(claims, "CLAIM_S", 0.0)

    async def work(world: Asked, session: Session) -> None:
        (input_id,) = world.call(1)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        (pool,) = (queue.pool for queue in world.dispatcher._queues.values())
        (container,) = pool.containers.values()
        claimed = [new_id("in") for _ in range(10)]
        world.dispatcher.on_claims(container, claimed)
        assert len(world.dispatcher._claims) == 10
        await world.until(lambda: not world.dispatcher._claims)
        assert world.node.containers[0].cancelled == claimed
        monkeypatch.setattr(claims, "CLAIM_S", 600.0)
        world.dispatcher.on_claims(container, claimed)
        other = object.__new__(Container)
        world.dispatcher._claims._held["in-other"] = other
        world.node.containers[0].finish()
        from wherry_service.node.events import ContainerExit

        world.dispatcher.on_exit(container, ContainerExit(exit_code=0))
        assert world.dispatcher._claims._held == {"in-other": other}
        assert input_id

    ask(tmp_path, work)


def test_notices_are_not_remembered_for_ever(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(notices, "NOTICE_EVERY_S", 0.0)

    async def work(world: Asked, session: Session) -> None:
        (queue,) = world.dispatcher._queues.values()
        for number in range(1000):
            world.dispatcher.on_notice(queue.pool, f"Container co-{number} went")
        assert len(queue.noticed) <= notices.MAX_NOTICED

    ask(tmp_path, work)


def test_a_response_begins_once() -> None:
    async def scenario() -> None:
        exchange = Exchange("fu-1", "", {}, b"")
        exchange.feed({"k": "start", "status": 200, "headers": []}, b"")
        exchange.feed({"k": "close", "code": 1000}, b"")
        with pytest.raises(ValueError, match="again and again"):
            exchange.feed({"k": "start", "status": 200, "headers": []}, b"")

    asyncio.run(scenario())


def test_lookups_that_a_rule_has_to_make_are_few_at_a_time_and_counted(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(clients, "MAX_LOOKUPS", 1000)

    class NoPlaces:
        now = most = 0

        async def of(self, kind: str, object_id: str) -> list[str]:
            self.now += 1
            self.most = max(self.most, self.now)
            await asyncio.sleep(0)
            self.now -= 1
            return []

    async def work(world: Asked, session: Session) -> None:
        places = NoPlaces()
        rules = SessionRules(None, None, world.journal, places)  # type: ignore[arg-type]
        watches = [CallWatch(call_id=new_id("fc")) for _ in range(1001)]
        rules.restrict(session.client, SessionUp(watches=watches))
        with pytest.raises(Exhausted):
            session.receive(SessionUp(watches=watches))
        await world.until(lambda: session.client.num_lookups == 0)
        assert len(session.client._states) == 1001
        assert places.most <= LOOKUPS

    ask(tmp_path, work)
