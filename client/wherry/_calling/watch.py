"""Waiting for the results of calls made elsewhere or earlier."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from wherry._base.words import counted
from wherry._connection.client import Client
from wherry._connection.session import has_blob
from wherry.exception import ConnectionError, InvalidError, NotFoundError, OutputExpiredError
from wherry_proto.messages import CallState, CallValuesRequest, Output, Yield


class Watch:
    """Watches one call for as long as a `with` block is entered."""

    def __init__(self, client: Client, call_id: str) -> None:
        self._client = client
        self._call_id = call_id

    def __enter__(self) -> Watch:
        self._watched, new = self._client.watches.join(self._call_id)
        try:
            if new:
                self._client.session.open(self._watched)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client.watches.leave(self._watched):
            self._client.session.drop(self._watched)

    def output(self, index: int = 0) -> Future[Output]:
        """Return what completes with the output of that index."""
        return self._watched.output(index)

    def num_inputs(self) -> int:
        """Wait until the service has said it, and return how many inputs the call has."""
        self.check()
        return self._watched.known.result().num_inputs

    @property
    def is_generator(self) -> bool:
        """Whether the call is of a spawned generator; the service has said how the call stands."""
        return self._watched.known.result().is_generator

    def values(self, start: int, end: int | None) -> Iterator[Any]:
        """Yield a spawned generator's values, those to come as well; raise what it raised."""
        index = start
        while True:
            try:
                for value in self._client.stream("Calls.Values", CallValuesRequest(call_id=self._call_id, index=index)):
                    assert isinstance(value, Yield)
                    if end is not None and value.index >= end:
                        return
                    yield self._client.blobs.load(value.payload) if value.payload is not None else None
                    index = value.index + 1
                break
            except ConnectionError:
                # They are kept: from the one that is next, once the service is back.
                if not self._client.await_service():
                    raise
        self.get(None, 0)

    def get(self, timeout: float | None, index: int) -> Any:
        """Return the value of one of the call's inputs, or raise; as `FunctionCall.get`."""
        timeout = _limit(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self.check()
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            self._check_index(index)
            output = self.output(index).result(left)
        except FutureTimeoutError:
            raise self._late(timeout) from None
        return self.value(output)

    async def get_async(self, timeout: float | None, index: int) -> Any:
        """As `get`, without blocking the event loop."""
        timeout = _limit(timeout)
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        try:
            self._check(await asyncio.wrap_future(_follow(self._watched.known)))
            self._check_index(index)
            output = await asyncio.wait_for(asyncio.wrap_future(_follow(self.output(index))), timeout)
        except TimeoutError:
            raise self._late(timeout) from None
        return await asyncio.to_thread(self.value, output) if has_blob(output) else self.value(output)

    def check(self) -> None:
        """Wait until the service has said how the call stands; raise if there is none, or its result has expired."""
        self._check(self._watched.known.result())

    def value(self, output: Output) -> Any:
        """Return the value of an output, or raise its failure."""
        if output.failure is not None:
            raise self._client.failures.of(output)
        return self._client.blobs.load(output.payload) if output.payload is not None else None

    def _check(self, state: CallState) -> None:
        if not state.known:
            raise NotFoundError(f"there is no call {self._call_id}, or it was cancelled or forgotten long ago")
        if state.expired:
            raise OutputExpiredError(f"the result of {self._call_id} is no longer kept")

    def _check_index(self, index: int) -> None:
        count = self._watched.known.result().num_inputs
        if not 0 <= index < max(1, count):
            raise IndexError(f"{self._call_id} has {counted(count, 'input')}: index={index} is none of them")

    def _late(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"{self._call_id} has no result after {timeout:g} s")


def _limit(timeout: float | None) -> float | None:
    """Return the seconds to wait, None: without limit. Raises InvalidError for what is no number."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        raise InvalidError(f"timeout is {timeout!r}: it must be a number of seconds, or None to wait without limit")
    # More than 31 years is more than the system's clocks can wait.
    return max(0.0, timeout) if timeout < 1e9 else None


def gather_values(watches: list[Watch]) -> list[Any]:
    """Wait for all; return their values in order, or raise what the first to fail raised."""
    for watch in watches:
        watch.check()
    by_output = {watch.output(): watch for watch in watches}
    pending = set(by_output)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            if future.result().failure is not None:
                by_output[future].value(future.result())
    return [watch.value(watch.output().result()) for watch in watches]


def _follow(future: Future[Any]) -> Future[Any]:
    """Return a future that completes like this one, and whose cancellation leaves it alone: others may wait for it."""
    own: Future[Any] = Future()

    def copy(done: Future[Any]) -> None:
        if own.cancelled():
            return
        error = done.exception()
        if error is not None:
            own.set_exception(error)
        else:
            own.set_result(done.result())

    future.add_done_callback(copy)
    return own
