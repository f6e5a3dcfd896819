"""A headless Chromium, and the acceptance tests' service."""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.acceptance.conftest import run_app, service
from tests.waiting import wait_until

__all__ = ["run_app", "service"]

# Loads a URL, and waits until the page has a text.
Load = Callable[[str, str], None]


@pytest.fixture
def load() -> Iterator[Load]:
    """Load a URL, and wait until the page as it is then has a text."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "these tests need Chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory(prefix="wherry-browser-", ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        options += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen([found, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            place = Path(profile) / "DevToolsActivePort"
            wait_until(lambda: place.exists() and place.read_text().strip(), "Chromium runs")
            yield lambda url, text: _load(int(place.read_text().split()[0]), url, text)
        finally:
            process.kill()
            process.wait()


def _load(port: int, url: str, text: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/json", timeout=10) as answer:
        (target,) = [found for found in json.load(answer) if found["type"] == "page"]
    with connect(target["webSocketDebuggerUrl"], proxy=None, max_size=None) as page:

        def ask(method: str, **params: Any) -> Any:
            page.send(json.dumps({"id": 1, "method": method, "params": params}))
            while (message := json.loads(page.recv(timeout=30))).get("id") != 1:
                pass
            return message

        def shown() -> str:
            found = ask("Runtime.evaluate", expression="document.documentElement.outerHTML")
            if "error" in found:
                return f"Chromium: {found['error']}"  # as between two documents: it is asked again
            return str(found["result"]["result"].get("value", ""))

        navigated = ask("Page.navigate", url=url)
        assert "result" in navigated, navigated
        try:
            wait_until(lambda: text in shown(), f"{url} shows {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}, but {shown()[:2000]}") from None
