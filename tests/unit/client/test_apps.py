"""Apps: one that includes another, tags, how they are stopped, and what is defined while they run."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry import App, Image, Secret
from wherry._connection.client import Client
from wherry._publish.needs import needs_of
from wherry._sandbox.origin import origin_of
from wherry._screen.output import Silent
from wherry.cli._ref import find_app
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry_proto.messages import (
    AppInfo,
    AppOpenRequest,
    AppPublishRequest,
    AppSetTagsRequest,
    AppShowRequest,
    AppShowResponse,
    AppStopRequest,
    SecretCreateRequest,
    SecretInfo,
)


class Apps(FakeService):
    """Keeps tags, and has one deployed app."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, dict[str, str]] = {}

    def _apps_settags(self, request: AppSetTagsRequest) -> AppInfo:
        self.tags[request.app_id] = request.tags
        return AppInfo(app_id=request.app_id, tags=request.tags)

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        if request.app_name not in ("", "deployed"):
            raise NotFoundError(f"no app {request.app_name}")
        app_id = request.app_id or "ap-deployed"
        info = AppInfo(app_id=app_id, name="deployed", environment="prod", version=1, tags=self.tags.get(app_id, {}))
        return AppShowResponse(app=info)

    def _secrets_create(self, request: SecretCreateRequest) -> SecretInfo:
        return SecretInfo(secret_id="st-1")

    def stopped(self) -> list[str]:
        return [request.app_id for method, request in self.requests if isinstance(request, AppStopRequest)]


@pytest.fixture
def service() -> FakeService:
    return Apps()


def plus(amount: int) -> Any:
    def f(x: int) -> int:
        return x + amount

    return f


def test_an_app_includes_anothers_functions_with_what_that_gives_them(service: FakeService, client: Client) -> None:
    image = Image.debian_slim("3.12")
    other = App("other", image=image, secrets=[Secret.from_dict({"A": "b"})], tags={"team": "a", "kind": "other"})
    f = other.function(name="f", serialized=True)(plus(1))

    @other.cls(serialized=True)
    class Model:
        @wherry.method()
        def run(self) -> int:
            return 5

    app = App("own", tags={"kind": "own"})
    g = app.function(name="g", serialized=True)(plus(10))
    assert app.include(other) is app
    assert app.include(other) is app  # again
    assert list(app.registered_functions) == ["g", "f"]
    assert list(app.registered_classes) == ["Model"]
    assert asyncio.run(app.get_tags.aio()) == {"team": "a", "kind": "own"}
    assert App("plain").include(other, inherit_tags=False).get_tags() == {}
    plan = app.__wherry_owner__.plan()
    by_name = {definition.name: needs_of(plan, definition, []) for definition in plan.definitions}
    assert (by_name["f"].image, len(by_name["f"].secrets)) == (image, 1)
    assert (by_name["g"].image, len(by_name["g"].secrets)) == (Image.debian_slim(), 0)
    service.functions.update(f=plus(1), g=plus(10))
    with pytest.raises(ExecutionError, match="other is not running"):
        f.remote(1)
    with app.run(client=client):
        assert (f.remote(1), g.remote(1)) == (2, 11)
        assert other.app_id == app.app_id
    with pytest.raises(ExecutionError, match="other is not running"):
        f.remote(1)
    assert other.app_id is None


def test_apps_are_included_through_others_and_each_other(service: FakeService, client: Client) -> None:
    first, second, third = App("first"), App("second"), App("third")
    f = first.function(name="f", serialized=True)(plus(1))
    g = second.include(first).function(name="g", serialized=True)(plus(2))
    third.include(second)
    first.include(third)
    service.functions.update(f=plus(1), g=plus(2))
    for app in (third, first):
        with app.run(client=client):
            assert (f.remote(1), g.remote(1)) == (2, 3)


def test_what_can_not_be_included_is_told_so() -> None:
    app, other = App("own"), App("other")
    app.function(name="f", serialized=True)(plus(1))
    other.function(name="f", serialized=True)(plus(2))
    with pytest.raises(InvalidError, match="two functions named 'f'"):
        app.include(other)
    with pytest.raises(InvalidError, match="can't include itself"):
        app.include(app)
    with pytest.raises(InvalidError, match="it takes another App"):
        app.include("other")  # type: ignore[arg-type]


def test_the_service_is_told_which_app_an_included_function_calls_its_own(service: FakeService, client: Client) -> None:
    app, other, unnamed = App("own"), App("other"), App()
    app.function(name="f", serialized=True)(plus(1))
    other.function(name="g", serialized=True)(plus(2))
    unnamed.function(name="h", serialized=True)(plus(3))
    app.include(other).include(unnamed)
    for name, told in ((None, {"f": "", "g": "other", "h": ""}), ("called", {"f": "own", "g": "other", "h": ""})):
        with app.run(client=client, name=name):
            assert {spec.name: spec.app_name for spec in service.specs.values()} == told


def test_functions_and_classes_are_defined_while_the_app_runs(service: FakeService, client: Client) -> None:
    app = App("late")
    with app.run(client=client):
        f = app.function(name="f", serialized=True)(plus(1))
        service.functions["f"] = plus(1)
        assert f.remote(1) == 2

        @app.cls(serialized=True)
        class Model:
            @wherry.method()
            def run(self) -> int:
                return 5

        service.functions["Model"] = lambda: {"run": lambda: 5}
        assert asyncio.run(Model().run.remote.aio()) == 5  # type: ignore[attr-defined]
        assert f.remote(2) == 3
    assert [method for method, _ in service.requests].count("Apps.Publish") == 3


def test_what_was_defined_after_it_was_included_is_named(service: FakeService, client: Client) -> None:
    app, other = App("own"), App("other")
    app.include(other)
    f = other.function(name="f", serialized=True)(plus(1))
    with app.run(client=client), pytest.raises(ExecutionError, match="defined after App\\('own'\\) had included"):
        f.remote(1)


def test_tags_are_sent_when_the_app_runs_and_replaced(service: Apps, client: Client) -> None:
    app = App("tagged", tags={"a": "1"})
    app.set_tags({"b": "2"})
    app.function(name="f", serialized=True)(plus(1))
    assert app.get_tags() == {"b": "2"}
    with app.run(client=client):
        assert app.app_id is not None
        assert service.tags[app.app_id] == {"b": "2"}
        asyncio.run(app.set_tags.aio({"c": "3"}, client=client))
        assert app.get_tags() == {"c": "3"}
    for wrong in ({"a": 1}, {1: "a"}, "a"):
        with pytest.raises(InvalidError, match="tag"):
            App("x", tags=wrong)  # type: ignore[arg-type]


def test_an_app_is_stopped_by_its_handle(service: Apps, client: Client) -> None:
    found = App.lookup("deployed", client=client)
    assert (found.name, found.app_id, found.get_tags()) == ("deployed", "ap-deployed", {})
    found.stop()
    assert service.stopped() == ["ap-deployed"]
    assert found.app_id is None
    app = App("own")
    f = app.function(name="f", serialized=True)(plus(1))
    with pytest.raises(ExecutionError, match=r"for a deployed app write wherry.App.lookup\('own'\).stop"):
        app.stop()
    with app.run(client=client):
        app_id = app.app_id
        asyncio.run(app.stop.aio(client=client))
        with pytest.raises(ExecutionError, match="is not running"):
            f.remote(1)
    assert service.stopped() == ["ap-deployed", app_id]


def test_an_app_is_looked_up_by_its_id(client: Client) -> None:
    found = App.lookup("ap-1", client=client)
    assert (found.app_id, found.name) == ("ap-1", "deployed")
    with pytest.raises(InvalidError, match="create_if_missing needs a name"):
        App.lookup("ap-1", create_if_missing=True, client=client)
    with pytest.raises(NotFoundError, match="no app 'nobody' is deployed"):
        App.lookup("nobody", client=client)


def test_an_app_is_looked_up_in_a_container_where_its_own_stands_for_a_missing_one(
    service: Apps, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_CONTAINER", "/run/wherry")
    monkeypatch.setenv("WHERRY_APP_ID", "ap-own")
    assert App.lookup("deployed", client=client).app_id == "ap-deployed"
    with pytest.raises(NotFoundError, match="no app 'pool' is deployed in environment 'main': deploy it"):
        App.lookup("pool", client=client)
    # Its SDK is not told which environment it belongs to.
    inside = Client(service, "", give_up_s=5)
    with pytest.raises(NotFoundError, match="no app 'pool' is deployed in this container's environment: deploy it"):
        App.lookup("pool", client=inside)
    inside.close()
    pool = App.lookup("pool", client=client, create_if_missing=True)
    assert (pool.name, pool.app_id) == ("pool", "ap-own")
    assert not {"Apps.Open", "Deployments.Create"} & {method for method, _ in service.requests}
    info = pool.info()
    assert (info.app_id, info.lifecycle.deployed_at) == ("ap-own", None)
    # Whichever is named, the service knows whose container asks.
    assert origin_of(pool, None).app_id == origin_of(App("x"), None).app_id == ""


def test_what_an_app_says_of_itself() -> None:
    assert App("named").description == "named"
    app = App()
    assert app.description == "app"

    @app.function(serialized=True)
    @wherry.fastapi_endpoint()
    def page() -> str:
        return ""

    @app.cls(serialized=True)
    class Site:
        @wherry.asgi_app()
        def serve(self) -> Any: ...

        @wherry.method()
        def plain(self) -> None: ...

    assert app.description == "test_apps"
    assert app.registered_web_endpoints == ["page", "Site.serve"]


def test_of_two_apps_in_a_file_the_including_one_is_meant(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(
        "import wherry\n"
        "first, second = wherry.App('first'), wherry.App('second')\n"
        "@first.function()\ndef f(): ...\n"
        "second.include(first)\n"
    )
    assert find_app(str(tmp_path / "both.py")).name == "second"


def test_an_app_that_only_runs_says_that_its_schedules_wait(
    service: FakeService, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    app = App("clock")
    app.function(name="tick", serialized=True, schedule=wherry.Period(seconds=5))(lambda: None)
    app.function(name="plain", serialized=True)(lambda: None)
    with app.run(client=client):
        pass
    assert "wherry: tick: the schedule begins when the app is deployed" in caplog.text
    caplog.clear()
    with App("plain").run(client=client):
        pass
    assert caplog.text == ""


def test_apps_of_2023_have_objects_by_name_and_know_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = wherry.Queue.new()
    app = App("old", q=queue, secret=Secret.from_name("s"))
    assert app.q is app["q"] is queue  # type: ignore[attr-defined]
    app["results"] = made = wherry.Dict.new()
    assert app.results is made  # type: ignore[attr-defined]
    assert app.__wherry_owner__.objects == [queue, made]
    with pytest.raises(KeyError, match="has nothing named 'other'"):
        app["other"]
    for name in ("function", "a b", 3):
        with pytest.raises(InvalidError, match="can't be set: give the object another name"):
            app[name] = queue  # type: ignore[index]
    with pytest.raises(InvalidError, match="App has no parameter 'imag'"):
        App("x", imag=Image.debian_slim().object_id)
    assert not app.is_inside()
    monkeypatch.setattr("wherry._app.older_app.is_local", lambda: False)
    assert app.is_inside(Image.debian_slim())


def test_experiments_of_modal_are_ignored_with_a_word() -> None:
    app = App("x")
    with pytest.warns(UserWarning, match="_experimental_boost is ignored: it is an experiment of Modal's"):
        app.function(serialized=True, _experimental_boost=True)(plus(1))
    with pytest.warns(UserWarning, match="_allow_background_volume_commits is ignored"):

        @app.cls(serialized=True, _allow_background_volume_commits=True)
        class Model:
            @wherry.method()
            def run(self) -> None: ...

    with pytest.warns(UserWarning, match="interactive is ignored: `wherry run -i` gives"):
        app.function(serialized=True, name="g", interactive=True)(plus(1))
    with pytest.raises(InvalidError, match="there is no parameter 'timeot'; did you mean 'timeout'"):
        app.function(timeot=3)
    made = app.function(serialized=True, name="h", allow_concurrent_inputs=True)(plus(1))
    assert made.written.options.max_inputs == 1


@pytest.mark.parametrize(
    ("name", "runs_as"),
    [("models/resnet", "models-resnet"), ("a::b", "a-b"), ("two\nlines", "two-lines"), ("x" * 70, "x" * 64)],
)
def test_a_name_that_no_deployed_app_has_is_no_hindrance_to_running(
    service: FakeService, client: Client, name: str, runs_as: str
) -> None:
    told: list[str] = []

    class Screen(Silent):
        def notice(self, notice: Any) -> None:
            told.append(notice.text)

    client.listener.screen = Screen()
    app = App(name)
    f = app.function(name="f", serialized=True)(plus(1))
    service.functions["f"] = plus(1)
    with app.run(client=client):
        assert (f.remote(1), app.name) == (2, name)
    (opened,) = [request for _, request in service.requests if isinstance(request, AppOpenRequest)]
    (published,) = [request for _, request in service.requests if isinstance(request, AppPublishRequest)]
    # What the code calls the app is not what it is called: the container finds it by the former.
    assert (opened.name, published.functions[0].app_name) == (runs_as, name)
    (said,) = told
    assert said.startswith(f"the app's name is {name!r}: it runs as {runs_as!r}, and can't be deployed")
    with pytest.raises(InvalidError, match="an app's name is"):
        app.deploy()
