"""`wherry open`, on a fake service."""

import webbrowser
from collections.abc import Callable

import pytest

from tests.fakes.service import FakeService
from wherry.cli import main as cli
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    FunctionInfo,
    FunctionStatus,
    MethodSpec,
)
from wherry_service.errors import NotFound

Run = Callable[..., int]
SHOP = "http://wherry--shop-price.localhost:8720"


def endpoint(app: str, name: str, url: str = "", **methods: str) -> FunctionStatus:
    specs = [MethodSpec(name=own, web_url=where) for own, where in methods.items()]
    return FunctionStatus(function=FunctionInfo(name=name, app_name=app, web_url=url, methods=specs))


class Endpoints(FakeService):
    """A fake with apps that have web endpoints."""

    def __init__(self) -> None:
        super().__init__()
        self.apps = {"ap-1": ("shop", [endpoint("shop", "price", SHOP), endpoint("shop", "stock")])}

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        return AppListResponse(apps=[AppInfo(app_id=own, name=name) for own, (name, _) in self.apps.items()])

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        for own, (name, functions) in self.apps.items():
            if own == request.app_id or (not request.app_id and name == request.app_name):
                return AppShowResponse(app=AppInfo(app_id=own, name=name), functions=functions)
        raise NotFound("no such app")


@pytest.fixture
def service() -> FakeService:
    return Endpoints()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: found.append(url) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["wherry", "open", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


@pytest.mark.parametrize("words", [[], ["shop"], ["shop/price"], ["ap-1"]])
def test_the_only_endpoint_opens(run: Run, service: Endpoints, opened: list[str], words: list[str]) -> None:
    assert run(*words) == 0
    assert opened == [SHOP]


def test_print_opens_nothing(
    run: Run, service: Endpoints, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("shop", "--print") == 0
    assert (capsys.readouterr().out, opened) == (SHOP + "\n", [])


@pytest.mark.parametrize("variable", ["DISPLAY", "open"])
def test_without_a_browser_the_url_is_printed(
    run: Run,
    service: Endpoints,
    opened: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    if variable == "DISPLAY":
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
            monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert run("shop") == 0
    assert (capsys.readouterr().out, opened) == (SHOP + "\n", [])


def test_of_several_it_asks_which(
    run: Run, service: Endpoints, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    service.apps["ap-2"] = ("other", [endpoint("other", "Model", page="http://a.localhost", api="http://b.localhost")])
    assert run() == 2
    told = capsys.readouterr().err
    assert "there are 3 web endpoints; say which:" in told
    for name in (f"shop/price  {SHOP}", "other/Model.page  http://a.localhost", "other/Model.api  http://b.localhost"):
        assert name in told
    assert run("other") == 2
    assert run("other/Model") == 2
    assert run("other/Model.api") == 0
    assert opened == ["http://b.localhost"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["shop/stock"], 1, "shop has no web endpoint 'stock'; it has:\n  shop/price"),
        (["shop/"], 2, "is not APP/FUNCTION"),
        (["/price"], 2, "is not APP/FUNCTION"),
    ],
)
def test_what_has_no_url(
    run: Run, service: Endpoints, words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == code
    assert told in capsys.readouterr().err


def test_an_address_that_is_no_page_is_not_given_to_a_browser(
    run: Run, service: Endpoints, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    service.apps = {"ap-1": ("shop", [endpoint("shop", "price", "file:///etc/passwd")])}
    assert run() == 1
    assert (opened, "no address of a web page" in capsys.readouterr().err) == ([], True)


def test_without_any_it_says_how_to_start_one(run: Run, service: Endpoints, capsys: pytest.CaptureFixture[str]) -> None:
    service.apps = {"ap-1": ("shop", [endpoint("shop", "stock")])}
    assert run() == 1
    assert "The apps that run have no web endpoint. `wherry deploy FILE.py`" in capsys.readouterr().err
