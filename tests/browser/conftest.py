"""A headless Chromium, and the acceptance tests' service."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.conftest import run_app, service
from tests.browser.chromium import chromium

__all__ = ["run_app", "service"]

# Loads a URL, and waits until the page has a text.
Load = Callable[[str, str], None]


@pytest.fixture
def load() -> Iterator[Load]:
    """Load a URL, and wait until the page as it is then has a text in its source."""
    with chromium() as browser:
        tab = browser.tab()

        def loads(url: str, text: str) -> None:
            tab.open(url)
            tab.wait(f"document.documentElement.outerHTML.includes({json.dumps(text)})", f"{url} shows {text!r}")

        yield loads
        tab.close()
