"""Methods that block, each with an `.aio` form that awaits: one definition gives both, with their types.

What gives something back stands here up to three times: for type checkers with its types, without for what runs, and
for editors that use jedi, which know no `ParamSpec` and find out by what the body without types returns.
"""

from __future__ import annotations

from wherry._base.hints import IN_EDITOR, Any, Generic, ParamSpec, TypeVar, overload

# Not that of `hints`: jedi is to read what runs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Concatenate

if IN_EDITOR:
    from wherry._base.shown import method

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class Bound(Generic[P, R]):
    """What `obj.method` gives: call it to block, or await `.aio(...)`."""

    __slots__ = ("_awaiting", "_blocking", "_first")

    def __init__(
        self,
        first: tuple[Any, ...],
        blocking: Callable[..., R],
        awaiting: Callable[..., Coroutine[Any, Any, R]] | None,
    ) -> None:
        self._first = first
        self._blocking = blocking
        self._awaiting = awaiting

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    else:

        def __call__(self, /, *args, **kwargs):
            return self._blocking(*self._first, *args, **kwargs)

    def __reduce__(self) -> Any:
        # As a bound method of Python's own: the object and a name, so that no code travels.
        if not self._first:
            return Bound, ((), self._blocking, self._awaiting)
        return getattr, (self._first[0], self.__name__)

    def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Do the same without blocking the event loop."""
        if self._awaiting is not None:
            return self._awaiting(*self._first, *args, **kwargs)
        import asyncio  # noqa: PLC0415 - start-up cost: costs ~40 ms, which only async programs should pay

        return asyncio.to_thread(self._blocking, *self._first, *args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._blocking.__doc__

    @property
    def __name__(self) -> str:
        return self._blocking.__name__

    @property
    def __wrapped__(self) -> Callable[..., R]:
        return self._blocking

    @property
    def __signature__(self) -> Any:
        from wherry._base.signatures import bound_signature  # noqa: PLC0415 - start-up cost: loads inspect

        return bound_signature(self._blocking, self._first)


class blocking(Generic[S, P, R]):
    """Decorates a method that blocks. Its `.aio` form runs it in a thread, unless `awaiting` gives a better one."""

    def __init__(self, method: Callable[Concatenate[S, P], R]) -> None:
        self.plain = method
        self._awaiting: Callable[..., Coroutine[Any, Any, R]] | None = None
        self.__doc__ = method.__doc__

    def awaiting(
        self, method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]]
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
        """Decorate the coroutine function that is the `.aio` form."""
        self._awaiting = method
        return method

    def __call__(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Block, as a method that is called on its class with the object in front."""
        return self.__get__(instance, type(instance))(*args, **kwargs)

    def aio(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Do the same without blocking the event loop."""
        return self.__get__(instance, type(instance)).aio(*args, **kwargs)

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type[S]) -> blocking[S, P, R]: ...
        @overload
        def __get__(self, instance: S, owner: type[S]) -> Bound[P, R]: ...
        def __get__(self, instance: S | None, owner: type[S]) -> blocking[S, P, R] | Bound[P, R]: ...

    else:

        def __get__(self, instance, owner):
            if instance is None:
                return self
            return Bound((instance,), self.plain, self._awaiting)

        if IN_EDITOR:

            def __get__(self, instance, owner):
                return method(self.plain)


class blocking_classmethod(Generic[P, R]):
    """Decorates a class method that blocks; `.aio` runs it in a thread."""

    def __init__(self, method: Callable[Concatenate[Any, P], R]) -> None:
        self.plain = method
        self.__doc__ = method.__doc__

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> Bound[P, R]: ...

    else:

        def __get__(self, instance, owner):
            return Bound((owner,), self.plain, None)

        if IN_EDITOR:

            def __get__(self, instance, owner):
                return method(self.plain)


class making(Generic[P]):
    """Decorates a class method that blocks and returns an object of the class it is called on; `.aio` as above."""

    def __init__(self, method: Callable[Concatenate[Any, P], Any]) -> None:
        self.plain = method
        self.__doc__ = method.__doc__

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type[S]) -> Bound[P, S]: ...

    else:

        def __get__(self, instance, owner):
            return Bound((owner,), self.plain, None)

        if IN_EDITOR:

            def __get__(self, instance, owner):
                return method(self.plain)


class BoundIteration(Generic[P, R]):
    """What `obj.method` gives where the method returns results that can be iterated in both styles."""

    __slots__ = ("_instance", "_method")

    def __init__(self, instance: Any, method: Callable[..., R]) -> None:
        self._instance = instance
        self._method = method

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    else:

        def __call__(self, /, *args, **kwargs):
            return self._method(self._instance, *args, **kwargs)

    def __reduce__(self) -> Any:
        return getattr, (self._instance, self.__name__)

    def aio(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the same results, to be iterated with `async for`."""
        return self._method(self._instance, *args, **kwargs)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self._method.__doc__

    @property
    def __name__(self) -> str:
        return self._method.__name__

    @property
    def __signature__(self) -> Any:
        from wherry._base.signatures import bound_signature  # noqa: PLC0415 - start-up cost: loads inspect

        return bound_signature(self._method, (self._instance,))


class iterating(Generic[S, P, R]):
    """Decorates a method that returns what serves `for` and `async for`, or `with` and `async with`, alike."""

    def __init__(self, method: Callable[Concatenate[S, P], R]) -> None:
        self.plain = method
        self.__doc__ = method.__doc__

    def __call__(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the results, as a method that is called on its class with the object in front."""
        return self.plain(instance, *args, **kwargs)

    def aio(self, instance: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the same results, to be iterated with `async for`."""
        return self.plain(instance, *args, **kwargs)

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: type[S]) -> iterating[S, P, R]: ...
        @overload
        def __get__(self, instance: S, owner: type[S]) -> BoundIteration[P, R]: ...
        def __get__(self, instance: S | None, owner: type[S]) -> iterating[S, P, R] | BoundIteration[P, R]: ...

    else:

        def __get__(self, instance, owner):
            if instance is None:
                return self
            return BoundIteration(instance, self.plain)

        if IN_EDITOR:

            def __get__(self, instance, owner):
                return method(self.plain)


class iterating_classmethod(Generic[P, R]):
    """As `iterating`, of a class."""

    def __init__(self, method: Callable[Concatenate[Any, P], R]) -> None:
        self.plain = method
        self.__doc__ = method.__doc__

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type) -> BoundIteration[P, R]: ...

    else:

        def __get__(self, instance, owner):
            return BoundIteration(owner, self.plain)

        if IN_EDITOR:

            def __get__(self, instance, owner):
                return method(self.plain)
