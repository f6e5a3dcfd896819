"""Terminals that clients offer to code in containers."""

import asyncio

import pytest

from wherry_proto.messages import TerminalOffer
from wherry_service.api.terminals import MAX_WAITING, Terminals
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id


class World:
    """Apps that all are, and no container."""

    def info(self, app_id: str) -> None:
        """Know it."""

    def find(self, container_id: str) -> None:
        return None


def test_questions_for_a_terminal_that_nobody_reads_are_bounded() -> None:
    async def main() -> None:
        terminals = Terminals(World(), World())  # type: ignore[arg-type]
        app_id = new_id("ap")
        with pytest.raises(InvalidRequest, match="wherry run -i"):
            terminals.ask("co-1", app_id, "s")
        offer = terminals.offer(TerminalOffer(app_id=app_id))
        await anext(offer)
        for number in range(3 * MAX_WAITING):
            terminals.ask("co-1", app_id, str(number))
        heard = [(await anext(offer)).socket for _ in range(MAX_WAITING)]
        assert heard == [str(number) for number in range(MAX_WAITING)]
        async with asyncio.timeout(5):
            next_one = asyncio.ensure_future(anext(offer))
            await asyncio.sleep(0)
            assert not next_one.done(), "what was beyond the limit is not heard"
            terminals.ask("co-2", app_id, "later")
            assert (await next_one).socket == "later"
        await offer.aclose()
        with pytest.raises(InvalidRequest, match="no terminal"):
            terminals.ask("co-1", app_id, "s")

    asyncio.run(main())
