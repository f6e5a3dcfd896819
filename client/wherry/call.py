"""Calls that were spawned: handles on their results."""

from __future__ import annotations

from wherry._base.blocking import Bound, blocking, blocking_classmethod, iterating
from wherry._base.hints import TYPE_CHECKING, Any, Generic, TypeVar
from wherry._base.ids import check_id
from wherry._base.object import Object, given
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry._calling.call_values import CallValues
    from wherry._calling.watch import Watch
    from wherry._connection.client import Client
    from wherry.call_graph import InputInfo

R = TypeVar("R")


class FunctionCall(Object, Generic[R]):
    """A call made by `Function.spawn`, here or in another process. (reference: FunctionCall)"""

    def __init__(self, object_id: str, client: Client | None = None) -> None:
        self._call_id = check_id(object_id, "fc", "function call")
        self._known_client = client

    @classmethod
    def _of(cls, client: Client, call_id: str) -> FunctionCall[Any]:
        return FunctionCall(call_id, client)

    @blocking_classmethod
    def from_id(
        cls, function_call_id: str | None = None, client: Client | None = None, *, object_id: str | None = None
    ) -> FunctionCall[Any]:
        """Return a handle on the call of that id ("fc-…"); raise InvalidError when it is no such id.

        `FunctionCall[float]("fc-…")` does the same, and tells type checkers what the call gives.
        `object_id` is the older name of `function_call_id`. (reference: FunctionCall.from_id)
        """
        return FunctionCall(
            given("FunctionCall.from_id", function_call_id=function_call_id, object_id=object_id), client
        )

    @property
    def object_id(self) -> str:
        """The id, "fc-…"."""
        return self._call_id

    @blocking
    def get(self, timeout: float | None = None, *, index: int = 0) -> R:
        """Return the call's value, or raise what it raised; repeatable. `index`: which input's, of a `spawn_map`.

        `timeout` is in seconds: None waits, 0 polls once. Raises the builtin TimeoutError when the value is not there
        in time, OutputExpiredError when it is no longer kept, NotFoundError when there is no such call.
        (reference: FunctionCall.get)
        """
        with self.watch() as watch:
            value: R = watch.get(timeout, index)
            return value

    @get.awaiting
    async def _get_aio(self, timeout: float | None = None, *, index: int = 0) -> R:
        from wherry._base.waiting import entered_in_thread  # noqa: PLC0415 - start-up cost: loads asyncio

        watch = self.watch()
        await entered_in_thread(watch)
        try:
            value: R = await watch.get_async(timeout, index)
            return value
        finally:
            watch.__exit__()

    @blocking
    def num_inputs(self) -> int:
        """Return how many inputs the call has. (reference: FunctionCall.num_inputs)"""
        with self.watch() as watch:
            return watch.num_inputs()

    @iterating
    def iter(self, start: int = 0, end: int | None = None) -> CallValues[R]:
        """Iterate the values of the inputs from `start` to `end`, in order, as they come; raise what one raised.

        Of a spawned generator: what it has yielded and yields, from number `start` to `end`, and then what it raised.
        (reference: FunctionCall.iter)
        """
        from wherry._calling.call_values import CallValues  # noqa: PLC0415 - start-up cost: loads the session

        return CallValues(self.watch, start, end)

    @blocking
    def cancel(self, terminate_containers: bool = False) -> None:
        """End the call: waiting inputs are dropped, running ones interrupted. (reference: FunctionCall.cancel)"""
        self._client.session.cancel_id(self._call_id, terminate_containers)

    @blocking
    def retry(self, *, version: str = "newest") -> list[FunctionCall[R]]:
        """Run what has failed of the call again; return the new calls, one for each input, in that order.

        On the "newest" version of the function, or on the one that "failed". Raises NotFoundError where nothing that
        failed is kept, and InvalidError, which says why, where an input can't run again. In a container, an input
        that is another run of one already is not run again.
        """
        from wherry._calling.replaying import call_ids_of, kept_of_call, run_again, version_of  # noqa: PLC0415 - start-up cost: loads the messages

        number = version_of(version)
        # Kept the latest first.
        ids = [one.input_id for one in sorted(kept_of_call(self._client, self._call_id), key=lambda one: one.index)]
        return [self._of(self._client, one) for one in call_ids_of(list(run_again(self._client, ids, number)))]

    @blocking
    def arguments(self, *, index: int | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the args and kwargs of a failed input that is kept; `index`: which input's, of a `spawn_map`.

        Raises NotFoundError where it is not kept, DeserializationError where they can't be read here, and InvalidError
        where several have failed and no index is given. Code in a container may not ask.
        """
        from wherry._calling.replaying import arguments, kept_of_call, loaded  # noqa: PLC0415 - start-up cost: as above

        found = [one for one in kept_of_call(self._client, self._call_id) if index in (None, one.index)]
        if len(found) != 1:
            what = "none has that index" if not found else "say which with index="
            raise InvalidError(f"{len(found)} failed inputs of {self._call_id} are kept: {what}")
        return loaded(self._client, arguments(self._client, found[0].input_id, bare=True))

    @blocking
    def get_call_graph(self) -> list[InputInfo]:
        """Return the graph that the call is part of, as it is now: inputs, each with those of the calls that it made.

        It begins with the call's own inputs, or with the request or input that led to the call. Raises NotFoundError
        when there is no such call. (reference: FunctionCall.get_call_graph)
        """
        from wherry.call_graph import roots_of  # noqa: PLC0415 - start-up cost: loads the messages
        from wherry_proto.messages import CallGraph, CallGraphRequest  # noqa: PLC0415 - start-up cost: as above

        return roots_of(self._client.call("Calls.Graph", CallGraphRequest(call_id=self._call_id), CallGraph))

    @blocking_classmethod
    def gather(cls, *function_calls: FunctionCall[Any]) -> list[Any]:
        """Wait for all calls; return their values in that order, or raise what the first to fail raised.

        (reference: FunctionCall.gather)
        """
        return _gather(*function_calls)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionCall) and other._call_id == self._call_id

    def __hash__(self) -> int:
        return hash(self._call_id)

    def __repr__(self) -> str:
        return f"FunctionCall({self._call_id!r})"

    def __reduce__(self) -> Any:
        return FunctionCall, (self._call_id,)

    def __wherry_find__(self, client: Client | None) -> None:
        if client is not None:
            self._known_client = client
        with self.watch() as watch:
            watch.check()

    def __wherry_known__(self) -> bool:
        return True

    def watch(self) -> Watch:
        """Inside wherry: return what waits for it, once it is entered."""
        from wherry._calling.watch import Watch  # noqa: PLC0415 - start-up cost: loads the session; a handle alone must travel without it

        return Watch(self._client, self._call_id)

    @property
    def _client(self) -> Client:
        if self._known_client is None:
            from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session

            self._known_client = default_client()
        return self._known_client


def _gather(*function_calls: FunctionCall[Any]) -> list[Any]:
    """Wait for all calls; return their values in the order of the arguments, or raise what the first to fail raised.

    (reference: gather)
    """
    import contextlib  # noqa: PLC0415 - start-up cost: not needed by a handle that only travels

    for call in function_calls:
        if not isinstance(call, FunctionCall):
            raise InvalidError(f"gather got {call!r}: it takes what .spawn() returns, each as an argument of its own")
    from wherry._calling.watch import gather_values  # noqa: PLC0415 - start-up cost: loads the session

    with contextlib.ExitStack() as stack:
        return gather_values([stack.enter_context(call.watch()) for call in function_calls])


gather: Bound[..., list[Any]] = Bound((), _gather, None)
