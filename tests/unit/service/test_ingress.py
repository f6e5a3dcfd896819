"""The ingress's settings, heads and tokens."""

import asyncio
import base64
from typing import Any, cast

import pytest

from wherry_proto.messages import Format, Payload
from wherry_service.calls.exchange import END, Exchange, response_of
from wherry_service.ingress import heads, websocket
from wherry_service.ingress.auth import EitherProxyAuth, StaticProxyAuth, TokenProxyAuth, token_of
from wherry_service.ingress.heads import Peer, checked, host_of, is_host, passed_on, status_of
from wherry_service.ingress.refusals import LINES, Refusals
from wherry_service.ingress.settings import HttpSettings, SettingsError


def scope(headers: list[tuple[bytes, bytes]], client: str = "10.0.0.9") -> dict[str, Any]:
    return {"type": "http", "scheme": "http", "headers": headers, "client": (client, 1234)}


def test_settings_have_defaults_and_are_read() -> None:
    assert HttpSettings.from_environment({}) == HttpSettings()
    found = HttpSettings.from_environment(
        {
            "WHERRY_HTTP_PORT": "8080",
            "WHERRY_HTTP_URL": "https://apps.example.com",
            "WHERRY_HTTP_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "WHERRY_HTTP_RESPONSE_TIMEOUT": "0",
            "WHERRY_HTTP_MAX_BODY_MIB": "0",
            "WHERRY_PROXY_TOKENS": "a:b, c:d",
        }
    )
    assert (found.port, found.scheme, found.domain, found.public_port) == (8080, "https", "apps.example.com", 443)
    assert (found.response_timeout_s, found.max_body_bytes, found.proxy_tokens) == (0, 0, ("a:b", "c:d"))
    assert len(found.trusted) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WHERRY_HTTP_PORT", "70000"),
        ("WHERRY_HTTP_PORT", "x"),
        ("WHERRY_HTTP_URL", "apps.example.com"),
        ("WHERRY_HTTP_TRUSTED_PROXIES", "everyone"),
        ("WHERRY_HTTP_RESPONSE_TIMEOUT", "-1"),
        ("WHERRY_HTTP_MAX_HEADER_KIB", "0"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} (is|has) '{value}'"):
        HttpSettings.from_environment({name: value})


def test_only_trusted_proxies_are_believed() -> None:
    headers = [(b"x-forwarded-for", b"1.1.1.1, 2.2.2.2, 10.0.0.5"), (b"x-forwarded-proto", b"https")]
    stranger = Peer(scope(headers, "9.9.9.9"), HttpSettings.from_environment({}).trusted)
    assert (stranger.host, stranger.scheme, stranger.chain) == ("9.9.9.9", "http", "9.9.9.9")
    trusted = HttpSettings.from_environment({"WHERRY_HTTP_TRUSTED_PROXIES": "10.0.0.0/8"}).trusted
    proxied = Peer(scope(headers), trusted)
    assert (proxied.host, proxied.scheme) == ("2.2.2.2", "https")
    assert proxied.chain == "1.1.1.1, 2.2.2.2, 10.0.0.5, 10.0.0.9"


def test_an_address_that_is_told_as_ipv6_is_the_same() -> None:
    trusted = HttpSettings.from_environment({"WHERRY_HTTP_TRUSTED_PROXIES": "10.0.0.0/8"}).trusted
    proxied = Peer(scope([(b"x-forwarded-for", b"1.1.1.1")], "::ffff:10.0.0.9"), trusted)
    assert (proxied.host, proxied.chain) == ("1.1.1.1", "1.1.1.1, 10.0.0.9")
    assert Peer(scope([], "::ffff:9.9.9.9"), trusted).host == "9.9.9.9"
    assert Peer(scope([], "2001:db8::1"), trusted).host == "2001:db8::1"


def test_what_peers_are_remembered_is_bounded() -> None:
    trusted = HttpSettings.from_environment({"WHERRY_HTTP_TRUSTED_PROXIES": "10.0.0.0/8"}).trusted
    heads._is_address_among.cache_clear()
    for number in range(2000):
        long = f"10.{number % 250}." + "0" * 60_000
        assert Peer(scope([(b"x-forwarded-for", long.encode())]), trusted).host == long
        assert Peer(scope([(b"x-forwarded-for", f"10.1.{number // 250}.{number % 250}".encode())]), trusted).is_trusted
    known = heads._is_address_among.cache_info()
    assert known.currsize <= 1024
    assert known.hits > 1000


def test_what_is_the_connections_stays_there() -> None:
    headers = [
        (b"host", b"H"),
        (b"connection", b"close, x-hop, content-length"),
        (b"x-hop", b"1"),
        (b"content-length", b"3"),
        (b"transfer-encoding", b"chunked"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"forwarded", b"for=6.6.6.6"),
        (b"wherry-secret", b"s"),
        (b"cookie", b"a=b"),
    ]
    request = scope(headers)
    found = dict(passed_on(request, Peer(request, ()), is_token))
    assert set(found) == {
        "host",
        "content-length",
        "cookie",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    }
    assert found["x-forwarded-for"] == "10.0.0.9"


TOKEN = b"tk-01KAR6P5FNEQK6K9J4V6KHJ2T5:ws-secret"


def is_token(credential: bytes) -> bool:
    return EitherProxyAuth(StaticProxyAuth(["id:secret"]), TokenProxyAuth(lambda *_: False)).is_token(credential)


def passed(headers: list[tuple[bytes, bytes]], trusted: str = "") -> list[tuple[str, str]]:
    """Return what the app gets of headers, without what is always added."""
    settings = HttpSettings.from_environment({"WHERRY_HTTP_TRUSTED_PROXIES": trusted} if trusted else {})
    request = scope(headers)
    found = passed_on(request, Peer(request, settings.trusted), is_token)
    assert [name for name, _ in found[-3:]] == ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
    return [(name, value) for name, value in found[:-3]]


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer " + TOKEN,
        b"bearer  " + TOKEN + b" ",
        b" BEARER " + TOKEN,
        b"Basic " + base64.b64encode(TOKEN),
        b"basic " + base64.b64encode(b"id:secret"),
        b"Bearer id:secret",
        # Of another service, revoked, or with a slip in its secret.
        b"Bearer tk-01KAR6P5FNEQK6K9J4V6KHJ2T6:",
        b"Bearer tk-01kar6p5fneqk6k9j4v6khj2t5:ws-",
    ],
)
def test_no_token_of_wherrys_reaches_an_app(value: bytes) -> None:
    own = (b"authorization", b"Bearer of-the-app")
    assert passed([(b"authorization", value), own, (b"Authorization".lower(), value)]) == [
        ("authorization", "Bearer of-the-app")
    ]
    # Written with "_" it is the same header to some servers.
    assert (
        passed([(b"wherry-key", b"k"), (b"wherry_secret", b"s"), (b"modal-key", b"k"), (b"modal_secret", b"s")]) == []
    )


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer of-the-app",
        b"Basic " + base64.b64encode(b"user:password"),
        b"Basic " + base64.b64encode(b"tk-short:password"),
        b"Basic ???",
        b"Digest username=a",
        b"AWS4-HMAC-SHA256 Credential=tk-1",
        b"",
    ],
)
def test_an_apps_own_authorization_reaches_it_as_it_came(value: bytes) -> None:
    assert passed([(b"authorization", value)]) == [("authorization", value.decode())]


SPOOFED = [
    b"x-forwarded-user",
    b"x-forwarded-prefix",
    b"x-forwarded-groups",
    b"x_forwarded_user",
    b"x-real-ip",
    b"x_real-ip",
    b"true-client-ip",
    b"x-original-url",
    b"x-rewrite-url",
]
# Written anew, or Wherry's own: of nobody are they passed on.
NEVER = [b"x-forwarded-for", b"x_forwarded_for", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"wherry-x"]


@pytest.mark.parametrize("name", [*SPOOFED, *NEVER])
def test_what_only_a_proxy_may_say_is_passed_on_from_trusted_ones_alone(name: bytes) -> None:
    headers = [(name, b"spoofed"), (b"x-of-the-app", b"1")]
    assert passed(headers) == [("x-of-the-app", "1")]
    from_proxy = passed(headers, trusted="10.0.0.0/8")
    assert from_proxy == [*([(name.decode(), "spoofed")] if name in SPOOFED else []), ("x-of-the-app", "1")]


def test_connection_takes_away_no_header_that_decides_who_asks() -> None:
    headers = [
        (b"connection", b"Authorization, cookie, HOST, x-real-ip, x-hop, x-forwarded-for"),
        (b"connection", b"X-Other , ,"),
        (b"authorization", b"Bearer a"),
        (b"cookie", b"a=b"),
        (b"x-hop", b"1"),
        (b"x-other", b"1"),
    ]
    assert passed(headers) == [("authorization", "Bearer a"), ("cookie", "a=b")]
    websocket = {**scope([*headers, (b"upgrade", b"websocket")]), "type": "websocket"}
    found = [name for name, _ in passed_on(websocket, Peer(websocket, ()), is_token)]
    assert found == [
        "connection", "connection", "authorization", "cookie", "upgrade", "x-forwarded-for", "x-forwarded-proto",
        "x-forwarded-host",
    ]  # fmt: skip


def test_a_flood_of_refusals_is_a_few_lines_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    refusals = Refusals(lambda: now)
    for _ in range(500):
        refusals.add("10.0.0.9", 408, "the request's head did not come within 20 s")
    assert len(caplog.records) == LINES
    assert caplog.records[0].message == (
        "a client at 10.0.0.9 is refused, 408: the request's head did not come within 20 s"
    )
    now += 60.0
    refusals.add("10.0.0.8", 400, "bad")
    assert [record.message for record in caplog.records[LINES:]] == [
        f"{500 - LINES} more requests were refused within 60 s",
        "a client at 10.0.0.8 is refused, 400: bad",
    ]
    refusals.close()
    assert len(caplog.records) == LINES + 2


@pytest.mark.parametrize(
    "headers",
    [None, ["a"], [["a"]], [["a b", "c"]], [["a", "b\r\nc: d"]], [["a", 1]], [["content-length", "x"]], [["", "a"]]],
)
def test_malformed_response_headers_are_refused(headers: Any) -> None:
    with pytest.raises(ValueError, match=r"header|content-length"):
        checked(headers)


def test_response_headers() -> None:
    assert checked([["X-A", " b "], ["Connection", "close"], ["Transfer-Encoding", "chunked"]]) == [(b"x-a", b"b")]
    with pytest.raises(ValueError, match="bytes"):
        checked([["x", "y" * 70_000]])


@pytest.mark.parametrize(
    ("host", "found"),
    [(b"A.localhost:80", "a.localhost"), (b"[::1]:80", "[::1]"), (b"a.com.", "a.com"), (b"", "")],
)
def test_hosts(host: bytes, found: str) -> None:
    assert host_of(scope([(b"host", host)])) == found


@pytest.mark.parametrize(
    "host",
    [
        b"shop.example.com",
        b"wherry--a-b.localhost:8720",
        b"127.0.0.1:80",
        b"[::1]:80",
        b"a_b",
        b"shop.example.com:",
        b"",
    ],
)
def test_a_host_is_a_name_and_a_port(host: bytes) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"shop.example.com:80@evil.example",
        b"evil@shop.example.com",
        b"shop.example.com:80/path",
        b"shop.example.com/../",
        b"shop.example.com:80\tx",
        b"shop.example.com x",
        b"shop.example.com\\x",
        b"shop.example.com:123456",
        b"shop.example.com:-1",
        b"sh\xf6p.example.com",
        b"[::1",
        b"[::1]x",
        b"a,b",
        b"shop.example.com\n",
    ],
)
def test_what_is_no_host_is_refused(host: bytes) -> None:
    assert not is_host(host)


@pytest.mark.parametrize("status", [None, True, 199, 600, 101, -200, 200.0, float("inf"), 10**30, "200", [200]])
def test_what_is_no_status_is_refused(status: Any) -> None:
    with pytest.raises(ValueError, match="its status is"):
        status_of({"status": status})


@pytest.mark.parametrize(
    "head",
    [b"[" * 100_000, b'{"status":NaN}', b'{"status":"\\ud800"}', b"[]", b"", '{"status":200}'.encode("utf-16")],
)
def test_a_head_that_is_none_is_a_malformed_response(head: bytes) -> None:
    data = len(head).to_bytes(4, "big") + head
    with pytest.raises(ValueError, match="header"):
        response_of(Payload(format=Format.WEB, data=data, size=len(data)))


@pytest.mark.parametrize("kind", [END, "interrupt", "gone", "x" * 1000])
def test_a_container_says_nothing_that_only_the_service_says(kind: str) -> None:
    exchange = Exchange("fu-1", "", {}, b"")
    with pytest.raises(ValueError, match="unknown piece"):
        exchange.feed({"k": kind}, b"")
    assert not exchange.is_next_there()


def test_tokens() -> None:
    auth = StaticProxyAuth(["id:secret"])
    basic = base64.b64encode(b"id:secret")
    for headers in (
        [(b"wherry-key", b"id"), (b"wherry-secret", b"secret")],
        [(b"modal-key", b"id"), (b"modal-secret", b"secret")],
        [(b"authorization", b"Bearer id:secret")],
        [(b"authorization", b"Basic " + basic)],
    ):
        assert auth.allowed(headers, "main"), headers
    for headers in (
        [],
        [(b"wherry-key", b"id")],
        [(b"wherry-key", b"id"), (b"wherry-secret", b"other")],
        [(b"authorization", b"Basic ???")],
        [(b"authorization", b"Bearer")],
    ):
        assert not auth.allowed(headers, "main"), headers
    assert not StaticProxyAuth([]).allowed([], "main")
    assert token_of([(b"authorization", b"Digest x")]) == b""


@pytest.mark.parametrize("pieces", [1, 17])
def test_a_message_that_is_too_large_closes_its_websocket(pieces: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAX_MESSAGE", 1000)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def main() -> None:
        socket = websocket.WebSocket({}, None, send, cast("Any", None), cast("Any", None))
        await socket._message(({"more": True}, b"x" * 500))
        await socket._message(({}, b"x" * 500))
        assert [len(message["bytes"]) for message in sent] == [1000]
        piece: Any = ({"more": True}, b"x" * (1001 // pieces + 1))
        for _ in range(pieces - 1):
            await socket._message(piece)
        with pytest.raises(ValueError, match="too large"):
            await socket._message(piece)
        assert len(sent) == 1

    asyncio.run(main())
