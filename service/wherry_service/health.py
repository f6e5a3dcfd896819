"""Whether the service lives, and whether it can work: for load balancers, monitors and start scripts."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

log = logging.getLogger(__name__)

# Paths of the service's own, on every port that has them.
HEALTH_PATH, READY_PATH = "/.wherry/health", "/.wherry/ready"
# Seconds that a part gets to answer.
ANSWER_WITHIN_S = 2.0
# Anyone may ask, as often as they like: within this time they get the same answer.
FRESH_S = 1.0
OK, NO_ANSWER = "ok", "does not answer"

Check = Callable[[], Awaitable[bool]]
"""Asks a part whether it works; an exception means that it does not."""


class Told(NamedTuple):
    """An answer: a status as of HTTP, and JSON."""

    status: int
    text: str


class Health:
    """Asks the parts that nothing works without. What is wrong with one is for the log, not for whoever asks."""

    def __init__(self, checks: Mapping[str, Check], is_stopping: Callable[[], bool]) -> None:
        self._checks = checks
        self._is_stopping = is_stopping
        self._found: dict[str, str] = {}
        self._found_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def found(self) -> Mapping[str, str]:
        """What was found at the last look, by part."""
        return self._found

    def live(self) -> Told:
        """Say that this process answers: 200, whatever else is wrong."""
        return Told(200, json.dumps({"live": True}))

    async def ready(self) -> Told:
        """Say whether calls can be served: 200 if so, else 503, and of each part whether it answers."""
        async with self._lock:
            if time.monotonic() - self._found_at > FRESH_S:
                answers = await asyncio.gather(*map(self._answer, self._checks, self._checks.values()))
                self._found, self._found_at = dict(zip(self._checks, answers, strict=True)), time.monotonic()
        found = dict(self._found)
        if self._is_stopping():
            found["service"] = "is stopping"
        is_ready = all(text == OK for text in found.values())
        return Told(200 if is_ready else 503, json.dumps({"ready": is_ready, **found}))

    async def told(self, path: str) -> Told | None:
        """Return the answer at a path, or None if it is none of these."""
        if path == HEALTH_PATH:
            return self.live()
        return await self.ready() if path == READY_PATH else None

    async def _answer(self, name: str, check: Check) -> str:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return OK if await check() else NO_ANSWER
        except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work
            log.debug("%s does not answer: %s: %s", name, type(error).__name__, error)
            return NO_ANSWER
