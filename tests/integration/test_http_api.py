"""The HTTP API of a whole service: who reaches what, what is refused, and that no request is one too many."""

import asyncio
import contextlib
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes.engine import FakeEngine
from tests.integration.test_isolation import World, running
from wherry_proto import views
from wherry_proto.messages import (
    AppListRequest,
    AuditListRequest,
    ObjectListRequest,
    SecretListRequest,
    TokenListRequest,
    TokenRevokeRequest,
)
from wherry_service.http_api.calls import CallRoutes
from wherry_service.http_api.payloads import MAX_BODY, Payloads
from wherry_service.http_api.table import routes_of
from wherry_service.server import Service
from wherry_service.settings import Settings

ROUTES = routes_of(CallRoutes(Payloads()))
BOTH = ["deploy", "invoke"]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


class Api:
    """Clients of one service."""

    def __init__(self, world: World, stack: contextlib.AsyncExitStack) -> None:
        self.world = world
        self._stack = stack
        self.port = urlsplit(world.service.parts.published.ingress.own.url("api")).port

    async def client(self, authorization: str = "", **headers: str) -> httpx.AsyncClient:
        given = {"host": f"wherry.localhost:{self.port}", **headers}
        if authorization:
            given["authorization"] = authorization
        base = f"http://127.0.0.1:{self.port}/v1"
        made = httpx.AsyncClient(base_url=base, headers=given, timeout=10, trust_env=False)
        return await self._stack.enter_async_context(made)

    async def member(self, scopes: list[str], environments: list[str]) -> httpx.AsyncClient:
        made = await self.world.token(scopes, environments)
        assert made.token is not None
        return await self.client(f"Bearer {made.token.token_id}:{made.secret}")

    async def spoken(self, request: bytes) -> bytes:
        """Send bytes, and return what comes until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return heard

    def open_calls(self) -> int:
        return sum(len(client.calls) for client in self.world.service.parts.work.clients)


def run(tmp_path: Path, scenario: Callable[[Api], Awaitable[None]]) -> None:
    async def main() -> None:
        state_dir = tmp_path / "s"
        state_dir.mkdir()
        async with contextlib.AsyncExitStack() as stack:
            world = await stack.enter_async_context(running(state_dir))
            # It is listened on as soon as the service has begun.
            await world.service.parts.published.ingress.await_first()
            await scenario(Api(world, stack))

    asyncio.run(main())


def path_of(route: Any, ids: dict[str, str]) -> str:
    """Return a path that names what there is in main."""
    return str(route.path.format(app="app", name="f", call_id=ids["call_id"]))


async def ask(client: httpx.AsyncClient, route: Any, path: str) -> httpx.Response:
    query = {"app": "app"} if route.path == "/logs" else {}
    return await client.request(route.method, path, params=query, content=b"{}" if route.body is not None else None)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def code(response: httpx.Response) -> str:
    found: str = response.json()["error"]["code"]
    return found


def test_every_route_wants_a_token_and_shows_nothing_to_those_of_another_environment(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        ids = api.world.ids
        nobody = await api.client()
        own = await api.member(["admin"], ["main"])
        stranger = await api.member(["admin"], ["elsewhere"])
        for route in ROUTES:
            path = path_of(route, ids)
            refused = await ask(nobody, route, path)
            assert (refused.status_code, code(refused)) == (401, "unauthenticated"), path
            assert "wherry token new" in refused.text
            assert refused.headers["www-authenticate"].startswith("Bearer")
        lists = [route for route in ROUTES if route.method == "GET" and not route.names and route.stream is None]
        for route in lists:
            theirs = await ask(stranger, route, route.path)
            if theirs.status_code == 200:
                assert "main" not in {one.get("environment") for one in theirs.json() if type(one) is dict}, route.path
                assert not any(value in theirs.text for key, value in ids.items() if key != "image_id"), route.path
            else:
                assert theirs.status_code == 403, (route.path, theirs.text)
            if route.path == "/audit":
                continue  # of all environments
            ours = await ask(own, route, route.path)
            assert ours.status_code == 200, (route.path, ours.text)
        for route in ROUTES:
            if not route.names and route.path != "/logs":
                continue
            theirs = await ask(stranger, route, path_of(route, ids))
            assert theirs.status_code in (403, 404), (route.path, theirs.text)
            asked = await stranger.request(route.method, path_of(route, ids), params={"environment": "main"})
            assert asked.status_code in (400, 403, 404), (route.path, asked.text)
        shown = await own.get(f"/calls/{ids['call_id']}")
        assert (shown.status_code, shown.json()["state"]) == (202, "running")

    run(tmp_path, scenario)


def test_lists_are_what_the_same_messages_look_like_to_commands(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        local, world = api.world.local, api.world
        admin = await api.member(["admin"], ["*"])

        async def get(path: str) -> Any:
            return (await admin.get(path)).json()

        apps = (await world.ask(local, "Apps.List", AppListRequest(environment="main"))).apps
        told = await get("/apps")
        assert [{**one, "containers": 0} for one in told] == [{**views.app(one), "containers": 0} for one in apps]
        secrets = (await world.ask(local, "Secrets.List", SecretListRequest(environment="main"))).secrets
        assert await get("/secrets") == [views.secret(one) for one in secrets] != []
        for group, kind, counted in (
            ("Dicts", "dict", "entries"),
            ("Queues", "queue", "items"),
            ("Volumes", "volume", ""),
        ):
            found = (await world.ask(local, f"{group}.List", ObjectListRequest(environment="main"))).objects
            assert await get(f"/{kind}s") == [views.shared_object(one, kind, counted) for one in found] != []
        tokens = (await world.ask(local, "Tokens.List", TokenListRequest())).tokens
        assert await get("/tokens") == [views.token(one) for one in tokens] != []
        entries = (await world.ask(local, "Audit.List", AuditListRequest())).entries
        assert (await get("/audit"))[-len(entries) :] == [views.audit_entry(one) for one in entries]
        assert (await get("/functions"))[0]["name"] == (await get("/functions/app/f"))["name"] == "f"
        assert [one["sandbox_id"] for one in await get("/sandboxes?all=true")] == [world.ids["sandbox_id"]]
        lines = (await admin.get("/logs", params={"app": "app"})).text.splitlines()
        assert [json.loads(line)["text"] for line in lines] == ["a line of main's"]
        (record,) = await get("/calls?state=queued&limit=1")
        assert record["call_id"] == world.ids["call_id"]
        assert (await get("/tokens/own"))["name"] == "test"

    run(tmp_path, scenario)


def test_log_ins_that_fail_are_limited_and_cookies_and_foreign_tokens_are_none(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        made = await api.world.token(BOTH, ["main"])
        assert made.token is not None
        good = f"{made.token.token_id}:{made.secret}"
        known = await api.client(f"Bearer {good}")
        assert (await known.get("/apps")).status_code == 200
        for client in (
            await api.client(cookie=f"wherry={good}; token={good}"),
            await api.client("Bearer"),
            await api.client("Digest abc"),
        ):
            assert (await client.get("/apps")).status_code == 401
        # Without a token nobody has tried one.
        wrong = await api.client("Bearer tk-00000000000000000000000000:ws-wrong")
        statuses = [(await wrong.get("/apps")).status_code for _ in range(6)]
        assert statuses == [401, 401, 401, 429, 429, 429]
        # Others at the address can't lock out who has proven a token there.
        assert (await known.get("/apps")).status_code == 200
        basic = await api.client(wherry_key="x")
        assert (await basic.get("/apps")).status_code in (401, 429)
        both = await api.client(**{"wherry-key": made.token.token_id, "wherry-secret": made.secret})
        assert (await both.get("/apps")).status_code == 200

    run(tmp_path, scenario)


def test_what_a_scope_does_not_allow_is_403_and_a_revoked_token_ends_what_it_follows(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        deployer = await api.member(["deploy"], ["main"])
        assert (await deployer.post("/functions/app/f/call", json={})).status_code in (403, 404)
        assert code(await deployer.get("/tokens")) == "denied"
        invoker = await api.member(["invoke"], ["main"])
        assert (await invoker.get("/logs", params={"app": "app"})).status_code == 403
        assert (await invoker.get("/images")).status_code == 403

        made = await api.world.token(BOTH, ["main"])
        assert made.token is not None
        client = await api.client(f"Bearer {made.token.token_id}:{made.secret}")
        waiting = asyncio.ensure_future(client.post("/functions/app/f/call", json={}))
        await until(lambda: api.open_calls() > 0)
        await api.world.ask(api.world.local, "Tokens.Revoke", TokenRevokeRequest(token_id=made.token.token_id))
        answer = await waiting
        assert (answer.status_code, code(answer)) == (401, "unauthenticated")
        assert (await client.get("/apps")).status_code == 401

    run(tmp_path, scenario)


def test_a_call_that_takes_too_long_or_whose_client_goes_is_cancelled(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        client = await api.member(["invoke"], ["main"])
        late = await client.post("/functions/app/f/call", json={"args": [1]}, params={"wait": 0.2})
        assert (late.status_code, code(late)) == (504, "wait")
        call_id = late.json()["error"]["call_id"]
        assert (await client.get(f"/calls/{call_id}")).json()["state"] == "cancelled"
        queue_of = api.world.service.parts.work.dispatcher.queue
        function_id = api.world.ids["function_id"]

        def waiting() -> int:
            queue = queue_of(function_id)
            return len(queue) if queue is not None else 0

        before = waiting()
        leaving = asyncio.ensure_future(client.post("/functions/app/f/call", json={}))
        await until(lambda: waiting() == before + 1)
        leaving.cancel()
        await until(lambda: waiting() == before)

        begun = await client.post("/functions/app/f/spawn", json={"kwargs": {"x": 1}})
        assert begun.status_code == 202
        spawned = begun.json()["call_id"]
        assert (await client.get(f"/calls/{spawned}", params={"wait": 0.1})).json()["state"] == "running"
        assert (await client.post(f"/calls/{spawned}/cancel")).status_code == 202
        ended = await client.get(f"/calls/{spawned}", params={"wait": 5})
        assert ended.json()["state"] == "cancelled"
        assert (await client.get(f"/calls/{spawned}", params={"index": 1})).status_code == 404
        assert (await client.get("/calls/fc-00000000000000000000000000")).status_code == 404
        assert (await client.get("/calls/x")).status_code == 400
        assert (await client.post("/calls/fc-00000000000000000000000000/cancel")).status_code == 404

    run(tmp_path, scenario)


def test_bodies_and_queries_that_are_wrong_are_told_so(tmp_path: Path) -> None:
    bodies: list[tuple[bytes, str]] = [
        (b"\xff\xfe", "no UTF-8"),
        (b'{"args": [NaN]}', "NaN"),
        (b'{"args": [1], "args": [2]}', "'args' twice"),
        (b'{"args": [{"a": 1, "a": 1}]}', "'a' twice"),
        (b'{"args": ' + b"[" * 500_000 + b"]" * 500_000 + b"}", "nested more than"),
        (b'{"args": [' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"]}", "nested more than"),
        (b"[1]", "no object"),
        (b'{"args": 1}', '"args" must be an array'),
        (b'{"kwargs": [1]}', '"kwargs" must be an object'),
        (b'{"parameters": 1}', '"parameters" must be an object'),
        (b'{"parameters": {"x": 1}}', "only classes have parameters"),
        (b'{"arg": [1]}', "'arg'"),
        (b"{", "no JSON"),
        (b"[" * 1_000_000, "nested more than"),
        (b'{"args": ["' + b"\\\\" * 1000 + b'[[["]}', ""),
    ]
    queries = [
        ("wait=x", "wait"),
        ("wait=-1", "wait"),
        ("wait=nan", "wait"),
        ("wait=99999999", "from 0 to 3600"),
        ("version=1.5", "whole number"),
        ("wait=1&wait=2", "twice"),
        ("what=1", "no parameter"),
        ("environment=%ff", "UTF-8"),
        ("&".join(f"a{i}=1" for i in range(200)), "more than 100"),
    ]

    async def scenario(api: Api) -> None:
        client = await api.member(["invoke"], ["main"])
        for body, said in bodies:
            answer = await client.post("/functions/app/f/call?wait=0.1", content=body)
            if not said:
                assert answer.status_code == 504, answer.text
                continue
            assert (answer.status_code, code(answer)) == (400, "invalid"), (body[:50], answer.text)
            assert said in answer.json()["error"]["message"], answer.text
        for query, said in queries:
            answer = await client.post(f"/functions/app/f/call?{query}", content=b"{}")
            assert (answer.status_code, said in answer.text) == (400, True), (query, answer.text)
        nowhere = await client.post("/functions/app/f/call?environment=other", content=b"{}")
        assert nowhere.status_code in (403, 404)
        assert (await client.get("/functions/app/f/call")).headers["allow"] == "POST"
        assert (await client.delete("/apps")).status_code == 405
        assert (await client.get("/nothing")).status_code == 404
        for path in ("app/nothing", "other/f", "app/f.m"):
            assert (await client.post(f"/functions/{path}/call", json={})).status_code == 404
        assert (await client.get("/functions/app%2Ff/x")).status_code == 404
        assert (await client.get("/functions/%ff/x")).status_code == 400
        # CORS is off: no page of another origin reads an answer.
        asked = await client.get("/apps", headers={"origin": "http://evil.example"})
        assert not [name for name in asked.headers if name.startswith("access-control")]
        assert (await client.options("/apps", headers={"origin": "http://evil.example"})).status_code == 405

    run(tmp_path, scenario)


def test_bodies_that_are_too_large_and_those_of_strangers_are_not_read(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        made = await api.world.token(["invoke"], ["main"])
        assert made.token is not None
        good = f"Bearer {made.token.token_id}:{made.secret}"

        def head(authorization: str, length: str) -> bytes:
            return (
                f"POST /v1/functions/app/f/call HTTP/1.1\r\nhost: wherry.localhost\r\n{authorization}{length}\r\n"
            ).encode()

        large = await api.spoken(head(f"authorization: {good}\r\n", f"content-length: {MAX_BODY + 1}\r\n"))
        assert large.startswith(b"HTTP/1.1 413 ")
        chunks = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
        chunked = await api.spoken(head(f"authorization: {good}\r\n", "transfer-encoding: chunked\r\n") + chunks * 9)
        assert chunked.startswith(b"HTTP/1.1 413 ")
        # Nor are those for a function that is not theirs.
        elsewhere = head(f"authorization: {good}\r\n", "content-length: 1000\r\n").replace(b"/f/call", b"/g/call")
        assert (await api.spoken(elsewhere)).startswith(b"HTTP/1.1 404 ")
        stranger = await api.spoken(head("", "content-length: 1000000000000\r\n") + b"x" * 100)
        assert stranger.startswith(b"HTTP/1.1 401 ")
        assert b"connection: close" in stranger

    run(tmp_path, scenario)


def test_the_documents_have_every_route_and_no_script(tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        client = await api.client()
        openapi = (await client.get("/openapi.json")).json()
        assert openapi["openapi"] == "3.1.0"
        told = {(method.upper(), path) for path, methods in openapi["paths"].items() for method in methods}
        assert told == {(route.method, route.path) for route in ROUTES}
        ids = [operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()]
        assert len(set(ids)) == len(ids)
        for path, methods in openapi["paths"].items():
            for operation in methods.values():
                named = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
                assert all(f"{{{name}}}" in path for name in named)
                assert {"401", "404"} <= operation["responses"].keys()
        page = await client.get("/docs")
        assert "script" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for route in ROUTES:
            assert f"{route.method} /v1{route.path}" in page.text
        assert (await client.get("/docs.css")).headers["content-type"].startswith("text/css")
        # By path, at addresses.
        by_path = await client.get(
            f"http://127.0.0.1:{api.port}/.wherry/api/v1/openapi.json", headers={"host": "10.0.0.1"}
        )
        assert by_path.json()["servers"] == [{"url": "/.wherry/api/v1"}]

    run(tmp_path, scenario)


def test_the_api_can_be_turned_off(tmp_path: Path) -> None:
    for api in ("on", "off"):
        (tmp_path / api).mkdir()
        settings = Settings(rooms={"WHERRY_HTTP_API": api})
        service = Service(tmp_path / api, settings, lambda driver, network: FakeEngine({}))
        scope = {"path": "/.wherry/api/v1/apps"}
        found = service.parts.published.ingress.own.find(scope, "127.0.0.1", cast("Any", None))
        assert (found is not None) is (api == "on")
        service.parts.machine.node.receiver.close()
