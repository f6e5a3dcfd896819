"""Web endpoints: the decorators that give a function a URL."""

from __future__ import annotations

from wherry._base.checks import DAY_S, number
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.misuse import is_in_class
from wherry._classes.partial import METHOD, PartialFunction
from wherry._define.web_options import ASGI, ENDPOINT, METHODS, SERVER, WSGI, WebOptions
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


_GENERATORS = 0x20 | 0x200
_COROUTINES = 0x80 | 0x200


class WebFunction(PartialFunction[Any, Any]):
    """A function with a web decorator, which `@app.function()` or `@app.cls()` has still to take up."""

    def __init__(self, raw_f: Callable[..., Any], web: WebOptions) -> None:
        # What a handler yields is no value of a generator: it is never one.
        super().__init__(raw_f, METHOD, False)
        self.web = web


def fastapi_endpoint(
    _warn_parentheses_missing: Any = None,
    *,
    method: str = "GET",
    label: str | None = None,
    custom_domains: Iterable[str] | None = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
    wait_for_response: bool = True,
    response_timeout: float | None = None,
) -> Callable[[Callable[..., Any]], WebFunction]:
    """Answer HTTP requests of one `method` with the function below: a FastAPI handler at "/"; its image needs fastapi.

    `label` is part of the URL (default `<app>-<function>`); `docs` serves `/docs`. Without `wait_for_response` every
    request is answered at once with 202 and the URL of its result; with it, a request without a response after
    `response_timeout` seconds (default: the service's, 150; 0: no limit) is led there. With `requires_proxy_auth` only
    requests with a token are accepted. Raises InvalidError for invalid values. (reference: fastapi_endpoint)
    """
    _check_parentheses("fastapi_endpoint", _warn_parentheses_missing)
    return _endpoint(
        "fastapi_endpoint",
        method,
        docs,
        label=label,
        custom_domains=custom_domains,
        requires_proxy_auth=requires_proxy_auth,
        wait_for_response=wait_for_response,
        response_timeout=response_timeout,
    )


def web_endpoint(
    _warn_parentheses_missing: Any = None,
    *,
    method: str = "GET",
    label: str | None = None,
    custom_domains: Iterable[str] | None = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
    wait_for_response: bool = True,
    response_timeout: float | None = None,
) -> Callable[[Callable[..., Any]], WebFunction]:
    """Older name of `fastapi_endpoint`, with the same parameters. (reference: web_endpoint)"""
    _check_parentheses("web_endpoint", _warn_parentheses_missing)
    return _endpoint(
        "web_endpoint",
        method,
        docs,
        label=label,
        custom_domains=custom_domains,
        requires_proxy_auth=requires_proxy_auth,
        wait_for_response=wait_for_response,
        response_timeout=response_timeout,
    )


def asgi_app(
    _warn_parentheses_missing: Any = None,
    *,
    label: str | None = None,
    custom_domains: Iterable[str] | None = None,
    requires_proxy_auth: bool = False,
    wait_for_response: bool = True,
    response_timeout: float | None = None,
) -> Callable[[Callable[..., Any]], WebFunction]:
    """Serve the ASGI app that the function below returns; it takes no parameters and runs once in each container.

    All paths, websockets, streams and lifespan; the parameters are those of `fastapi_endpoint`. (reference: asgi_app)
    """
    _check_parentheses("asgi_app", _warn_parentheses_missing)
    options = WebOptions(
        ASGI,
        "asgi_app",
        label=label,
        custom_domains=custom_domains,
        requires_proxy_auth=requires_proxy_auth,
        wait_for_response=wait_for_response,
        response_timeout=response_timeout,
    )
    return _decorator(options)


def wsgi_app(
    _warn_parentheses_missing: Any = None,
    *,
    label: str | None = None,
    custom_domains: Iterable[str] | None = None,
    requires_proxy_auth: bool = False,
    wait_for_response: bool = True,
    response_timeout: float | None = None,
) -> Callable[[Callable[..., Any]], WebFunction]:
    """Serve the WSGI app that the function below returns, each request on a thread.

    It takes no parameters and runs once in each container; the parameters are those of `fastapi_endpoint`.
    (reference: wsgi_app)
    """
    _check_parentheses("wsgi_app", _warn_parentheses_missing)
    options = WebOptions(
        WSGI,
        "wsgi_app",
        label=label,
        custom_domains=custom_domains,
        requires_proxy_auth=requires_proxy_auth,
        wait_for_response=wait_for_response,
        response_timeout=response_timeout,
    )
    return _decorator(options)


def web_server(
    port: int | None = None,
    *,
    startup_timeout: float = 5.0,
    label: str | None = None,
    custom_domains: Iterable[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Callable[[Callable[..., Any]], WebFunction]:
    """Serve what a server in the container answers on `port`; the function below starts it and returns.

    It takes no parameters and runs once in each container; the server must accept connections within
    `startup_timeout` seconds of that. Requests are passed on as they are, websockets as well. (reference: web_server)
    """
    if port is None or callable(port):
        raise InvalidError("the port is missing: write @wherry.web_server(8000) above the function")
    options = WebOptions(
        SERVER,
        "web_server",
        label=label,
        custom_domains=custom_domains,
        requires_proxy_auth=requires_proxy_auth,
        port=int(number("port", port, 1, 65535, "", 0, whole=True)),
        port_timeout=number("startup_timeout", startup_timeout, 0.1, DAY_S, "s", 5.0),
    )
    return _decorator(options)


def _endpoint(decorator: str, method: Any, docs: bool, **options: Any) -> Callable[[Callable[..., Any]], WebFunction]:
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise InvalidError(f"@wherry.{decorator}() has method={method!r}: it must be one of {', '.join(METHODS)}")
    return _decorator(WebOptions(ENDPOINT, decorator, method=method.upper(), docs=docs, **options))


def _decorator(options: WebOptions) -> Callable[[Callable[..., Any]], WebFunction]:
    name = options.decorator

    def decorate(function: Callable[..., Any]) -> WebFunction:
        if isinstance(function, PartialFunction):
            other = function.web.decorator if isinstance(function, WebFunction) else function.kind
            raise InvalidError(f"{function.__qualname__} has both @{name}() and @{other}(): it is one or the other")
        if type(function).__module__.startswith("wherry.") or isinstance(function, type):
            raise InvalidError(
                f"@wherry.{name}() stands above {'a class' if isinstance(function, type) else '@app.function()'}: put "
                f"it directly above `def`, as in\n    @app.function()\n    @wherry.{name}({options.port or ''})\n"
                "    def ..."
            )
        if not hasattr(function, "__code__"):
            raise InvalidError(f"@{name}() got {function!r}: it goes on a plain function, written with def")
        _check(function, options)
        return WebFunction(function, options)

    return decorate


def _check(function: Any, options: WebOptions) -> None:
    name, code = options.decorator, function.__code__
    if code.co_flags & _GENERATORS:
        what = (
            "a web endpoint's function returns a response: return fastapi.responses.StreamingResponse(generator()) "
            "instead of yielding"
            if options.kind == ENDPOINT
            else "it must return the app"
        )
        raise InvalidError(f"{function.__qualname__} is a generator function: {what}")
    if options.kind == ENDPOINT:
        return
    if code.co_flags & _COROUTINES:
        raise InvalidError(f"{function.__qualname__} is async: with @{name}() it must be a plain function, written def")
    of_self = 1 if is_in_class(function) else 0
    positional = code.co_argcount - len(function.__defaults__ or ()) - of_self
    by_name = code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
    if positional > 0 or by_name > 0:
        names = code.co_varnames[of_self : code.co_argcount + code.co_kwonlyargcount]
        raise InvalidError(
            f"{function.__qualname__} takes {', '.join(names)}: a function with @{name}() runs once in each container "
            "and takes no parameters; what differs between requests is in the requests"
        )


def _check_parentheses(name: str, given: Any) -> None:
    if given is not None:
        raise InvalidError(f"parentheses are missing: write @wherry.{name}() instead of @wherry.{name}")


def with_query(url: str, parameters: Mapping[str, Any]) -> str:
    """Return the URL at which the object with these parameters answers; "" stays so."""
    if not url or not parameters:
        return url
    from urllib.parse import urlencode  # noqa: PLC0415 - start-up cost: few ask for it

    shown = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items()}
    return f"{url}?{urlencode({name: '' if value is None else value for name, value in shown.items()})}"
