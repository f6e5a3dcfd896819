"""Tries every order in which things can happen, up to a depth: a small model checker that steps the real code.

A world says what can happen next. One thing happens, then the event loop runs until nothing is ready, and so on: so an
answer, a commit, a cut or a restart comes at every point where the code waits. A run is repeated from the beginning for
each branch; nothing needs to be copied. Where a run breaks a rule, its steps are in the message.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from tests.fakes.clock import FastLoop

# How many steps are free, beyond a test's own number: more find more, and take much longer.
EXTRA = int(os.environ.get("WHERRY_EXPLORE_DEPTH", "0"))


class World(Protocol):
    """One run. What it has to wait for before the first step is in `async def prepare`, where there is such a thing."""

    def enabled(self) -> list[str]:
        """Return what can happen now."""

    def do(self, step: str) -> None:
        """Have it happen."""

    def check(self) -> None:
        """Assert what holds at all times."""

    async def finish(self) -> None:
        """Let everything go well from here on, and assert what holds at the end."""

    def close(self) -> None: ...


async def settle(turns: int = 12) -> None:
    """Let the event loop run until nothing is ready."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def go_well(
    world: World, is_over: Callable[[], bool], goes_well: Callable[[str], bool], turn_s: float = 0.0, turns: int = 100
) -> None:
    """Have the first step that goes well happen, again and again, until it is over.

    Where there is none, timers are waited for: `turns` times in a row, for `turn_s` seconds each.
    """
    idle = 0
    while not is_over():
        steps = [step for step in world.enabled() if goes_well(step)]
        if steps:
            idle = 0
            world.do(steps[0])
            await settle()
        else:
            idle += 1
            assert idle < turns, "somebody waits for ever"
            await asyncio.sleep(turn_s)
        world.check()


def explore(make: Callable[[], World], depth: int) -> int:
    """Run all orders of `depth` free steps; return how many there were."""
    depth += EXTRA
    prefixes: list[list[int]] = [[]]
    count = 0
    while prefixes:
        prefix = prefixes.pop()
        # A loop of its own: no timer of an earlier run is left. Timers come when nothing else can happen any more.
        with asyncio.Runner(loop_factory=FastLoop) as runner:
            widths = runner.run(_run(make, prefix, depth))
        count += 1
        for place in range(len(prefix), len(widths)):
            chosen = [*prefix, *[0] * (place - len(prefix))]
            prefixes += [[*chosen, other] for other in range(1, widths[place])]
    return count


async def _run(make: Callable[[], World], prefix: list[int], depth: int) -> list[int]:
    """Run once, choosing as `prefix` says and then always the first; return how many choices there were each time."""
    world = make()
    widths: list[int] = []
    steps: list[str] = []
    try:
        await getattr(world, "prepare", settle)()
        await settle()
        for place in range(depth):
            enabled = world.enabled()
            if not enabled:
                break
            widths.append(len(enabled))
            step = enabled[prefix[place] if place < len(prefix) else 0]
            steps.append(step)
            world.do(step)
            await settle()
            world.check()
        steps.append("(all goes well)")
        async with asyncio.timeout(120):
            await world.finish()
    except (AssertionError, TimeoutError) as error:
        what = str(error) or "somebody waits for ever"
        raise AssertionError(f"{what}\nafter: " + ", ".join(steps)) from error
    finally:
        world.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return widths
