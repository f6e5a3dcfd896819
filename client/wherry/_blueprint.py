"""A user's class as containers need it: how its object is made, its methods and its hooks."""

from __future__ import annotations

from wherry._marks import batched_mark
from wherry._partial import ENTER, EXIT, METHOD, PartialFunction
from wherry._typing import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable


class _Missing:
    def __repr__(self) -> str:
        return "<required>"


_MISSING: Any = _Missing()
_CHECKED = (str, int, float, bool, bytes)
ARGUMENTS = "__wherry_arguments__"


class Parameter:
    """An attribute of a class that is set when an object is made of it. (reference: parameter)"""

    __slots__ = ("default", "init")

    def __init__(self, default: Any, init: bool) -> None:
        self.default = default
        self.init = init

    def __reduce__(self) -> Any:
        return (
            _parameter,
            (self.default is not _MISSING, None if self.default is _MISSING else self.default, self.init),
        )


def parameter(*, default: Any = _MISSING, init: bool = True) -> Any:
    """Declare a parameter of a class: `name: str = wherry.parameter(default="you")`.

    Without a default it must be given; with `init=False` it can't be. (reference: parameter)
    """
    if not init and default is _MISSING:
        raise InvalidError("parameter(init=False) needs a default: nobody can give its value")
    return Parameter(default, init)


def _parameter(has_default: bool, default: Any, init: bool) -> Parameter:
    return Parameter(default if has_default else _MISSING, init)


class Blueprint:
    """What `@app.cls()` found in a class. Raises InvalidError for a class it can't use."""

    def __init__(self, user_class: type) -> None:
        self.user_class = user_class
        for own, value in list(vars(user_class).items()):
            # @batched() alone makes a method (reference: batched).
            if not isinstance(value, PartialFunction) and callable(value) and batched_mark(value) is not None:
                setattr(user_class, own, PartialFunction(value, METHOD))
        partials = _inherited(user_class, PartialFunction)
        self.methods: dict[str, PartialFunction[..., Any]] = {n: p for n, p in partials.items() if p.kind == METHOD}
        self._enter = [name for name, partial in partials.items() if partial.kind == ENTER]
        self._exit = [name for name, partial in partials.items() if partial.kind == EXIT]
        self.parameters: dict[str, Parameter] = _inherited(user_class, Parameter)
        name = user_class.__name__
        if not self.methods:
            raise InvalidError(f"class {name} has no method to run: put @wherry.method() on one")
        own_init = next((base for base in user_class.__mro__ if "__init__" in vars(base)), object)
        if self.parameters and own_init is not object:
            raise InvalidError(f"class {name} has both wherry.parameter() and __init__: use the one or the other")

    # Making objects

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments in their one form; raise TypeError if the class does not take them."""
        if not self.parameters:
            import inspect  # costs more than the rest of wherry

            try:
                bound = inspect.signature(self.user_class).bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self.user_class.__name__}(): {error}") from None
            return bound.args, dict(sorted(bound.kwargs.items()))
        name = self.user_class.__name__
        if args:
            raise TypeError(f"{name}() takes its parameters by name: {', '.join(f'{own}=' for own in self.parameters)}")
        for own in kwargs:
            if own not in self.parameters or not self.parameters[own].init:
                raise TypeError(f"{name}() has no parameter {own!r}; it has {', '.join(self.parameters) or 'none'}")
        for own, declared in self.parameters.items():
            if own in kwargs:
                self._check_type(own, kwargs[own])
            elif declared.default is _MISSING:
                raise TypeError(f"{name}() lacks its parameter {own!r}: write {name}({own}=...)")
        return (), dict(sorted(kwargs.items()))

    def _check_type(self, own: str, value: Any) -> None:
        import typing  # only when an object with parameters is made

        try:
            wanted = typing.get_type_hints(self.user_class).get(own)
        except Exception:  # noqa: BLE001 - an annotation that can't be evaluated checks nothing
            return
        if wanted not in _CHECKED or isinstance(value, wanted):
            if not (wanted is int and isinstance(value, bool)):
                return
        elif wanted is float and isinstance(value, int) and not isinstance(value, bool):
            return
        raise TypeError(f"{self.user_class.__name__}({own}={value!r}): {own} must be of type {wanted.__name__}")

    def construct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return a plain object of the class."""
        if self.parameters:
            made: Any = object.__new__(self.user_class)
            for own, declared in self.parameters.items():
                value = kwargs.get(own, declared.default)
                if value is _MISSING:
                    raise TypeError(f"{self.user_class.__name__}() lacks its parameter {own!r}")
                setattr(made, own, value)
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
        return found + [self._bound(made, name) for name in reversed(self._exit)]

    def _bound(self, made: Any, name: str) -> Callable[[], Any]:
        partial = _inherited(self.user_class, PartialFunction)[name]
        bound: Callable[[], Any] = partial.raw_f.__get__(made)
        return bound


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
