"""What `Sandbox.exec` takes beside a command, and how a sandbox is left or ended."""

import asyncio
from collections.abc import Iterator

import pytest

import wherry
from tests.acceptance.service import OwnService
from wherry import Sandbox
from wherry.exception import InvalidError, NotFoundError
from wherry.stream_type import StreamType


@pytest.fixture(scope="module")
def box(service: OwnService) -> Iterator[Sandbox]:
    with Sandbox.create(block_network=True, timeout=300, env={"SHARED": "box", "KEPT": "yes"}) as sandbox:
        yield sandbox


def test_where_output_goes(box: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    command = ("sh", "-c", "echo out; echo err >&2")
    process = box.exec(*command, stdout=StreamType.STDOUT, stderr=StreamType.DEVNULL)
    assert process.wait() == 0
    assert capfd.readouterr().out == "out\n"
    for stream in (process.stdout, process.stderr):
        with pytest.raises(InvalidError, match="only output that goes to"):
            stream.read()
    process = box.exec(*command, stderr=StreamType.STDOUT)
    assert (process.stdout.read(), process.wait()) == ("out\n", 0)
    assert capfd.readouterr().out == "err\n"
    with pytest.raises(InvalidError, match="stdout is 'pipe': it must be a wherry"):
        box.exec(*command, stdout="pipe")  # type: ignore[arg-type]


def test_variables_of_an_exec(box: Sandbox) -> None:
    echo = ("sh", "-c", "echo $SHARED $KEPT $MORE")
    secrets = [wherry.Secret.from_dict({"SHARED": "secret", "MORE": "secret"}), wherry.Secret.from_dict({"MORE": "2"})]
    assert box.exec(*echo, secrets=secrets).stdout.read() == "secret yes 2\n"
    assert box.exec(*echo, secrets=secrets, env={"MORE": "env", "KEPT": None}).stdout.read() == "secret yes env\n"
    # Nothing of it is left for the next.
    assert box.exec(*echo).stdout.read() == "box yes\n"
    with pytest.raises(NotFoundError, match="never-made"):
        box.exec(*echo, secrets=[wherry.Secret.from_name("never-made")])
    with pytest.raises(InvalidError, match="secrets is a list of str"):
        box.exec(*echo, secrets=["KEY"])  # type: ignore[list-item]


def test_an_older_way_to_ask_for_a_terminal(box: Sandbox) -> None:
    assert box.exec("sh", "-c", "test -t 0 && echo yes", pty_info=object()).stdout.read() == "yes\r\n"


def test_ended_and_left(service: OwnService) -> None:
    first, second = (Sandbox.create("cat", block_network=True) for _ in range(2))
    assert (first.terminate(), first.returncode) == (None, 137)
    second.stdin.write("last words")
    second.detach()
    assert Sandbox.from_id(second.object_id).poll() is None
    assert second.terminate(wait=True) == 137
    assert asyncio.run(second.terminate.aio(wait=True)) == 137


def test_what_means_nothing_here_is_accepted_with_a_warning(service: OwnService) -> None:
    with pytest.warns(UserWarning, match="region means nothing on your own machines"):
        sandbox = Sandbox.create("true", region="us-east", cloud=None, block_network=True)
    assert sandbox.wait() == 0
