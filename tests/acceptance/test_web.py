"""Web endpoints with real frameworks and real clients."""

import hashlib
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.acceptance.web_client import client_of, port_of, spoken
from tests.waiting import wait_until
from wherry.exception import InvalidError


@pytest.fixture(scope="module")
def web(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import web

    with run_app(web.app):
        yield web


@pytest.fixture(scope="module")
def site(web: ModuleType) -> Iterator[httpx.Client]:
    """A FastAPI app with everything."""
    with client_of(web.Site().site.web_url) as client:
        yield client


def socket_to(url: str, path: str = "/ws", **options: Any) -> Any:
    sock = socket.create_connection(("127.0.0.1", port_of(url)))
    return connect(f"ws://{urlsplit(url).netloc}{path}", sock=sock, proxy=None, **options)


# web_endpoint


def test_b50_methods_docs_validation_and_cors(web: ModuleType) -> None:
    site = web.Site()
    with client_of(site.hello.web_url) as client:
        assert client.get("/", params={"name": "you"}).json() == {"hello": "you", "count": 1, "entered": 1}
        assert client.post("/").status_code == 405
        assert client.get("/docs").status_code == 404
        wrong = client.get("/", params={"count": "many"})
        assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["query", "count"])
        asked = {"origin": "http://page.example", "access-control-request-method": "GET"}
        preflight = client.options("/", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == "http://page.example"
        assert preflight.headers["access-control-allow-credentials"] == "true"
    with client_of(site.item.web_url) as client:
        assert client.post("/", json={"a": 1, "b": 2}).json() == {"sum": 3}
        assert client.post("/", json={"a": "x"}).status_code == 422
        assert client.get("/docs").status_code == 200


def test_urls_and_labels(web: ModuleType) -> None:
    site = web.Site()
    assert urlsplit(site.hello.web_url).hostname == "wherry--web-tests-site-hello-dev.localhost"
    assert urlsplit(site.item.web_url).hostname == "wherry--grosse-item-dev.localhost"
    assert site.hello.get_web_url() == site.hello.web_url
    assert wherry.Function.lookup("web-tests", "ends").web_url == web.ends.web_url
    assert site.twice.get_web_url() is None
    assert site.twice.remote(4) == 8


def test_b18_a_web_endpoint_is_not_called(web: ModuleType) -> None:
    for call in (
        web.ends.remote,
        web.ends.remote_gen,
        web.ends.spawn,
        lambda: web.ends.map([1]),
        web.Site().hello.remote,
    ):
        with pytest.raises(InvalidError, match=r"answers requests at http://wherry--"):
            call()


def test_two_apps_cannot_claim_one_label(web: ModuleType, run_app: RunApp) -> None:
    other = wherry.App("other")

    @other.function(serialized=True)
    @wherry.asgi_app(label="grosse-item")
    def mine() -> Any:
        return None

    said = r"'mine' of app 'other'.*'Site.item'.*label="
    with pytest.raises(wherry.exception.AlreadyExistsError, match=said), run_app(other):
        pass


# ASGI


def test_b51_all_paths_methods_and_heads_arrive(web: ModuleType, site: httpx.Client) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        body = "" if method in ("GET", "OPTIONS") else "häh"
        seen = site.request(method, "/echo/a%2Fb/ü?x=1&x=2", content=body.encode()).json()
        assert (seen["method"], seen["path"], seen["query"], seen["body"]) == (method, "a/b/ü", "x=1&x=2", body)
    head = site.head("/echo/x")
    assert (head.status_code, head.content, int(head.headers["content-length"]) > 100) == (200, b"", True)
    sent = {
        "connection": "keep-alive, x-hop",
        "x-hop": "1",
        "te": "trailers",
        "x-forwarded-for": "6.6.6.6",
        "x-own": "2",
    }
    seen = site.get("/echo/x", headers=sent).json()
    headers = dict(seen["headers"])
    assert (seen["client"], seen["scheme"], seen["state"]) == ("127.0.0.1", "http", "at start")
    assert headers["host"] == urlsplit(web.Site().site.web_url).netloc
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-own"] == "2"
    assert not {"x-hop", "te", "connection", "transfer-encoding"} & set(headers)


def test_an_endpoint_is_reached_by_path(web: ModuleType) -> None:
    url = urlsplit(web.Site().site.web_url)
    name = (url.hostname or "").partition(".")[0]
    seen = httpx.get(f"http://127.0.0.1:{url.port}/{name}/echo/x?a=1", trust_env=False).json()
    assert (seen["path"], seen["root_path"], seen["query"]) == ("x", f"/{name}", "a=1")
    unknown = httpx.get(f"http://127.0.0.1:{url.port}/nothing", trust_env=False)
    assert (unknown.status_code, "nothing answers at" in unknown.text) == (404, True)


def test_b51_bodies_stream_both_ways(site: httpx.Client, service: OwnService) -> None:
    def pieces() -> Iterator[bytes]:
        for index in range(64):
            yield bytes([index]) * 300_000

    expected = hashlib.sha256(b"".join(pieces())).hexdigest()
    before_kib = service.reset_peak_kib()
    chunked = site.post("/sum", content=pieces()).json()
    assert (chunked["sha256"], chunked["size"], chunked["pieces"] > 64) == (expected, 64 * 300_000, True)
    size = 64 << 20
    with site.stream("GET", "/bytes", params={"size": size}) as response:
        assert int(response.headers["content-length"]) == size
        assert sum(len(chunk) for chunk in response.iter_bytes()) == size
    assert service.peak_kib() - before_kib < 8 << 10, "bodies are kept in memory"


def test_b51_events_arrive_as_they_are_sent(site: httpx.Client) -> None:
    with site.stream("GET", "/events", params={"count": 5, "pause": 0.1}) as response:
        came = [(time.time() - float(line.split()[2])) for line in response.iter_lines() if line]
    assert len(came) == 5
    assert max(came) < 0.09, "events were kept back"


def test_b52_a_client_that_goes_is_heard_of(site: httpx.Client) -> None:
    before = site.get("/seen").json()["disconnects"]
    with site.stream("GET", "/waits") as response:
        assert next(response.iter_raw()) == b"."
    wait_until(lambda: site.get("/seen").json()["disconnects"] == before + 1, "the stream has ended")


def test_b51_a_lifespan_ends_with_its_container_and_a_domain_leads_there(
    web: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    with wherry.enable_output(), client_of(web.shop.web_url) as client:
        assert client.get("/", headers={"host": "Shop.example.com:443"}).text == "Shop.example.com:443"
        asked = {"domain": "shop.example.com"}
        assert client.get("/.wherry/domain", params=asked, headers={"host": "localhost"}).status_code == 200
        printed: list[str] = []

        def ended() -> bool:
            printed.append(capfd.readouterr().out)
            return "the shop hears lifespan.shutdown" in "".join(printed)

        wait_until(ended, "the container has scaled down, and its app has heard so")


def test_100_continue_and_keep_alive(web: ModuleType) -> None:
    url = web.Site().site.web_url
    host = urlsplit(url).netloc.encode()
    head = b"POST /sum HTTP/1.1\r\nhost: " + host + b"\r\ncontent-length: 3\r\nexpect: 100-continue\r\n\r\n"
    assert spoken(url, head, lambda heard: heard.endswith(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 Continue")
    two = (b"GET /echo/1 HTTP/1.1\r\nhost: " + host + b"\r\n\r\n") + (
        b"GET /echo/2 HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
    )
    heard = spoken(url, two)
    assert heard.count(b"HTTP/1.1 200 OK") == 2
    assert heard.index(b'"path":"1"') < heard.index(b'"path":"2"')


def test_b52_websockets_echo(web: ModuleType, site: httpx.Client) -> None:
    url = web.Site().site.web_url
    with socket_to(url, subprotocols=["other", "chat"], max_size=None) as talk:
        assert talk.subprotocol == "chat"
        for message in ("text ü", b"\x00\xffbytes", "x" * 1_500_000, b"", ""):
            talk.send(message)
            assert talk.recv(timeout=10) == message
        # More than either side's window, one after another and without waiting.
        sender = threading.Thread(target=lambda: [talk.send(f"{index}") for index in range(10_000)])
        sender.start()
        assert [talk.recv(timeout=10) for _ in range(10_000)] == [f"{index}" for index in range(10_000)]
        sender.join()
        talk.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            talk.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "as asked")
    with socket_to(url) as talk:
        talk.close(4001)
    wait_until(lambda: 4001 in site.get("/seen").json()["closed"], "the app has heard the client's code")
    with pytest.raises(InvalidStatus) as refused, socket_to(url, "/no-such"):
        pass
    assert refused.value.response.status_code == 403


# WSGI


def test_b51_flask(web: ModuleType) -> None:
    with client_of(web.Site().flask.web_url) as client:
        assert client.get("/", params={"q": "ü"}).text == "|ü|127.0.0.1"
        body = (b"x" * 100_000 for _ in range(50))
        assert client.post("/up", content=body).json() == {"size": 5_000_000}
        assert len(client.get("/down").content) == 3_000_000
        assert client.get("/fails").status_code == 500
        assert client.get("/nowhere").status_code == 404


def test_django_admin(web: ModuleType) -> None:
    with client_of(web.Site().django.web_url) as client:
        page = client.get("/admin/login/?next=/admin/")
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        form = {"username": "root", "password": "wherry", "csrfmiddlewaretoken": token, "next": "/admin/"}
        cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        entered = client.post("/admin/login/?next=/admin/", data=form, headers={"cookie": cookies})
        assert (entered.status_code, entered.headers["location"]) == (302, "/admin/")
        cookies = "; ".join(f"{name}={value}" for name, value in entered.cookies.items())
        admin = client.get("/admin/auth/user/", headers={"cookie": cookies})
        assert admin.status_code == 200
        assert "root@example.com" in admin.text
        (style,) = re.findall(r'href="(/static/admin/css/base\.css)"', admin.text)
        assert "body" in client.get(style).text


# web_server


def test_streamlit_on_web_server(web: ModuleType) -> None:
    url = web.streamlit.web_url
    with client_of(url, 90) as client:
        assert "Streamlit" in client.get("/").text
        assert client.get("/_stcore/health").text == "ok"
    with socket_to(url, "/_stcore/stream", subprotocols=["streamlit"], max_size=None) as talk:
        assert talk.subprotocol == "streamlit"
        # A BackMsg that asks for the page to run.
        talk.send(bytes([0x5A, 0x00]))
        heard = b""
        while b"Hello from Streamlit" not in heard:
            heard += talk.recv(timeout=30)


# Long requests


def test_b64_a_slow_request_is_led_to_its_result(web: ModuleType) -> None:
    with client_of(web.Site().slow.web_url) as client:
        first = client.get("/", params={"seconds": 1.3})
        assert first.status_code == 302
        hops = 1
        response = first
        while response.status_code == 302:
            where = urlsplit(response.headers["location"])
            assert "__wherry_function_call_id=fc-" in where.query
            response = client.get(f"{where.path}?{where.query}")
            hops += 1
        assert (response.status_code, response.json()) == (200, {"slept": 1.3})
        assert hops in (3, 4, 5)
        # It stays, for any client that has the URL; and another's can't be guessed.
        again = client.get(f"{where.path}?{where.query}")
        assert again.json() == {"slept": 1.3}
        other = re.sub(r"fc-\w+", "fc-01J00000000000000000000000", where.query)
        assert client.get(f"/?{other}").status_code == 404
    # The result is not shown at another endpoint.
    with client_of(web.Site().flask.web_url) as client:
        assert client.get(f"/?{where.query}").status_code in (200, 404)


def test_a_request_that_is_not_waited_for(web: ModuleType) -> None:
    with client_of(web.Site().later.web_url) as client:
        accepted = client.post("/", params={"seconds": 0.3})
        assert accepted.status_code == 202
        where = urlsplit(accepted.json()["result_url"])
        assert client.get(f"{where.path}?{where.query}").json() == {"slept": 0.3}


def test_curl_follows_to_the_result(web: ModuleType) -> None:
    url = web.Site().slow.web_url
    command = ["curl", "-sS", "-L", "--max-time", "30", f"{url}/?seconds=1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"slept": 1}), ended.stderr


# What goes wrong


def test_failures_have_a_status_and_an_id(web: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    with client_of(web.ends.web_url) as client:
        for path, status in (("/raises", 500), ("/silent", 500), ("/bad", 502), ("/hangs", 504), ("/exit", 502)):
            response = client.get(path)
            assert response.status_code == status, path
            assert response.headers["wherry-request-id"].startswith("in-")
            assert "secret" not in response.text
            assert response.text.startswith(f"{status} ")
        with pytest.raises(httpx.RemoteProtocolError):
            client.get("/breaks")


def test_guarded(web: ModuleType) -> None:
    with client_of(web.Site().guarded.web_url) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", headers={"wherry-key": "a", "wherry-secret": "b"}).status_code == 401


POST = b"POST /sum HTTP/1.1\r\nhost: H\r\n"
SMUGGLED = {
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "both": POST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, other order": POST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
    "an odd length": POST + b"content-length: +3\r\n\r\nabc",
    "a negative length": POST + b"content-length: -3\r\n\r\nabc",
    "chunked twice": POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "not quite chunked": POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a tab before the colon": POST + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"content-length : 3\r\n\r\nabc",
    "a folded header": POST + b"content-length: 3\r\nx: a\r\n\ttransfer-encoding: chunked\r\n\r\nabc",
    "a bare CR": b"GET / HTTP/1.1\r\nhost: H\r\nx: a\rcontent-length: 3\r\n\r\nabc",
    "a bad chunk size": POST + b"transfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk too long": POST + b"transfer-encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: H\r\nhost: other\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a null": b"GET / HTTP/1.1\r\nhost: H\r\nx: a\x00b\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_smuggling_is_refused(web: ModuleType, name: str) -> None:
    url = web.Site().site.web_url
    host = urlsplit(url).netloc.encode()
    after = b"GET /echo/smuggled HTTP/1.1\r\nhost: " + host + b"\r\n\r\n"
    heard = spoken(url, SMUGGLED[name].replace(b"host: H", b"host: " + host) + after)
    assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n"), heard
    assert b"smuggled" not in heard
    assert heard.count(b"HTTP/1.1") == 1


def test_huge_heads_are_refused(web: ModuleType, service: OwnService) -> None:
    url = web.Site().site.web_url
    host = urlsplit(url).netloc.encode()
    begin = b"GET / HTTP/1.1\r\nhost: " + host + b"\r\n"
    for head in (
        begin + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        begin + b"x: " + b"a" * 100_000,
        begin + b"x: y\r\n" * 300 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n",
    ):
        assert spoken(url, head).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    with client_of(url) as client:
        assert client.get("/seen").status_code == 200


def test_a_body_that_breaks_off_is_heard_of(web: ModuleType, site: httpx.Client) -> None:
    url = web.Site().site.web_url
    host = urlsplit(url).netloc.encode()
    head = b"POST /sum HTTP/1.1\r\nhost: " + host + b"\r\ncontent-length: 100\r\n\r\nabc"
    spoken(url, head, lambda heard: True)
    assert site.get("/seen").status_code == 200
    site_stats = web.Site().site.get_current_stats
    wait_until(lambda: site_stats().num_active_runners == 0, "no request is stuck")
