"""How a container ended, as far as the engine can say."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from wherry_service.engines.engine import Engine, EngineError

log = logging.getLogger(__name__)

_SIGKILL = 128 + 9
# The engine hears of the end and of the lack of memory from two sources: the second may be told, and be in its
# answers, some time after the first.
OOM_LATE_S = 0.5
_ASK_EVERY_S = 0.05
# Seconds after which one that ran out of memory, and did not end, is known to go on.
GOES_ON_S = 1.0


@dataclass(frozen=True, slots=True)
class Death:
    """What became known. `exit_code` None: the engine does not know."""

    exit_code: int | None
    oom_killed: bool
    # As the engine has it.
    memory_limit_mib: int | None = None


async def death_of(
    engine: Engine, engine_id: str, exit_code: int | None, oom_told: Callable[[], bool], is_ours: bool
) -> Death:
    """Ask the engine how a container ended; `exit_code` is what it told by itself, `oom_told` whether it ran out.

    One that was killed by nobody we know (`is_ours`: by ourselves) may have run out of memory: that is waited for.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + OOM_LATE_S
    oom_killed = False
    limit_mib: int | None = None
    while True:
        try:
            status = await engine.inspect(engine_id)
        except EngineError as error:
            log.warning("a container ended, and the engine can't say how: %s", error)
            return Death(exit_code, oom_told())
        if status is not None:
            oom_killed = status.oom_killed
            limit_mib = status.memory_limit_mib
            exit_code = exit_code if exit_code is not None else status.exit_code
        oom_killed = oom_killed or oom_told()
        if oom_killed or is_ours or exit_code != _SIGKILL or status is None or loop.time() >= deadline:
            return Death(exit_code, oom_killed, limit_mib)
        await asyncio.sleep(_ASK_EVERY_S)


class LackOfMemory:
    """What the engine says of a container's memory: it ends for it, or only a process beside the runner did.

    `tell` is called where it goes on, a moment later; it returns whether it does.
    """

    def __init__(self, tell: Callable[[], bool]) -> None:
        self.is_short = False
        self._tell = tell

    def hear(self) -> None:
        if not self.is_short:
            self.is_short = True
            asyncio.get_running_loop().call_later(GOES_ON_S, self._look)

    def _look(self) -> None:
        self.is_short = not self._tell()
