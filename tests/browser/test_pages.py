"""What a browser makes of web endpoints."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.acceptance.conftest import RunApp
from tests.browser.conftest import Load


@pytest.fixture(scope="module")
def web(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import web

    with run_app(web.app):
        yield web


def test_a_page_with_its_style_sheet_and_script(web: ModuleType, load: Load) -> None:
    load(f"{web.Site().site.web_url}/", "scripted rgb(1, 2, 3)")


def test_a_websocket_chat(web: ModuleType, load: Load) -> None:
    load(f"{web.Site().site.web_url}/", "<li>heard hello</li><li>closed 4001</li>")


def test_an_upload_form(web: ModuleType, load: Load) -> None:
    load(f"{web.Site().site.web_url}/#upload", '<p id="got">got a.txt of 300000</p>')


def test_streamlit_on_web_server(web: ModuleType, load: Load) -> None:
    load(f"{web.streamlit.web_url}/", "Hello from Streamlit")
