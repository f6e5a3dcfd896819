"""What apps of 2023 have: objects of their own, by name, and decorators of those days."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.context import is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry._calling.owner import Owner


class OlderApp:
    """Part of an App. (reference: Stub)"""

    # So named since programs give their apps attributes of their own.
    __wherry_owner__: Owner

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        # An object made by `new()` becomes the app's own under this name.
        become_own = getattr(value, "become_own", None)
        if become_own is not None and become_own(self.__wherry_owner__, name):
            self.__wherry_owner__.objects.append(value)

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name.isidentifier() or hasattr(type(self), name):
            raise InvalidError(
                f"app[{name!r}] can't be set: give the object another name, one that could be a variable's"
            )
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise KeyError(f"{self!r} has nothing named {name!r}") from None

    def is_inside(self, image: Any = None) -> bool:
        """Whether this code runs in a container, of whatever image. Newer: `not wherry.is_local()`.

        (reference: Stub.is_inside)
        """
        return not is_local()

    def webhook(
        self,
        _function: Any = None,
        *,
        method: str = "GET",
        label: str | None = None,
        wait_for_response: bool = True,
        **options: Any,
    ) -> Any:
        """Older spelling of `@app.function(…)` above `@wherry.web_endpoint(…)`. (reference: Stub.webhook)"""
        from wherry._classes.web import web_endpoint  # noqa: PLC0415 - start-up cost: only for programs of early 2023

        web = web_endpoint(method=method, label=label, wait_for_response=wait_for_response)
        return self._with_web("webhook", "web_endpoint", web, _function, options)

    def asgi(
        self, _function: Any = None, *, label: str | None = None, wait_for_response: bool = True, **options: Any
    ) -> Any:
        """Older spelling of `@app.function(…)` above `@wherry.asgi_app(…)`. (reference: Stub.asgi)"""
        from wherry._classes.web import asgi_app  # noqa: PLC0415 - start-up cost: as above

        web = asgi_app(label=label, wait_for_response=wait_for_response)
        return self._with_web("asgi", "asgi_app", web, _function, options)

    def wsgi(
        self, _function: Any = None, *, label: str | None = None, wait_for_response: bool = True, **options: Any
    ) -> Any:
        """Older spelling of `@app.function(…)` above `@wherry.wsgi_app(…)`. (reference: Stub.wsgi)"""
        from wherry._classes.web import wsgi_app  # noqa: PLC0415 - start-up cost: as above

        web = wsgi_app(label=label, wait_for_response=wait_for_response)
        return self._with_web("wsgi", "wsgi_app", web, _function, options)

    def _with_web(self, old: str, new: str, web: Any, function: Any, options: dict[str, Any]) -> Any:
        from wherry._define.step import deprecated  # noqa: PLC0415 - start-up cost: only where an old name is used

        deprecated(f"@app.{old}", f"@wherry.{new}(), below @app.function()", stacklevel=4)
        make: Any = self.function(**options)  # type: ignore[attr-defined]
        return make(web(function)) if function is not None else lambda given: make(web(given))

    def without_parentheses(self, name: str, function: Any) -> Any:
        """Inside wherry: decorate a plain function as `@app.NAME` did; raise InvalidError for anything else."""
        if not hasattr(function, "__code__"):
            raise InvalidError(f"parentheses are missing: write @app.{name}() instead of @app.{name}")
        from wherry._define.step import deprecated  # noqa: PLC0415 - start-up cost: as above

        deprecated(f"@app.{name}", f"@app.{name}(), with parentheses", stacklevel=4)
        return getattr(self, name)()(function)

    def own(self, objects: dict[str, Any]) -> None:
        """Inside wherry: have what was given to the app by name, as its own; raise InvalidError for anything else."""
        for name, value in objects.items():
            if not hasattr(value, "become_own") and not hasattr(value, "hydrate"):
                raise InvalidError(f"App has no parameter {name!r}")
            self[name] = value
