"""A shell in a page: what a browser's messages become, and when it ends."""

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wherry_proto.messages import ExecExit, ExecReply, ExecRequest
from wherry_service.api.logins import Logins
from wherry_service.errors import NotFound
from wherry_service.ui import terminal
from wherry_service.ui.page import Asked, Kept
from wherry_service.ui.terminal import MAX_TERMINALS, MAX_TYPED, Terminals
from wherry_service.ui.web import Place, Request

CONTAINER = "co-01M8P19MQQ5S6SNETSTC8KFPSB"


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Have a test run in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


class Shell:
    """Says what it hears, as a caller's `Execs.Run`; "exit" ends it."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.heard: list[ExecRequest] = []
        self.begun = asyncio.Event()
        self.closed = False
        self._problem = problem

    def handler(self, name: str) -> Any:
        assert name == "Execs.Run"
        return self._run

    async def _run(self, requests: AsyncIterator[ExecRequest]) -> AsyncIterator[ExecReply]:
        if self._problem is not None:
            raise self._problem
        try:
            async for request in requests:
                self.heard.append(request)
                self.begun.set()
                if request.stdin == b"exit":
                    yield ExecReply(exit=ExecExit(code=3))
                elif request.stdin:
                    yield ExecReply(stdout=request.stdin)
            await asyncio.Event().wait()
        finally:
            self.closed = True


class Browser:
    """A websocket: what it sends, and what it was sent."""

    def __init__(self, tmp_path: Path, shell: Shell) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.logins = Logins(tmp_path / "ui_sessions.json", 1)
        self.stopping = asyncio.Event()
        self.terminals = Terminals(self.logins, self.stopping)
        session = self.logins.find(self.logins.open("", "h"), "h")
        assert session is not None
        scope = {"type": "websocket", "path": "/", "query_string": b"", "headers": []}
        request = Request(scope, self.messages.get, Place("h", "", False), "http", "127.0.0.1:1")
        query = {"rows": "30", "columns": "5000"}
        self.asked = Asked(request, session, shell, Kept(), "main", query=query)

    def sends(self, data: bytes | str) -> None:
        kind = "bytes" if isinstance(data, bytes) else "text"
        self.messages.put_nowait({"type": "websocket.receive", kind: data})

    def leaves(self) -> None:
        self.messages.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def begin(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.terminals.serve(self.asked, CONTAINER, self.send))

    @property
    def told(self) -> dict[str, Any]:
        (text,) = [message["text"] for message in self.sent if "text" in message]
        found: dict[str, Any] = json.loads(text)
        return found

    @property
    def shown(self) -> bytes:
        return b"".join(message.get("bytes", b"") for message in self.sent)


@in_loop
async def test_what_is_typed_goes_in_and_what_is_shown_comes_out(tmp_path: Path) -> None:
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    browser.sends(b"ls\n")
    browser.sends('{"rows": 10, "columns": 20}')
    browser.sends(b"exit")
    await serving
    start, typed, resized, _ = shell.heard
    assert start.start is not None
    assert start.start.size is not None
    assert (start.start.container_id, start.start.pty, start.start.size.rows) == (CONTAINER, True, 30)
    assert start.start.size.columns == terminal.MAX_SIDE
    assert typed.stdin == b"ls\n"
    assert resized.resize is not None
    assert (resized.resize.rows, resized.resize.columns) == (10, 20)
    assert browser.shown == b"ls\n"
    assert browser.told == {"exit": 3}
    assert browser.sent[-1] == {"type": "websocket.close", "code": 1000}
    assert shell.closed


@pytest.mark.parametrize(
    "text",
    ["", "[", "null", "7", "[1]", "{}", '{"rows": 1}', '{"rows": -1, "columns": 5}', '{"rows": true, "columns": 5}',
     '{"rows": 1.5, "columns": 5}', '{"rows": 1e9, "columns": 5}', '{"rows": 99999, "columns": 5}', "[" * 10_000],
)  # fmt: skip
@in_loop
async def test_a_message_that_is_no_size_is_ignored(tmp_path: Path, text: str) -> None:
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    browser.sends(text)
    browser.sends(b"exit")
    await serving
    assert [request.resize for request in shell.heard] == [None, None]
    assert browser.told == {"exit": 3}


@in_loop
async def test_a_page_that_is_left_ends_its_shell(tmp_path: Path) -> None:
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    await shell.begun.wait()
    browser.leaves()
    await serving
    assert shell.closed
    assert [message["type"] for message in browser.sent] == ["websocket.accept"]


@in_loop
async def test_a_message_too_large_ends_it(tmp_path: Path) -> None:
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    browser.sends(b"x" * (MAX_TYPED + 1))
    await serving
    assert browser.told == {"error": "A message has at most 64 KiB."}
    assert browser.sent[-1] == {"type": "websocket.close", "code": 1009}
    assert all(not request.stdin for request in shell.heard)
    assert shell.closed


@in_loop
async def test_who_signs_out_types_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "CHECK_S", 0.01)
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    await shell.begun.wait()
    browser.logins.end(browser.asked.session)
    await serving
    assert browser.told == {"error": "You are signed out."}
    assert shell.closed


@in_loop
async def test_a_service_that_stops_ends_it(tmp_path: Path) -> None:
    shell = Shell()
    browser = Browser(tmp_path, shell)
    serving = browser.begin()
    await shell.begun.wait()
    browser.stopping.set()
    await serving
    assert browser.told == {"error": "The service stops."}
    assert shell.closed


@in_loop
async def test_why_there_is_no_shell_is_told(tmp_path: Path) -> None:
    browser = Browser(tmp_path, Shell(NotFound("no container co-0 runs")))
    await browser.begin()
    assert browser.told == {"error": "no container co-0 runs"}
    assert browser.sent[-1] == {"type": "websocket.close", "code": 1000}


@in_loop
async def test_terminals_at_once_are_bounded(tmp_path: Path) -> None:
    browser = Browser(tmp_path, Shell())
    many = [browser.begin() for _ in range(MAX_TERMINALS)]
    await browser.asked.caller.begun.wait()  # type: ignore[attr-defined]
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await browser.terminals.serve(browser.asked, CONTAINER, send)
    assert json.loads(sent[1]["text"]) == {"error": "Too many terminals are open: close some."}
    browser.stopping.set()
    await asyncio.gather(*many)
    browser.stopping.clear()
    again = browser.begin()
    browser.sends(b"exit")
    await again
