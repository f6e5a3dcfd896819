"""Clients: who is there, and who has been away too long."""

import asyncio

import pytest

from tests.fakes.clock import run_fast
from wherry_service.calls.client import GONE_AFTER_S, Client, Clients
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id


def test_b54_a_client_without_a_session_is_gone_after_a_while() -> None:
    async def main() -> None:
        gone: list[Client] = []
        clients = Clients()
        clients.on_gone.append(gone.append)
        client = clients.connect(new_id("cl"))
        clients.disconnect(client, client.session)
        await asyncio.sleep(GONE_AFTER_S - 1)
        assert clients.connect(client.client_id) is client
        await asyncio.sleep(GONE_AFTER_S + 1)
        assert gone == []
        clients.disconnect(client, client.session)
        await asyncio.sleep(GONE_AFTER_S + 1)
        assert (gone, list(clients)) == ([client], [])

    run_fast(main())


def test_none_is_gone_when_the_service_has_ended() -> None:
    async def main() -> None:
        gone: list[Client] = []
        clients = Clients()
        clients.on_gone.append(gone.append)
        early, late = clients.connect(new_id("cl")), clients.connect(new_id("cl"))
        clients.disconnect(early, early.session)
        clients.close()
        clients.disconnect(late, late.session)
        await asyncio.sleep(2 * GONE_AFTER_S)
        assert gone == []

    run_fast(main())


def test_an_id_is_one_containers_or_none() -> None:
    async def main() -> None:
        clients = Clients()
        client = clients.connect(new_id("cl"), "co-1")
        with pytest.raises(InvalidRequest, match="belongs to somebody else"):
            clients.connect(client.client_id)
        clients.close()

    run_fast(main())
