"""`@app.server()`: what it says to the service, what can't be one, and its handle."""

import pickle
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry._publish.spec import function_spec
from wherry.exception import InvalidError, NotFoundError
from wherry.server import Server
from wherry_proto.messages import (
    FunctionEndSessionResponse,
    FunctionInfo,
    FunctionSession,
    FunctionSpec,
    MethodSpec,
    PoolSettings,
    WebKind,
)

app = wherry.App("servers")


@app.server(port=9000, unauthenticated=True, target_concurrency=1.5, max_concurrency=4, exit_grace_period=7, label="x")
class Files:
    """Serves files."""

    @wherry.enter()
    def start(self) -> None: ...

    @wherry.exit()
    def stop(self) -> None: ...


def spec_of(server: Any) -> FunctionSpec:
    return function_spec(server.service.definition)


def class_with_enter() -> type:
    class Served:
        @wherry.enter()
        def start(self) -> None: ...

    return Served


def test_what_a_server_says_to_the_service() -> None:
    assert isinstance(Files, Server)
    spec = spec_of(Files)
    assert (spec.name, spec.methods, spec.needs_parameters) == ("Files", [], False)
    web, pool = spec.web, spec.pool
    assert web is not None
    assert pool is not None
    assert (web.kind, web.port, web.port_timeout_s, web.label) == (WebKind.SERVER, 9000, 30, "x")
    assert (web.requires_proxy_auth, web.response_timeout_s) == (False, -1)
    assert web.server is not None
    assert web.server.exit_grace_s == 7
    assert (pool.target_concurrency, pool.max_concurrent_inputs, pool.target_concurrent_inputs) == (1.5, 4, 0)
    assert (spec.timeout_s, spec.startup_timeout_s) == (86_400, 35)


def test_defaults_ask_for_a_token_and_scale_nothing() -> None:
    made: Any = wherry.App("a").server(serialized=True)(class_with_enter())
    spec = spec_of(made)
    assert spec.web is not None
    assert spec.pool is not None
    assert (spec.web.requires_proxy_auth, spec.web.port) == (True, 8000)
    assert (spec.pool.target_concurrency, spec.pool.max_concurrent_inputs, spec.pool.scaleup_window_s) == (0, 1000, 0)
    # It arrives as a server's handle, whose blueprint containers ask for.
    assert spec.serialized is not None
    found = pickle.loads(spec.serialized.data)
    assert isinstance(found, Server)
    assert found._blueprint.enter_hooks(found._blueprint.construct((), {}))


def test_older_spellings() -> None:
    own = wherry.App("a")
    older: Any = own._experimental_server(port=8001, serialized=True)(class_with_enter())
    assert spec_of(older).web.requires_proxy_auth is False

    marked = wherry.experimental.http_server(8002, exit_grace_period=3)(
        wherry.concurrent(target_inputs=10)(class_with_enter())
    )
    oldest: Any = wherry.App("b").cls(serialized=True)(marked)
    spec = spec_of(oldest)
    assert isinstance(oldest, Server)
    assert (spec.web.port, spec.web.server.exit_grace_s, spec.web.requires_proxy_auth) == (8002, 3, False)
    assert (spec.pool.target_concurrency, spec.pool.max_concurrent_inputs) == (10, 1000)


def test_a_server_with_sessions() -> None:
    made: Any = wherry.App("a").server(serialized=True, max_concurrency=3)(wherry.sessioned()(class_with_enter()))
    spec = spec_of(made)
    assert spec.web.server.max_sessions == 3
    assert spec.pool.max_concurrent_inputs == 1000
    assert spec_of(Files).web.server.max_sessions == 0  # type: ignore[union-attr]
    most: Any = wherry.App("b").server(serialized=True)(wherry.sessioned()(class_with_enter()))
    assert spec_of(most).web.server.max_sessions == 1000
    with pytest.raises(InvalidError, match=r"write @wherry\.sessioned\(\)"):
        wherry.sessioned(class_with_enter())
    with pytest.raises(InvalidError, match="it goes on a class"):
        wherry.sessioned()(plain)
    with pytest.raises(InvalidError, match=r"write @app\.server\(\) above it"):
        wherry.App("c").cls()(wherry.sessioned()(class_with_enter()))


def test_sessions_begin_and_end(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    known = FunctionInfo(function_id="fu-1", name="Files", web_url="http://files")
    monkeypatch.setattr(service, "_functions_lookup", lambda _: known)
    begun = FunctionSession(session_id="sd-1", token="t")
    monkeypatch.setattr(service, "_functions_startsession", lambda _: begun, raising=False)
    monkeypatch.setattr(service, "_functions_endsession", lambda _: FunctionEndSessionResponse(), raising=False)
    sessions = Server.from_name("servers", "Files").sessions
    found = sessions.start(idle_timeout=30)
    assert (found.session_id, found.token) == ("sd-1", "t")
    sessions.terminate(found.token)
    asked = {name: request for name, request in service.requests if "Session" in name}
    assert asked["Functions.StartSession"].idle_timeout_s == 30  # type: ignore[attr-defined]
    assert asked["Functions.EndSession"].token == "t"  # type: ignore[attr-defined]
    with pytest.raises(InvalidError, match="idle_timeout is 0"):
        sessions.start(0)
    with pytest.raises(InvalidError, match="token is ''"):
        sessions.terminate("")


class Method:
    @wherry.enter()
    def start(self) -> None: ...

    @wherry.method()
    def work(self) -> None: ...


class Web:
    @wherry.enter()
    def start(self) -> None: ...

    @wherry.asgi_app()
    def site(self) -> None: ...


class NoEnter:
    @wherry.exit()
    def stop(self) -> None: ...


class Argument:
    size: int = wherry.parameter()

    @wherry.enter()
    def start(self) -> None: ...


class Init:
    def __init__(self, size: int) -> None: ...

    @wherry.enter()
    def start(self) -> None: ...


@wherry.concurrent(max_inputs=3)
class Concurrent:
    @wherry.enter()
    def start(self) -> None: ...


def plain() -> None: ...


@pytest.mark.parametrize(
    ("target", "options", "said"),
    [
        (Method, {}, r"Method\.work is a method of a class with @app\.server\(\)"),
        (Web, {}, r"Web\.site is a method of a class with @app\.server\(\)"),
        (NoEnter, {}, r"class NoEnter starts no server.*@wherry\.enter\(\)"),
        (Argument, {}, "class Argument is a server, and takes arguments"),
        (Init, {}, "class Init is a server, and takes arguments"),
        (Concurrent, {}, "target_concurrency= and max_concurrency= instead"),
        (plain, {}, "it goes on a class"),
        (Files, {}, "is of an app already"),
        (NoEnter, {"port": 0}, "port is 0"),
        (NoEnter, {"port": "http"}, "port is 'http'"),
        (NoEnter, {"exit_grace_period": 3601}, "exit_grace_period is 3601"),
        (NoEnter, {"max_concurrency": 1001}, "max_concurrency is 1001"),
        (
            NoEnter,
            {"target_concurrency": 5, "max_concurrency": 4},
            "target_concurrency is 5, more than max_concurrency",
        ),
        (NoEnter, {"target_concurrency": -1}, "target_concurrency is -1"),
        (NoEnter, {"scaleup_window": -1}, "scaleup_window is -1"),
        (NoEnter, {"i6pn": True}, "i6pn is not in Wherry"),
    ],
)
def test_what_can_be_no_server(target: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        wherry.App("a").server(**options)(target)


@pytest.mark.parametrize("options", [{"h2_enabled": True}, {"compute_region": "eu"}, {"routing_region": "us-west"}])
def test_what_means_nothing_here_is_ignored_with_a_warning(options: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=next(iter(options))):
        wherry.App("a").server(serialized=True, **options)(class_with_enter())


def test_parentheses_and_calls() -> None:
    with pytest.raises(InvalidError, match=r"write @app\.server\(\)"):
        wherry.App("a").server(class_with_enter())
    with pytest.raises(InvalidError, match=r"send requests to Files\.get_url\(\)"):
        Files()
    with pytest.raises(InvalidError, match=r"it has get_url\(\), and no remote"):
        Files.remote()  # type: ignore[attr-defined]
    assert Files.__doc__ == "Serves files."
    assert pickle.loads(pickle.dumps(Files)) is Files
    with pytest.raises(InvalidError, match="needs max_inputs"):
        wherry.App("a").function()(wherry.concurrent(target_inputs=3)(plain))


def test_a_handle_finds_its_url_and_scales(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    known = FunctionInfo(
        function_id="fu-1", app_id="ap-1", name="Files", web_url="http://files", pool=PoolSettings(min_containers=1)
    )
    changed = FunctionInfo(function_id="fu-1", name="Files", pool=PoolSettings(target_concurrency=2, max_containers=3))
    monkeypatch.setattr(service, "_functions_lookup", lambda _: known)
    monkeypatch.setattr(service, "_functions_update", lambda _: changed)
    opened: list[str] = []
    monkeypatch.setattr("wherry._connection.web_names.reachable", lambda url: opened.append(url) or url)
    found = Server.from_name("servers", "Files")
    assert not found.is_hydrated
    assert found.hydrate().object_id == "fu-1"
    assert found.get_url() == "http://files"
    assert found.get_urls() == {"local": "http://files"}
    # Names below localhost can be opened from then on.
    assert opened == ["http://files", "http://files"]
    assert found.autoscaler.settings().min_containers == 1
    now = found.update_autoscaler(target_concurrency=2, max_containers=3)
    assert (now.target_concurrency, now.max_containers) == (2, 3)
    found.autoscaler.update(max_containers=None, scaleup_window=5)
    first, second = [one for name, one in service.requests if name == "Functions.Update"]
    assert (first.fields, second.fields) == (
        ["target_concurrency", "max_containers"],
        ["max_containers", "scaleup_window_s"],
    )
    assert (second.pool.max_containers, second.pool.scaleup_window_s) == (0, 5)
    with pytest.raises(InvalidError, match="changes nothing"):
        found.update_autoscaler()
    with pytest.raises(InvalidError, match="scaledown_window is -3"):
        found.update_autoscaler(scaledown_window=-3)


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        (FunctionInfo(function_id="fu-1", name="f"), "function, and no server: use wherry.Function"),
        (
            FunctionInfo(function_id="fu-1", name="f", methods=[MethodSpec(name="m")]),
            "class, and no server: use wherry.Cls",
        ),
    ],
)
def test_what_is_no_server_is_not_taken_for_one(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, info: FunctionInfo, kind: str
) -> None:
    monkeypatch.setattr(service, "_functions_lookup", lambda _: info)
    with pytest.raises(NotFoundError, match=kind):
        Server.from_name("servers", "f").get_url()
