"""What a browser makes of web endpoints."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.acceptance.conftest import RunApp
from tests.browser.conftest import Load
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def web(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import web

    with run_app(web.app):
        yield web


def test_a_page_with_its_assets_and_a_websocket_chat(web: ModuleType, load: Load) -> None:
    page = load(f"{web.Site().site.web_url}/")
    assert "scripted rgb(1, 2, 3)" in page, "the script ran, and the style sheet was there"
    assert "<li>heard hello</li><li>closed 4001</li>" in page


def test_an_upload_form(web: ModuleType, load: Load) -> None:
    assert '<p id="got">got a.txt of 300000</p>' in load(f"{web.Site().site.web_url}/#upload")


def test_streamlit(web: ModuleType, load: Load) -> None:
    url = f"{web.streamlit.web_url}/"
    wait_until(lambda: "Hello from Streamlit" in load(url, real_ms=3000), "the page is there", 60)
