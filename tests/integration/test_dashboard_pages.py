"""What stands on the pages of the dashboard, of a service whose containers are fakes."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.fakes.running_service import Running, running_service
from tests.integration.test_dashboard import FETCHES, Browser, token
from tests.waiting import wait_until
from wherry_proto.messages import (
    ObjectInfo,
    ObjectOpenRequest,
    SecretCreateRequest,
    SecretInfo,
    TokenListRequest,
    TokenListResponse,
    VolumeChunk,
)

SECRET = "swordfish-9931"
NASTY = '<script>alert(1)</script>"&'


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="module")
def browser(service: Running) -> Browser:
    return Browser(service).sign_in()


@pytest.fixture(scope="module")
def fresh() -> Iterator[Browser]:
    with running_service() as running:
        yield Browser(running).sign_in()


@pytest.fixture(scope="module")
def volume(service: Running) -> str:
    """A volume with files."""
    transport = service.transport()
    made = transport.call("Volumes.Open", ObjectOpenRequest(name="shelf", environment="main", create=True))
    assert isinstance(made, ObjectInfo)
    for number, (path, data) in enumerate({"/books/a.txt": b"once", f"/books/{NASTY.replace('/', '')}": b"x"}.items()):
        chunk = VolumeChunk(volume_id=made.object_id, path=path, key=f"{number:064x}", data=data, is_last=True)
        transport.upload("Volumes.Write", iter([chunk]))
    transport.close()
    return made.object_id


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "Home"),
        ("/secrets", "There is no secret"),
        ("/dicts", "There is no dict"),
        ("/queues", "There is no queue"),
        ("/schedules", "No deployed function has a schedule"),
        ("/sandboxes", "No sandbox runs"),
        ("/images", "No image was built yet"),
        ("/environments", "main"),
        ("/tokens", "There is no token"),
        ("/audit", "Audit log"),
    ],
)
def test_a_page_says_so_where_there_is_nothing(fresh: Browser, path: str, text: str) -> None:
    answer = fresh.get(path)
    assert (answer.status, text in answer.text) == (200, True), answer


def test_secrets_are_names_and_never_values(service: Running, browser: Browser) -> None:
    transport = service.transport()
    request = SecretCreateRequest(name="db", environment="main", values={"PASSWORD": SECRET})
    made = transport.call("Secrets.Create", request)
    transport.close()
    assert isinstance(made, SecretInfo)
    page = browser.get("/secrets").text
    assert "PASSWORD" in page
    assert SECRET not in page


def test_dicts_and_queues_and_volumes_are_listed(service: Running, browser: Browser, volume: str) -> None:
    transport = service.transport()
    for kind in ("Dicts", "Queues"):
        transport.call(f"{kind}.Open", ObjectOpenRequest(name=f"my-{kind}", environment="main", create=True))
    transport.close()
    assert "my-Dicts" in browser.get("/dicts").text
    assert "my-Queues" in browser.get("/queues").text
    assert f"/volumes/{volume}/files" in browser.get("/volumes").text


def test_a_volume_is_walked_and_its_files_are_saved(browser: Browser, volume: str) -> None:
    top = browser.get(f"/volumes/{volume}/files")
    assert f"/volumes/{volume}/files/books" in top.text
    below = browser.get(f"/volumes/{volume}/files/books").text
    assert "a.txt" in below
    assert "<script>alert" not in below
    links = [found for found in re.findall(r'href="([^"]+)"', below) if "/file/" in found]
    assert len(links) == 2
    answer = browser.get(f"/volumes/{volume}/file/books/a.txt")
    assert (answer.status, answer.text) == (200, "once")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert browser.get(next(link for link in links if "script" in link)).text == "x"


@pytest.mark.parametrize(
    "path", ["file/../../../etc/passwd", "file/books/nothing.txt", "files/no/such", "file/books", "file/%2e%2e/x"]
)
def test_nothing_outside_of_a_volume_is_reached(browser: Browser, volume: str, path: str) -> None:
    answer = browser.get(f"/volumes/{volume}/{path}")
    assert answer.status in (303, 400, 403, 404), answer
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/images/im-nothing", "/images/x", "/volumes/vo-1/files", "/nothing", "/images/"])
def test_what_is_not_there_is_told(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status in (400, 404)
    assert "Traceback" not in answer.text


def test_a_token_is_revoked_by_its_button(service: Running, browser: Browser) -> None:
    made = token(service, "deploy").token
    assert made is not None
    assert made.token_id in browser.get("/tokens").text
    answer = browser.post("/tokens/revoke", f"wherry_page={browser.proof}&token_id={made.token_id}")
    assert (answer.status, answer.headers["location"]) == (303, "/tokens")
    assert f"{made.token_id} is revoked." in browser.get("/tokens").text
    transport = service.transport()
    listed = transport.call("Tokens.List", TokenListRequest(include_revoked=True))
    assert isinstance(listed, TokenListResponse)
    assert [one.revoked_at_ms > 0 for one in listed.tokens if one.token_id == made.token_id] == [True]
    transport.close()
    wait_until(lambda: "Tokens.Revoke" in browser.get("/audit").text, "the audit log has it")


def test_a_token_sees_what_it_may(service: Running) -> None:
    made = token(service, "invoke")
    assert made.token is not None
    theirs = Browser(service)
    theirs.take(theirs.post("/login", f"id={made.token.token_id}&secret={made.secret}"))
    assert theirs.get("/secrets").status in (200, 403)
    for path in ("/tokens", "/audit"):
        answer = theirs.get(path)
        assert answer.status == 403, answer
        assert "admin" in answer.text


@pytest.mark.parametrize(
    "form", ["", "token_id=", "token_id=tk-1", "token_id=../x", "token_id=" + "9" * 3000, "other=1", "token_id=fu-1"]
)
def test_a_form_with_nonsense_is_refused(browser: Browser, form: str) -> None:
    answer = browser.post("/tokens/revoke", f"wherry_page={browser.proof}&{form}")
    assert answer.status in (400, 404), answer
    assert browser.post("/tokens/revoke", form).status == 403


@pytest.mark.parametrize("query", ["", "?minutes=10", "?minutes=10080", "?minutes=7", "?minutes=x", "?minutes=-1"])
def test_graphs_are_given_columns_of_one_length(browser: Browser, query: str) -> None:
    answer = browser.get(f"/series{query}", **FETCHES, X_Wherry_Page=browser.proof)
    assert answer.status == 200, answer
    found = json.loads(answer.text)
    lengths = {len(column) for column in found.values() if isinstance(column, list)}
    assert len(lengths) == 1
    assert 60 <= lengths.pop() <= 122


@pytest.mark.parametrize("query", ["?app=nothing", "?function=" + "x" * 9000, "?app=%00", "?env=nowhere"])
def test_graphs_of_what_is_not_there_say_so(browser: Browser, query: str) -> None:
    answer = browser.get(f"/series{query}", **FETCHES, X_Wherry_Page=browser.proof, Accept="application/json")
    assert answer.status in (200, 400, 404)
    assert "Traceback" not in answer.text
