"""`@app.server()`: requests go straight to what a class's enter hooks have started."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from urllib.parse import urlsplit

import httpx
import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.acceptance.web_client import client_of
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def servers(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import servers

    with run_app(servers.app):
        yield servers


def url(server: wherry.Server) -> str:
    found = server.get_url()
    assert found is not None
    return found


def warm(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/").status_code == 200, "the server answers")


def test_requests_are_refused_until_a_container_listens_and_then_go_to_it(servers: ModuleType) -> None:
    address = url(servers.Plain)
    assert urlsplit(address).hostname == "wherry--server-tests-plain-dev.localhost"
    with client_of(address) as client:
        first = client.get("/")
        assert (first.status_code, first.headers["retry-after"]) == (503, "1")
        assert "server 'Plain': no container is ready yet" in first.text
        warm(client)
        answers: list[httpx.Response] = []

        def ask() -> None:
            with client_of(address) as own:
                answers.append(own.get("/slow"))

        asking = [threading.Thread(target=ask) for _ in range(6)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        # Two at once in a container, of which there may be two by then: the others are told to come again.
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 429}
        assert 2 <= statuses.count(200) <= 4
        # Another container came, since one request for each is aimed at.
        names = {answer.text.split()[0] for answer in answers if answer.status_code == 200}

        def both() -> bool:
            names.add(client.get("/").text.split()[0])
            return len(names) == 2

        wait_until(both, "a second container")


def test_a_token_is_needed_and_requests_of_one_session_go_to_one_container(
    servers: ModuleType, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "wherry", "token", "new", "asker", "--scope", "invoke", "--json"]
    made = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    with client_of(url(servers.Guarded)) as client:
        assert client.get("/").status_code == 401
        client.headers.update({"modal-key": made["token_id"], "modal-secret": made["token_secret"]})
        warm(client)
        found: dict[str, set[str]] = {}

        def ask() -> bool:
            for session in "abcdefgh":
                answer = client.get("/", headers={"Modal-Session-ID": session})
                name, told, _ = answer.text.split()
                assert told == session
                found.setdefault(session, set()).add(name)
            return len(set.union(*found.values())) == 2

        wait_until(ask, "both containers answer")
        found.clear()
        for _ in range(3):
            ask()
        assert all(len(names) == 1 for names in found.values())


def test_a_session_has_a_container_to_itself_until_it_ends(servers: ModuleType) -> None:
    sessions = [servers.Rooms.sessions.start(idle_timeout=60) for _ in range(2)]
    found = []
    with client_of(url(servers.Rooms)) as client:
        assert client.get("/").status_code == 401
        for session in sessions:
            sign = {"modal-authorization": f"Bearer {session.token}"}
            told = {client.get("/", headers=sign).text for _ in range(3)}
            assert len(told) == 1
            name, _, session_id = told.pop().split()
            assert session_id == session.session_id
            found.append(name)
        # One for each container.
        assert len(set(found)) == 2
        servers.Rooms.sessions.terminate(sessions[0].token)
        gone = client.get("/", headers={"modal-authorization": f"Bearer {sessions[0].token}"})
        assert gone.status_code == 401


def test_what_does_not_listen_in_time_says_so(servers: ModuleType, service: OwnService) -> None:
    with client_of(url(servers.Deaf)) as client:
        assert client.get("/").status_code == 503
    said = "Deaf: nothing listens on port 8000 1 s after its enter hooks returned"
    wait_until(lambda: said in service.log(), "the failure is told")


def test_handles_from_elsewhere_and_the_autoscaler(servers: ModuleType) -> None:
    assert servers.url_of.remote("Guarded") == url(servers.Guarded)
    found = wherry.Server.from_id(servers.Guarded.object_id)
    assert found.get_url() == url(servers.Guarded)
    now = found.update_autoscaler(target_concurrency=1.5, scaledown_window=30)
    assert (now.target_concurrency, now.min_containers, now.scaledown_window) == (1.5, 2, 30)
    assert servers.Guarded.autoscaler.update(target_concurrency=None).target_concurrency is None
    assert servers.Guarded.autoscaler.settings().min_containers == 2
    with pytest.raises(wherry.exception.NotFoundError, match="is a function, and no server"):
        wherry.Server.from_name("server-tests", "url_of").get_url()
