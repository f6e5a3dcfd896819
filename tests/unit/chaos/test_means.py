"""What a campaign is made with: journals that outlive their writers, a plan that a seed decides, a network to cut."""

import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.faults.table import faults, plan
from chaos.journal import Journal, operations, records
from chaos.processes import Process
from chaos.proxy import Proxy
from chaos.stage import Choice
from tests.waiting import wait_until


def test_a_journal_tells_what_was_answered_failed_and_left_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with journal.asking("one", x=1) as answer:
        answer.part(values=[1])
        answer.part(values=[2])
        answer.facts["more"] = True
    with journal.asking("two") as answer:
        raise ValueError("no")
    assert answer.error == "builtins.ValueError: no"
    journal.write("ask", op=9, what="three", facts={})

    one, two, three = operations("c", records(tmp_path / "j"))

    assert (one.did, one.asked, one.answer) == (True, {"x": 1}, {"values": [1, 2], "more": True})
    assert (two.did, two.error) == (False, "builtins.ValueError: no")
    assert (three.did, three.failed, three.ended_at) == (False, False, None)


def test_a_journal_of_several_lives_whose_last_line_was_not_finished(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path / "j").asking("one"):
            pass
    with open(tmp_path / "j", "a") as file:
        file.write('{"is": "as')
    first, second = operations("c", records(tmp_path / "j"))
    assert first.life != second.life
    assert list(records(tmp_path / "none")) == []


def test_what_a_killed_client_wrote_is_there(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from chaos.journal import Journal; j = Journal(pathlib.Path(sys.argv[1]))\n"
        "with j.asking('put', x=1): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "j")], check=False, cwd=Path(__file__).parents[3])
    (put,) = operations("c", records(tmp_path / "j"))
    assert (put.asked, put.ended_at) == ({"x": 1}, None)


def test_a_seed_decides_the_plan() -> None:
    kinds = faults(Choice())
    first = list(itertools.islice(plan("a", kinds, 3.0), 500))
    assert first == list(itertools.islice(plan("a", kinds, 3.0), 500))
    assert first != list(itertools.islice(plan("b", kinds, 3.0), 500))
    # At the default rate half an hour has more than 400.
    assert sum(step.wait_s for step in first[:500]) < 1800
    assert {step.kind for step in first} == {kind.name for kind in kinds}
    lasts = {kind.name: kind.lasts for kind in kinds}
    assert all(lasts[step.kind][0] <= step.lasts_s <= lasts[step.kind][1] for step in first)


def test_what_a_campaign_runs_on_has_faults_of_its_own() -> None:
    def names(choice: Choice) -> set[str]:
        return {kind.name for kind in faults(choice)}

    assert names(Choice(postgres=True)) - names(Choice()) == {"database crashed", "database restarted"}
    assert names(Choice(engine=True)) - names(Choice()) == {"engine killed"}
    assert "connections cut" in names(Choice(tcp=True)) - names(Choice())
    assert names(Choice()) - names(Choice(gvisor=True)) == {"runner killed", "runner stopped"}


def test_a_process_whose_number_is_another_s_by_now_gets_no_signal() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        process = Process(sleeper.pid)
        assert process.send(signal.SIGKILL)
        sleeper.wait()
        assert not process.send(signal.SIGKILL)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it hears."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(100):
                    connection.sendall(data)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_proxy_forwards_cuts_holds_and_refuses(echo: int) -> None:
    proxy = Proxy(echo)
    try:
        with connected(proxy) as client:
            proxy.hold(answers_only=True)
            client.sendall(b"later")
            client.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.recv(5)
            proxy.release()
            client.settimeout(10)
            assert client.recv(5) == b"later"
            assert proxy.cut() == 1
            with pytest.raises(ConnectionResetError):
                client.recv(5)
        proxy.take_down()
        wait_until(lambda: refused(proxy), "connections are refused")
        proxy.bring_up()
        with connected(proxy):
            pass
    finally:
        proxy.close()


def connected(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    client.sendall(b"hello")
    assert client.recv(5) == b"hello"
    return client


def refused(proxy: Proxy) -> bool:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client:
        try:
            client.sendall(b"hello")
            return client.recv(5) == b""
        except ConnectionError:
            return True


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    with Journal(tmp_path / "j").asking("one", text="two\nlines"):
        pass
    lines = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    assert [line["is"] for line in lines] == ["life", "ask", "did"]
