"""Who gets a page of the dashboard, and who does not: over HTTP, as browsers and attackers ask."""

import contextlib
import html
import http.client
import json
import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.fakes.running_service import Running, running_service
from wherry_proto.messages import (
    AuditListRequest,
    AuditListResponse,
    TokenCreated,
    TokenCreateRequest,
    TokenRevokeRequest,
)

OWN = "wherry.localhost"
# What a browser says of a page that its user opens.
OPENS = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
# And of what a script of the same page fetches.
FETCHES = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    # What a proxy on this machine says is believed, so that others can seem to ask.
    with running_service(WHERRY_HTTP_TRUSTED_PROXIES="127.0.0.1", WHERRY_UI_REMOTE="on") as running:
        yield running


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    text: str


@dataclass
class Browser:
    """What asks: with the cookies that it was given, at the host that it was given them by."""

    service: Running
    host: str = OWN
    prefix: str = ""
    cookies: dict[str, str] = field(default_factory=dict)
    proof: str = ""

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.service.port}"

    def get(self, path: str, method: str = "GET", body: str = "", host: str = "", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=10)
        sent = {"Host": f"{host or self.host}:{self.service.port}", **OPENS}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, self.prefix + path, body or None, {k: v for k, v in sent.items() if v})
            response = connection.getresponse()
            cookies = [value for name, value in response.getheaders() if name == "set-cookie"]
            return Answer(response.status, dict(response.getheaders()), cookies, response.read().decode())
        finally:
            connection.close()

    def post(self, path: str, body: str = "", **headers: str) -> Answer:
        sent = {"Origin": self.origin, "Sec_Fetch_Site": "same-origin", **headers}
        return self.get(path, "POST", body, **sent)

    def take(self, answer: Answer) -> None:
        """Keep the cookies of an answer."""
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value

    def sign_in(self) -> "Browser":
        link = self.service.link()
        path = urlsplit(link.plain_url if self.prefix else link.url)
        answer = self.get(f"/login?{path.query}")
        assert answer.status == 200, answer
        self.take(answer)
        page = self.get("/")
        assert page.status == 200, page
        found = re.search(r'name="wherry_page" value="(\w+)"', page.text)
        assert found is not None
        self.proof = found[1]
        return self


@pytest.fixture
def browser(service: Running) -> Browser:
    return Browser(service)


def token(service: Running, *scopes: str, environments: tuple[str, ...] = ("main",)) -> TokenCreated:
    transport = service.transport()
    request = TokenCreateRequest(name="tester", scopes=list(scopes), environments=list(environments))
    made = transport.call("Tokens.Create", request)
    assert isinstance(made, TokenCreated)
    transport.close()
    return made


def test_nobody_gets_a_page_without_signing_in(browser: Browser) -> None:
    answer = browser.get("/")
    assert (answer.status, answer.headers["location"]) == (303, "/login")
    assert browser.get("/apps/ap-1").headers["location"] == "/login?next=%2Fapps%2Fap-1"
    assert browser.get("/events?page=/", Sec_Fetch_Dest="empty", Sec_Fetch_Site="same-origin").status == 401
    assert browser.post("/logout").status == 401
    assert browser.get("/login").status == 200


def test_a_link_signs_in_once_and_at_no_other_host(browser: Browser, service: Running) -> None:
    link = service.link()
    assert link.url.startswith(f"http://{OWN}:{service.port}/login?code=")
    assert link.plain_url.startswith(f"http://127.0.0.1:{service.port}/.wherry/ui/login?code=")
    assert link.seconds == 60
    path = "/login?" + urlsplit(link.url).query
    first = browser.get(path)
    assert first.status == 200
    (cookie,) = first.cookies
    assert re.fullmatch(r"wherry-\w+=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict", cookie)
    again = browser.get(path)
    assert (again.status, again.cookies) == (403, [])
    assert "used already" in again.text
    browser.take(first)
    assert browser.get("/").status == 200
    for other in ("127.0.0.1", "localhost"):
        answer = browser.get("/.wherry/ui/", host=other)
        assert (answer.status, answer.headers["location"]) == (303, "/.wherry/ui/login")
    assert browser.get("/login?code=").cookies == browser.get("/login?code=" + "x" * 43).cookies == []


def test_what_every_private_page_says_to_browsers(browser: Browser) -> None:
    headers = browser.sign_in().get("/").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"script-src {browser.origin}/static/;" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"


def test_no_page_has_a_script_or_a_style_of_its_own(browser: Browser) -> None:
    text = browser.sign_in().get("/").text
    assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", text) == []


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_pages_get_nothing(browser: Browser, site: str) -> None:
    """An app at a sibling name is the same site to a browser, and another origin."""
    browser.sign_in()
    app = f"http://wherry--evil.localhost:{browser.service.port}"
    for mode, dest in (("cors", "empty"), ("no-cors", "image"), ("no-cors", "script"), ("navigate", "iframe")):
        answer = browser.get("/", Sec_Fetch_Site=site, Sec_Fetch_Mode=mode, Sec_Fetch_Dest=dest)
        assert answer.status == 403, (mode, dest)
    assert browser.get("/", Origin=app).status == 403
    assert browser.get("/events?page=/", Origin=app).status == 403
    for origin in (app, "null", f"http://127.0.0.1:{browser.service.port}"):
        answer = browser.post("/logout", f"wherry_page={browser.proof}", Origin=origin, Sec_Fetch_Site=site)
        assert answer.status == 403, origin
    assert browser.get("/").status == 200
    assert "access-control-allow-origin" not in browser.get("/").headers


def test_a_form_needs_what_only_our_pages_know(browser: Browser) -> None:
    browser.sign_in()
    assert browser.post("/logout").status == 403
    assert browser.post("/logout", "wherry_page=" + "0" * 64).status == 403
    assert browser.post("/logout", f"wherry_page={browser.proof}", Origin="", Sec_Fetch_Site="").status == 403
    assert browser.get("/", method="DELETE", Origin=browser.origin).status == 405
    assert browser.post("/logout", "x" * 70_000).status == 413
    assert browser.post("/logout", "&".join(f"a{n}=1" for n in range(200))).status == 400
    answer = browser.post("/logout", f"wherry_page={browser.proof}")
    assert (answer.status, len(answer.cookies)) == (200, 1)
    assert "Max-Age=0" in answer.cookies[0]
    # The cookie that the browser had is good for nothing.
    assert browser.get("/").status == 303


def test_a_cookie_that_an_app_has_set_beside_ours_signs_nobody_in(browser: Browser) -> None:
    browser.sign_in()
    ((name, value),) = browser.cookies.items()
    thief = Browser(browser.service).sign_in()
    assert browser.get("/", Cookie=f"{name}={value}; {name}={next(iter(thief.cookies.values()))}").status == 303
    assert browser.get("/", Cookie=f"other={value}; {name}=").status == 303


@pytest.mark.parametrize("path", ["//evil.example/login", "///evil.example/apps", "/\\evil.example"])
def test_no_path_leads_to_another_host(browser: Browser, path: str) -> None:
    answer = browser.get(path, Sec_Fetch_Site="cross-site")
    assert (answer.status, re.findall(r"url=([^\"]*)", answer.text)) == (200, ["/" + quote(path.lstrip("/"))])
    browser.sign_in()
    led = browser.get("/login?next=" + quote(path, safe=""))
    assert (led.status, led.headers["location"]) == (303, "/")


def test_only_the_own_host_name_and_plain_addresses_have_pages(browser: Browser) -> None:
    for host in ("evil.example.com", "wherry--app.localhost", "wherry.localhost.evil.com", "x.wherry.localhost"):
        for path in ("/.wherry/ui/", "/login", "/static/style.css"):
            assert browser.get(path, host=host).status == 404, (host, path)
    assert browser.get("/", host="127.0.0.1").status == 404
    assert browser.get("/.wherry/domain?domain=nobody.example.com").status == 404
    assert browser.get("/static/../site.py").status == browser.get("/static/%2e%2e/site.py").status == 404


def test_at_an_address_apps_have_the_same_origin_and_get_nothing(service: Running) -> None:
    browser = Browser(service, "127.0.0.1", "/.wherry/ui").sign_in()
    for cookie in browser.cookies:
        assert cookie.startswith("wherry-")
    assert browser.get("/").status == 200
    # What a script of an app at the same origin can have its user's browser send.
    assert browser.get("/", **{name.replace("-", "_"): value for name, value in FETCHES.items()}).status == 403
    assert browser.get("/events?page=/", Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty").status == 403
    assert browser.get("/", Sec_Fetch_Dest="iframe").status == 403
    # Browsers that do not say who asks.
    assert browser.get("/", Sec_Fetch_Site="", Sec_Fetch_Mode="", Sec_Fetch_Dest="").status == 403
    assert browser.get("/", X_Wherry_Page=browser.proof, Sec_Fetch_Mode="cors", Sec_Fetch_Dest="empty").status == 200
    # What cuts our page off from a page of an app that opens it is said there too.
    assert browser.get("/").headers["cross-origin-opener-policy"] == "same-origin"
    link = service.link()
    answer = browser.get("/login?" + urlsplit(link.plain_url).query)
    # Apps by path are not sent it.
    assert "; Path=/.wherry/ui;" in answer.cookies[0]


def test_other_machines_get_pages_by_tls_alone(browser: Browser) -> None:
    plain = browser.get("/login", X_Forwarded_For="10.1.2.3")
    assert plain.status == 403
    assert "TLS" in plain.text
    path = "/login?" + urlsplit(browser.service.link().url).query
    (cookie,) = browser.get(path, X_Forwarded_For="10.1.2.3", X_Forwarded_Proto="https").cookies
    assert cookie.startswith("__Host-wherry-")
    assert "; Secure" in cookie


def test_a_token_signs_in_and_out_when_it_is_revoked(browser: Browser, service: Running) -> None:
    made = token(service, "deploy", "invoke")
    assert made.token is not None
    body = f"id={made.token.token_id}&secret={made.secret}"
    assert browser.post("/login", body, Origin="http://evil.example.com").status == 403
    assert browser.post("/login", f"id={made.token.token_id}&secret=ws-wrong").status == 401
    answer = browser.post("/login?next=//evil.example.com", body)
    assert answer.status == 200
    assert 'url=/"' in answer.text
    browser.take(answer)
    page = browser.get("/")
    assert page.status == 200
    # What is of the machine is for who may see all of it.
    assert str(service.state_dir) not in page.text
    transport = service.transport()
    transport.call("Tokens.Revoke", TokenRevokeRequest(token_id=made.token.token_id))
    assert browser.get("/").cookies[0].partition("=")[2].startswith(";")
    assert browser.get("/").status == 303
    entries = transport.call("Audit.List", AuditListRequest(limit=100))
    assert isinstance(entries, AuditListResponse)
    assert ("login", "UNAUTHENTICATED") in {(entry.action, entry.outcome) for entry in entries.entries}
    assert "Dashboard.Link" in {entry.action for entry in entries.entries}
    transport.close()


def test_guesses_of_a_token_are_limited(browser: Browser, service: Running) -> None:
    made = token(service, "invoke")
    assert made.token is not None
    guess = f"id={made.token.token_id}&secret="
    here = {"X_Forwarded_For": "127.0.0.9"}
    assert [browser.post("/login", guess + f"ws-{n}", **here).status for n in range(11)] == [401] * 10 + [429]
    assert browser.post("/login", guess + made.secret, **here).status == 429


def _stream(browser: Browser, begun: threading.Event) -> bytes:
    """Return all that a page's stream brings until its end; say when it has begun."""
    connection = http.client.HTTPConnection("127.0.0.1", browser.service.port, timeout=20)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    headers = {"Host": f"{OWN}:{browser.service.port}", "Cookie": cookie, **FETCHES}
    with contextlib.closing(connection):
        connection.request("GET", "/events?page=/", headers=headers)
        response = connection.getresponse()
        assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
        with response:
            first = response.readline()
            begun.set()
            return first + response.read()


def test_a_stream_ends_when_its_reader_signs_out(service: Running) -> None:
    browser = Browser(service).sign_in()
    with ThreadPoolExecutor() as pool:
        begun = threading.Event()
        read = pool.submit(_stream, browser, begun)
        assert begun.wait(20)
        browser.post("/logout", f"wherry_page={browser.proof}")
        assert b"event: gone\n" in read.result(20)


def test_sessions_outlive_the_service_and_their_file_tells_no_cookie(service: Running) -> None:
    browser = Browser(service).sign_in()
    path = service.state_dir / "ui_sessions.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert next(iter(browser.cookies.values())) not in path.read_text()
    assert all(len(row["key"]) == 64 for row in json.loads(path.read_text()))
    with ThreadPoolExecutor() as pool:
        begun = threading.Event()
        read = pool.submit(_stream, browser, begun)
        assert begun.wait(20)
        service.stop()
        # A page that is open does not hold it up.
        assert read.result(20).startswith(b"retry: 1000\n")
    service.start()
    assert browser.get("/").status == 200


TERMINAL = "/terminals/co-01M8P19MQQ5S6SNETSTC8KFPSB"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec_Fetch_Site": "same-origin",
    "Sec_Fetch_Mode": "websocket",
    "Sec_Fetch_Dest": "empty",
}


@pytest.mark.parametrize(
    ("path", "changed", "status"),
    [
        (TERMINAL, {}, 101),
        (TERMINAL, {"Cookie": "a=b"}, 403),
        (TERMINAL, {"Origin": "http://shop.localhost"}, 403),
        (TERMINAL, {"Origin": "null"}, 403),
        (TERMINAL, {"Origin": "", "Sec_Fetch_Site": ""}, 403),
        (TERMINAL, {"Sec_Fetch_Site": "same-site"}, 403),
        (TERMINAL, {"proof": "0" * 64}, 403),
        (TERMINAL, {"proof": ""}, 403),
        ("/terminals/../../etc/passwd", {}, 403),
        ("/terminals/co-01M8P19MQQ5S6SNETSTC8KFPSB/x", {}, 403),
        ("/", {}, 403),
    ],
)
def test_only_our_own_page_opens_a_terminal(browser: Browser, path: str, changed: dict[str, str], status: int) -> None:
    browser.sign_in()
    sent = {**UPGRADE, "Origin": browser.origin, **changed}
    proof = sent.pop("proof", browser.proof)
    assert browser.get(f"{path}?wherry_page={proof}", **sent).status == status


def test_a_tokens_terminal_is_looked_for_in_its_environments(service: Running, browser: Browser) -> None:
    made = token(service, "invoke")
    assert made.token is not None
    browser.take(browser.post("/login", f"id={made.token.token_id}&secret={made.secret}"))
    page = browser.get("/")
    found = re.search(r'name="wherry_page" value="(\w+)"', page.text)
    assert found is not None
    url = f"ws://{OWN}:{service.port}{TERMINAL}?wherry_page={found[1]}"
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in browser.cookies.items())}
    sock = socket.create_connection(("127.0.0.1", service.port))
    with connect(url, sock=sock, additional_headers=headers, origin=Origin(browser.origin), proxy=None) as shell:
        told = json.loads(shell.recv(timeout=10))
    assert "environments of this token" in told["error"]


@pytest.mark.parametrize(
    "path", ["/", "/apps", "/calls", "/calls?state=failed&within=hour&search=x", "/containers?span=60", "/logs"]
)
def test_each_page_answers_also_where_there_is_nothing(browser: Browser, path: str) -> None:
    answer = browser.sign_in().get(path)
    assert answer.status == 200
    assert "</html>" in answer.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/apps/ap-nothing", 400),
        ("/functions/fu-01M8P1V0DJ35G1MFVGGVG9W1JS", 404),
        ("/calls/in-01M8P1V0F38EJN9XWJCMXQAR4Y", 404),
        ("/calls/nonsense", 400),
        ("/calls?after=nonsense", 400),
        ("/containers/co-01M8P1V0F33RET3E2WF66EW0BB", 404),
        ("/logs?app=nothing", 200),
        ("/apps?env=nowhere", 404),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_there_is_said_on_a_page(browser: Browser, path: str, status: int) -> None:
    answer = browser.sign_in().get(path)
    assert answer.status == status
    assert "Traceback" not in answer.text


def test_lanes_are_json_for_our_own_pages_alone(browser: Browser) -> None:
    browser.sign_in()
    asked = {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"}
    answer = browser.get("/containers/lanes.json?span=10", **asked)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.text)["lanes"] == []
    assert browser.get("/containers/lanes.json", **{**asked, "Sec_Fetch_Site": "same-site"}).status == 403


def test_a_page_is_not_sent_again_what_it_has(browser: Browser) -> None:
    browser.sign_in()
    found = re.search(r'sse-connect="([^"]+)"', browser.get("/apps").text)
    assert found is not None
    connection = http.client.HTTPConnection("127.0.0.1", browser.service.port, timeout=1)
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    headers = {"Host": f"{OWN}:{browser.service.port}", "Cookie": cookie, **FETCHES}
    with contextlib.closing(connection):
        connection.request("GET", html.unescape(found[1]), headers=headers)
        response = connection.getresponse()
        with response:
            assert [response.readline(), response.readline()] == [b"retry: 1000\n", b"\n"]
            with pytest.raises(TimeoutError):
                response.readline()
