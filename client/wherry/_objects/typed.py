"""What type checkers see of `get` and `pop` of dicts and queues: what they return depends on what they are given.

Nothing here is loaded when a program runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Literal

    D = TypeVar("D")
    K = TypeVar("K")
    V = TypeVar("V")

    class DictGet(Generic[K, V]):
        """What `d.get` gives."""

        @overload
        def __call__(self, key: K, default: None = None) -> V | None: ...
        @overload
        def __call__(self, key: K, default: V) -> V: ...
        @overload
        def __call__(self, key: K, default: D) -> V | D: ...
        def __call__(self, key: Any, default: Any = None) -> Any:
            """Return the value, or the default."""

        @overload
        def aio(self, key: K, default: None = None) -> Coroutine[Any, Any, V | None]: ...
        @overload
        def aio(self, key: K, default: V) -> Coroutine[Any, Any, V]: ...
        @overload
        def aio(self, key: K, default: D) -> Coroutine[Any, Any, V | D]: ...
        def aio(self, key: Any, default: Any = None) -> Any:
            """Do the same without blocking the event loop."""

    class DictPop(Generic[K, V]):
        """What `d.pop` gives."""

        @overload
        def __call__(self, key: K) -> V: ...
        @overload
        def __call__(self, key: K, default: V) -> V: ...
        @overload
        def __call__(self, key: K, default: D) -> V | D: ...
        def __call__(self, key: Any, default: Any = None) -> Any:
            """Return the value, or the default."""

        @overload
        def aio(self, key: K) -> Coroutine[Any, Any, V]: ...
        @overload
        def aio(self, key: K, default: V) -> Coroutine[Any, Any, V]: ...
        @overload
        def aio(self, key: K, default: D) -> Coroutine[Any, Any, V | D]: ...
        def aio(self, key: Any, default: Any = None) -> Any:
            """Do the same without blocking the event loop."""

    class QueueGet(Generic[V]):
        """What `q.get` gives: None only where it does not wait."""

        @overload
        def __call__(
            self, block: Literal[True] = True, timeout: float | None = None, *, partition: str | None = None
        ) -> V: ...
        @overload
        def __call__(self, block: bool, timeout: float | None = None, *, partition: str | None = None) -> V | None: ...
        def __call__(self, block: bool = True, timeout: float | None = None, *, partition: str | None = None) -> Any:
            """Take the first item."""

        @overload
        def aio(
            self, block: Literal[True] = True, timeout: float | None = None, *, partition: str | None = None
        ) -> Coroutine[Any, Any, V]: ...
        @overload
        def aio(
            self, block: bool, timeout: float | None = None, *, partition: str | None = None
        ) -> Coroutine[Any, Any, V | None]: ...
        def aio(self, block: bool = True, timeout: float | None = None, *, partition: str | None = None) -> Any:
            """Do the same without blocking the event loop."""
