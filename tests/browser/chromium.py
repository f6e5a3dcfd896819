"""A headless Chromium, driven by its own protocol."""

import base64
import json
import queue
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.waiting import wait_until

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--no-first-run",
    "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """One page: what it shows, and what it complains of."""

    def __init__(self, url: str) -> None:
        self._ends = ExitStack()
        self._socket = self._ends.enter_context(connect(url, proxy=None, max_size=None))
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        # What the console and the log have said: errors, and violations of the content security policy.
        self.complaints: list[str] = []
        # Requests, by their URL, with their status and size.
        self.responses: list[tuple[str, int]] = []
        self.received_bytes = 0
        self._number = 0
        threading.Thread(target=self._read, daemon=True).start()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            for text in self._socket:
                message = json.loads(text)
                if "id" in message:
                    self._answers.put(message)
                else:
                    self._heard(message["method"], message["params"])

    def _heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            self.complaints.append(f"{entry['text']} ({entry.get('url', '')})")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"])[:2000])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"])[:2000])
        elif method == "Network.responseReceived":
            self.responses.append((params["response"]["url"], params["response"]["status"]))
        elif method == "Network.loadingFinished":
            self.received_bytes += int(params["encodedDataLength"])

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask Chromium for something."""
        self._number += 1
        number = self._number
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := self._answers.get(timeout=30))["id"] != number:
            pass
        return answer

    def run(self, script: str) -> Any:
        """Return the value of an expression; a promise is waited for."""
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        result = answer.get("result", {})
        if "exceptionDetails" in result or "error" in answer:
            raise AssertionError(f"{script[:200]}: {answer}")
        return result["result"].get("value")

    def open(self, url: str, text: str = "") -> None:
        """Load a URL, and wait until the page has loaded and has a text."""
        answer = self.ask("Page.navigate", url=url)
        assert "errorText" not in answer.get("result", {}), answer
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", f"{url} has loaded")
        if text:
            self.wait_text(text)

    def wait(self, script: str, what: str, seconds: float = 10) -> None:
        """Wait until an expression is true."""

        def is_so() -> bool:
            try:
                return bool(self.run(script))
            except AssertionError:
                return False  # between two documents

        try:
            wait_until(is_so, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.complaints}; the page: {self.text[:1500]}") from None

    def wait_text(self, text: str, seconds: float = 10) -> None:
        """Wait until the page shows a text."""
        self.wait(f"document.body.innerText.includes({json.dumps(text)})", f"the page shows {text!r}", seconds)

    @property
    def text(self) -> str:
        """All text that the page shows."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    @property
    def url(self) -> str:
        """Where it is."""
        return str(self.run("location.href"))

    def click(self, selector: str) -> None:
        """Click the first element of a selector."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def size(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Have the window another size, and the system light or dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path, whole: bool = False) -> None:
        """Write what it shows as a PNG; all of a long page, if wanted."""
        time.sleep(0.1)  # a picture: nothing tells when the last frame was painted
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["result"]["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """Stop listening to it."""
        self._ends.close()


class Chromium:
    """The browser: a new profile, so nobody is signed in."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def tab(self) -> Tab:
        """Open a new tab."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/json/new?about:blank", method="PUT")
        with self._opener.open(request, timeout=10) as answer:
            return Tab(json.load(answer)["webSocketDebuggerUrl"])


@contextmanager
def chromium() -> Iterator[Chromium]:
    """A browser with a profile of its own."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "these tests need Chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory(prefix="wherry-browser-", ignore_cleanup_errors=True) as profile:
        command = [found, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            place = Path(profile) / "DevToolsActivePort"
            wait_until(lambda: place.exists() and place.read_text().strip(), "Chromium runs", 30)
            yield Chromium(int(place.read_text().split()[0]))
        finally:
            process.kill()
            process.wait()
