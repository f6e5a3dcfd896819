"""Web decorators, and where they can't stand."""

from typing import Any

import pytest

import wherry
from wherry._classes.web import WebFunction
from wherry._define.definition import Definition
from wherry._define.options import FunctionOptions
from wherry.exception import InvalidError


def plain() -> Any: ...


def other() -> Any: ...


def generator() -> Any:
    yield 1


async def coroutine() -> Any: ...


def with_parameters(x: int, y: int = 1) -> Any: ...


def with_defaults(x: int = 1, *, y: int = 2) -> Any: ...


def test_what_a_decorator_says_to_the_service() -> None:
    made = wherry.fastapi_endpoint(
        method="post",
        label="A",
        docs=True,
        wait_for_response=False,
        response_timeout=0,
        custom_domains=["A.example.com"],
    )(plain)
    assert isinstance(made, WebFunction)
    message = made.web.message()
    assert (message.kind, message.method, message.label, message.docs) == (1, "POST", "A", True)
    assert (message.no_wait, message.response_timeout_s, message.custom_domains) == (True, -1.0, ["a.example.com"])
    assert wherry.asgi_app()(plain).web.message().response_timeout_s == 0
    assert wherry.wsgi_app(response_timeout=7)(with_defaults).web.message().response_timeout_s == 7
    server = wherry.web_server(8000, startup_timeout=9)(plain).web.message()
    assert (server.kind, server.port, server.port_timeout_s) == (4, 8000, 9)


@pytest.mark.parametrize(
    ("decorate", "said"),
    [
        (lambda: wherry.asgi_app(plain), r"write @wherry\.asgi_app\(\)"),
        (lambda: wherry.web_endpoint(plain), r"write @wherry\.web_endpoint\(\)"),
        (lambda: wherry.web_server(plain), r"write @wherry\.web_server\(8000\)"),
        (wherry.web_server, r"the port is missing"),
        (lambda: wherry.web_server(0), "port is 0: it must be a whole number from 1 to 65535"),
        (lambda: wherry.fastapi_endpoint(method="FETCH"), "method='FETCH': it must be one of GET"),
        (lambda: wherry.asgi_app(label=""), "label=''"),
        (lambda: wherry.asgi_app(custom_domains="a.com"), r"must be a list, such as \['a\.com'\]"),
        (lambda: wherry.asgi_app(custom_domains=["https://a.com/"]), "write a host name"),
        (lambda: wherry.asgi_app(response_timeout=-1), "response_timeout is -1"),
        (lambda: wherry.fastapi_endpoint()(generator), "StreamingResponse"),
        (lambda: wherry.asgi_app()(generator), "it must return the app"),
        (lambda: wherry.wsgi_app()(coroutine), "must be a plain function"),
        (lambda: wherry.asgi_app()(wherry.wsgi_app()(plain)), r"both @asgi_app\(\) and @wsgi_app\(\)"),
        (lambda: wherry.asgi_app()(wherry.App().function()(plain)), r"put it directly above `def`"),
    ],
)
def test_misuse_is_explained(decorate: Any, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        decorate()


@pytest.mark.parametrize("decorator", [wherry.asgi_app(), wherry.wsgi_app(), wherry.web_server(80)])
def test_b53_parameters_are_refused(decorator: Any) -> None:
    with pytest.raises(InvalidError, match=r"with_parameters takes x, y: .* takes no parameters"):
        decorator(with_parameters)


def test_b34_retries_are_refused() -> None:
    app = wherry.App()
    with pytest.raises(InvalidError, match="plain is a web endpoint: retries= does not work"):
        app.function(retries=3)(wherry.asgi_app()(plain))
    with pytest.raises(InvalidError, match="batched"):
        app.function()(wherry.asgi_app()(wherry.batched(max_batch_size=2, wait_ms=1)(other)))


@pytest.mark.parametrize("order", ["above", "below"])
@pytest.mark.parametrize(
    "decorator", [wherry.asgi_app(), wherry.wsgi_app(), wherry.web_server(8000), wherry.fastapi_endpoint()]
)
def test_concurrent_stands_on_either_side_of_a_web_decorator(decorator: Any, order: str) -> None:
    def site() -> Any: ...

    concurrent = wherry.concurrent(max_inputs=50, target_inputs=40)
    made = concurrent(decorator(site)) if order == "above" else decorator(concurrent(site))
    options = Definition(made.raw_f, None, None, FunctionOptions(serialized=True), made.web).options
    assert (options.max_inputs, options.target_inputs) == (50, 40)


def test_concurrent_and_batched_above_a_web_decorator_are_not_lost() -> None:
    app = wherry.App()
    with pytest.raises(InvalidError, match="batched"):
        app.function(serialized=True)(wherry.batched(max_batch_size=2, wait_ms=1)(wherry.asgi_app()(lambda: None)))
    with pytest.raises(InvalidError, match=r"put it below @app\.cls"):

        @app.cls(serialized=True)
        class Site:
            @wherry.concurrent(max_inputs=5)
            @wherry.asgi_app()
            def web(self) -> Any: ...


def test_in_classes() -> None:
    app = wherry.App()

    @app.cls(serialized=True)
    class Fine:
        x: int = wherry.parameter(default=1)

        @wherry.asgi_app()
        def web(self) -> Any: ...

    assert Fine().web.is_generator is False

    @app.cls(serialized=True)
    class Told:
        x: int = wherry.parameter()

        @wherry.asgi_app()
        def web(self) -> Any: ...

    with pytest.raises(InvalidError, match="can't be made without x="):

        @app.cls(serialized=True)
        class Needs:
            def __init__(self, x: int) -> None: ...

            @wherry.asgi_app()
            def web(self) -> Any: ...

    with pytest.raises(InvalidError, match="takes"):

        class Takes:
            @wherry.wsgi_app()
            def web(self, more: int) -> Any: ...


def test_what_is_none_has_no_url() -> None:
    made = wherry.App().function()(plain)
    with pytest.raises(InvalidError, match="plain is not a web endpoint"):
        made.web_url
    assert made.get_web_url() is None


def test_a_web_endpoint_whose_app_does_not_run() -> None:
    made: Any = wherry.App().function()(wherry.asgi_app()(plain))
    with pytest.raises(InvalidError, match="answers requests while its app runs"):
        made.remote()
    with pytest.raises(InvalidError, match=r"has no \.map"):
        made.map([1])
