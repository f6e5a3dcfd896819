"""The ingress's settings, heads and tokens."""

import base64
from typing import Any

import pytest

from wherry_service.ingress.auth import StaticProxyAuth, token_of
from wherry_service.ingress.heads import Peer, checked, host_of, passed_on
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
    found = dict(passed_on(request, Peer(request, ()), hides_keys=True))
    assert set(found) == {
        "host",
        "content-length",
        "cookie",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    }
    assert found["x-forwarded-for"] == "10.0.0.9"


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
