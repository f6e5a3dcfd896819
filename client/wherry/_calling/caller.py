"""Calls a running function: arguments to messages, onto the session, and answers back to values."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._base.ids import check_id, new_id
from wherry._calling.calls import LoneCall, SpawnedCall
from wherry._calling.opening import Opening
from wherry._calling.pump import Pump, fits_at_once, zip_async, zip_rows
from wherry._calling.results import GeneratorResults, Opened, Results
from wherry._calling.spawned_map import SpawnedMap
from wherry._calling.stream_call import StreamCall
from wherry._connection import pickling
from wherry._connection.client import default_client
from wherry._connection.session import has_blob
from wherry.context import current_input_id
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    CallKind,
    CallStart,
    Format,
    FunctionInfo,
    FunctionLookupRequest,
    Input,
    Output,
    Payload,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Caller:
    """A function that runs, bound to the client that calls it.

    `by_reference`: what `__main__` defines is in the source that was shipped, whose root here is `local_root`.
    """

    def __init__(
        self,
        client: "Client",
        info: FunctionInfo,
        *,
        by_reference: bool = False,
        local_root: Path | None = None,
    ) -> None:
        self.client = client
        self.function_id = info.function_id
        self.app_id = info.app_id
        self.environment = info.environment
        self.name = info.name
        self.is_generator = info.is_generator
        # Of a class: which of its methods yield values; and the one that is called.
        self.methods = {method.name: method.is_generator for method in info.methods}
        self.method = ""
        # Where it answers requests, "": it is no web endpoint; and the same of the methods.
        self.web_url = info.web_url
        self._method_urls = {method.name: method.web_url for method in info.methods if method.web_url}
        self._by_reference = by_reference
        self._local_root = local_root

    def like(self, info: FunctionInfo) -> "Caller":
        """Return who calls another function of the same source."""
        return Caller(self.client, info, by_reference=self._by_reference, local_root=self._local_root)

    def of_method(self, name: str) -> "Caller":
        """Return who calls one of the class's methods."""
        caller = copy.copy(self)
        caller.method = name
        caller.name = f"{self.name}.{name}"
        caller.is_generator = self.methods[name]
        caller.web_url = self._method_urls.get(name, "")
        return caller

    # One input

    def remote(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it with one input and wait; return its value, or raise what it raised."""
        session, call = self.client.session, self._lone((args, kwargs))
        try:
            session.open(call)
            return self._value(call, call.future.result())
        except BaseException:
            # Of one that has been answered nothing is left to cancel.
            session.cancel(call)
            raise

    async def remote_async(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As `remote`, without blocking the event loop; being cancelled ends the call."""
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        if self.client.is_connected and not pickling.is_large((args, kwargs)):
            call = self._lone((args, kwargs))
        else:
            # Until it is open nobody can cancel it: it is opened here, not in the thread, which may outlive us.
            call = await asyncio.to_thread(self._lone, (args, kwargs))
        session = self.client.session
        try:
            session.open(call)
            output = await asyncio.wrap_future(call.future)
            if has_blob(output):
                return await asyncio.to_thread(self._value, call, output)
            return self._value(call, output)
        except BaseException:
            # As above.
            session.cancel(call)
            raise

    def spawn(self, args: tuple[Any, ...], kwargs: dict[str, Any], opening: Opening) -> str:
        """Return the id of the call, once it is on the service's disk."""
        start, first = self._one(CallKind.SPAWN, (args, kwargs))
        call = SpawnedCall(start, first, self.name)
        session = self.client.session
        try:
            session.confirm(first.input_id, call)
            opening.open(session, call)
            call.stored.result()
            session.drop(call)
        except BaseException:
            session.cancel(call)
            raise
        return call.call_id

    def spawn_map(self, iterables: tuple[Any, ...], kwargs: dict[str, Any], opening: Opening) -> str:
        """Return the id of the call, once all its inputs are on the service's disk."""
        _check_kwargs(f"{self.name}.spawn_map", kwargs)
        session = self.client.session
        call = SpawnedMap(self._call_start(CallKind.SPAWN_MAP), session.send, session.confirm, self.name)
        try:
            opening.open(session, call)
            pump = Pump(call, lambda row: self.encode((row, kwargs)), session.send, self.method)
            pump.run(zip_rows(iterables))
            call.stored.result()
            if not call.num_inputs:
                raise InvalidError(f"{self.name}.spawn_map got no inputs: there is nothing to run")
        except BaseException as error:
            session.cancel(call)
            call.fail(error)
            raise
        session.drop(call)
        return call.call_id

    def _call_start(self, kind: int) -> CallStart:
        parent = current_input_id() or ""
        return CallStart(call_id=new_id("fc"), function_id=self.function_id, kind=kind, parent_input_id=parent)

    def _lone(self, arguments: Arguments) -> LoneCall:
        """Return a call that is not open yet; the session is, where this was called in a thread."""
        start, first = self._one(CallKind.REMOTE, arguments)
        _ = self.client.session
        return LoneCall(start, first, self.name)

    def _one(self, kind: int, arguments: Arguments) -> tuple[CallStart, Input]:
        start = self._call_start(kind)
        payload = self.encode(arguments)
        # The letters and digits of a call's one input are the call's: the service then knows either by the other.
        return start, Input(
            input_id=f"in-{start.call_id[3:]}", call_id=start.call_id, payload=payload, method=self.method
        )

    def _value(self, call: LoneCall, output: Output) -> Any:
        session = self.client.session
        if not has_blob(output):
            session.drop(call)
        try:
            if output.failure is not None:
                raise self.failure(output)
            return self.client.blobs.load(output.payload) if output.payload is not None else None
        finally:
            if has_blob(output):
                # Not before it is read: a connection that breaks has the output sent again, and of a call that nobody
                # has open it is acknowledged at once, which deletes the blob.
                session.drop(call)
                session.take([output.input_id])

    # Many

    def open_generator(self, arguments: Arguments, opening: Opening) -> Opened:
        """Begin a call whose values are iterated."""
        start, first = self._one(CallKind.GENERATOR, arguments)
        call = StreamCall(start, self.name)
        call.add(first)
        call.end_inputs(1)
        session = self.client.session
        try:
            opening.open(session, call)
            return Opened(self.client, call, self.failure)
        except BaseException:
            session.cancel(call)
            raise

    def open_map(
        self, iterables: tuple[Any, ...], kwargs: dict[str, Any], opening: Opening, *, spread: bool, on_loop: bool
    ) -> Opened:
        """Begin a map. `spread`: each row holds one sequence of arguments. `on_loop`: an event loop will consume it."""
        call = StreamCall(self._call_start(CallKind.MAP), self.name, yields=self.is_generator)
        session = self.client.session

        def encode(row: tuple[Any, ...]) -> Payload:
            return self.encode((tuple(row[0]) if spread else row, kwargs))

        call.offer_again_by(session.send)
        pump = Pump(call, encode, session.send, self.method)
        total = _total(iterables)
        try:
            opening.open(session, call)
            if on_loop and any(hasattr(item, "__aiter__") for item in iterables):
                # Asynchronous iterators belong to the consumer's loop.
                return Opened(self.client, call, self.failure, pump=pump, rows=zip_async(iterables), total=total)
            pump.start(zip_rows(iterables), inline=fits_at_once(iterables))
            return Opened(self.client, call, self.failure, total=total)
        except BaseException:
            session.cancel(call)
            call.close()
            raise

    # Values

    def encode(self, arguments: Arguments) -> Payload:
        """Pickle arguments: inline up to 1 MiB, as a blob beyond. Raises SerializationError that names the culprit."""
        by_reference = self._by_reference
        try:
            if pickling.is_large(arguments):
                return self.client.blobs.put(lambda file: pickling.dump(arguments, file, by_reference))
            data = pickling.dumps(arguments, by_reference)
        except pickling.UNPICKLABLE as error:
            raise pickling.unpicklable(arguments, self.name, error) from error
        if len(data) > pickling.INLINE_LIMIT:
            return self.client.blobs.put_bytes(data)
        return Payload(format=Format.PICKLE, data=data, size=len(data))

    def failure(self, output: Output) -> BaseException:
        """Return the exception to raise for an output that is a failure."""
        return self.client.failures.of(output, self._local_root)


def map_results(
    name: str,
    resolve: Callable[[], Caller],
    iterables: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    spread: bool,
    generator: bool,
    ordered: bool,
    return_exceptions: bool,
    wrap_exceptions: bool | None,
) -> Results[Any]:
    """Return the results of a map that begins when they are first asked for."""
    _check_kwargs(name, kwargs)
    kind = GeneratorResults if generator else Results
    return kind(
        name,
        lambda opening, on_loop: resolve().open_map(iterables, kwargs, opening, spread=spread, on_loop=on_loop),
        ordered=ordered and not generator,
        return_exceptions=return_exceptions,
        wrap_exceptions=wrap_exceptions,
    )


def generator_results(
    name: str, ready: Callable[[], Caller], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Results[Any]:
    """Return the values of a generator that begins when they are first asked for."""
    return GeneratorResults(
        f"{name}.remote_gen", lambda opening, on_loop: ready().open_generator((args, kwargs), opening)
    )


def look_up(
    app_name: str, name: str, environment: str | None, client: "Client | None", version: int | None = None
) -> Caller:
    """Find a function, or a class, or as `Class.method` one of its methods, by names; raise NotFoundError.

    With a version, as it was in that one of the deployed app; raise InvalidError for what is no version.
    """
    if version is not None and (isinstance(version, bool) or not isinstance(version, int) or version < 1):
        raise InvalidError(f"version is {version!r}: it must be a number from 1, as `wherry app history` shows them")
    client = client or default_client()

    def found(own: str) -> Caller:
        request = FunctionLookupRequest(
            app_name=app_name, name=own, environment=environment or client.environment, version=version or 0
        )
        return Caller(client, client.call("Functions.Lookup", request, FunctionInfo))

    try:
        return found(name)
    except NotFoundError:
        class_name, _, method = name.rpartition(".")
        if not class_name:
            raise
        caller = found(class_name)
        if method not in caller.methods:
            raise
        return caller.of_method(method)


def look_up_own(app_name: str, name: str) -> Caller:
    """Find a function of the app that this container belongs to, or of another that its modules define."""
    client = default_client()
    return Caller(
        client,
        client.call("Functions.Lookup", FunctionLookupRequest(app_name=app_name, name=name, is_own=True), FunctionInfo),
    )


def look_up_id(function_id: str, client: "Client | None", method: str = "") -> Caller:
    """Find a function by its id; raise NotFoundError, or InvalidError when it is not the id of a function."""
    check_id(function_id, "fu", "function")
    client = client or default_client()
    found = Caller(
        client, client.call("Functions.Lookup", FunctionLookupRequest(function_id=function_id), FunctionInfo)
    )
    return found.of_method(method) if method else found


def _total(iterables: tuple[Any, ...]) -> int | None:
    """How many rows there will be, where that can be told beforehand."""
    lengths = [len(item) for item in iterables if type(item) in (list, tuple, range, str, bytes, dict, set, frozenset)]
    return min(lengths) if len(lengths) == len(iterables) else None


def _check_kwargs(what: str, kwargs: Any) -> None:
    if not isinstance(kwargs, dict):
        raise InvalidError(f"{what}: kwargs is {kwargs!r}: it must be a dict of arguments, which all inputs get")
