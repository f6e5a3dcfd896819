"""Notifications: what a webhook is sent, and what it can't do to the service."""

import http.server
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from wherry_service.errors import Unready
from wherry_service.notify import notifier as module
from wherry_service.notify.notifier import Notifier, described, post_json, tried
from wherry_service.notify.settings import CRASH_LOOP, DISK_LOW, EVENTS, SCHEDULE_FAILED, NotifySettings

SECRET_URL = "https://hooks.example.com/T0/very-secret"


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers as it is told, and keeps what it was sent."""

    answers: list[int]
    got: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        status = self.answers.pop(0) if self.answers else 204
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.got.append((self.path, {}, b"GET"))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def hook() -> Iterator[tuple[str, type[Hook]]]:
    handler = type("OwnHook", (Hook,), {"answers": [], "got": []})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?a=1", handler
        server.shutdown()
        thread.join()


def made(url: str = SECRET_URL, **how: Any) -> Notifier:
    return Notifier(NotifySettings(url, **how.pop("settings", {})), **how)


def test_an_event_is_one_post_of_json(hook: tuple[str, type[Hook]]) -> None:
    url, handler = hook
    told = made(url)
    told.begin()
    told.tell(SCHEDULE_FAILED, "fu-1", "It failed.", {"app": "nightly", "call_id": "", "error": None})
    wait_until(lambda: handler.got, "the request")
    told.close()
    ((path, headers, body),) = handler.got
    assert (path, headers["Content-Type"]) == ("/hook?a=1", "application/json")
    event = json.loads(body)
    assert event.pop("at").endswith("+00:00")
    assert event == {
        "version": 1,
        "event": "schedule_failed",
        "service": socket.gethostname(),
        "text": "It failed.",
        "app": "nightly",
        "repeated": 0,
    }


def test_a_redirect_is_not_followed(hook: tuple[str, type[Hook]]) -> None:
    url, handler = hook
    handler.answers = [302]
    problem, again = tried(post_json, url, b"{}")
    assert problem.startswith("the webhook answered 302, and redirects are not followed")
    assert not again
    assert len(handler.got) == 1


def test_credentials_in_the_address_are_basic_authentication(hook: tuple[str, type[Hook]]) -> None:
    url, handler = hook
    assert post_json(url.replace("//", "//me:p%40ss@"), b"{}") == 204
    assert handler.got[0][1]["Authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize(("status", "again"), [(500, True), (503, True), (429, True), (408, True), (404, False)])
def test_what_is_tried_again(hook: tuple[str, type[Hook]], status: int, again: bool) -> None:
    url, handler = hook
    handler.answers = [status]
    assert tried(post_json, url, b"{}") == (f"the webhook answered {status}", again)


def test_one_who_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        problem, again = tried(
            lambda url, data: post_json(url, data, 0.05), f"http://127.0.0.1:{deaf.getsockname()[1]}/", b"{}"
        )
    assert (problem, again) == ("TimeoutError: no answer", True)
    assert time.monotonic() - began < 5


def test_a_failure_is_tried_again_until_it_gets_through(hook: tuple[str, type[Hook]]) -> None:
    url, handler = hook
    handler.answers = [503, 429]
    told = made(url, pauses_s=(0.01, 0.01, 0.01))
    told.begin()
    told.tell(SCHEDULE_FAILED, "fu-1", "It failed.")
    wait_until(lambda: len(handler.got) == 3, "three tries")
    told.close()
    assert len({body for _, _, body in handler.got}) == 1


def test_what_can_not_be_delivered_is_in_the_log_without_the_address(caplog: pytest.LogCaptureFixture) -> None:
    def refused(url: str, data: bytes) -> int:
        raise ConnectionRefusedError(111, "Connection refused")

    told = made(post=refused, pauses_s=(0.0,))
    told.begin()
    with caplog.at_level(logging.WARNING):
        told.tell(SCHEDULE_FAILED, "fu-1", "It failed.")
        wait_until(lambda: caplog.messages, "the warning")
    told.close()
    (message,) = caplog.messages
    assert message == ("the notification schedule_failed was not delivered: ConnectionRefusedError: Connection refused")


def test_telling_never_waits_and_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    go_on = threading.Event()
    posted: list[bytes] = []

    def slow(url: str, data: bytes) -> int:
        go_on.wait(30)
        posted.append(data)
        return 200

    told = made(post=slow)
    told.begin()
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for number in range(module.MOST_WAITING + 50):
            told.tell(SCHEDULE_FAILED, f"fu-{number}", "It failed.")
    assert time.monotonic() - began < 5
    assert 48 <= len(caplog.messages) <= 50
    go_on.set()
    wait_until(lambda: len(posted) >= module.MOST_WAITING, "all that waited")
    told.close()


def test_what_was_dropped_is_told_when_there_is_room() -> None:
    posted: list[dict[str, Any]] = []

    def post(url: str, data: bytes) -> int:
        posted.append(json.loads(data))
        return 200

    told = made(post=post)
    for number in range(module.MOST_WAITING):
        told.tell(SCHEDULE_FAILED, f"fu-{number}", "It failed.")
    for _ in range(2):
        told.tell(CRASH_LOOP, "f", "It crashes.")
    told.begin()
    wait_until(lambda: len(posted) == module.MOST_WAITING, "all that waited")
    told.tell(CRASH_LOOP, "f", "It crashes.")
    wait_until(lambda: len(posted) > module.MOST_WAITING, "what was dropped")
    told.close()
    assert (posted[-1]["text"], posted[-1]["repeated"]) == ("It crashes.", 2)


def test_the_same_about_the_same_is_told_once_in_ten_minutes() -> None:
    now = [1000.0]
    posted: list[dict[str, Any]] = []

    def post(url: str, data: bytes) -> int:
        posted.append(json.loads(data))
        return 200

    told = made(post=post, now=lambda: now[0])
    told.begin()
    for _ in range(3):
        told.tell(CRASH_LOOP, "fu-1", "It crashes.")
    told.tell(CRASH_LOOP, "fu-2", "It crashes, too.")
    now[0] += module.REPEAT_S
    told.tell(CRASH_LOOP, "fu-1", "It crashes.")
    wait_until(lambda: len(posted) == 3, "three events")
    told.close()
    assert [(event["text"], event["repeated"]) for event in posted] == [
        ("It crashes.", 0),
        ("It crashes, too.", 0),
        ("It crashes.", 2),
    ]


def test_long_texts_are_cut() -> None:
    assert len(described(CRASH_LOOP, "x", {"error": "y" * 5000}, 0)["error"]) == module.MOST_TEXT


def test_only_the_events_that_are_wanted_and_none_without_a_webhook() -> None:
    posted: list[str] = []

    def post(url: str, data: bytes) -> int:
        posted.append(json.loads(data)["event"])
        return 200

    told = made(post=post, settings={"events": (DISK_LOW,)})
    told.begin()
    told.tell(CRASH_LOOP, "fu-1", "It crashes.")
    told.tell(DISK_LOW, "", "It is full.")
    wait_until(lambda: posted, "the event")
    told.close()
    assert posted == [DISK_LOW]
    without = made("", post=post)
    without.begin()
    without.tell(DISK_LOW, "", "It is full.")
    assert without._waiting.empty()
    without.close()


def test_the_end_waits_for_nobody() -> None:
    go_on = threading.Event()

    def slow(url: str, data: bytes) -> int:
        go_on.wait(30)
        return 200

    told = made(post=slow)
    told.begin()
    told.tell(DISK_LOW, "", "It is full.")
    began = time.monotonic()
    told.close()
    assert time.monotonic() - began < 10
    go_on.set()


# Settings


def test_the_settings_say_where_and_what() -> None:
    assert NotifySettings.from_environment({}) == NotifySettings("", EVENTS, 10.0)
    found = NotifySettings.from_environment(
        {
            "WHERRY_NOTIFY_URL": SECRET_URL,
            "WHERRY_NOTIFY_EVENTS": "disk_low, crash_loop",
            "WHERRY_NOTIFY_DISK_FREE": "5",
        }
    )
    assert found == NotifySettings(SECRET_URL, ("disk_low", "crash_loop"), 5.0)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/secret",
        "example.com/secret",
        "http://",
        "https://secret:99999999/",
        "http://a/secret\r\nX: y",
        "javascript:secret",
        "gopher://secret",
    ],
)
def test_only_http_and_the_address_is_not_repeated(url: str) -> None:
    with pytest.raises(Unready) as caught:
        NotifySettings.from_environment({"WHERRY_NOTIFY_URL": url})
    assert str(caught.value).startswith("WHERRY_NOTIFY_URL is no address of a webhook")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("EVENTS", "disk_low,nope", "WHERRY_NOTIFY_EVENTS has 'nope': events are schedule_failed"),
        ("DISK_FREE", "many", "WHERRY_NOTIFY_DISK_FREE is 'many'"),
        ("DISK_FREE", "100", "WHERRY_NOTIFY_DISK_FREE is '100'"),
        ("DISK_FREE", "nan", "WHERRY_NOTIFY_DISK_FREE is 'nan'"),
    ],
)
def test_other_nonsense(name: str, value: str, told: str) -> None:
    with pytest.raises(Unready) as caught:
        NotifySettings.from_environment({f"WHERRY_NOTIFY_{name}": value})
    assert str(caught.value).startswith(told)


# `wherry server notify --test`


def asked(config: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wherry.cli.main", "server", "notify", "--test", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_test_event_on_request(hook: tuple[str, type[Hook]], tmp_path: Path) -> None:
    url, handler = hook
    config = tmp_path / "wherry.yaml"
    config.write_text(f"notify:\n  url: {url}\n")
    ran = asked(config)
    assert (ran.returncode, ran.stderr) == (0, "The webhook took the test event.\n")
    assert json.loads(handler.got[0][2])["event"] == "test"
    handler.answers = [404]
    ran = asked(config)
    assert (ran.returncode, ran.stderr) == (1, "wherry: the webhook answered 404\n")
    config.write_text("notify:\n  disk_free: 5\n")
    ran = asked(config)
    assert ran.returncode == 1
    assert "notify.url is not set" in ran.stderr
    config.write_text("notify:\n  url: ftp://a\n")
    ran = asked(config)
    assert ran.returncode == 1
    assert f"{config}: notify.url is no address of a webhook" in ran.stderr
