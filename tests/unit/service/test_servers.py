"""Servers: where requests go, what is refused, and how many containers there are."""

import asyncio
from typing import Any

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.node import FakeContainer
from tests.unit.service.test_pool import World, fake, run
from wherry_proto.messages import (
    Failure,
    FailureKind,
    FunctionSpec,
    MethodSpec,
    PoolSettings,
    ServerSpec,
    WebKind,
    WebSpec,
)
from wherry_service.apps.plans import plan_of
from wherry_service.calls.exchange import Exchange, Exchanges, Refusal
from wherry_service.errors import InvalidRequest
from wherry_service.ingress.answers import of_refusal
from wherry_service.ingress.heads import affinity_of
from wherry_service.node.runner_frames import load
from wherry_service.pools.pool import Pool


def web(exit_grace_s: float = 0.0) -> WebSpec:
    return WebSpec(kind=WebKind.SERVER, port=8000, port_timeout_s=30, server=ServerSpec(exit_grace_s=exit_grace_s))


class Journal:
    """Knows which requests are open (in place of `calls.journal.Journal`)."""

    def __init__(self) -> None:
        self.open: list[Any] = []

    def take_in(self, item: Any) -> None:
        self.open.append(item)


class Queue:
    """A function's queue, as far as requests to servers ask for it."""

    def __init__(self, pool: Pool[Any]) -> None:
        self.pool = pool


class Asker:
    """Sends requests to one server."""

    def __init__(self, world: World, **settings: Any) -> None:
        settings.setdefault("max_concurrent_inputs", 1000)
        self.pool = world.open(web=web(), **settings)
        self.journal = Journal()
        dispatcher: Any = self
        journal: Any = self.journal
        self._exchanges = Exchanges(journal, dispatcher, 0)

    def queue(self, function_id: str) -> Any:
        return Queue(self.pool)

    def ask(self, key: bytes = b"") -> Refusal | str:
        """Return the container that gets a request, or why none does."""
        exchange = Exchange("fu-1", "", {"type": "http"}, b"")
        refusal = self._exchanges.open(exchange, lambda: key)
        if refusal is not None:
            return refusal
        assert exchange.item.container is not None
        return exchange.item.container.container_id

    def fakes(self) -> list[FakeContainer]:
        return [fake(one) for one in self.pool.live() if one.handle is not None]


async def warm(world: World, asker: Asker, count: int) -> None:
    await world.until(lambda: len([one for one in asker.pool.live() if one.ready]) == count)


def test_a_request_that_finds_no_container_is_refused_and_one_starts() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world)
        for _ in range(3):
            refusal = asker.ask()
            assert isinstance(refusal, Refusal)
            assert refusal.status == 503
            assert "server 'fu-1': no container is ready yet; send it again" in refusal.failure.message
        await world.until(lambda: len(asker.fakes()) == 1)
        (container,) = asker.fakes()
        # Connected is not ready: its hooks run, or nothing listens yet.
        container.connected = True
        container.events.on_connected([], False)
        assert isinstance(asker.ask(), Refusal)
        container.events.on_ready(0.1)
        assert asker.ask() == container.container_id
        assert len(asker.journal.open) == len(container.inputs) == 1
        assert len(world.node.containers) == 1
        # It stays for its window, though nothing waits.
        container.finish()
        asker.pool.scale()
        assert len(asker.fakes()) == 1

    run(scenario, auto=False)


def test_without_a_target_one_container_takes_all() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world)
        asker.ask()
        await warm(world, asker, 1)
        assert len({asker.ask() for _ in range(200)}) == 1
        assert len(asker.fakes()) == 1

    run(scenario)


@pytest.mark.parametrize(("target", "requests", "containers"), [(2.0, 7, 4), (1.5, 3, 2), (0.5, 2, 4)])
def test_containers_follow_how_many_requests_there_are(target: float, requests: int, containers: int) -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, target_concurrency=target)
        asker.ask()
        await warm(world, asker, 1)
        for _ in range(requests):
            asker.ask()
        await warm(world, asker, containers)
        # How long requests took says nothing of how many containers are wanted.
        for container in asker.fakes():
            container.finish(1) if container.inputs else None
        asker.pool.scale()
        assert len(asker.fakes()) == containers

    run(scenario)


def test_requests_are_spread_evenly() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, min_containers=3)
        await warm(world, asker, 3)
        for _ in range(6):
            asker.ask()
        assert [len(container.inputs) for container in asker.fakes()] == [2, 2, 2]
        for container in asker.fakes():
            container.finish()
        # One after the other, too.
        found = set()
        for _ in range(3):
            found.add(asker.ask())
            await asyncio.sleep(0.001)
            for container in asker.fakes():
                container.finish()
        assert len(found) == 3

    run(scenario)


def test_those_with_one_key_go_to_one_container_and_few_move_when_another_comes() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, min_containers=3)
        await warm(world, asker, 3)
        keys = [b"%d" % number for number in range(60)]
        before = {key: asker.ask(key) for key in keys}
        assert {key: asker.ask(key) for key in keys} == before
        assert len(set(before.values())) == 3
        asker.pool.live()[0].drain()
        await warm(world, asker, 3)
        after = {key: asker.ask(key) for key in keys}
        gone = set(before.values()) - set(after.values())
        assert len(gone) == 1
        stayed = [key for key in keys if before[key] == after[key]]
        moved = [key for key in keys if before[key] not in gone and before[key] != after[key]]
        # Only to the new one.
        assert {after[key] for key in moved} <= set(after.values()) - set(before.values())
        assert len(stayed) > len(moved)

    run(scenario)


def test_above_what_a_container_takes_at_once_requests_are_refused() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, max_concurrent_inputs=2, min_containers=2)
        await warm(world, asker, 2)
        key = b"k"
        assert asker.ask(key) == asker.ask(key)
        refusal = asker.ask(key)
        assert isinstance(refusal, Refusal)
        assert refusal.status == 429
        assert "has the 2 requests that it takes at once" in refusal.failure.message
        # Others go to the other.
        assert isinstance(asker.ask(), str)

    run(scenario)


def test_more_containers_start_when_they_have_been_wanted_for_the_window() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world, target_concurrency=1.0, scaleup_window_s=0.3)
        # The first is not waited for.
        asker.ask()
        await warm(world, asker, 1)
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            asker.ask()
        assert len(asker.fakes()) == 1
        # A peak that passes starts none.
        asker.fakes()[0].finish(2)
        asker.pool.scale()
        asker.ask()
        await warm(world, asker, 2)
        assert asyncio.get_running_loop().time() - began >= 0.3

    run(scenario)


def test_how_a_server_could_not_start_is_told_though_nothing_waits() -> None:
    async def scenario(world: World) -> None:
        asker = Asker(world)
        asker.ask()
        await world.until(lambda: len(asker.fakes()) == 1)
        asker.fakes()[0].fail_to_load()
        assert [kind for kind, *_ in world.listener.of("start failed")] == ["start failed"]
        # The next request has another start.
        asker.ask()
        await world.until(lambda: len(asker.fakes()) == 1)

    run(scenario, auto=False)


def test_what_a_refusal_is_answered() -> None:
    failure = Failure(kind=FailureKind.EXHAUSTED, message="server 'S': no container is ready yet; send it again")
    answer = of_refusal(Refusal(failure, 503), "in-1")
    assert (answer.status, answer.body) == (503, f"503 Service Unavailable: {failure.message}\nRequest in-1\n".encode())
    assert (b"retry-after", b"1") in answer.headers
    assert of_refusal(Refusal(failure, 429), "in-1").status == 429
    assert of_refusal(Refusal(failure), "in-1").body.startswith(b"503 Service Unavailable: too many requests wait")


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([(b"modal-session-id", b"a")], b"a"),
        ([(b"modal-routing-affinity-key", b"b")], b"b"),
        ([(b"wherry-session-id", b"c"), (b"modal-session-id", b"a")], b"c"),
        ([(b"x-session-id", b"d")], b""),
        ([(b"modal-session-id", b"")], b""),
    ],
)
def test_which_headers_say_that_requests_belong_together(headers: list[tuple[bytes, bytes]], key: bytes) -> None:
    assert affinity_of({"headers": headers}) == key


async def ready(image_id: str) -> str:
    return "image"


def spec(**fields: Any) -> FunctionSpec:
    return FunctionSpec(
        **{"name": "S", "module_name": "m", "qualname": "S", "image_id": "im-1", "web": web(), **fields}
    )


def test_a_runner_is_told_that_a_class_is_a_server() -> None:
    def told(web: WebSpec) -> Any:
        plan = plan_of("ap-1", "fu-1", spec(web=web), ready, no_secrets, lambda: ("shop", "main"))
        return load(plan.load)["function"]["web"][""]["exit_grace_s"]

    assert told(web(7)) == 7
    assert told(web(0)) == 0
    assert told(WebSpec(kind=WebKind.SERVER, port=8000)) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"web": web(3601)}, "exit_grace_period=3601 is not between 0 and 3600"),
        ({"methods": [MethodSpec(name="m")]}, "class 'S' is a server: it has a port, and no methods"),
        ({"web": WebSpec(kind=WebKind.ASGI, server=ServerSpec())}, "is a server: it has a port"),
        ({"pool": PoolSettings(target_concurrency=1001)}, "target_concurrency=1001"),
        ({"pool": PoolSettings(target_concurrency=float("nan"))}, "target_concurrency=nan"),
        ({"pool": PoolSettings(scaleup_window_s=-1)}, "scaleup_window=-1"),
    ],
)
def test_what_can_be_no_server(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        plan_of("ap-1", "fu-1", spec(**change), ready, no_secrets, lambda: ("shop", "main"))
