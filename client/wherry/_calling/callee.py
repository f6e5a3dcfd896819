"""Who is behind a handle: how its function is found, when it is first needed, and what it can't be asked."""

from __future__ import annotations

from wherry._base.code import wraps_generator
from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry._calling.caller import Caller
    from wherry._connection.client import Client
    from wherry._define.definition import Definition


class Callee:
    """Finds the function of a handle by `resolve`, once. It is given the client that asks, None: any."""

    def __init__(self, resolve: Callable[[Client | None], Caller] | None = None, known_id: str = "") -> None:
        self._resolve = resolve
        self._caller: Caller | None = None
        # What a handle that has travelled knows without asking the service.
        self.known_id = known_id

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

    return Callee(resolve)


def ready(name: str, how: str, definition: Definition | None, callee: Callee, *, generator: bool | None) -> Caller:
    """Return who makes the call `how`; raise InvalidError where the function can't be called so.

    `generator`: whether its values are iterated, None: either way.
    """
    if definition is not None:
        # What is wrong in any case is told first.
        check(name, how, definition, callee, None, generator=generator)
    caller = callee.resolved()
    check(name, how, definition, callee, caller, generator=generator)
    return caller


def check(
    name: str,
    how: str,
    definition: Definition | None,
    callee: Callee,
    caller: Caller | None,
    *,
    generator: bool | None,
) -> None:
    """Raise InvalidError where the function can't be called so, as far as its definition, and its caller, tell."""
    if caller is not None and caller.methods and not caller.method:
        raise InvalidError(
            f"{name} is a class: find it with wherry.Cls.lookup, and call a method of an object, "
            f"{name}().{next(iter(caller.methods))}.{how}(...)"
        )
    web_url = caller.web_url if caller is not None else ""
    if caller is None and definition is not None and definition.web is not None:
        try:
            web_url = callee.resolved().web_url
        except ExecutionError:  # its app does not run
            web_url = ""
    if web_url or (definition is not None and definition.web is not None):
        where = f"at {web_url}" if web_url else "while its app runs, for example by `wherry serve`"
        raise InvalidError(
            f"{name} is a web endpoint, which answers requests {where}: it has no .{how}(...); "
            "put what both need into a plain function"
        )
    if generator is None:
        return
    is_generator = definition.is_generator if definition is not None else bool(caller and caller.is_generator)
    if is_generator and not generator:
        raise InvalidError(f"{name} is a generator function: use {name}.remote_gen(...), not .{how}(...)")
    if generator and not is_generator:
        hint = ""
        if definition is not None and wraps_generator(definition.function):
            hint = "; if it returns the generator that it wraps, say is_generator=True where it is decorated"
        raise InvalidError(f"{name} is not a generator function: use {name}.remote(...), not .{how}(...){hint}")
