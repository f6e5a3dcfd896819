"""What an app has by name: functions, classes and servers, and the functions that `wherry run` calls here."""

from __future__ import annotations

from wherry._base.hints import IN_EDITOR, Any, Generic, ParamSpec, TypeVar, overload
from wherry._calling.owner import Own
from wherry._define.definition import Definition
from wherry.exception import InvalidError
from wherry.function import Function

# Not that of `hints`: jedi is to read what runs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from wherry._calling.owner import Owner
    from wherry._calling.typed import Batched
    from wherry._define.options import FunctionOptions

P = ParamSpec("P")
R = TypeVar("R")
L = TypeVar("L")


class LocalEntrypoint(Generic[P, R]):
    """A function that `wherry run` calls here, with the app running. (reference: Stub.local_entrypoint)"""

    def __init__(self, function: Callable[P, R], name: str, app: Any) -> None:
        self.function = function
        self.name = name
        self.app = app
        self.__doc__ = function.__doc__
        self.__name__ = name
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        self.app.__wherry_owner__.was_used = True
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalEntrypoint({self.name!r})"


class Roster:
    """The handles of all that an app has; what is added is registered with the app's owner, too."""

    def __init__(
        self,
        owner: Owner,
        functions: dict[str, Function[..., Any]],
        entrypoints: dict[str, LocalEntrypoint[..., Any]],
    ) -> None:
        self._owner = owner
        # Those that stand for classes and servers as well.
        self.functions = functions
        self.entrypoints = entrypoints

    @property
    def plain_functions(self) -> dict[str, Function[..., Any]]:
        """The functions that stand for themselves."""
        return {n: f for n, f in self.functions.items() if f.definition is None or not f.definition.is_class}

    @property
    def classes(self) -> dict[str, type]:
        """The classes as they were written."""
        known: dict[str, Any] = {n: f.definition for n, f in self.functions.items()}
        return {name: one.function for name, one in known.items() if one is not None and one.is_class}

    @property
    def web_endpoints(self) -> list[str]:
        """The names of what has a URL, those of a class as "Class.method"."""
        defined = ((name, one.definition) for name, one in self.functions.items() if one.definition is not None)
        return [endpoint for name, definition in defined for endpoint in definition.web_names(name)]

    def add(self, definition: Definition) -> Function[..., Any]:
        """Return the handle of what was defined, which the app has from now on.

        Raises InvalidError where it has another function of that name.
        """
        callee = Own(definition.name, definition.module_name, self._owner)
        made: Function[..., Any] = Function(definition.name, owner=self._owner, definition=definition, callee=callee)
        self._owner.register(definition, callee)
        self.functions[made.name] = made
        return made

    def add_entrypoint(self, function: Callable[P, R], name: str, app: Any) -> LocalEntrypoint[P, R]:
        """Return the function as one that `wherry run` calls here; raise InvalidError for two of one name."""
        if name in self.entrypoints:
            raise InvalidError(f"the app has two local entrypoints named {name!r}: give one another name=")
        entrypoint = LocalEntrypoint(function, name, app)
        if not self.entrypoints and function.__module__ == "__main__":
            from wherry._app.reminder import remind_at_exit  # noqa: PLC0415 - start-up cost: only in scripts

            remind_at_exit(function, self._owner)
        self.entrypoints[name] = entrypoint
        return entrypoint

    def include(self, other: Roster, inherit_tags: bool) -> None:
        """Have the functions of another app as well; raise InvalidError for a name that both have."""
        self._owner.include(other._owner, inherit_tags)
        self.functions.update(other.functions)


class FunctionDecorator:
    """What `@app.function(...)` gives: makes a `Function` of a plain function, keeping its signature."""

    def __init__(self, roster: Roster, name: str | None, is_generator: bool | None, options: FunctionOptions) -> None:
        self._roster = roster
        self._name = name
        self._is_generator = is_generator
        self._options = options

    @overload
    def __call__(self, function: Batched[R, L]) -> Function[..., R, L]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Function[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Function[P, R]: ...
    def __call__(self, function: Any) -> Any:
        if isinstance(function, Function):
            raise InvalidError(f"{function!r} is a function of an app already: decorate it once")
        if isinstance(function, LocalEntrypoint):
            raise InvalidError("a function is either @app.function() or @app.local_entrypoint(), not both")
        if isinstance(function, type):
            raise InvalidError(f"@app.function() is on class {function.__qualname__}: write @app.cls() there")
        web = getattr(function, "web", None) if hasattr(function, "raw_f") else None
        if web is not None:
            function = function.raw_f
        if hasattr(function, "raw_f"):
            raise InvalidError(
                f"{function.__qualname__} has both @app.function() and @wherry.{function.kind}(): leave out "
                "@app.function(), and write @app.cls() above its class"
            )
        names = function.__code__.co_varnames if hasattr(function, "__code__") else ()
        if names[:1] == ("self",) and "." in function.__qualname__.rpartition("<locals>.")[2]:
            raise InvalidError(
                f"@app.function() is on the method {function.__qualname__}: "
                f"{'leave it out' if web is not None else 'write @wherry.method() there'}, and "
                f"{'write ' if web is not None else ''}@app.cls() above its class"
            )
        definition = Definition(function, self._name, self._is_generator, self._options, web)
        return self._roster.add(definition)

    if not TYPE_CHECKING and IN_EDITOR:

        def __call__(self, function):
            from wherry._classes.shown import ShownFunction  # noqa: PLC0415 - no program gets here

            return ShownFunction(function)
