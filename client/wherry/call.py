"""Calls that were spawned: handles on their results."""

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wherry._blocking import Bound, blocking
from wherry._calls import WatchedCall
from wherry._client import Client, default_client
from wherry._ids import check_id
from wherry._session import has_blob
from wherry.exception import NotFoundError, OutputExpiredError
from wherry_proto.messages import CallState, Output

if TYPE_CHECKING:
    from collections.abc import Coroutine

R = TypeVar("R")


class FunctionCall(Generic[R]):
    """A call made by `Function.spawn`, here or in another process. (reference: FunctionCall)"""

    def __init__(self, object_id: str, client: Client | None = None) -> None:
        self._call_id = check_id(object_id, "fc", "function call")
        self._known_client = client

    @classmethod
    def _of(cls, client: Client, call_id: str) -> "FunctionCall[Any]":
        return FunctionCall(call_id, client)

    @classmethod
    def from_id(cls, object_id: str, client: Client | None = None) -> "FunctionCall[Any]":
        """Return a handle on the call of that id ("fc-…"); raise InvalidError when it is no such id.

        (reference: FunctionCall.from_id)
        """
        return FunctionCall(object_id, client)

    @property
    def object_id(self) -> str:
        """The id, "fc-…"."""
        return self._call_id

    @blocking
    def get(self, timeout: float | None = None) -> R:
        """Return the call's value, or raise what it raised; repeatable.

        `timeout` is in seconds: None waits, 0 polls once. Raises the builtin TimeoutError when the value is not there
        in time, OutputExpiredError when it is no longer kept, NotFoundError when there is no such call.
        (reference: FunctionCall.get)
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        watch = self._watch()
        try:
            self._check(watch.known.result())
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            output = watch.output.result(left)
        except FutureTimeoutError:
            raise TimeoutError(f"{self._call_id} has no result after {timeout:g} s") from None
        finally:
            self._leave(watch)
        return self._value(output)

    @get.awaiting
    async def _get_aio(self, timeout: float | None = None) -> R:
        import asyncio  # the caller has it already

        watch = await asyncio.to_thread(self._watch)
        try:
            # Shielded, since others may wait for the same futures.
            self._check(await asyncio.shield(asyncio.wrap_future(_follow(watch.known))))
            output = await asyncio.wait_for(asyncio.wrap_future(_follow(watch.output)), timeout)
        except TimeoutError:
            raise TimeoutError(f"{self._call_id} has no result after {timeout:g} s") from None
        finally:
            self._leave(watch)
        return await asyncio.to_thread(self._value, output) if has_blob(output) else self._value(output)

    @blocking
    def cancel(self, terminate_containers: bool = False) -> None:
        """End the call: waiting inputs are dropped, running ones interrupted. (reference: FunctionCall.cancel)"""
        self._client.session.cancel_id(self._call_id, terminate_containers)

    @staticmethod
    def gather(*function_calls: "FunctionCall[Any]") -> list[Any]:
        """As `wherry.gather`."""
        return _gather(*function_calls)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionCall) and other._call_id == self._call_id

    def __hash__(self) -> int:
        return hash(self._call_id)

    def __repr__(self) -> str:
        return f"FunctionCall({self._call_id!r})"

    def __reduce__(self) -> Any:
        return FunctionCall, (self._call_id,)

    @property
    def _client(self) -> Client:
        if self._known_client is None:
            self._known_client = default_client(f"the call {self._call_id}")
        return self._known_client

    def _watch(self) -> WatchedCall:
        client = self._client
        watch, new = client.watches.join(self._call_id)
        if new:
            client.session.open(watch)
        return watch

    def _leave(self, watch: WatchedCall) -> None:
        if self._client.watches.leave(watch):
            self._client.session.drop(watch)

    def _check(self, state: CallState) -> None:
        if not state.known:
            raise NotFoundError(f"there is no call {self._call_id}, or it was cancelled or forgotten long ago")
        if state.expired:
            raise OutputExpiredError(f"the result of {self._call_id} is no longer kept")

    def _value(self, output: Output) -> R:
        client = self._client
        if output.failure is not None:
            raise client.failures.exception(output.failure)
        value: Any = client.blobs.load(output.payload) if output.payload is not None else None
        result: R = value
        return result


def _gather(*function_calls: FunctionCall[Any]) -> list[Any]:
    """Wait for all calls; return their values in the order of the arguments, or raise what the first to fail raised."""
    watches: list[WatchedCall] = []
    try:
        for call in function_calls:
            watches.append(call._watch())
        for call, watch in zip(function_calls, watches, strict=True):
            call._check(watch.known.result())
        calls: dict[Future[Output], FunctionCall[Any]] = dict(
            zip((watch.output for watch in watches), function_calls, strict=True)
        )
        pending = set(calls)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                if future.result().failure is not None:
                    calls[future]._value(future.result())
        return [call._value(watch.output.result()) for call, watch in zip(function_calls, watches, strict=True)]
    finally:
        for call, watch in zip(function_calls, watches, strict=False):
            call._leave(watch)


def _follow(future: "Future[Any]") -> "Future[Any]":
    """Return a future that completes like this one, and whose cancellation leaves it alone."""
    own: Future[Any] = Future()

    def copy(done: "Future[Any]") -> None:
        if own.done():
            return
        error = done.exception()
        if error is not None:
            own.set_exception(error)
        else:
            own.set_result(done.result())

    future.add_done_callback(copy)
    return own


def _bind(function: "Callable[..., list[Any]]") -> "Bound[..., list[Any]]":
    awaiting: Callable[..., Coroutine[Any, Any, list[Any]]] | None = None
    return Bound((), function, awaiting)


gather = _bind(_gather)
