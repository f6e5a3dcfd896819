"""A hostile container sends values: each is received whole or leaves nothing, and no more than is allowed is kept."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wherry_service.node.value_receiver import AT_ONCE, ValueDesk, ValueReceiver

MOST_BYTES = 8 << 20


class Desk:
    """One container's desk, its directory, and how the container reaches it."""

    def __init__(self, receiver: ValueReceiver, root: Path) -> None:
        self.directory = root / "values"
        self.directory.mkdir(exist_ok=True)
        self._path = root / "values.sock"
        self._path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self._path))
        listening.listen()
        self.desk: ValueDesk = receiver.open("co-1", os.open(self.directory, os.O_RDONLY), listening)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(self._path))
        return connection

    def send(self, data: bytes) -> str:
        """Send a value as a runner does; return the answer."""
        with self.connect() as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except BrokenPipeError:
                pass  # it was refused; the answer says why
            return answer(connection)

    def files(self) -> list[str]:
        return sorted(os.listdir(self.directory))


def answer(connection: socket.socket) -> str:
    said = b""
    while not said.endswith(b"\n") and (data := connection.recv(4096)):
        said += data
    return said.decode().removesuffix("\n")


@pytest.fixture
def receiver() -> Iterator[ValueReceiver]:
    receiver = ValueReceiver(max_waiting=5, max_waiting_bytes=MOST_BYTES)
    yield receiver
    receiver.close()


@pytest.fixture
def desk(receiver: ValueReceiver, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(receiver, tmp_path)
    yield desk
    desk.desk.close()


def test_a_value_is_taken_once_under_the_name_that_the_service_gave_it(desk: Desk, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    name = desk.send(data)
    assert desk.files() == [name]
    assert desk.desk.take(name, str(tmp_path / "taken")) == len(data)
    assert (tmp_path / "taken").read_bytes() == data
    assert (tmp_path / "taken").stat().st_mode & 0o777 == 0o644
    assert desk.files() == []
    for other in (name, "..", ".", "", "../values.sock", "x" * 300):
        with pytest.raises(FileNotFoundError):
            desk.desk.take(other, str(tmp_path / "other"))


def test_values_come_at_once_and_those_beyond_wait(desk: Desk, receiver: ValueReceiver) -> None:
    receiver.max_waiting = 1000
    connections = [desk.connect() for _ in range(AT_ONCE + 3)]
    for number, connection in enumerate(connections):
        connection.sendall(b"%d" % number)
    wait_until(lambda: len(desk.files()) == AT_ONCE, "as many are received as may be at once")
    names = []
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
        names.append(answer(connection))
        connection.close()
    assert [(desk.directory / name).read_bytes() for name in names] == [b"%d" % n for n in range(AT_ONCE + 3)]


def test_what_is_not_finished_leaves_nothing(desk: Desk) -> None:
    for how in ("close", "both", "nothing"):
        with desk.connect() as connection:
            if how != "nothing":
                connection.sendall(b"x" * (1 << 20))
            if how == "both":
                connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: desk.files() == [], "nothing is left")
    # And none of it is counted.
    assert desk.files() == []
    assert not desk.send(b"y" * (MOST_BYTES - 1)).startswith("!")


def test_more_values_than_are_kept_are_refused(desk: Desk, tmp_path: Path) -> None:
    names = [desk.send(b"x") for _ in range(5)]
    assert desk.send(b"x") == "!5 values of this container wait already"
    assert sorted(names) == desk.files()
    desk.desk.take(names[0], str(tmp_path / "taken"))
    assert not desk.send(b"x").startswith("!")


def test_more_bytes_than_are_kept_are_refused(desk: Desk, tmp_path: Path) -> None:
    name = desk.send(b"x" * (MOST_BYTES - 10))
    told = f"!values of this container that nobody has taken have over {MOST_BYTES} bytes"
    assert desk.send(b"y" * 11) == told
    assert desk.send(b"y" * (3 << 20)) == told
    assert desk.files() == [name]
    desk.desk.take(name, str(tmp_path / "taken"))
    assert not desk.send(b"y" * (3 << 20)).startswith("!")


def test_the_disk_is_not_filled(desk: Desk, receiver: ValueReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    found = os.statvfs("/")
    values = list(found)
    # f_bavail
    values[4] = 10
    monkeypatch.setattr(os, "fstatvfs", lambda file: os.statvfs_result(values))
    assert desk.send(b"y" * (3 << 20)) == "?the disk of the service is full"
    wait_until(lambda: desk.files() == [], "what had begun is removed")


def test_a_write_that_fails_may_be_tried_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("wherry_service.node.value_receiver.os.write", full)
        assert desk.send(b"y") == "?it could not be written: No space left on device"
    wait_until(lambda: desk.files() == [], "what had begun is removed")
    assert desk.send(b"y") in desk.files()


def test_another_life_finds_values_that_are_whole_and_drops_the_others(receiver: ValueReceiver, tmp_path: Path) -> None:
    desk = Desk(receiver, tmp_path)
    name = desk.send(b"whole")
    begun = desk.connect()
    begun.sendall(b"half")
    wait_until(lambda: len(desk.files()) == 2, "the second has begun")
    desk.desk.close()
    begun.close()
    # As a service that was killed leaves it.
    (tmp_path / "values" / "cut.part").write_bytes(b"ha")

    desk = Desk(receiver, tmp_path)
    try:
        wait_until(lambda: desk.files() == [name], "only what is whole is left")
        assert not desk.send(b"next").startswith("!")
        assert desk.desk.take(name, str(tmp_path / "taken")) == 5
    finally:
        desk.desk.close()


def test_a_file_that_is_not_the_receivers_is_not_followed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    # It has begun, and looked through what was there.
    desk.send(b"x")
    monkeypatch.setattr(os, "urandom", lambda size: b"\0" * size)
    for place in (secret, tmp_path / "missing"):
        (desk.directory / f"{'00' * 12}.part").symlink_to(place)
        assert desk.send(b"x").startswith("?it could not be written")
        (desk.directory / f"{'00' * 12}.part").unlink(missing_ok=True)
    assert secret.read_text() == "of the host"
    assert not (tmp_path / "missing").exists()
