"""What of the dashboard needs no service: hosts, logins, words, streams, assets."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from wherry_proto.messages import DashboardLinkRequest
from wherry_service.api.dashboard import DashboardApi
from wherry_service.api.logins import LINK_S, MAX_LINKS, MAX_SESSIONS, Logins, proof_of
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.errors import InvalidRequest
from wherry_service.ingress.heads import HOME, Peer
from wherry_service.ingress.own import OwnPages, is_plain, sheltered
from wherry_service.settings_key import SettingsError
from wherry_service.ui import guard, words
from wherry_service.ui.assets import Assets
from wherry_service.ui.page import Page, Routes
from wherry_service.ui.settings import UiSettings
from wherry_service.ui.stream import event
from wherry_service.ui.web import WebError, address, led_to


async def _nothing() -> None:
    return None


async def _app(*_: Any) -> None:
    return None


async def _other(*_: Any) -> None:
    return None


def _own(site: Site) -> OwnPages:
    own = OwnPages(Endpoints(site))
    own.mount("ui", "", _app)
    own.mount("api", "/v1", _other)
    return own


PEER_HERE = Peer({"client": ("127.0.0.1", 1), "scheme": "http", "headers": []}, ())


@pytest.mark.parametrize(
    ("host", "path", "prefix"),
    [
        ("wherry.localhost", "/", ""),
        ("wherry.localhost", "/wherry--app-web/x", ""),
        ("wherry.apps.example.com", "/apps", ""),
        ("wherry.localhost", "/.wherry/ui/", "/.wherry/ui"),
        ("wherry.localhost", "/.wherry/domain", None),
        ("apps.example.com", "/.wherry/ui/login", None),
        ("127.0.0.1", "/", None),
        ("evil.example.com", "/.wherry/ui/", None),
        ("wherry--app-web.localhost", "/.wherry/ui/", None),
        ("wherry.localhost.evil.com", "/", None),
        ("", "/.wherry/ui/", None),
    ],
)
def test_where_pages_answer_before_any_endpoint(host: str, path: str, prefix: str | None) -> None:
    found = _own(Site(domain="apps.example.com")).find_apart({"path": path}, host, PEER_HERE)
    assert (found[1]["root_path"] if found is not None else None) == prefix
    assert found is None or found[0] is _app


def test_code_in_a_container_gets_no_page() -> None:
    assert _own(Site()).find_apart({"path": "/", HOME: "main"}, "wherry.localhost", PEER_HERE) is None
    assert _own(Site()).find({"path": "/.wherry/ui/", HOME: ""}, "127.0.0.1", PEER_HERE) is None


def test_no_app_can_claim_the_name_of_the_pages() -> None:
    site = Site(domain="apps.example.com")
    assert not site.can_be_anyones("wherry.apps.example.com")
    assert site.can_be_anyones("shop.apps.example.com")
    assert (site.own, Site(domain="10.0.0.5").own) == ("http://wherry.apps.example.com", "")
    assert Endpoints(site).knows("wherry.apps.example.com")
    hosts = ("127.0.0.1", "[::1]", "localhost", "apps.example.com", "evil.example.com", "wherry.localhost", "")
    assert [is_plain(host, site.domain) for host in hosts] == [True] * 4 + [False] * 3


@pytest.mark.parametrize(
    "name",
    [
        b"Service-Worker-Allowed",
        b"Cross-Origin-Opener-Policy",
        b"cross-origin-opener-policy ",
        b"Cross-Origin-Opener-Policy-Report-Only",
        b"NEL",
        b"Report-To",
    ],
)
def test_an_endpoint_says_nothing_that_gives_it_our_pages(name: bytes) -> None:
    sent: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"text/javascript"), (name, b"/")]
    asyncio.run(sheltered(send)({"type": "http.response.start", "status": 200, "headers": headers}))
    assert sent == [{"type": "http.response.start", "status": 200, "headers": headers[:1]}]


def _logins(path: Path, clock: list[float], hours: float = 1) -> Logins:
    made = Logins(path / "ui_sessions.json", hours, lambda: clock[0])
    made.begin()
    return made


def test_links_are_good_once_and_soon(tmp_path: Path) -> None:
    clock = [1000.0]
    logins = _logins(tmp_path, clock)
    code = logins.link("tk-1")
    assert [logins.redeem(code), logins.redeem(code), logins.redeem("other")] == ["tk-1", None, None]
    late = logins.link("")
    clock[0] += LINK_S
    assert logins.redeem(late) is None
    first = logins.link("")
    for _ in range(MAX_LINKS):
        last = logins.link("")
    assert (logins.redeem(first), logins.redeem(last)) == (None, "")


def test_sessions_end_by_time_and_are_of_one_host(tmp_path: Path) -> None:
    clock = [1000.0]
    logins = _logins(tmp_path, clock)
    cookie = logins.open("", "wherry.localhost")
    assert logins.find(cookie, "wherry.localhost") is not None
    assert logins.find(cookie, "127.0.0.1") is None
    assert logins.find("", "wherry.localhost") is None
    again = _logins(tmp_path, clock)
    assert again.find(cookie, "wherry.localhost") is not None
    clock[0] += 3600
    assert again.find(cookie, "wherry.localhost") is None
    for _ in range(MAX_SESSIONS + 5):
        again.open("", "wherry.localhost")
    assert len(again._sessions) == MAX_SESSIONS


@pytest.mark.parametrize("text", ["{", "[1]", '[{"key": "x"}]', "null"])
def test_a_file_of_sessions_that_is_broken_signs_nobody_in(tmp_path: Path, text: str) -> None:
    (tmp_path / "ui_sessions.json").write_text(text)
    assert _logins(tmp_path, [0.0])._sessions == {}


def test_the_proof_of_a_page_is_not_its_cookie() -> None:
    assert proof_of("a") != proof_of("b")
    assert "secret" not in proof_of("secret")


@pytest.mark.parametrize(
    ("host", "scheme", "remote", "status"),
    [
        ("127.0.0.1", "http", False, 0),
        ("::1", "http", False, 0),
        ("10.0.0.1", "https", False, 403),
        ("10.0.0.1", "http", True, 403),
        ("10.0.0.1", "https", True, 0),
        ("nonsense", "http", False, 403),
        ("", "http", False, 403),
    ],
)
def test_which_machines_get_pages(host: str, scheme: str, remote: bool, status: int) -> None:
    peer = Peer({"client": (host, 1), "scheme": scheme, "headers": []}, ())
    if not status:
        guard.check_way(peer, remote)
        return
    with pytest.raises(WebError) as caught:
        guard.check_way(peer, remote)
    assert caught.value.status == status


def test_a_dashboard_that_is_off_says_so(tmp_path: Path) -> None:
    api = DashboardApi(_logins(tmp_path, [0.0]), None, _nothing)
    with pytest.raises(InvalidRequest, match=r"ui\.enabled"):
        asyncio.run(api.link(DashboardLinkRequest()))


def test_settings() -> None:
    assert UiSettings.from_environment({}) == UiSettings(True, False, 24.0)
    given = {"WHERRY_UI_ENABLED": "off", "WHERRY_UI_REMOTE": "on", "WHERRY_UI_SESSION_HOURS": "0.5"}
    assert UiSettings.from_environment(given) == UiSettings(False, True, 0.5)
    for name, value in (("ENABLED", "yes"), ("SESSION_HOURS", "0"), ("SESSION_HOURS", "x"), ("SESSION_HOURS", "nan")):
        with pytest.raises(SettingsError, match=f"WHERRY_UI_{name}"):
            UiSettings.from_environment({f"WHERRY_UI_{name}": value})


def test_files_that_pages_load_are_those_of_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "secret.js").write_text("x")
    (tmp_path / "static/a.js").write_text("1")
    (tmp_path / "static/b.py").write_text("1")
    assets = Assets(tmp_path / "static")
    assert assets.names == {"a.js"}
    for name in ("../secret.js", "b.py", "", "/a.js", "a.js/", "./a.js"):
        assert assets.get(name) is None
    assert assets.missing != []
    assert assets.address("/x", "a.js").startswith("/x/static/a.js?v=")


def test_paths_of_pages() -> None:
    async def data(_: Any) -> dict[str, Any]:
        return {}

    made = Routes((Page("/apps/{app}", "a", data), Page("/volumes/{name}/files/{path*}", "b", data)))
    assert made.find("/apps") is made.find("/apps/") is made.find("/apps/a/b") is None
    found = made.find("/volumes/v.1/files/a/b c")
    assert found is not None
    assert found[1] == {"name": "v.1", "path": "a/b c"}


@pytest.mark.parametrize("path", ["//evil.example/login", "///evil.example", "/\\evil.example", "//\\evil.example"])
def test_an_address_is_of_this_host_whatever_its_path(path: str) -> None:
    for made in (address("", path, {"a": "b"}), led_to("", path).headers[0][1].decode()):
        assert urljoin("http://wherry.localhost/", made).startswith("http://wherry.localhost/")
        assert made[:1] == "/"
        assert made[1:2] not in ("/", "\\")
    assert address("/.wherry/ui", path).startswith("/.wherry/ui/")


def test_nobody_is_led_to_a_line_of_their_own() -> None:
    assert led_to("", "/x\r\nset-cookie: a=b").headers == [(b"location", b"/x%0D%0Aset-cookie%3A%20a%3Db")]


def test_events_keep_their_lines_apart() -> None:
    assert event("x", "a\r\n\nevent: evil") == b"event: x\ndata: a\ndata: \ndata: event: evil\n\n"


def test_words() -> None:
    said = [words.seconds(value) for value in (None, 0, 0.0004, 0.012, 1.25, 59.9, 200, 7500, 3 * 86400 + 4 * 3600)]
    assert said == ["–", "0 ms", "0.4 ms", "12 ms", "1.2 s", "59.9 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"]
    assert [words.size(value) for value in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert (words.moment(0), words.moment(1000)) == ("–", "1970-01-01 00:00:01")
    assert (words.counted(1, "call"), words.counted(2000, "call")) == ("1 call", "2,000 calls")
