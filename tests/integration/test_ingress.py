"""The ingress on a port, with containers played by the test: limits, slow clients, back-pressure."""

import asyncio
import base64
import json
import logging
import re
from collections import deque
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.ingress import HOST, NotedRequests, PlayedContainer, World, answer, head_of, play
from wherry_proto.messages import Failure, FailureKind, Output, WebKind, WebSpec
from wherry_service.calls.exchange import WINDOW_BYTES, Exchange
from wherry_service.health import Health


def test_a_request_there_and_back(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        asked = asyncio.ensure_future(world.client.post("/a?b=c", content=b"body"))
        exchange, _ = await world.function.next()
        head = head_of(exchange)
        assert (head["method"], head["path"], head["query"], head["more"]) == ("POST", "/a", "b=c", False)
        assert exchange.item.payload.data.endswith(b"}body")
        answer(exchange, status=201)
        response = await asked
        assert (response.status_code, response.text, response.headers["x"]) == (201, "fine", "y")
        assert response.headers["wherry-request-id"] == exchange.request_id
        assert world.function.closed == [exchange.request_id]

    play(tmp_path, work)


def test_a_response_that_could_not_be_sent_is_a_502_and_its_reason_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(world: World) -> None:
        asked = asyncio.ensure_future(world.client.get("/"))
        exchange, _ = await world.function.next()
        exchange.feed({"k": "start", "status": 200, "headers": [], "fault": "headers of 2097157 bytes"}, b"")
        response = await asked
        assert response.status_code == 502
        assert "headers of 2097157 bytes" in response.text

    play(tmp_path, work)
    assert any("malformed: headers of 2097157 bytes" in record.message for record in caplog.records)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("length", [True, False])
def test_a_client_that_knows_no_chunks_gets_none(tmp_path: Path, version: str, length: bool) -> None:
    async def work(world: World) -> None:
        request = f"GET / HTTP/{version}\r\nhost: {HOST}\r\nconnection: close\r\n\r\n"
        asked = asyncio.ensure_future(world.spoken(request.encode()))
        exchange, _ = await world.function.next()
        headers = [["content-length", "6"]] if length else []
        exchange.feed({"k": "start", "status": 200, "headers": headers}, b"")
        exchange.feed({"k": "body", "more": True}, b"one")
        exchange.feed({"k": "body", "more": False}, b"two")
        head, _, body = (await asked).partition(b"\r\n\r\n")
        chunked = version == "1.1" and not length
        assert (b"transfer-encoding: chunked" in head) == chunked
        assert (b"content-length: 6" in head) == length
        assert b"connection: close" in head
        assert body == (b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" if chunked else b"onetwo")

    play(tmp_path, work)


def test_bodies_that_are_too_large(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        said = await world.client.post("/", content=b"x" * ((1 << 20) + 1))
        assert said.status_code == 413
        assert world.function.opened.empty()

        async def pieces() -> Any:
            for _ in range(20):
                yield b"x" * 100_000

        chunked = asyncio.ensure_future(world.client.post("/", content=pieces()))
        exchange, container = await world.function.next()
        while not chunked.done():
            if container.frames:
                exchange.feed({"k": "took", "n": len(container.frames)}, b"")
                container.frames.clear()
            await asyncio.sleep(0.001)
        assert (await chunked).status_code == 413

    play(tmp_path, work, max_body_bytes=1 << 20)


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        ("content-length: 3\r\ncontent-length: 4\r\n", 400, "content-length|two lengths"),
        ("content-length: 3\r\ntransfer-encoding: gzip, chunked\r\n", 400, "transfer-encoding"),
        ("host: other\r\n", 400, "host is missing, or there are two"),
        ("content-length: +3\r\n", 400, "Content-Length"),
        ("x: y\r\n" * 300, 431, "too many headers"),
        (f"x: {'y' * 70_000}\r\n", 431, "headers are too large"),
    ],
)
def test_what_is_refused_is_told_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lines: str, status: int, why: str
) -> None:
    heard = b""

    async def work(world: World) -> None:
        nonlocal heard
        heard = await world.spoken(f"POST / HTTP/1.1\r\nhost: {HOST}\r\n{lines}\r\n".encode())
        assert world.function.opened.empty()

    play(tmp_path, work)
    assert heard.startswith(f"HTTP/1.1 {status} ".encode())
    assert re.search(why, heard.decode(), re.IGNORECASE)
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.startswith(f"a client at 127.0.0.1 is refused, {status}: ")
    assert re.search(why, said, re.IGNORECASE)


def test_slow_clients(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        late = await asyncio.gather(
            world.spoken(b""),
            world.spoken(b"GET / HTTP/1.1\r\nhost:"),
            world.spoken(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 9\r\n\r\n".encode()),
            world.spoken(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 9\r\n\r\nabc".encode()),
        )
        assert [heard.split(b"\r\n")[0] for heard in late] == [b"HTTP/1.1 408 Request Timeout"] * 4

    play(tmp_path, work, head_timeout_s=0.3, body_timeout_s=0.3)
    assert caplog.text.count("a client at 127.0.0.1 is refused, 408: the request's") == 4


def test_b52_a_client_that_takes_nothing_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        async with _Stream(world) as exchange:
            exchange.feed({"k": "start", "status": 200, "headers": []}, b"")
            container = exchange._container
            assert isinstance(container, PlayedContainer)
            exchange.feed({"k": "body", "more": True}, b"x" * (256 << 10))
            await flood(world, exchange, container, {"k": "body", "more": True})
            assert ({"k": "gone"}, b"") in container.frames

    play(tmp_path, work, write_timeout_s=0.3)
    assert "took nothing for 0.3 s" in caplog.text
    assert "Traceback" not in caplog.text


def test_b52_a_websocket_that_takes_nothing_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        upgrade = f"GET / HTTP/1.1\r\nhost: {HOST}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        writer.write(f"{upgrade}{key}".encode())
        exchange, container = await world.function.next()
        exchange.feed({"k": "accept"}, b"")
        assert await reader.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        exchange.feed({"k": "message"}, b"x" * (256 << 10))
        await flood(world, exchange, container, {"k": "message"})
        assert any(header["k"] == "gone" for header, _ in container.frames)
        writer.close()

    play(tmp_path, work, write_timeout_s=0.3)
    assert "took nothing for 0.3 s" in caplog.text
    assert "Traceback" not in caplog.text


async def flood(world: World, exchange: Exchange, container: PlayedContainer, header: dict[str, Any]) -> None:
    """Send as much as is taken, until the socket's buffers are full and the ingress gives up on the client."""
    while not world.function.closed:
        taken = sum(header["n"] for header, _ in container.frames if header["k"] == "took")
        container.frames[:] = [frame for frame in container.frames if frame[0]["k"] != "took"]
        for _ in range(taken):
            exchange.feed(header, b"x" * (256 << 10))
        await asyncio.sleep(0.01)
    # Its connection does not wait for it either.
    while world.ingress._server.server_state.connections:
        await asyncio.sleep(0.01)


async def _asked(world: World, more: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(f"POST / HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 4\r\n{more}\r\n".encode())
    return reader, writer


def test_a_request_is_there_before_its_body(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        reader, writer = await _asked(world, "")
        exchange, container = await world.function.next()
        assert (head_of(exchange)["more"], "waits" in head_of(exchange)) == (True, False)
        writer.write(b"body")
        while not container.frames:
            await asyncio.sleep(0)
        assert container.frames == [({"k": "body", "more": False}, b"body")]
        answer(exchange)
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()

    play(tmp_path, work)


def test_a_client_that_waits_is_told_to_go_on_when_the_app_reads(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        reader, writer = await _asked(world, "expect: 100-continue\r\n")
        exchange, container = await world.function.next()
        assert (head_of(exchange)["more"], head_of(exchange)["waits"]) == (True, True)
        exchange.feed({"k": "want"}, b"")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"body")
        while not container.frames:
            await asyncio.sleep(0)
        assert container.frames == [({"k": "body", "more": False}, b"body")]
        answer(exchange)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"connection: close" not in head
        writer.close()

    play(tmp_path, work)


def test_an_app_may_refuse_before_a_client_sends_its_body(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        reader, writer = await _asked(world, "expect: 100-continue\r\n")
        exchange, _ = await world.function.next()
        answer(exchange, status=401)
        heard = await asyncio.wait_for(reader.read(), 5)
        assert heard.startswith(b"HTTP/1.1 401 ")
        # Its next request could not be told from the body.
        assert b"connection: close" in heard
        writer.close()
        # So does the one that is refused before it comes to an app.
        world.function.refusal = Failure(kind=FailureKind.EXHAUSTED, message="too many")
        reader, writer = await _asked(world, "expect: 100-continue\r\n")
        heard = await asyncio.wait_for(reader.read(), 5)
        assert heard.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in heard
        writer.close()

    play(tmp_path, work)


def test_a_client_that_waits_and_goes_is_gone(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        _, writer = await _asked(world, "expect: 100-continue\r\n")
        exchange, container = await world.function.next()
        writer.close()
        while not world.function.withdrawn:
            await asyncio.sleep(0.001)
        assert container.frames == [({"k": "gone"}, b"")]
        exchange.end(Output(failure=Failure(kind=FailureKind.CANCELLED)))

    play(tmp_path, work)


def test_a_full_queue(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.function.refusal = Failure(kind=FailureKind.EXHAUSTED, message="too many")
        said = await world.client.get("/")
        assert (said.status_code, said.headers["retry-after"]) == (503, "1")

    play(tmp_path, work)


def test_b52_neither_side_is_ahead_by_more_than_a_window(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        sent = 0

        async def pieces() -> Any:
            nonlocal sent
            for _ in range(400):
                sent += 65536
                yield b"x" * 65536

        asked = asyncio.ensure_future(world.client.post("/", content=pieces()))
        exchange, container = await world.function.next()
        before = -1
        # Until nothing moves any more.
        while before != (before := sent):
            await asyncio.sleep(0.2)
        assert sent < 400 * 65536
        assert container.size() <= WINDOW_BYTES + (256 << 10)
        # What it was given and has not taken goes along where it is given back.
        exchange.detach()
        other = PlayedContainer()
        exchange.attach(other)  # type: ignore[arg-type]
        assert other.frames == container.frames
        answer(exchange)
        assert (await asked).status_code == 200

    play(tmp_path, work)


def test_a_container_that_does_not_keep_to_its_window(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async with _Stream(world) as exchange:
            exchange.feed({"k": "start", "status": 200, "headers": []}, b"")
            flood = ({"k": "body", "more": True} for _ in range(100))
            with pytest.raises(ValueError, match="window"):
                deque((exchange.feed(header, b"x" * (256 << 10)) for header in flood), maxlen=0)

    play(tmp_path, work)


class _Stream:
    """A request whose response nobody reads."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def __aenter__(self) -> Exchange:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._world.port)
        self._writer.write(f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode())
        exchange, _ = await self._world.function.next()
        return exchange

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()


def test_a_client_that_goes(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        async with _Stream(world) as exchange:
            pass
        while not world.function.withdrawn:
            await asyncio.sleep(0.01)
        assert world.function.withdrawn == [exchange.request_id]
        container = exchange._container
        assert isinstance(container, PlayedContainer)
        assert ({"k": "gone"}, b"") in container.frames

    play(tmp_path, work)


def test_b64_hops_are_counted(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        first = await world.client.post("/?a=b", content=b"x")
        assert first.status_code == 303
        exchange, _ = await world.function.next()
        where = first.headers["location"].removeprefix(f"http://{HOST}")
        assert where == f"/?a=b&__wherry_function_call_id={exchange.call.call_id}"
        hops = 0
        response = await world.client.get(where)
        while response.status_code == 302:
            hops += 1
            response = await world.client.get(response.headers["location"].removeprefix(f"http://{HOST}"))
        assert (hops, response.status_code) == (19, 504)
        answer(exchange, b"at last", 202)
        while (response := await world.client.get(where)).status_code == 302:
            pass
        assert (response.status_code, response.text) == (202, "at last")

    play(tmp_path, work, response_timeout_s=0.02)


def test_tokens_and_domains(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        assert (await world.client.get("/")).status_code == 401
        asked = asyncio.ensure_future(world.client.get("/", headers={"wherry-key": "a", "wherry-secret": "b"}))
        exchange, _ = await world.function.next()
        assert not {"wherry-key", "wherry-secret"} & {name for name, _ in head_of(exchange)["headers"]}
        answer(exchange)
        assert (await asked).status_code == 200
        for domain, status in ((HOST, 200), ("evil.example.com", 404), ("", 404)):
            url = f"/.wherry/domain?domain={domain}"
            assert (await world.client.get(url, headers={"host": "localhost"})).status_code == status

    play(tmp_path, work, WebSpec(kind=WebKind.ASGI, requires_proxy_auth=True), proxy_tokens=("a:b",))


def test_health_and_readiness_are_told_at_hosts_of_no_endpoint(tmp_path: Path) -> None:
    answers = {"engine": False}

    async def engine() -> bool:
        return answers["engine"]

    async def work(world: World) -> None:
        own = {"host": "localhost"}
        live = await world.client.get("/.wherry/health", headers=own)
        assert (live.status_code, live.json(), live.headers["cache-control"]) == (200, {"live": True}, "no-store")
        ready = await world.client.get("/.wherry/ready", headers={"host": "10.0.0.5:8720"})
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "engine": "does not answer"})
        assert (await world.client.head("/.wherry/health", headers=own)).status_code == 200
        assert (await world.client.get("/.wherry/healthy", headers=own)).status_code == 404
        # At an endpoint's host all paths are the app's.
        asked = asyncio.ensure_future(world.client.get("/.wherry/health"))
        exchange, _ = await world.function.next()
        answer(exchange, b"the app's own")
        assert (await asked).text == "the app's own"

    play(tmp_path, work, health=Health({"engine": engine}, lambda: False))


def chunked(*trailers: str, head: str = "") -> bytes:
    lines = "".join(f"{line}\r\n" for line in trailers)
    return (
        f"POST / HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n{head}\r\n"
        f"3\r\nabc\r\n0\r\n{lines}\r\n"
    ).encode()


@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_trailers_are_no_headers(tmp_path: Path, pieces: int) -> None:
    trailers = ["Authorization: Bearer trailer", "X-Remote-User: admin", "Host: evil", "Wherry-Key: id"]
    trailers += ["X-Forwarded-For: 6.6.6.6", "Cookie: a=b", "Connection: keep-alive", "X: y"]

    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        data = chunked(*trailers, head="trailer: authorization, x-remote-user\r\n")
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
        exchange, _ = await world.function.next()
        head = head_of(exchange)
        names = [name for name, _ in head["headers"]]
        assert sorted(names) == ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]
        assert dict(head["headers"])["host"] == HOST
        answer(exchange)
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200")
        writer.close()

    play(tmp_path, work)


@pytest.mark.parametrize("trailer", ["Content-Length: 3", "Transfer-Encoding: chunked", "a b: c", "no colon", ": x"])
def test_trailers_that_say_where_the_request_ends_are_refused(tmp_path: Path, trailer: str) -> None:
    async def work(world: World) -> None:
        assert (await world.spoken(chunked(trailer))).startswith(b"HTTP/1.1 400")

    play(tmp_path, work)


@pytest.mark.parametrize(
    "tail",
    [
        b"0\r\nx: " + b"y" * 200_000,
        b"0\r\n" + b"x: y\r\n" * 40_000,
        b"3;" + b"e" * 200_000,
    ],
    ids=["one long trailer", "many trailers", "a chunk's extension"],
)
def test_what_follows_a_body_is_bounded(tmp_path: Path, tail: bytes) -> None:
    async def work(world: World) -> None:
        heard = await world.spoken(chunked().partition(b"0\r\n")[0] + tail)
        assert heard.startswith(b"HTTP/1.1 431"), heard[:200]

    play(tmp_path, work)


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"http://{HOST}/a", 0),
        (f"HTTP://{HOST.upper()}/a", 0),
        ("http://evil/a", 400),
        (f"http://{HOST}:81/a", 400),
        (f"http://user@{HOST}/a", 400),
        (f"http://evil@{HOST}/a", 400),
        ("http:///a", 400),
    ],
)
def test_a_targets_host_is_the_headers(tmp_path: Path, target: str, status: int) -> None:
    async def work(world: World) -> None:
        request = f"GET {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode()
        asked = asyncio.ensure_future(world.spoken(request))
        if status:
            assert (await asked).startswith(f"HTTP/1.1 {status}".encode())
            assert world.function.opened.empty()
            return
        exchange, _ = await world.function.next()
        assert head_of(exchange)["path"] == "/a"
        answer(exchange)
        assert (await asked).startswith(b"HTTP/1.1 200")

    play(tmp_path, work)


@pytest.mark.parametrize("kind", ["bearer", "basic", "keys"])
def test_what_let_a_request_in_is_not_seen_by_the_app(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    given = {
        "bearer": {"authorization": "Bearer id:hushhush"},
        "basic": {"authorization": "Basic " + base64.b64encode(b"id:hushhush").decode()},
        "keys": {"wherry-key": "id", "wherry-secret": "hushhush", "authorization": "Bearer of-the-app"},
    }[kind]
    secrets = ("hushhush", base64.b64encode(b"id:hushhush").decode())

    async def work(world: World) -> None:
        assert (await world.client.get("/")).status_code == 401
        asked = asyncio.ensure_future(world.client.get("/?a=b", headers=given))
        exchange, _ = await world.function.next()
        text = json.dumps(head_of(exchange))
        assert not any(secret in text for secret in secrets)
        assert ("Bearer of-the-app" in text) == (kind == "keys")
        # Led to its result, it is let in by the token again, which the URL does not have.
        redirected = await asked
        assert (redirected.status_code, any(one in redirected.headers["location"] for one in secrets)) == (302, False)
        assert "id%3A" not in redirected.headers["location"]
        result = httpx.URL(redirected.headers["location"]).raw_path.decode()
        assert (await world.client.get(result)).status_code == 401
        answer(exchange)

    caplog.set_level(logging.DEBUG)
    web = WebSpec(kind=WebKind.ASGI, requires_proxy_auth=True, response_timeout_s=0.05)
    play(tmp_path, work, web, proxy_tokens=("id:hushhush",))
    said = [record.getMessage() for record in caplog.records if record.name.startswith(("wherry", "uvicorn"))]
    assert not any(secret in text for text in said for secret in secrets)


def test_each_request_is_noted_with_its_status_and_input(tmp_path: Path) -> None:
    requests = NotedRequests()

    async def work(world: World) -> None:
        asked = asyncio.ensure_future(world.client.get("/item?token=x"))
        exchange, _ = await world.function.next()
        answer(exchange, status=201)
        await asked
        assert requests.noted == [("GET", exchange.request_id, b"/item", True, 201)]
        world.function.refusal, world.function.status = Failure(kind=FailureKind.EXHAUSTED, message="full"), 503
        await world.client.post("/more")
        ((method, input_id, *rest),) = requests.noted[1:]
        assert (method, bool(input_id), rest) == ("POST", True, [b"/more", False, 503])
        # What is for no endpoint is in nobody's log.
        await world.client.get("/", headers={"host": "other.localhost"})
        assert len(requests.noted) == 2

    play(tmp_path, work, requests=requests)


def test_a_request_without_the_token_is_noted_too(tmp_path: Path) -> None:
    requests = NotedRequests()

    async def work(world: World) -> None:
        assert (await world.client.get("/secret")).status_code == 401
        assert requests.noted == [("GET", "", b"/secret", False, 401)]

    play(tmp_path, work, web=WebSpec(kind=WebKind.ASGI, requires_proxy_auth=True), requests=requests)
