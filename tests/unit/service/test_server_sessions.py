"""Sessions of servers: which container they get, how long they and it stay, and how many containers there are."""

import asyncio
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.unit.service.test_pool import World, fake, run
from tests.unit.service.test_servers import Queue, web
from wherry_proto.messages import ServerSpec
from wherry_service.calls import server_sessions
from wherry_service.calls.server_sessions import ServerSession, ServerSessions
from wherry_service.errors import Exhausted, InvalidRequest, NotFound

FUNCTION = "fu-1"


class Starter:
    """Starts sessions of one server, which has so many in a container."""

    def __init__(self, world: World, max_sessions: int = 2, **settings: Any) -> None:
        described = web()
        described.server = ServerSpec(max_sessions=max_sessions)
        self.pool = world.open(web=described, max_concurrent_inputs=1000, **settings)
        self.gone = False
        dispatcher: Any = self
        self.sessions = ServerSessions(dispatcher)

    def queue(self, function_id: str) -> Any:
        return None if self.gone or function_id != FUNCTION else Queue(self.pool)

    async def start(self, idle_s: float = 60.0) -> ServerSession:
        return await self.sessions.start(FUNCTION, idle_s)


def names(*sessions: ServerSession) -> list[str]:
    return [session.container.container_id for session in sessions]


def test_a_session_waits_for_a_container_which_starts_for_it() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world)
        first = await starter.start()
        assert names(first) == [starter.pool.live()[0].container_id]
        second = await starter.start()
        assert names(second) == names(first)
        # A third has no room there.
        third = await starter.start()
        assert names(third) != names(first)
        assert len(starter.pool.live()) == 2
        assert starter.pool.waiting_sessions == 0
        assert len({first.token, second.token, third.token}) == 3

    run(scenario)


def test_a_target_has_more_containers_start_before_they_are_needed() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world, max_sessions=4, target_concurrency=1)
        sessions = [await starter.start() for _ in range(2)]
        await world.until(lambda: len([one for one in starter.pool.live() if one.ready]) == 2)
        # The next goes to the emptiest.
        sessions.append(await starter.start())
        assert len({*names(*sessions)}) == 2

    run(scenario)


def test_requests_alone_have_no_container_start() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world, max_sessions=2)
        session = await starter.start()
        world.give(session.container, 500)
        starter.pool.scale()
        assert len(starter.pool.live()) == 1

    run(scenario)


def test_a_container_stays_while_it_has_a_session_and_goes_after_its_window() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world, scaledown_window_s=0.05)
        session = await starter.start()
        container = session.container
        await asyncio.sleep(0.5)
        assert container.container_id in starter.pool.containers
        assert container.is_used
        starter.sessions.end(session.token, FUNCTION)
        assert not container.is_used
        await world.until(lambda: not starter.pool.containers)

    run(scenario)


def test_a_session_ends_when_it_has_had_no_request_for_its_time() -> None:
    async def main() -> None:
        world = World()
        starter = Starter(world)
        session = await starter.start(idle_s=10)
        await asyncio.sleep(8)
        with starter.sessions.used(session):
            await asyncio.sleep(100)
            assert starter.sessions.find(session.token, FUNCTION) is session
        await asyncio.sleep(8)
        assert starter.sessions.find(session.token, FUNCTION) is session
        await asyncio.sleep(3)
        assert starter.sessions.find(session.token, FUNCTION) is None
        assert session.container.num_sessions == 0
        # Its end is heard once.
        starter.sessions.end(session.token, FUNCTION)
        assert session.container.num_sessions == 0
        await world.pools.close_all(0)

    run_fast(main())


def test_a_session_that_ended_while_a_request_ran_has_no_other() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world)
        session = await starter.start()
        with starter.sessions.used(session):
            starter.sessions.end(session.token, FUNCTION)
            assert starter.sessions.find(session.token, FUNCTION) is None
        assert session.timer is None
        assert session.container.num_sessions == 0

    run(scenario)


def test_a_session_is_its_servers_and_goes_with_its_container() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world)
        session = await starter.start()
        assert starter.sessions.find(session.token, "fu-2") is None
        starter.sessions.end(session.token, "fu-2")
        assert starter.sessions.find("no-such", FUNCTION) is None
        assert starter.sessions.find(session.token, FUNCTION) is session
        session.container.drain()
        assert starter.sessions.find(session.token, FUNCTION) is None

    run(scenario)


def test_what_has_no_sessions_is_refused() -> None:
    async def scenario(world: World) -> None:
        starter = Starter(world, max_sessions=0)
        with pytest.raises(InvalidRequest, match=r"'fu-1' has no sessions: put @wherry.sessioned\(\) below"):
            await starter.start()
        with pytest.raises(NotFound, match="does not exist"):
            await starter.sessions.start("fu-9", 60)
        for wrong in (0, -1, 1e9, float("nan")):
            with pytest.raises(InvalidRequest, match="idle_timeout"):
                await starter.start(wrong)

    run(scenario)


def test_one_that_gets_no_room_gives_up_and_so_does_one_whose_server_goes() -> None:
    async def main() -> None:
        world = World(auto=False)
        starter = Starter(world, max_containers=1)
        with pytest.raises(Exhausted, match="no container of server 'fu-1' has had room for a session for 300 s"):
            await starter.start()
        assert starter.pool.waiting_sessions == 0
        waiting = asyncio.ensure_future(starter.start())
        await asyncio.sleep(1)
        assert starter.pool.waiting_sessions == 1
        starter.gone = True
        with pytest.raises(NotFound, match="has stopped while a session waited"):
            await waiting
        assert starter.pool.waiting_sessions == 0
        for container in world.node.running():
            container.kill("over")
        await world.pools.close_all(0)

    run_fast(main())


def test_not_all_may_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        monkeypatch.setattr(server_sessions, "MOST_WAITING", 1)
        starter = Starter(world)
        waiting = asyncio.ensure_future(starter.start())
        await world.until(lambda: starter.pool.waiting_sessions == 1)
        with pytest.raises(Exhausted, match="1 sessions of 'fu-1' wait"):
            await starter.start()
        fake(starter.pool.live()[0]).connect()
        await waiting

    run(scenario, auto=False)
