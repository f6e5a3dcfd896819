"""Metrics on a port of their own: what is there, who may fetch it, and that nothing is loaded where they are off."""

import asyncio
import base64
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.engine import FakeEngine
from wherry_service.errors import Unready
from wherry_service.metrics.watching import Watching
from wherry_service.server import Service
from wherry_service.settings import Settings


def engine(driver: object, network: object) -> Any:
    return FakeEngine({})


Work = Callable[[Service, httpx.AsyncClient], Awaitable[None]]


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


def serve(state_dir: Path, listen: str, work: Work) -> None:
    """Run a service with metrics, and a client of its port on this machine."""

    async def main() -> None:
        settings = Settings(rooms={"WHERRY_METRICS_LISTEN": listen})
        service = Service(state_dir, settings, engine)
        serving = asyncio.ensure_future(service.run())
        async with asyncio.timeout(20):
            while not service.metrics.port:
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.01)
            url = f"http://127.0.0.1:{service.metrics.port}"
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                await work(service, client)
        service.request_stop(True)
        await asyncio.wait_for(serving, 20)

    asyncio.run(main())


def values(text: str) -> dict[str, float]:
    """Return samples without labels, by name."""
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def names(text: str) -> list[str]:
    """Return the metrics of ours, as the page about them calls them."""
    found = [(one.name, one.type) for one in text_string_to_metric_families(text)]
    return [f"{name}_total" if kind == "counter" else name for name, kind in found if name.startswith("wherry_")]


def test_on_this_machine_they_are_told_to_its_programs_alone(state_dir: Path) -> None:
    async def work(service: Service, client: httpx.AsyncClient) -> None:
        await parts_are_told(client)
        await openmetrics_for_who_asks_for_it(client)
        await pages_of_other_sites_read_nothing(client)
        await a_port_that_is_taken_is_an_error(service.metrics.port)

    serve(state_dir, "127.0.0.1:0", work)


async def parts_are_told(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found = values(answer.text)
    assert found["wherry_engine_up"] == found["wherry_db_up"] == 1
    assert found["wherry_sessions"] == found["wherry_execs"] == 0
    assert found["wherry_db_commit_seconds_count"] > 0
    assert 0 < found["wherry_state_disk_free_bytes"] < found["wherry_state_disk_bytes"]
    assert found["process_resident_memory_bytes"] > 10 << 20
    assert "wherry_build_info{version=" in answer.text
    page = Path("docs/observability.md").read_text()
    assert [name for name in names(answer.text) if f"`{name}`" not in page] == []
    health = await client.get("/.wherry/ready")
    assert (health.status_code, health.json()["ready"]) == (200, True)
    assert (await client.get("/.wherry/health")).status_code == 200
    assert (await client.get("/")).status_code == 404
    assert (await client.post("/metrics")).status_code == 405
    head = await client.head("/metrics")
    assert (head.status_code, head.text) == (200, "")


async def openmetrics_for_who_asks_for_it(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def pages_of_other_sites_read_nothing(client: httpx.AsyncClient) -> None:
    for host in ("evil.example.com", "evil.example.com:9464", "127.0.0.1.evil.example.com", "10.0.0.5", ""):
        assert (await client.get("/metrics", headers={"host": host})).status_code in (400, 403)
    for host in ("localhost:1", "127.0.0.1", "[::1]:9464", "[::1]"):
        assert (await client.get("/metrics", headers={"host": host})).status_code == 200


async def a_port_that_is_taken_is_an_error(port: int) -> None:
    settings = Settings(rooms={"WHERRY_METRICS_LISTEN": f"127.0.0.1:{port}"})
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        other = Service(Path(directory), settings, engine)
        with pytest.raises(Unready, match=r"Address already in use; set metrics\.listen to what is free"):
            await other.run()
        other.parts.machine.node.receiver.close()


def test_elsewhere_it_takes_a_token_for_metrics_of_all_environments(state_dir: Path) -> None:
    async def work(service: Service, client: httpx.AsyncClient) -> None:
        tokens = service.parts.entrances.tokens

        async def made(scope: str, environment: str) -> str:
            token, secret = await tokens.create("a test", [scope], [environment], lambda name: None)
            return f"{token.token_id}:{secret}"

        for credential, status in (
            (await made("metrics", "*"), 200),
            (await made("admin", "*"), 200),
            (await made("metrics", "main"), 403),
            (await made("invoke", "*"), 403),
            ("tk-0:ws-0", 401),
        ):
            bearer = {"authorization": f"Bearer {credential}", "host": "metrics.example.com"}
            assert (await client.get("/metrics", headers=bearer)).status_code == status
            basic = {"authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}
            assert (await client.get("/metrics", headers=basic)).status_code == status
        assert (await client.get("/metrics")).status_code == 401
        # Health is anyone's.
        assert (await client.get("/.wherry/health")).status_code == 200
        refused = {
            (await client.get("/metrics", headers={"authorization": "Bearer a:b"})).status_code for _ in range(20)
        }
        assert refused == {401, 429}

    serve(state_dir, "0.0.0.0:0", work)


def test_off_loads_nothing_and_counts_nothing() -> None:
    program = (
        "import sys, wherry_service.server as server; "
        "assert not {name for name in sys.modules if name.startswith('prometheus_client')}; "
        "assert 'wherry_service.metrics.server' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

    async def main() -> None:
        with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
            service = Service(Path(directory), Settings(), engine)
            assert service.metrics.settings.address is None
            assert service.parts.stores.logs.on_kept == []
            watchers = service.parts.work.dispatcher.watchers
            assert not [one for one in watchers if isinstance(one, Watching)]
            service.parts.machine.node.receiver.close()

    asyncio.run(main())
