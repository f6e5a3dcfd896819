"""wherry serve: an app that follows its source."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.acceptance.web_client import client_of
from tests.waiting import wait_until

SOURCE = """
import wherry
from helper import WORD

app = wherry.App("served")

@app.function(max_containers=1)
def say() -> str:
    return "{greeting} " + WORD
"""


WEB = """
import wherry

app = wherry.App("served-web")

@app.function(max_containers=1)
@wherry.asgi_app()
def site():
    async def web(scope, receive, send):
        if scope["type"] == "http":
            await send({{"type": "http.response.start", "status": 200, "headers": []}})
            await send({{"type": "http.response.body", "body": b"{greeting}"}})

    return web
"""


class Server:
    """A running `wherry serve`, and the files that it follows."""

    def __init__(self, directory: Path, source: str = SOURCE) -> None:
        self.directory = directory
        self.write("helper.py", 'WORD = "world"\n')
        self.write("main.py", source.format(greeting="hello"))
        command = [sys.executable, "-m", "wherry.cli.main", "serve", str(directory / "main.py")]
        self.output = directory / "output"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    def write(self, name: str, text: str) -> None:
        # As an editor does: whole, under another name, then moved.
        scratch = self.directory / f".{name}"
        scratch.write_text(text)
        scratch.replace(self.directory / name)

    def said(self, text: str, times: int = 1) -> bool:
        return self.output.read_text().count(text) >= times

    def call(self) -> str:
        value: str = wherry.Function.lookup("served", "say").remote()
        return value


@pytest.fixture
def server(service: OwnService, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    wait_until(lambda: server.said("serving served"), "the app is served")
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


def test_changes_are_taken_up_under_the_same_ids_and_errors_survived(server: Server, service: OwnService) -> None:
    before = wherry.Function.lookup("served", "say").object_id
    assert server.call() == "hello world"

    server.write("main.py", SOURCE.format(greeting="goodbye"))
    server.write("helper.py", 'WORD = "moon"\n')
    wait_until(lambda: server.said("wherry: reloaded in"), "the change is taken up")
    assert server.call() == "goodbye moon"
    assert wherry.Function.lookup("served", "say").object_id == before
    assert not server.said("reloaded in", times=2), "a burst of changes is one"

    server.write("main.py", "def broken(:\n")
    wait_until(lambda: server.said("the last version keeps running"), "the error is told")
    assert server.said("SyntaxError: invalid syntax")
    assert not server.said("reloaded in", times=2), "what failed was not reloaded"
    assert server.call() == "goodbye moon"

    server.write("main.py", SOURCE.format(greeting="welcome").replace("helper", "other"))
    wait_until(lambda: server.said("No module named 'other'"), "the missing module is told")
    server.write("other.py", 'WORD = "back"\n')
    wait_until(lambda: server.said("reloaded in", times=2), "the new module is taken up")
    assert server.call() == "welcome back"

    os.kill(server.process.pid, signal.SIGINT)
    assert server.process.wait(30) == 0
    with pytest.raises(wherry.exception.NotFoundError):
        server.call()
    assert service.containers(function=before) == []


def test_an_app_that_can_not_be_loaded_is_waited_for(service: OwnService, tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text("import wherry\nimport nothing_of_the_kind\n")
    command = [sys.executable, "-m", "wherry.cli.main", "serve", str(tmp_path / "early.py"), "--timeout", "4"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0
    assert "No module named 'nothing_of_the_kind'" in ended.stderr
    assert "nothing runs yet. Waiting for a change." in ended.stderr


def test_b56_a_url_stays_while_its_app_changes(service: OwnService, tmp_path: Path) -> None:
    server = Server(tmp_path, WEB)
    try:
        wait_until(lambda: server.said("serving served-web"), "the app is served")
        (url,) = re.findall(
            r"Serving site at (http://wherry--served-web-site-dev\.localhost:\d+)", server.output.read_text()
        )
        with client_of(url) as client:
            assert client.get("/some/page?token=x").text == "hello"
            wait_until(lambda: server.said("GET /some/page?… → 200 ("), "the request is shown")
            server.write("main.py", WEB.format(greeting="goodbye"))
            # Nothing is refused in between.
            wait_until(lambda: client.get("/").raise_for_status().text == "goodbye", "the new version answers")
            server.process.send_signal(signal.SIGINT)
            server.process.wait(30)
            gone = client.get("/")
        assert (gone.status_code, "is its app running?" in gone.text) == (404, True)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
