"""Functions: handles on code that runs in containers."""

# large: its methods are those of the reference, each with its `.aio` form beside it
from __future__ import annotations

from wherry._base.blocking import blocking, blocking_classmethod, iterating
from wherry._base.hints import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from wherry._base.object import Object, given
from wherry._calling.callee import Callee, Derived, Target, by_id, by_name, own_by_name
from wherry._calling.owner import Own
from wherry._calling.scaling import Scaling
from wherry.context import is_local
from wherry.exception import DeprecationError, ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable
    from datetime import datetime, timedelta

    from wherry._calling.caller import Caller
    from wherry._calling.opening import Opening
    from wherry._calling.owner import Owner
    from wherry._calling.results import Results
    from wherry._calling.typed import generating, mapping, starring, visiting
    from wherry._calling.variants import Changes
    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry.call import FunctionCall
    from wherry.types import FunctionInfo
else:
    generating = mapping = starring = iterating
    visiting = blocking

P = ParamSpec("P")
R = TypeVar("R")
# What the plain function gives where it is called, as `local` does: of coroutine functions a coroutine.
L = TypeVar("L", default=R)


# large: its methods are those of the reference, each with its `.aio` form beside it
class Function(Object, Scaling["Function[P, R, L]"], Generic[P, R, L]):
    """A handle on a function that runs in containers; made by `@app.function()`, `from_name` or `lookup`.

    (reference: Function)
    """

    def __init__(
        self,
        name: str,
        *,
        owner: Owner | None = None,
        definition: Definition | None = None,
        callee: Callee | None = None,
    ) -> None:
        self._name = name
        # Inside wherry: the app that defines it, how it is defined (None for both: it was looked up), and who finds it.
        self.owner = owner
        self.definition = definition
        self.callee = callee or Own(name, definition.module_name if definition is not None else "FILE", owner)
        if definition is not None:
            self.__doc__ = definition.function.__doc__
            self.__name__ = name
            self.__module__ = definition.function.__module__
            self.__wrapped__ = definition.function
        self._target = Target(name, definition, self.callee)

    if TYPE_CHECKING:

        def __wherry_signature__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
            """Tell type checkers, which check inputs by it, what the function takes and gives."""
            raise NotImplementedError

    # Calling

    @blocking
    def remote(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in a container, wait without limit and return its value; raise what it raised.

        Raises InvalidError on a generator function. Ctrl-C cancels the call. (reference: Function.remote)
        """
        value: R = self._target.ready("remote", generator=False).remote(args, kwargs)
        return value

    @remote.awaiting
    async def _remote_aio(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        caller = self.callee.known()
        if caller is None:
            import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

            caller = await asyncio.to_thread(self._target.ready, "remote", generator=False)
        else:
            self._target.check("remote", caller, generator=False)
        value: R = await caller.remote_async(args, kwargs)
        return value

    @generating
    def remote_gen(self, /, *args: P.args, **kwargs: P.kwargs) -> Results[Any]:
        """Run the generator function in a container; iterate its values as they come, with `for` or `async for`.

        Dropping the iterator early ends the remote generator. Raises InvalidError on a function that is no generator.
        (reference: Function.remote_gen)
        """
        if self.definition is not None:
            self._target.check("remote_gen", None, generator=True)
        from wherry._calling.caller import generator_results  # noqa: PLC0415 - start-up cost: loads the session

        return generator_results(self._name, lambda: self._target.ready("remote_gen", generator=True), args, kwargs)

    @mapping
    def map(
        self,
        *input_iterators: Iterable[Any] | AsyncIterable[Any],
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
        order_outputs: bool | None = None,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> Results[R]:
        """Run the function once for each row of the zipped iterators; iterate the results as they come.

        In the order of the inputs unless `order_outputs=False`. The first failing output raises, and what has not
        begun is cancelled; with `return_exceptions=True` exceptions come in place: each is the function's own, and
        passes for a `UserCodeException` with itself as `exc`, too. `wrap_returned_exceptions=True` puts them into
        objects of that class, `False` leaves them unmarked. Over a generator function it is a flat map, unordered;
        there `order_outputs=True` raises ValueError. (reference: Function.map)
        """
        if not input_iterators:
            raise InvalidError(f"{self._name}.map needs at least one iterable of inputs")
        return self._target.map(
            "map", input_iterators, kwargs, order_outputs, return_exceptions, wrap_returned_exceptions
        )

    @starring
    def starmap(
        self,
        input_iterator: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]],
        *,
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
        order_outputs: bool | None = None,
        return_exceptions: bool = False,
        wrap_returned_exceptions: bool | None = None,
    ) -> Results[R]:
        """Like `map`, but each input is a sequence of arguments. (reference: Function.starmap)"""
        return self._target.map(
            "starmap", (input_iterator,), kwargs, order_outputs, return_exceptions, wrap_returned_exceptions
        )

    @visiting
    def for_each(
        self,
        *input_iterators: Iterable[Any] | AsyncIterable[Any],
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
        ignore_exceptions: bool = False,
    ) -> None:
        """Run the function for all inputs and wait; return nothing. (reference: Function.for_each)"""
        for _ in self.map(*input_iterators, kwargs=kwargs, order_outputs=False, return_exceptions=ignore_exceptions):
            pass

    @for_each.awaiting
    async def _for_each_aio(
        self,
        *input_iterators: Iterable[Any] | AsyncIterable[Any],
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
        ignore_exceptions: bool = False,
    ) -> None:
        async for _ in self.map(
            *input_iterators, kwargs=kwargs, order_outputs=False, return_exceptions=ignore_exceptions
        ):
            pass

    @blocking
    def spawn(self, /, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        """Start a call and return when the service has it on disk; its result is kept for 7 days.

        (reference: Function.spawn)
        """
        from wherry._calling.opening import Opening  # noqa: PLC0415 - start-up cost: loaded with the session

        return self._spawned(args, kwargs, Opening())

    @spawn.awaiting
    async def _spawn_aio(self, /, *args: P.args, **kwargs: P.kwargs) -> FunctionCall[R]:
        from wherry._calling.opening import opened_in_thread  # noqa: PLC0415 - start-up cost: as above

        return await opened_in_thread(lambda opening: self._spawned(args, kwargs, opening))

    def _spawned(self, args: tuple[Any, ...], kwargs: dict[str, Any], opening: Opening) -> FunctionCall[R]:
        from wherry.call import FunctionCall  # noqa: PLC0415 - start-up cost: below us only in time: its handles are made here

        caller = self._target.ready("spawn", generator=None)
        return FunctionCall(caller.spawn(args, kwargs, opening), caller.client)

    @blocking
    def spawn_map(
        self,
        *input_iterators: Iterable[Any] | AsyncIterable[Any],
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
    ) -> FunctionCall[R]:
        """Start a call with an input for each row of the zipped iterators; return when all are on the service's disk.

        Its results are kept for 7 days: `get(index=)`, `iter()`. Each input is a call of its own, too, with the id that
        `current_function_call_id()` gives in it. (reference: Function.spawn_map)
        """
        from wherry._calling.opening import Opening  # noqa: PLC0415 - start-up cost: as above

        return self._spawned_map(input_iterators, kwargs, Opening())

    @spawn_map.awaiting
    async def _spawn_map_aio(
        self,
        *input_iterators: Iterable[Any] | AsyncIterable[Any],
        kwargs: dict[str, Any] = {},  # noqa: B006 - the reference's signature; never changed
    ) -> FunctionCall[R]:
        from wherry._calling.opening import opened_in_thread  # noqa: PLC0415 - start-up cost: as above

        return await opened_in_thread(lambda opening: self._spawned_map(input_iterators, kwargs, opening))

    experimental_spawn_map = spawn_map

    def _spawned_map(
        self, input_iterators: tuple[Any, ...], kwargs: dict[str, Any], opening: Opening
    ) -> FunctionCall[R]:
        if not input_iterators:
            raise InvalidError(f"{self._name}.spawn_map needs at least one iterable of inputs")
        from wherry.call import FunctionCall  # noqa: PLC0415 - start-up cost: as above

        caller = self._target.ready("spawn_map", generator=False)
        return FunctionCall(caller.spawn_map(input_iterators, kwargs, opening), caller.client)

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Old name of `remote` and `remote_gen`. (reference: Function.call)"""
        new = "remote_gen" if self.is_generator else "remote"
        import warnings  # noqa: PLC0415 - start-up cost: only for old names

        warnings.warn(f"{self._name}.call is now called {new}", DeprecationError, stacklevel=2)
        return self.remote_gen(*args, **kwargs) if self.is_generator else self.remote(*args, **kwargs)

    def local(self, /, *args: P.args, **kwargs: P.kwargs) -> L:
        """Run the plain function, here. Raises ExecutionError without its source. (reference: Function.local)"""
        return self.get_raw_f()(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise InvalidError: a function is called by `.remote()` or `.local()`."""
        remote = "remote_gen" if self.definition is not None and self.definition.is_generator else "remote"
        raise InvalidError(
            f"{self._name} is a wherry function and can't be called like a plain one: "
            f"use {self._name}.{remote}(...) to run it in a container, or {self._name}.local(...) to run it here"
        )

    def shell(self, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Open a shell, with this process's terminal, in a container like the function's; arguments have no effect.

        The container is removed when the shell ends. Raises InvalidError without a terminal, ExecutionError where the
        function's source is not here. (reference: Function.shell)
        """
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: only here
        from wherry._publish.shell import open_shell  # noqa: PLC0415 - start-up cost: as above

        open_shell(default_client(), self.app.__wherry_owner__.plan(), self.written)

    # Finding

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str | None = None,
        namespace: Any = None,
        environment_name: str | None = None,
        version: int | None = None,
        client: Client | None = None,
        *,
        tag: str | None = None,
    ) -> Function[..., Any]:
        """Return a handle on a function of a running or deployed app; it is looked up when first used.

        `version` pins it to what it was in that version of the deployed app; `tag` is the older name of `name`.
        (reference: Function.from_name)
        """
        own = given("Function.from_name", name=name, tag=tag) if name or tag else app_name
        return Function(own, callee=by_name(app_name, own, environment_name, client, version))

    @blocking_classmethod
    def lookup(
        cls,
        app_name: str,
        name: str | None = None,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        version: int | None = None,
        *,
        tag: str | None = None,
    ) -> Function[..., Any]:
        """Return a function of a running or deployed app; raise NotFoundError, with near names, if there is none.

        The parameters are those of `from_name`. (reference: Function.lookup)
        """
        found: Function[..., Any] = Function.from_name(
            app_name, name, namespace, environment_name, version, client, tag=tag
        )
        found.callee.resolved()
        return found

    @blocking_classmethod
    def from_id(
        cls, function_id: str | None = None, client: Client | None = None, *, object_id: str | None = None
    ) -> Function[..., Any]:
        """Return the function of that id ("fu-…"); raise NotFoundError, or InvalidError if it is no such id.

        `object_id` is the older name of `function_id`. (reference: Function.from_id)
        """
        callee = by_id(given("Function.from_id", function_id=function_id, object_id=object_id), client)
        return Function(callee.resolved().name, callee=callee)

    @classmethod
    def persist(cls, *args: Any, **kwargs: Any) -> None:
        """Raise InvalidError: functions can't be persisted. (reference: Function.persist)"""
        raise InvalidError("Function.persist is gone: deploy the app, and use Function.from_name")

    @blocking
    def retry_failed(
        self,
        *,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        error: str = "",
        version: str = "newest",
    ) -> list[FunctionCall[R]]:
        """Run spawned and scheduled inputs again that have failed and were not run again yet; return the new calls.

        Those that failed from `since` on and before `until` (a timedelta: so long ago), with `error` in their error's
        first line. On the "newest" version, or on the one that "failed". Raises InvalidError where some can't run
        again: the others do.
        """
        from wherry._calling.replaying import retry_failed  # noqa: PLC0415 - start-up cost: loads the messages
        from wherry.call import FunctionCall  # noqa: PLC0415 - start-up cost: as above

        caller = self.callee.resolved()
        return [FunctionCall(one, caller.client) for one in retry_failed(caller, since, until, error, version)]

    # Scaling

    def _variant(self, changes: Changes) -> Function[P, R, L]:
        return Variant(self, changes)

    def from_parametrized(self, obj: Any, args: Any, kwargs: dict[str, Any]) -> Function[..., Any]:
        """Return the same method of an object made with these arguments. (reference: Function.from_parametrized)"""
        raise InvalidError(f"{self._name} is not a method: only methods of a class with @app.cls() have parameters")

    # Asking

    @property
    def object_id(self) -> str:
        """The id, "fu-…". Raises ExecutionError before there is one."""
        return self.callee.known_id or self.callee.resolved().function_id

    @property
    def app(self) -> Any:
        """The App that defines the function. Raises ExecutionError on a handle that was looked up."""
        if self.owner is None:
            raise ExecutionError(f"{self._name} was looked up: the app that defines it is not known here")
        return self.owner.app

    stub = app

    @property
    def name(self) -> str:
        """The name within its app."""
        return self._name

    @blocking
    def info(self, *, refresh: bool = False) -> FunctionInfo:
        """Return what the function asks for: resources, image, volumes, secrets, how it is called.

        It is fetched each time: `refresh` makes no difference. Raises ExecutionError before its app runs.
        (reference: Function.info)
        """
        from wherry._calling.described import function_info  # noqa: PLC0415 - start-up cost: only for those who use it

        return function_info(self.callee.resolved())

    @property
    def written(self) -> Definition:
        """Inside wherry: how the function is defined. Raises ExecutionError on a handle that was looked up."""
        if self.definition is None:
            raise ExecutionError(f"{self._name} was looked up: its source is not known here")
        return self.definition

    @property
    def is_generator(self) -> bool:
        """Whether the function yields values."""
        return self._target.is_generator

    @property
    def web_url(self) -> str:
        """Where the web endpoint answers. Raises InvalidError if it is none. (reference: Function.web_url)"""
        definition = self.definition
        if definition is not None and definition.web is None:
            raise InvalidError(f"{self._name} is not a web endpoint: it has no URL")
        url = self._web_url()
        if not url:
            raise InvalidError(f"{self._name} is not a web endpoint, or a variant of one: it has no URL")
        return _reachable(url)

    @blocking
    def get_web_url(self) -> str | None:
        """Return where the web endpoint answers, None if it is none. (reference: Function.get_web_url)"""
        if self.definition is not None and self.definition.web is None:
            return None
        url = self._web_url()
        return _reachable(url) if url else None

    def _web_url(self) -> str:
        return self.callee.resolved().web_url

    def get_raw_f(self) -> Callable[P, L]:
        """Return the plain function. Raises ExecutionError on a handle that was looked up."""
        if self.definition is None:
            raise ExecutionError(
                f"{self._name} was looked up, so its source is not here: use .remote(), or import the module"
            )
        plain: Callable[P, L] = self.definition.function
        return plain

    def __repr__(self) -> str:
        return f"Function({self._name!r})"

    def __wherry_facts__(self) -> dict[str, Any]:
        caller, owner = self.callee.known(), self.owner
        return {
            "app": owner.name if owner is not None else "",
            "environment": caller.environment if caller is not None else "",
            "state": owner.state if owner is not None else "",
            "URL": caller.web_url if caller is not None else "",
        }

    def __reduce__(self) -> Any:
        # A handle on a running function arrives as a handle; one at module level is found where it is defined.
        caller = self.callee.known()
        known = self.callee.known_id or (caller.function_id if caller is not None else "")
        if known:
            return _unpickled, (known, caller.method if caller is not None else "")
        if self.definition is not None and self.definition.sends_itself:
            return _unpickled, ("", "", self.definition.name)
        if self.definition is not None and self.definition.is_global:
            return _imported, (self.definition.module_name, self.definition.function.__qualname__)
        raise ExecutionError(f"{self._name} has no id yet, so it can't be sent: run its app first")

    # Inside

    def __wherry_find__(self, client: Any) -> None:
        self.callee.resolved(client)

    def __wherry_hears__(self) -> tuple[str, str]:
        """Return its app's name, "" for an app of this program, and its own: as `on_failure` it hears of failures."""
        if self.definition is None and not self.callee.app_name:
            raise InvalidError(
                f"on_failure is a handle on {self._name}, of which only the id is known: find it with "
                "wherry.Function.from_name(app, name)"
            )
        return "" if self.definition is not None else self.callee.app_name, self._name

    def __wherry_known__(self) -> bool:
        # In a container the functions of its own app are there, whoever asks.
        is_own = not is_local() and isinstance(self.callee, Own)
        return is_own or bool(self.callee.known_id) or self.callee.known() is not None


class Variant(Function[P, R, L]):
    """A function with other options, in containers of its own. (reference: Function.with_options)"""

    def __init__(self, base: Function[P, R, L], changes: Changes) -> None:
        definition = base.definition
        if definition is not None and definition.is_generator and changes.retries:
            raise InvalidError(
                f"{definition.name} is a generator function: retries= does not work with it, leave it out"
            )

        def derive(caller: Caller) -> Caller:
            from wherry._calling.variants import bind  # noqa: PLC0415 - start-up cost: loads the messages

            return bind(caller, None, changes)

        super().__init__(base.name, owner=base.owner, definition=definition, callee=Derived(base.callee, derive))
        self._of = base
        self._changes = changes

    def _variant(self, changes: Changes) -> Function[P, R, L]:
        return Variant(self._of, changes.over(self._changes))

    def __reduce__(self) -> Any:
        return Variant, (self._of, self._changes)


def _reachable(url: str) -> str:
    from wherry._connection.web_names import reachable  # noqa: PLC0415 - start-up cost: only for those who use it

    return reachable(url)


def _unpickled(function_id: str, method: str = "", name: str = "") -> Function[..., Any]:
    """Return a handle of a function that runs, or of one of this container's app by its name."""
    return Function(name or function_id, callee=own_by_name(name) if name else by_id(function_id, None, method))


def _imported(module_name: str, qualname: str) -> Any:
    """Return what is defined at the top level of a module."""
    import importlib  # noqa: PLC0415 - start-up cost: only when a handle is unpickled

    found: Any = importlib.import_module(module_name)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


def __getattr__(name: str) -> Any:
    if name == "FunctionStats":
        from wherry._calling.stats import FunctionStats  # noqa: PLC0415 - start-up cost: as pickles of before name it

        return FunctionStats
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
