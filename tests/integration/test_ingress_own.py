"""What the service itself answers at the ingress's port: where, for whom, and from which moment on."""

import asyncio
from pathlib import Path
from typing import Any

from tests.fakes.ingress import HOST, World, answer, play
from wherry_proto.messages import FunctionSpec, WebKind, WebSpec
from wherry_service.apps.endpoints import Endpoints, Site, endpoints_of
from wherry_service.ingress.heads import HOME, Peer
from wherry_service.ingress.ingress import Ingress
from wherry_service.ingress.own import PEER, OwnPages


async def told(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """An app that says how it was reached."""
    text = f"{scope['root_path']}|{scope['path']}|{scope[PEER].host}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


async def other(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"other"})


def test_it_answers_at_its_own_host_and_by_path_at_addresses(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        own = world.ingress.own
        assert not own
        own.mount("ui", "", other)
        own.mount("api", "/v1", told)
        assert own

        async def get(host: str, path: str) -> str:
            response = await world.client.get(path, headers={"host": host})
            return response.text if response.status_code == 200 else str(response.status_code)

        port = world.port
        assert await get(f"wherry.localhost:{port}", "/v1/apps") == "|/v1/apps|127.0.0.1"
        assert await get("wherry.localhost", "/v1") == "|/v1|127.0.0.1"
        for host in (f"127.0.0.1:{port}", "[::1]", "localhost"):
            assert await get(host, "/.wherry/api/v1/apps") == "/.wherry/api|/.wherry/api/v1/apps|127.0.0.1"
            for path in ("/v1/apps", "/", "/.wherry/api", "/.wherry/api/v2", "/.wherry/apiv1", "/.wherry/nothing/v1"):
                assert await get(host, path) == "404"
            assert await get(host, "/.wherry/ui/x") == "201"
        # The longest path counts, and by whole parts.
        assert await get("wherry.localhost", "/v1x") == "201"
        assert await get("wherry.localhost", "/") == "201"
        assert own.url("api") == f"http://wherry.localhost:{port}/v1"
        assert own.url("ui") == f"http://wherry.localhost:{port}"

    play(tmp_path, work)


def test_hosts_of_endpoints_stay_theirs(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.ingress.own.mount("api", "/v1", told)
        for host, path in ((HOST, "/v1/apps"), (HOST, "/.wherry/api/v1/apps"), ("wherry.localhost", "/wherry--app-f/")):
            asked = asyncio.ensure_future(world.client.get(path, headers={"host": host}))
            exchange, _ = await world.function.next()
            answer(exchange)
            assert (await asked).text == "fine"
        response = await world.client.get("/.wherry/domain?domain=localhost", headers={"host": "wherry.localhost"})
        assert response.text.startswith("200 OK: it leads here")

    play(tmp_path, work)


def test_at_a_server_it_answers_at_the_domain_itself() -> None:
    endpoints = Endpoints(Site(domain="apps.example.com", scheme="https", port=443))
    spec = FunctionSpec(name="f", web=WebSpec(kind=WebKind.ASGI))
    endpoints.claim("ap-1", endpoints_of("ap-1", "app", "main", [("fu-1", spec)], ""))
    own = OwnPages(endpoints)
    own.mount("api", "/v1", told)
    scope: dict[str, Any] = {
        "type": "http",
        "scheme": "http",
        "headers": [],
        "path": "/v1/apps",
        "client": ("1.2.3.4", 5),
    }
    peer = Peer(scope, ())
    assert own.url("api") == "https://apps.example.com/v1"
    assert own.find(scope, "apps.example.com", peer) is not None
    assert own.find(scope, "wherry.localhost", peer) is None
    # Code in containers has a socket of its own.
    assert own.find({**scope, HOME: "main"}, "apps.example.com", peer) is None


def test_the_port_is_there_before_what_serves_is_loaded(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        world.ingress.own.mount("api", "/v1", told)
        assert not world.ingress.is_serving
        asked = [world.client.get("/v1", headers={"host": "wherry.localhost"}) for _ in range(3)]
        assert [response.status_code for response in await asyncio.gather(*asked)] == [200, 200, 200]
        assert world.ingress.is_serving
        # An endpoint that is published finds it so.
        await world.ingress.ready()
        await world.ingress.await_first()

    play(tmp_path, work, begin=Ingress.await_first)


def test_a_port_that_nobody_connected_to_is_closed_and_one_that_an_endpoint_needs_is_served(tmp_path: Path) -> None:
    async def nothing(world: World) -> None:
        assert not world.ingress.is_serving

    async def published(world: World) -> None:
        await world.ingress.ready()
        assert world.ingress.is_serving

    play(tmp_path, nothing, begin=Ingress.await_first)
    play(tmp_path, published, begin=Ingress.await_first)
