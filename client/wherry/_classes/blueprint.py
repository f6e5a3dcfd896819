"""A user's class as containers need it: how its object is made, its methods and its hooks."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._classes.parameters import Parameter, Parameters
from wherry._classes.partial import ENTER, EXIT, METHOD, PartialFunction
from wherry._define.marks import batched_mark, is_sessioned
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable


# Where an object keeps the arguments it was made with.
ARGUMENTS = "__wherry_arguments__"


class Handle:
    """Holds a class's handle without taking it along where the class itself is pickled."""

    __slots__ = ("_method_of", "cls")

    def __init__(
        self, cls: Any = None, method_of: Callable[[Any, Any, PartialFunction[..., Any]], Any] | None = None
    ) -> None:
        self.cls = cls
        self._method_of = method_of

    def method(self, instance: Any, partial: PartialFunction[..., Any]) -> Any:
        """Return the handle on a method of a plain object, for code that has `self`."""
        assert self._method_of is not None
        return self._method_of(self.cls, instance, partial)

    def __reduce__(self) -> Any:
        return Handle, ()


class Blueprint:
    """What `@app.cls()` found in a class. Raises InvalidError for a class it can't use."""

    def __init__(self, user_class: type, *, is_server: bool = False) -> None:
        self.user_class = user_class
        for own, value in list(vars(user_class).items()):
            # @batched() alone makes a method (reference: batched).
            if not isinstance(value, PartialFunction) and callable(value) and batched_mark(value) is not None:
                setattr(user_class, own, PartialFunction(value, METHOD))
        partials = _inherited(user_class, PartialFunction)
        self.methods: dict[str, PartialFunction[..., Any]] = {n: p for n, p in partials.items() if p.kind == METHOD}
        # In the order in which they are written.
        self.builds = [partial for partial in partials.values() if partial.builds]
        enter = [name for name, partial in partials.items() if partial.kind == ENTER]
        # Elsewhere those with `snap=True` run before a snapshot is taken, and so before the others.
        self._enter = sorted(enter, key=lambda name: not getattr(partials[name], "snap", False))
        self._exit = [name for name, partial in partials.items() if partial.kind == EXIT]
        self.parameters = Parameters(user_class, _inherited(user_class, Parameter))
        name = user_class.__name__
        if is_server:
            _check_server(name, self.methods, enter)
        elif is_sessioned(user_class):
            raise InvalidError(
                f"class {name} has @wherry.sessioned(), which is for servers: write @app.server() above it"
            )
        elif not self.methods:
            raise InvalidError(f"class {name} has no method to run: put @wherry.method() on one")
        own_init = next((base for base in user_class.__mro__ if "__init__" in vars(base)), object)
        if self.parameters and own_init is not object:
            raise InvalidError(f"class {name} has both wherry.parameter() and __init__: use the one or the other")

    # Making objects

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments in their one form; raise TypeError if the class does not take them."""
        if not self.parameters:
            import inspect  # noqa: PLC0415 - start-up cost: costs more than the rest of wherry

            try:
                bound = inspect.signature(self.user_class).bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.user_class.__name__}(): {error}") from None
            return bound.args, dict(sorted(bound.kwargs.items()))
        return (), self.parameters.bind(args, kwargs)

    @property
    def required(self) -> list[str]:
        """The names of the arguments without which no object can be made."""
        if self.parameters:
            return self.parameters.required
        init: Any = getattr(self.user_class, "__init__", None)
        code = getattr(init, "__code__", None)
        if code is None:
            return []
        names = code.co_varnames
        positional = names[1 : code.co_argcount - len(init.__defaults__ or ())]
        by_name = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        return [*positional, *(own for own in by_name if own not in (init.__kwdefaults__ or {}))]

    def construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a plain object of the class."""
        if self.parameters:
            # Who looked the class up does not know what it takes.
            kwargs = self.parameters.bind(args, kwargs)
            made: Any = object.__new__(self.user_class)
            self.parameters.set_on(made, kwargs)
        else:
            made = self.user_class(*args, **kwargs)
        if hasattr(made, "__dict__"):
            # For methods that call others remotely; a class with __slots__ has no place for them.
            setattr(made, ARGUMENTS, (args, kwargs))
        return made

    def method(self, made: Any, name: str) -> Callable[..., Any]:
        """Return a method of an object, bound, as a plain function."""
        bound: Callable[..., Any] = self.methods[name].raw_f.__get__(made)
        return bound

    # Hooks

    def enter_hooks(self, made: Any) -> list[Callable[[], Any]]:
        """Return what runs before the first input; what a call returns may have to be awaited."""
        found = [self._bound(made, name) for name in self._enter]
        found += [getattr(made, name) for name in ("__enter__", "__aenter__") if hasattr(made, name)]
        return found

    def exit_hooks(self, made: Any) -> list[Callable[[], Any]]:
        """Return what runs after the last input, likewise; the reverse order."""
        found = [_left(getattr(made, name)) for name in ("__aexit__", "__exit__") if hasattr(made, name)]
        decorated = [self._bound(made, name) for name in reversed(self._exit)]
        return found + [_left(hook) if _takes_error(hook) else hook for hook in decorated]

    def _bound(self, made: Any, name: str) -> Callable[[], Any]:
        partial = _inherited(self.user_class, PartialFunction)[name]
        bound: Callable[[], Any] = partial.raw_f.__get__(made)
        return bound


def _check_server(name: str, methods: dict[str, PartialFunction[..., Any]], enter: list[str]) -> None:
    if methods:
        own = next(iter(methods))
        raise InvalidError(
            f"{name}.{own} is a method of a class with @app.server(), whose requests go to its port: leave its "
            "decorator out, or use @app.cls()"
        )
    if not enter:
        raise InvalidError(f"class {name} starts no server: write a method that does, and put @wherry.enter() on it")


def _takes_error(hook: Any) -> bool:
    count: int = hook.__code__.co_argcount
    return count == 4


def _left(leave: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: leave(None, None, None)


def _inherited(user_class: type, kind: type) -> dict[str, Any]:
    """Return the class's attributes of that kind by name, bases first; what a subclass overrides counts once."""
    found: dict[str, Any] = {}
    for base in reversed(user_class.__mro__):
        for name, value in vars(base).items():
            if isinstance(value, kind):
                found[name] = value
            elif name in found:
                del found[name]  # overridden by something plain
    return found
