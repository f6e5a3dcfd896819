"""A headless Chromium, and the acceptance tests' service."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.conftest import run_app, service

__all__ = ["run_app", "service"]

Load = Callable[..., str]


@pytest.fixture
def load() -> Iterator[Load]:
    """Load a URL, let its scripts run, and return the page as it is then."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found is not None, "these tests need Chromium: apt-get install chromium"
    profile = tempfile.mkdtemp(prefix="wherry-browser-")

    def dump(url: str, real_ms: int = 0) -> str:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        options += [f"--user-data-dir={profile}", "--dump-dom"]
        # Virtual time runs on while a websocket is silent: a page that lives by one needs real time.
        options.append(f"--timeout={real_ms}" if real_ms else "--virtual-time-budget=15000")
        ended = subprocess.run([found, *options, url], capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr[-2000:]
        return ended.stdout

    yield dump
    shutil.rmtree(profile, ignore_errors=True)
