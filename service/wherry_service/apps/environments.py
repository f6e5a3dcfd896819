"""Environments: which there are, what runs in them, and how one ends."""

import asyncio
import difflib
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from wherry_proto.messages import EnvironmentInfo
from wherry_service.errors import MOST_COMPARED, AlreadyExists, InvalidRequest, NotFound
from wherry_service.store.environment_records import EnvironmentRecord, EnvironmentRecords

log = logging.getLogger(__name__)

DEFAULT = "main"
MAX_LENGTH = 40
# It is part of host names, set apart there by "--".
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class Inhabitants(Protocol):
    """What runs in environments, or is kept in them."""

    async def end_environment(self, environment: str) -> None:
        """Stop or delete all that is there."""

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now."""


class Counted(Inhabitants, Protocol):
    """What is told by its number."""

    async def num_in(self, environment: str) -> int:
        """Return how many run there."""


class Heir(Protocol):
    """Who knows environments by name, and hears last that one is called otherwise or gone."""

    async def environment_changed(self, name: str, new_name: str) -> None:
        """Hear the new name; where that is "", it is gone."""


class Environments:
    """All environments. What names one that is not there is refused (see api/environments.py)."""

    def __init__(
        self,
        records: EnvironmentRecords,
        apps: Counted,
        sandboxes: Counted,
        objects: Inhabitants,
        heirs: Sequence[Heir],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._records = records
        self._apps = apps
        self._sandboxes = sandboxes
        self._objects = objects
        self._now = now
        self._known: dict[str, EnvironmentRecord] = {}
        # Those that are being deleted: nothing new is let in.
        self._closing: set[str] = set()
        self._lock = asyncio.Lock()
        self._heirs = heirs

    async def begin(self) -> None:
        """Read them from disk."""
        self._known = {record.name: record for record in await self._records.all()}
        if DEFAULT not in self._known:
            await self._add(DEFAULT)

    def expect(self, name: str) -> None:
        """Raise `NotFound`, naming near ones, unless there is such an environment ("": the default)."""
        if (name or DEFAULT) in self._known and name not in self._closing:
            return
        if name in self._closing:
            raise NotFound(f"environment {name!r} is being deleted")
        near = difflib.get_close_matches(name, self._known, n=1) if len(name) <= MOST_COMPARED else []
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._known)[:10])}."
        name = name[:64]
        raise NotFound(f"there is no environment {name!r}: {hint} To make it: wherry environment create {name}")

    def _expect_named(self, name: str) -> None:
        if not name:
            raise InvalidRequest("say which environment: its name is empty")
        self.expect(name)

    async def create(self, name: str) -> EnvironmentInfo:
        """Make one, unless it is there; raise `InvalidRequest` if it can't be called so."""
        async with self._lock:
            if name not in self._known:
                await self._add(check_name(name))
        return await self._info(name)

    async def list(self) -> Sequence[EnvironmentInfo]:
        """Return them by name, with what is in them."""
        num_objects = await self._records.num_objects()
        return [await self._described(record, num_objects) for _, record in sorted(self._known.items())]

    async def rename(self, name: str, new_name: str) -> EnvironmentInfo:
        """Call one otherwise: what is in it stays, and what runs runs on."""
        async with self._lock:
            self._expect_named(name)
            if name == DEFAULT:
                raise InvalidRequest(f"environment {DEFAULT!r} can't be renamed: every service has it")
            check_name(new_name)
            if new_name == name:
                return await self._info(name)
            if new_name in self._known:
                raise AlreadyExists(f"there is an environment {new_name!r} already")
            # Not to be interrupted by who asked: on disk and here it must be called the same.
            await asyncio.shield(asyncio.ensure_future(self._rename(name, new_name)))
        return await self._info(new_name)

    async def delete(self, name: str, force: bool) -> EnvironmentInfo:
        """Delete one with all that is in it; raise `InvalidRequest` where something runs in it, unless forced.

        Returns what was in it.
        """
        async with self._lock:
            self._expect_named(name)
            if name == DEFAULT:
                raise InvalidRequest(f"environment {DEFAULT!r} can't be deleted: every service has it")
            found = await self._info(name)
            running = [
                f"{number} {what}{'s' if number > 1 else ''}"
                for number, what in ((found.num_apps, "app"), (found.num_sandboxes, "sandbox"))
                if number
            ]
            if running and not force:
                running_text = " and ".join(running).replace("sandboxs", "sandboxes")
                raise InvalidRequest(
                    f"{running_text} run in environment {name!r}: stop them first, or delete it with --force"
                )
            await asyncio.shield(asyncio.ensure_future(self._delete(name)))
        return found

    async def _rename(self, name: str, new_name: str) -> None:
        record = EnvironmentRecord(new_name, self._known[name].created_at_ms)
        await self._records.rename(name, new_name)
        del self._known[name]
        self._known[new_name] = record
        for inhabitants in (self._apps, self._sandboxes, self._objects):
            inhabitants.environment_renamed(name, new_name)
        for heir in self._heirs:
            await heir.environment_changed(name, new_name)
        log.info("environment %s is called %s now", name, new_name)

    async def _delete(self, name: str) -> None:
        self._closing.add(name)
        try:
            for inhabitants in (self._apps, self._sandboxes, self._objects):
                await inhabitants.end_environment(name)
            # No name can look like this: one that is made anew under the old name begins empty.
            await self._records.delete(name, f"deleted:{name}:{self._now_ms()}")
            del self._known[name]
            for heir in self._heirs:
                await heir.environment_changed(name, "")
        finally:
            self._closing.discard(name)
        log.info("deleted environment %s", name)

    async def _add(self, name: str) -> None:
        record = EnvironmentRecord(name, self._now_ms())
        await self._records.add(record)
        self._known[name] = record

    async def _info(self, name: str) -> EnvironmentInfo:
        return await self._described(self._known[name], await self._records.num_objects())

    async def _described(self, record: EnvironmentRecord, num_objects: dict[str, int]) -> EnvironmentInfo:
        return EnvironmentInfo(
            name=record.name,
            created_at_ms=record.created_at_ms,
            num_apps=await self._apps.num_in(record.name),
            num_sandboxes=await self._sandboxes.num_in(record.name),
            num_objects=num_objects.get(record.name, 0),
        )

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def check_name(name: str) -> str:
    """Return the name; raise `InvalidRequest` if an environment can't be called so."""
    if len(name) > MAX_LENGTH or not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"an environment can't be called {name[:80]!r}: its name has 1 to {MAX_LENGTH} small letters, digits and "
            "single dashes, and begins with a letter, since it is part of host names"
        )
    return name
