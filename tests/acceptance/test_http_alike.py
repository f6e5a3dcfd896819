"""Generated requests to an app in a container, and to the same app in uvicorn by itself: both hear and say the same.

`WHERRY_FUZZ=N` sends N times as many.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httptools
import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.acceptance.apps import mirror
from tests.acceptance.conftest import RunApp
from tests.acceptance.web_client import port_of, spoken

COUNT = 150 * int(os.environ.get("WHERRY_FUZZ", "1"))
# What differs, and why: an endpoint has a name of its own, and tells who is in front of it (docs/web.md). What is of
# the connection to the one in front is not the app's.
OWN = {"host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "connection", "transfer-encoding"}
# Of answers: those of the server that speaks to the client.
OWN_ANSWERS = {"date", "server", "connection", "transfer-encoding", "wherry-request-id"}
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789!#$%&'*+-.^_`|~", min_size=1, max_size=12)
# Latin-1 without controls; no blanks at the ends, which are no part of a value.
VALUE = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]) | st.just("\t"), max_size=30).map(
    lambda text: text.strip(" \t\xa0")
)
PATH = st.text("abcAB019-._~!$&'()*+,;=:@/%", max_size=30).map(lambda text: "/" + text)
QUERY = st.text("abc019-._~!$&'()*+,;=:@/?%[]{}", max_size=30)
# Those that the server or this test has a use for.
TAKEN = {
    *OWN, *OWN_ANSWERS, "content-length", "expect", "upgrade", "te", "trailer", "keep-alive", "x-wanted", "forwarded",
    "proxy-connection", "x-real-ip", "proxy-authorization",
}  # fmt: skip
HEADERS = st.lists(st.tuples(TOKEN, VALUE).filter(lambda pair: pair[0].lower() not in TAKEN), max_size=5)
BODY = st.none() | st.binary(max_size=200) | st.binary(min_size=1, max_size=3).map(lambda piece: piece * 40_000)
ANSWER = st.fixed_dictionaries(
    {
        "status": st.sampled_from([200, 201, 204, 301, 304, 404, 418, 500, 599]),
        "headers": HEADERS,
        "pieces": st.integers(1, 5),
        "sized": st.booleans(),
    }
)


class Heard:
    """An answer, as a parser of HTTP reads it."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.is_whole = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(data)
        self.status = self._parser.get_status_code()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.is_whole = True

    def told(self) -> Any:
        """What is to be alike."""
        kept = [pair for pair in self.headers if pair[0] not in OWN_ANSWERS and pair[0] != "content-length"]
        seen = json.loads(self.body) if self.body.startswith(b"{") else self.body
        if isinstance(seen, dict):
            seen["headers"] = [pair for pair in seen["headers"] if pair[0] not in OWN]
        return self.status, kept, seen


@pytest.fixture(scope="module")
def alone() -> Iterator[str]:
    """The app in uvicorn, in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(mirror.mirror, lifespan="off", log_level="critical", proxy_headers=False, http="httptools")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def contained(run_app: RunApp) -> Iterator[str]:
    with run_app(mirror.app):
        url = mirror.site.web_url
        assert url is not None
        yield url


def ask(url: str, method: str, target: str, version: str, headers: Any, body: bytes | None, chunked: bool) -> Heard:
    """Send a request, and read all until the other side closes."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {urlsplit(url).netloc}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    data = body or b""
    if body is not None and chunked and version == "1.1":
        lines.append("Transfer-Encoding: chunked")
        pieces = [data[begin : begin + 7001] for begin in range(0, len(data), 7001)]
        data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body is not None:
        lines.append(f"Content-Length: {len(data)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    with contextlib.suppress(BrokenPipeError):
        return Heard(spoken(url, head + data))
    raise AssertionError(f"{url} closed the connection")


@settings(max_examples=COUNT, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    target=st.builds(lambda path, query: f"{path}?{query}" if query else path, PATH, QUERY),
    version=st.sampled_from(["1.1", "1.1", "1.0"]),
    headers=HEADERS,
    body=BODY,
    chunked=st.booleans(),
    answer=ANSWER,
)
def test_a_request_and_its_answer_are_as_by_uvicorn_alone(
    alone: str,
    contained: str,
    method: str,
    target: str,
    version: str,
    headers: Any,
    body: bytes | None,
    chunked: bool,
    answer: dict[str, Any],
) -> None:
    sent = [*headers, ("x-wanted", json.dumps(answer))]
    there = ask(alone, method, target, version, sent, body, chunked)
    here = ask(contained, method, target, version, sent, body, chunked)
    assert here.told() == there.told()
    assert here.is_whole or version == "1.0"


def test_the_ports_are_two(alone: str, contained: str) -> None:
    assert port_of(alone) != port_of(contained)
