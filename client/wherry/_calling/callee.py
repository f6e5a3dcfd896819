"""Who is behind a handle: how its function is found, when it is first needed, and what it can't be asked."""

from __future__ import annotations

from wherry._base.code import wraps_generator
from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry._calling.caller import Caller
    from wherry._calling.results import Results
    from wherry._connection.client import Client
    from wherry._define.definition import Definition


class Callee:
    """Finds the function of a handle by `resolve`, once. It is given the client that asks, None: any."""

    def __init__(self, resolve: Callable[[Client | None], Caller] | None = None, known_id: str = "") -> None:
        self._resolve = resolve
        self._caller: Caller | None = None
        # What a handle that has travelled knows without asking the service.
        self.known_id = known_id
        # Of one that is found by names: its app's.
        self.app_name = ""

    def known(self) -> Caller | None:
        """Return the caller if nobody has to be asked for it."""
        return self._caller

    def resolved(self, client: Client | None = None) -> Caller:
        """Return the caller; raise ExecutionError, NotFoundError where there is none.

        `client` asks for it, where it is not known yet.
        """
        if self._caller is None:
            self._caller = self._find(client)
        return self._caller

    def _find(self, client: Client | None) -> Caller:
        assert self._resolve is not None
        return self._resolve(client)


class Derived(Callee):
    """What follows from another one, and anew whenever that one is found anew: its app may run twice."""

    def __init__(self, base: Callee, derive: Callable[[Caller], Caller]) -> None:
        super().__init__()
        self._base = base
        self._derive = derive
        # The base's caller, and ours made of it.
        self._derived: tuple[Caller, Caller] | None = None

    def known(self) -> Caller | None:
        derived = self._derived
        return derived[1] if derived is not None and derived[0] is self._base.known() else None

    def resolved(self, client: Client | None = None) -> Caller:
        base = self._base.resolved(client)
        derived = self._derived
        if derived is None or derived[0] is not base:
            derived = self._derived = base, self._derive(base)
        return derived[1]


class Target:
    """What the calls of a handle go to: its name, how it is defined where that is known here, and who finds it."""

    def __init__(self, name: str, definition: Definition | None, callee: Callee) -> None:
        self.name = name
        self.definition = definition
        self.callee = callee

    @property
    def is_generator(self) -> bool:
        """Whether it yields values. Asks the service where no definition tells."""
        if self.definition is not None:
            return self.definition.is_generator
        return self.callee.resolved().is_generator

    def ready(self, how: str, *, generator: bool | None) -> Caller:
        """Return who makes the call `how`; raise InvalidError where the function can't be called so.

        `generator`: whether its values are iterated, None: either way.
        """
        if self.definition is not None:
            # What is wrong in any case is told first.
            self.check(how, None, generator=generator)
        caller = self.callee.resolved()
        self.check(how, caller, generator=generator)
        return caller

    def map(
        self,
        how: str,
        iterables: tuple[Any, ...],
        kwargs: dict[str, Any],
        order_outputs: bool | None,
        return_exceptions: bool,
        wrap_exceptions: bool | None,
    ) -> Results[Any]:
        """Return the results of `how` ("map" or "starmap"), which begins when they are first asked for.

        Raises InvalidError where the function can't be called so, ValueError where its results can't be in order.
        """
        from wherry._calling.caller import map_results  # noqa: PLC0415 - start-up cost: loads the session

        if self.definition is not None and self.definition.web is not None:
            self.check(how, None, generator=None)
        # A looked-up handle is resolved here only if the answer depends on it.
        if order_outputs is True and self.is_generator:
            raise ValueError(f"{self.name} is a generator function: its results can't be ordered (order_outputs=True)")
        return map_results(
            f"{self.name}.{how}",
            self.callee.resolved,
            iterables,
            kwargs,
            spread=how == "starmap",
            generator=self.is_generator,
            ordered=order_outputs is not False,
            return_exceptions=return_exceptions,
            wrap_exceptions=wrap_exceptions,
        )

    def check(self, how: str, caller: Caller | None, *, generator: bool | None) -> None:
        """Raise InvalidError where the function can't be called so, as far as its definition, and its caller, tell."""
        if caller is not None and caller.methods and not caller.method:
            raise InvalidError(
                f"{self.name} is a class: find it with wherry.Cls.lookup, and call a method of an object, "
                f"{self.name}().{next(iter(caller.methods))}.{how}(...)"
            )
        web_url = caller.web_url if caller is not None else ""
        if caller is None and self.definition is not None and self.definition.web is not None:
            try:
                web_url = self.callee.resolved().web_url
            except ExecutionError:  # its app does not run
                web_url = ""
        if web_url or (self.definition is not None and self.definition.web is not None):
            where = f"at {web_url}" if web_url else "while its app runs, for example by `wherry serve`"
            raise InvalidError(
                f"{self.name} is a web endpoint, which answers requests {where}: it has no .{how}(...); "
                "put what both need into a plain function"
            )
        if generator is None:
            return
        is_generator = (
            self.definition.is_generator if self.definition is not None else bool(caller and caller.is_generator)
        )
        if is_generator and not generator:
            raise InvalidError(f"{self.name} is a generator function: use {self.name}.remote_gen(...), not .{how}(...)")
        if generator and not is_generator:
            hint = ""
            if self.definition is not None and wraps_generator(self.definition.function):
                hint = "; if it returns the generator that it wraps, say is_generator=True where it is decorated"
            raise InvalidError(
                f"{self.name} is not a generator function: use {self.name}.remote(...), not .{how}(...){hint}"
            )


def by_id(function_id: str, client: Any = None, method: str = "") -> Callee:
    """Return what finds a function by its id."""

    def resolve(asking: Client | None) -> Caller:
        from wherry._calling.caller import look_up_id  # noqa: PLC0415 - start-up cost: loads the session; a handle that only travels does without it

        return look_up_id(function_id, asking or client, method)

    return Callee(resolve, known_id=function_id)


def own_by_name(name: str, app_name: str = "") -> Callee:
    """Return what finds, in a container, a function of its app, or of another app that its modules define."""

    def resolve(_asking: Client | None) -> Caller:
        from wherry._calling.caller import look_up_own  # noqa: PLC0415 - start-up cost: loads the session; a handle that only travels does without it

        return look_up_own(app_name, name)

    return Callee(resolve)


def by_name(
    app_name: str, name: str, environment: str | None, client: Any = None, version: int | None = None
) -> Callee:
    """Return what finds a function of a running or deployed app."""

    def resolve(asking: Client | None) -> Caller:
        from wherry._calling.caller import look_up  # noqa: PLC0415 - start-up cost: as above

        return look_up(app_name, name, environment, asking or client, version)

    callee = Callee(resolve)
    callee.app_name = app_name
    return callee
