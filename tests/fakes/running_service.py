"""A service on a fake engine, as a process of its own: `python -m tests.fakes.running_service STATE_DIR`.

All of it is the real one but for the containers, so that pages are tested without an engine, and in seconds.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.fakes.engine import FakeEngine
from tests.waiting import wait_until
from wherry._connection.transport.frames import FramesTransport
from wherry._connection.transport.transport import Transport
from wherry_proto.messages import DashboardLink, DashboardLinkRequest
from wherry_service import settings
from wherry_service.ingress.answers import Answer
from wherry_service.server import Service

ROOT = Path(__file__).parents[2]
# Where a page of an app answers by path, if a test has one.
STRANGER = "/wherry--stranger/"


class Running:
    """The process, and how tests reach it."""

    def __init__(self, state_dir: Path, environment: dict[str, str]) -> None:
        self.state_dir = state_dir
        self._environment = {
            **os.environ,
            "WHERRY_HTTP_PORT": "0",
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "service", "client", "protos")),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until its web port is open."""
        command = [sys.executable, "-m", "tests.fakes.running_service", str(self.state_dir)]
        (self.state_dir / "port").unlink(missing_ok=True)
        with open(self.state_dir / "out.log", "ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)
        wait_until(lambda: (self.state_dir / "port").exists() or self._process.poll() is not None, "it runs", 60)
        assert self._process.poll() is None, (self.state_dir / "out.log").read_text()[-4000:]
        # The same port in its next life.
        self._environment["WHERRY_HTTP_PORT"] = str(self.port)

    @property
    def port(self) -> int:
        """Its web port."""
        return int((self.state_dir / "port").read_text())

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://wherry.localhost:{self.port}"

    def transport(self) -> Transport:
        """Return what calls its rpcs as its own user."""
        return FramesTransport(str(self.state_dir / "local.sock"))

    def link(self) -> DashboardLink:
        """Return a link that signs in."""
        transport = self.transport()
        try:
            link = transport.call("Dashboard.Link", DashboardLinkRequest())
        finally:
            transport.close()
        assert isinstance(link, DashboardLink)
        return link

    def say(self, line: str) -> None:
        """Have an app of its print a line."""
        made = self.state_dir / "say.new"
        made.write_text(line)
        made.rename(self.state_dir / "say")

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)


@contextmanager
def running_service(**environment: str) -> Iterator[Running]:
    """A service that runs meanwhile."""
    # Short: the path of a Unix socket has at most 107 characters.
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    service = Running(state_dir, environment)
    try:
        service.start()
        yield service
    finally:
        service.stop()
        shutil.rmtree(state_dir)


async def _main(state_dir: Path) -> None:
    service = Service(state_dir, settings.load(None), lambda driver, network: FakeEngine({}))
    serving = asyncio.ensure_future(service.run())
    ingress = service.parts.published.ingress
    while not (state_dir / "local.sock").exists() and not serving.done():
        await asyncio.sleep(0.02)
    # Also where nothing opens it by itself.
    await ingress.ready()
    if calls := os.environ.get("WHERRY_TEST_SEED"):
        from tests.fakes.seed import seed

        if not (state_dir / "seeded").exists():
            await seed(service, int(calls))
            (state_dir / "seeded").touch()
        asyncio.ensure_future(_print_at_will(service, state_dir / "say"))  # noqa: RUF006 - until the process ends
    # Whole at once: the test looks for the file.
    (state_dir / "port.new").write_text(str(ingress.site.port))
    (state_dir / "port.new").rename(state_dir / "port")
    with _stranger(os.environ.get("WHERRY_TEST_STRANGER", "")):
        await serving


@contextmanager
def _stranger(headers: str) -> Iterator[None]:
    """Answer at `STRANGER` as an app does, with a page that has these headers (JSON); "": no such page."""
    from wherry_service.ingress.router import WebRouter

    found = WebRouter._own

    async def own(self: WebRouter, scope: dict[str, Any], host: str) -> Answer:
        if scope["path"] != STRANGER:
            return await found(self, scope, host)
        answer = Answer(200, "<!doctype html><title>stranger</title>")
        answer.headers = [(name.encode(), value.encode()) for name, value in json.loads(headers).items()]
        return answer

    if not headers:
        yield
        return
    with patch.object(WebRouter, "_own", own):
        yield


async def _print_at_will(service: Service, path: Path) -> None:
    """Have the first app that runs print what a test writes into a file."""
    while True:
        await asyncio.sleep(0.02)
        if path.exists():
            app = next(iter(service.parts.published.apps.register)).record.app_id
            rows = [(1, "", int(time.time() * 1000), path.read_text(), False)]
            service.parts.stores.logs.append(app, "", "co-" + "0" * 26, rows, {})
            path.unlink()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
