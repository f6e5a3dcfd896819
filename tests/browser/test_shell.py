"""A shell in a page of the dashboard: typed into, resized, interrupted, left."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.browser.chromium import Tab, chromium
from tests.waiting import wait_until
from wherry._connection.client import default_client
from wherry_proto.messages import DashboardLink, DashboardLinkRequest

app = wherry.App("shelled")


@app.function(min_containers=1, max_containers=1, serialized=True)
def container_id() -> str:
    import os

    return os.environ["WHERRY_CONTAINER_ID"]


@app.function(min_containers=1, max_containers=1, serialized=True)
@wherry.concurrent(max_inputs=2)
def shells() -> list[str]:
    """Return this container, and the shells that run in it."""
    import os
    from pathlib import Path

    found = [path.read_bytes().split(b"\0") for path in Path("/proc").glob("[0-9]*/cmdline")]
    return [os.environ["WHERRY_CONTAINER_ID"], *("shell" for words in found if words[:2] == [b"bash", b"-i"])]


@pytest.fixture(scope="module")
def running(run_app: RunApp) -> Iterator[None]:
    with run_app(app):
        yield


@pytest.fixture
def tab(running: None) -> Iterator[Tab]:
    """A tab that is signed in."""
    with chromium() as browser:
        tab = browser.tab()
        tab.open(str(default_client().call("Dashboard.Link", DashboardLinkRequest(), DashboardLink).url), "Home")
        yield tab
        assert tab.complaints == []
        tab.close()


def shell(tab: Tab, container: str) -> None:
    there = urlsplit(tab.url)
    tab.open(f"{there.scheme}://{there.netloc}/containers/{container}/shell", "Connected.")
    shows(tab, "# ")


def types(tab: Tab, text: str) -> None:
    for letter in text:
        tab.ask("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
        tab.ask("Input.dispatchKeyEvent", type="keyUp", key=letter)
    press(tab, "Enter", 13, "\r")


def press(tab: Tab, key: str, code: int, text: str = "", modifiers: int = 0) -> None:
    pressed = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
    tab.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **pressed)
    tab.ask("Input.dispatchKeyEvent", type="keyUp", **pressed)


def screen(tab: Tab) -> str:
    return str(tab.run("document.querySelector('.xterm-rows').innerText")).replace("\xa0", " ")


def shows(tab: Tab, text: str) -> None:
    wait_until(lambda: text in screen(tab), f"the terminal shows {text!r}", 15)


def test_a_shell_is_typed_into_and_resized_and_interrupted(tab: Tab, tmp_path: Path) -> None:
    tab.size(1100, 800)
    shell(tab, container_id.remote())
    types(tab, "echo $((6 * 7)) $PWD")
    shows(tab, "42 /root")
    types(tab, "echo rows=$(stty size)")
    shows(tab, "rows=")
    before = screen(tab).partition("rows=")[2]
    tab.size(700, 500)
    types(tab, "clear; sleep 1000; echo interrupted=$?")
    press(tab, "c", 67, modifiers=2)
    press(tab, "c", 67, modifiers=2)
    shows(tab, "^C")
    types(tab, "echo again=$(stty size)")
    shows(tab, "again=")
    assert screen(tab).rpartition("again=")[2] != before
    tab.picture(tmp_path / "shell.png")
    types(tab, "exit 3")
    tab.wait_text("The shell has ended (exit code 3).")
    tab.click("#terminal-again")
    tab.wait_text("Connected.")


def test_a_page_that_is_left_ends_its_shell(tab: Tab) -> None:
    shell(tab, shells.remote()[0])
    wait_until(lambda: shells.remote()[1:] == ["shell"], "the shell runs")
    press(tab, "Escape", 27, modifiers=2 | 8)
    assert tab.run("document.activeElement.textContent") == "Containers"
    there = urlsplit(tab.url)
    tab.open(f"{there.scheme}://{there.netloc}/", "Home")
    wait_until(lambda: shells.remote()[1:] == [], "the shell has ended", 15)


def test_a_container_that_is_not_there_is_named(tab: Tab) -> None:
    there = urlsplit(tab.url)
    gone = "co-01M8P19MQQ5S6SNETSTC8KFPSB"
    tab.open(f"{there.scheme}://{there.netloc}/containers/{gone}/shell", gone)
    tab.wait("!document.getElementById('terminal-again').hidden", "it ended")
    assert gone in str(tab.run("document.getElementById('terminal-said').textContent"))
