"""A user's object as `.local()` has it: made once, its enter hooks run once, in this process."""

from __future__ import annotations

from _thread import RLock

from wherry._base.code import kind_of
from wherry._base.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from wherry._classes.blueprint import Blueprint


class LocalObject:
    """Made by the first who needs it. `made`: an object that is there already, and has been entered."""

    def __init__(self, blueprint: Blueprint, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any = None) -> None:
        self._blueprint = blueprint
        self._arguments = args, kwargs
        self._made = made
        # Whether it was made elsewhere: whoever has it sees to its hooks.
        self.is_given = made is not None
        self._entered = self.is_given
        self._lock = RLock()
        self._entering: asyncio.Future[None] | None = None

    def run(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method; the hooks run before it, for a coroutine function on the event loop that runs it."""
        is_generator, is_async = kind_of(self._blueprint.methods[method].raw_f)
        if not is_async or self._entered:
            return self._blueprint.method(self.entered(), method)(*args, **kwargs)
        return (self._iterated if is_generator else self._awaited)(method, args, kwargs)

    def plain(self) -> Any:
        """Return the object, perhaps not entered."""
        with self._lock:
            if self._made is None:
                args, kwargs = self._arguments
                self._made = self._blueprint.construct(args, kwargs)
            return self._made

    def entered(self) -> Any:
        """Return the object; asynchronous hooks run on an event loop of their own."""
        with self._lock:
            made = self.plain()
            if not self._entered:
                for hook in self._blueprint.enter_hooks(made):
                    _wait_for(hook())
                self._entered = True
            return made

    async def _awaited(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._blueprint.method(await self._entered_here(), method)(*args, **kwargs)

    async def _iterated(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = self._blueprint.method(await self._entered_here(), method)(*args, **kwargs)
        try:
            async for value in values:
                yield value
        finally:
            await values.aclose()

    async def _entered_here(self) -> Any:
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        if not self._entered:
            # Whoever comes meanwhile waits for the same hooks.
            if self._entering is None:
                self._entering = asyncio.ensure_future(self._enter())
            await asyncio.shield(self._entering)
        return self._made

    async def _enter(self) -> None:
        try:
            for hook in self._blueprint.enter_hooks(self.plain()):
                value = hook()
                if hasattr(value, "__await__"):
                    await value
            self._entered = True
        finally:
            self._entering = None


def _wait_for(value: Any) -> None:
    """Run a coroutine to its end, whether or not a loop runs in this thread."""
    if not hasattr(value, "__await__"):
        return
    import asyncio  # noqa: PLC0415 - start-up cost: only for asynchronous hooks
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up cost: likewise

    async def awaited() -> None:
        await value

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, awaited()).result()
