"""Servers with sessions at the ingress: how sessions begin and end, and what their requests carry."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.fakes.ingress import HOST, PlayedSessions, World, answer, head_of, play
from wherry_proto.messages import ServerSpec, WebKind, WebSpec
from wherry_service.errors import Exhausted

START, TERMINATE = "/_modal/sessions/start", "/_modal/sessions/terminate"
TOKEN = {"modal-authorization": "Bearer token-1"}


def sessioned(requires_proxy_auth: bool = False) -> WebSpec:
    server = ServerSpec(max_sessions=3)
    return WebSpec(kind=WebKind.SERVER, port=8000, server=server, requires_proxy_auth=requires_proxy_auth)


async def sent(world: World, path: str = "/", **options: Any) -> Any:
    """Send a request; return what the server is told of it, once it is answered."""
    asking = asyncio.ensure_future(world.client.get(path, **options))
    exchange = await asyncio.wait_for(world.function.opened.get(), 5)
    head = head_of(exchange)
    answer(exchange)
    said = await asking
    assert said.status_code == 200
    return head


def test_a_session_from_its_start_to_its_end(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        begun = await world.client.post(START, headers={"x-modal-server-session-idle-timeout": "30"})
        assert begun.json() == {"session_id": "sd-1", "token": "token-1"}
        assert begun.headers["cache-control"] == "no-store"
        assert sessions.idle_s == [30.0]
        session = sessions.alive["token-1"]

        head = await sent(world, "/a?b=c", headers=TOKEN)
        assert world.function.containers == [session.container]
        headers = dict(head["headers"])
        assert headers["x-modal-server-session-id"] == "sd-1"
        assert "modal-authorization" not in headers
        assert (head["path"], head["query"]) == ("/a", "b=c")
        assert session.num_requests == 0

        ended = await world.client.post(TERMINATE, headers={"x-modal-server-session-token": "token-1"})
        assert (ended.status_code, ended.json()) == (200, {})
        gone = await world.client.get("/", headers=TOKEN)
        assert (gone.status_code, "has ended" in gone.text) == (401, True)

    play(tmp_path, work, sessioned(), sessions)


def test_what_begins_and_ends_sessions_is_checked(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        assert (await world.client.get(START)).status_code == 405
        assert (await world.client.post(TERMINATE)).status_code == 400
        for wrong in ("-1", "1.5", "9" * 10, "²"):
            given = {b"x-modal-server-session-idle-timeout": wrong.encode("latin-1")}
            assert (await world.client.post(START, headers=given)).status_code == 400
        sessions.error = Exhausted("no container has room")
        refused = await world.client.post(START)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "no container has room" in refused.text
        assert (await world.client.get("/")).status_code == 401
        assert world.function.opened.empty()

    play(tmp_path, work, sessioned(), sessions)


def test_a_token_of_the_proxy_begins_sessions_and_their_own_is_enough_then(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        assert (await world.client.post(START)).status_code == 401
        assert not sessions.alive
        known = {"modal-key": "id", "modal-secret": "secret"}
        assert (await world.client.post(START, headers=known)).status_code == 200
        named = {"x-modal-server-session-token": "token-1"}
        assert (await world.client.post(TERMINATE, headers=named)).status_code == 401
        await sent(world, headers=TOKEN)
        # It alone is none.
        assert (await world.client.get("/", headers=known)).status_code == 401

    play(tmp_path, work, sessioned(requires_proxy_auth=True), sessions, proxy_tokens=("id:secret",))


def test_a_browser_gets_a_cookie_for_what_is_in_the_address(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        await world.client.post(START)
        first = await world.client.get("/room?a=1&modal_session_token=token-1&b=%20")
        assert (first.status_code, first.headers["location"]) == (307, "/room?a=1&b=+")
        cookie = first.headers["set-cookie"]
        assert cookie == "modal-session-token=token-1; Path=/; HttpOnly; SameSite=Lax"
        assert first.headers["cache-control"] == "no-store"
        head = await sent(world, "/room", headers={"cookie": "own=1; modal-session-token=token-1; other=2"})
        assert dict(head["headers"])["cookie"] == "own=1; other=2"
        head = await sent(world, headers={"cookie": "__Host-modal-session-token=token-1"})
        assert "cookie" not in dict(head["headers"])
        # One that is none begins no cookie, and no other host is led to.
        assert (await world.client.get("/?modal_session_token=wrong")).status_code == 401
        base = f"http://127.0.0.1:{world.port}"
        raw = await world.client.get(f"{base}//evil.example/?modal_session_token=token-1")
        assert raw.headers["location"].startswith("/evil.example/")

    play(tmp_path, work, sessioned(), sessions)


def test_below_a_path_the_cookie_is_for_that_server_alone(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        own = {"host": f"127.0.0.1:{world.port}"}
        for between in ("", "/"):
            begun = await world.client.post("/wherry--app-f" + between + START, headers=own)
            assert begun.status_code == 200
        first = await world.client.get("/wherry--app-f/x?modal_session_token=token-1", headers=own)
        assert first.headers["location"] == "/wherry--app-f/x"
        assert "; Path=/wherry--app-f/;" in first.headers["set-cookie"]

    play(tmp_path, work, sessioned(), sessions)


def test_nobody_else_says_which_session_a_request_is_of(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        await world.client.post(START)
        forged = {"x-modal-server-session-id": "sd-9", "x_modal-server-session-id": "sd-8", **TOKEN}
        head = await sent(world, headers=forged)
        told = [value for name, value in head["headers"] if "session-id" in name]
        assert told == ["sd-1"]

    play(tmp_path, work, sessioned(), sessions)


def test_a_websocket_is_of_a_session_too(tmp_path: Path) -> None:
    sessions = PlayedSessions()

    async def work(world: World) -> None:
        await world.client.post(START)

        def opened(**headers: str) -> Any:
            sock = socket.create_connection(("127.0.0.1", world.port))
            return connect(f"ws://{HOST}/", sock=sock, additional_headers=headers, proxy=None)

        with pytest.raises(InvalidStatus) as caught:
            async with opened():
                pass
        assert caught.value.response.status_code == 401

        async def talk() -> None:
            async with opened(cookie="modal-session-token=token-1"):
                pass

        talking = asyncio.ensure_future(talk())
        exchange = await asyncio.wait_for(world.function.opened.get(), 5)
        session = sessions.alive["token-1"]
        assert world.function.containers[-1] is session.container
        assert session.num_requests == 1
        exchange.feed({"k": "accept", "subprotocol": None, "headers": []}, b"")
        await talking

    play(tmp_path, work, sessioned(), sessions)


def test_a_server_without_sessions_knows_nothing_of_them(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        head = await sent(world, START, headers=TOKEN)
        assert head["path"] == START

    play(tmp_path, work, WebSpec(kind=WebKind.SERVER, port=8000, server=ServerSpec()))
