"""Calls that are watched: made elsewhere or earlier, by whoever waits for what becomes of them."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future

from wherry.exception import Error, RemoteError
from wherry_proto.messages import CallState, CallWatch, Output, SessionUp, Yield


class WatchedCall:
    """A call made elsewhere or earlier. `known` completes with how it stands, each of its outputs as it arrives."""

    takes_outputs = False
    name = ""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.known: Future[CallState] = Future()
        self._outputs: dict[int, Future[Output]] = {}
        self._error: Error | None = None
        self._lock = threading.Lock()
        # How many threads wait for it; guarded by the lock of `Watches`.
        self.waiting = 0

    def offer(self) -> Iterable[SessionUp]:
        return (SessionUp(watches=[CallWatch(call_id=self.call_id)]),)

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        for output in outputs:
            future = self.output(output.index)
            if not future.done():
                future.set_result(output)

    def output(self, index: int) -> Future[Output]:
        """Return what completes with the output of that index."""
        with self._lock:
            future = self._outputs.setdefault(index, Future())
            error = self._error
        if error is not None and not future.done():
            future.set_exception(error)
        return future

    def state(self, state: CallState) -> None:
        if not self.known.done():
            self.known.set_result(state)
        elif not state.known:
            # Known once, and forgotten by a service that has restarted: nothing will come.
            self._fail_outputs(RemoteError(f"the service no longer knows {self.call_id}, after a restart"))

    def _fail_outputs(self, error: Error) -> None:
        with self._lock:
            self._error = error
            waiting = [future for future in self._outputs.values() if not future.done()]
        for future in waiting:
            future.set_exception(error)

    def accepted(self, input_id: str) -> None:
        """Nothing depends on it."""

    def unconfirmed(self) -> Iterable[str]:
        return ()

    def fail(self, error: Error) -> None:
        if not self.known.done():
            self.known.set_exception(error)
        self._fail_outputs(error)


class Watches:
    """The calls that are watched now: one watch serves all threads that wait for the same call."""

    def __init__(self) -> None:
        self._by_id: dict[str, WatchedCall] = {}
        self._lock = threading.Lock()

    def join(self, call_id: str) -> tuple[WatchedCall, bool]:
        """Return the watch of a call, and whether it is new and must be opened."""
        with self._lock:
            watch = self._by_id.get(call_id)
            new = watch is None
            if watch is None:
                watch = self._by_id[call_id] = WatchedCall(call_id)
            watch.waiting += 1
            return watch, new

    def leave(self, watch: WatchedCall) -> bool:
        """Return whether nobody is left, so that the watch must be dropped."""
        with self._lock:
            watch.waiting -= 1
            if watch.waiting:
                return False
            self._by_id.pop(watch.call_id, None)
            return True
