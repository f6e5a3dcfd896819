"""What becomes of durable inputs that fail: they are kept with their arguments, and a function may hear of them.

That an input has failed, that it is kept, and the input by which a function is told of it are one write: after a kill
there is all of it or nothing, so that the function is told exactly once.
"""

import logging
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wherry_proto.messages import CallKind, Failure, FailureKind, Format, Payload
from wherry_service.calls.call import Call, Input
from wherry_service.calls.replay_settings import ReplaySettings
from wherry_service.errors import Rarely
from wherry_service.ids import input_of_call, new_id, time_of
from wherry_service.pools.container import Container
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import Cause, InputRow
from wherry_service.store.database import Database
from wherry_service.store.failed_inputs import Bounds, Failed, FailedInputStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

MAX_ERROR = 500
# Characters of what a function is told.
_MAX_MESSAGE = 4000
_MAX_TRACEBACK = 32_768
# How an input ends whose arguments are worth another try. Not one that was cancelled, or never taken.
_KINDS: Mapping[int, str] = {
    FailureKind.EXCEPTION: "exception",
    FailureKind.TIMEOUT: "timeout",
    FailureKind.CONTAINER_LOST: "container_lost",
    FailureKind.OUT_OF_MEMORY: "out_of_memory",
    FailureKind.STARTUP: "startup",
    FailureKind.SERIALIZATION: "serialization",
    FailureKind.INTERNAL: "internal",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the function of an input that failed."""

    app_id: str
    app_name: str
    environment: str
    function_name: str
    # Of the app that ran it; 0: it is not deployed.
    version: int
    # The function that hears of it; "": none.
    told_id: str = ""
    # Why none can hear of it though one is named.
    problem: str = ""


Look = Callable[[Input, str], Facts | None]
"""From an input and the revision of the container that ran it ("": none did) to its function's; None: it is gone."""
Mask = Callable[[str, str], str]
"""From an app's id and a text to the text without the app's secrets."""


@dataclass(frozen=True, slots=True)
class Around:
    """What is asked and told of the rest of the service."""

    look: Look
    mask: Mask
    # Queues inputs that are on disk.
    run: Callable[[Sequence[Input]], None]


class Failures:
    """Keeps failed inputs, and has functions told. Until `begin` nothing is kept."""

    def __init__(
        self,
        store: FailedInputStore,
        blobs: BlobStore,
        settings: ReplaySettings,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.blobs = blobs
        self._settings = settings
        self._now = now
        self._around: Around | None = None
        # Inputs by which functions are told, until they are on disk.
        self._telling: dict[str, Input] = {}
        self._tasks = Tasks("failed inputs could not be dropped")
        self._trims = False
        # Called with inputs that have failed for good, when that is on disk.
        self.on_failed: list[Callable[[Sequence[Failed]], None]] = []
        self._rarely = Rarely()

    @classmethod
    def of(cls, database: Database, blobs: BlobStore, environ: Mapping[str, str]) -> "Failures":
        """Return what keeps failed inputs in a database, as the settings say."""
        return cls(FailedInputStore(database), blobs, ReplaySettings.from_environment(environ))

    def begin(self, around: Around) -> None:
        """Keep what fails from now on."""
        self._around = around

    def note(self, item: Input, failure: Failure, container: Container[Input] | None) -> Failed | None:
        """Return what is to be written of an input that failed; None: nothing but its end."""
        kind = _KINDS.get(failure.kind)
        if kind is None or item.is_cancelled or self._around is None:
            return None
        revision = container.pool.plan.load.revision if container is not None else ""
        facts = self._around.look(item, revision)
        if facts is None:
            return None
        size = max(item.payload.size, len(item.payload.data))
        keeps = self._settings.max_inputs > 0 and size <= self._settings.max_bytes
        if not keeps and self._settings.max_inputs and self._rarely.may_tell("large"):
            log.warning(
                "failed input %s is not kept: its arguments have %d bytes, more than replay.max_bytes allows",
                item.input_id,
                size,
            )
        attempts = 1 + item.retries + min(item.losses, 3)
        error = self._around.mask(facts.app_id, _error_of(failure)).partition("\n")[0][:MAX_ERROR]
        told = self._told(item, failure, facts, kind, attempts)
        name = _name_of(item, facts)
        return Failed(item.input_id, facts.app_id, facts.version, failure.kind, error, attempts, keeps, name, told)

    def _told(self, item: Input, failure: Failure, facts: Facts, kind: str, attempts: int) -> InputRow | None:
        """Make the input by which a function hears of a failed one; what it is told is never told of in turn."""
        assert self._around is not None
        if item.call.cause == Cause.TELL:
            return None
        if facts.problem and self._rarely.may_tell(f"on_failure {facts.app_id} {facts.function_name}"):
            log.warning("nobody hears of failed input %s of %s: %s", item.input_id, facts.function_name, facts.problem)
        if not facts.told_id:
            return None
        mask = self._around.mask
        said: dict[str, Any] = {
            "input_id": item.input_id,
            "call_id": item.shown_call_id,
            "index": item.index,
            "app": facts.app_name,
            "app_id": facts.app_id,
            "environment": facts.environment,
            "function": _name_of(item, facts),
            "function_id": item.call.function_id,
            "version": facts.version,
            "kind": kind,
            "error_type": failure.type_name.removeprefix("builtins."),
            "message": mask(facts.app_id, failure.message)[:_MAX_MESSAGE],
            "traceback": mask(facts.app_id, failure.traceback)[-_MAX_TRACEBACK:],
            "attempts": attempts,
            "queued_at": _time_of(item.input_id),
            "failed_at": self._now(),
            "replay_of": item.call.origin,
        }
        data = pickle.dumps(((said,), {}), 5)
        payload = Payload(format=Format.PICKLE, data=data, size=len(data))
        told = made(facts.told_id, payload, "", Cause.TELL, item.input_id)
        self._telling[told.input_id] = told
        return row_of(told)

    def written(self, failed: Sequence[Failed], told_ids: frozenset[str]) -> None:
        """Hear that failed inputs are on disk, and which of those by which functions are told are there and open."""
        for hear in self.on_failed:
            hear(failed)
        told = [self._telling.pop(one.told[0], None) for one in failed if one.told is not None]
        if ready := [item for item in told if item is not None and item.input_id in told_ids]:
            self.run(ready)
        if any(one.keeps for one in failed):
            self._look_at_bounds()

    def run(self, items: Sequence[Input]) -> None:
        """Queue inputs that the service has made itself, and that are on disk."""
        assert self._around is not None
        self._around.run(items)

    # Bounds

    def _look_at_bounds(self) -> None:
        if not self._trims:
            self._trims = True
            self._tasks.spawn(self._trim_soon())

    async def _trim_soon(self) -> None:
        try:
            await self.trim()
        finally:
            self._trims = False

    async def environment_changed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now, or is gone: nothing of such a one is kept."""
        if not new_name:
            for blob_id in (await self.store.drop_environments()).blob_ids:
                self.blobs.delete(blob_id)

    async def trim(self) -> None:
        """Drop what is too old or too much, the oldest first, and say so in the log."""
        bounds = Bounds(self._settings.max_inputs, self._settings.max_bytes, self._settings.keep_ms)
        dropped = await self.store.trim(bounds)
        for blob_id in dropped.blob_ids:
            self.blobs.delete(blob_id)
        if dropped.input_ids:
            named = ", ".join(dropped.input_ids[:5]) + (", …" if len(dropped.input_ids) > 5 else "")
            log.warning(
                "%d failed inputs are kept no longer, the oldest there were (%s): replay.max_inputs, replay.max_bytes "
                "and replay.keep_days say how many are",
                len(dropped.input_ids),
                named,
            )


def made(function_id: str, payload: Payload, method: str, cause: Cause, origin: str) -> Input:
    """Return an input that the service makes itself, in a durable call of its own."""
    call_id = new_id("fc")
    call = Call(call_id, function_id, CallKind.SPAWN, None, "")
    call.cause, call.origin = cause, origin
    return Input(input_of_call(call_id), call, 0, payload, method, int(time.time() * 1000))


def row_of(item: Input) -> InputRow:
    """Return what is written of an input."""
    return (item.input_id, item.call_id, item.call.function_id, item.index, item.payload, item.method)


def _name_of(item: Input, facts: Facts) -> str:
    return f"{facts.function_name}.{item.method}" if item.method else facts.function_name


def _error_of(failure: Failure) -> str:
    kind = failure.type_name.removeprefix("builtins.")
    return f"{kind}: {failure.message}" if kind else failure.message


def _time_of(input_id: str) -> float:
    try:
        return time_of(input_id) / 1000
    except ValueError:
        return 0.0
