"""Which environments an id belongs to."""

from collections.abc import Awaitable, Callable

from wherry_service.calls.call import Input
from wherry_service.calls.journal import Journal
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import check_id, time_of
from wherry_service.logs.store import LogStore
from wherry_service.pools.pools import Pools
from wherry_service.records.reader import RecordReader
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.store.environments import EnvironmentStore

MAX_KNOWN = 20_000
_NOWHERE: frozenset[str] = frozenset()


class Places:
    """Finds the environments of what a request names, by the name of its field."""

    def __init__(
        self,
        store: EnvironmentStore,
        journal: Journal,
        pools: Pools[Input],
        sandboxes: Sandboxes,
        logs: LogStore,
        records: RecordReader,
    ) -> None:
        self._store = store
        self._journal = journal
        self._pools = pools
        self._sandboxes = sandboxes
        self._logs = logs
        self._records = records
        # What has an environment keeps it, while that is called so.
        self._known: dict[str, frozenset[str]] = {}
        self._finders: dict[str, Callable[[str], Awaitable[str | None]]] = {
            "app": store.of_app,
            "function": store.of_function,
            "call": self._of_call,
            "container": self._of_container,
            "record": self._of_record,
            "sandbox": self._of_sandbox,
            "secret": store.of_object,
            "object": store.of_object,
            "dict": store.of_object,
            "queue": store.of_object,
            "volume": store.of_object,
        }

    async def of(self, kind: str, object_id: str) -> frozenset[str]:
        """Return the environments of an object; none for one that nobody knows. Only an image has several."""
        if kind == "image":
            return frozenset(await self._store.of_image(object_id))
        # Of another kind's id, or none, nothing is known here.
        known = self._known.get(f"{kind} {object_id}")
        if known is None:
            found = await self._finders[kind](object_id) if object_id else None
            if found is None:
                return _NOWHERE
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[f"{kind} {object_id}"] = frozenset((found,))
        return known

    async def environment_changed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now, or is gone."""
        self._known.clear()

    async def images(self, environments: frozenset[str]) -> set[str]:
        """Return the ids of the images that belong to any of these environments."""
        return await self._store.images_of(environments)

    async def _of_call(self, call_id: str) -> str | None:
        function_id = self._journal.function_of(call_id)
        if function_id is not None:
            return await self._store.of_function(function_id)
        return await self._store.of_call(call_id)

    async def _of_record(self, record_id: str) -> str | None:
        """Of an input or a call of which there is a record."""
        return await self._records.environment_of(record_id) if record_id[:3] in ("in-", "fc-") else None

    async def _of_container(self, container_id: str) -> str | None:
        """Of one that runs, a sandbox too, or one that has left lines in the log."""
        if container_id.startswith("sb-"):
            return await self._of_sandbox(container_id)
        found = self._pools.find(container_id)
        if found is not None:
            return await self._store.of_app(found[0].plan.load.app_id)
        try:
            check_id(container_id, "co", "container id")
        except InvalidRequest:
            return None
        app_id = await self._logs.app_of(container_id, time_of(container_id))
        return await self._store.of_app(app_id) if app_id else None

    async def _of_sandbox(self, sandbox_id: str) -> str | None:
        try:
            return (await self._sandboxes.register.get(sandbox_id)).environment
        except NotFound:
            return None
