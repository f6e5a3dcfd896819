"""The limit of open files: used to the full, and told of before it is reached."""

import logging
import resource
import subprocess
import sys

import pytest

from wherry_service.open_files import TELL_EVERY_S, OpenFiles, count_open, raise_limit


def test_the_soft_limit_becomes_the_hard_one() -> None:
    program = (
        "import resource; from wherry_service.open_files import raise_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (256, 512))\n"
        "print(raise_limit(), raise_limit(), resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "512 512 (512, 512)\n"


def test_where_the_system_grants_less_than_it_says_the_limit_stays(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_what: int, _limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _what: (256, 1 << 40))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 256
    assert "at most 256 files can be open" in caplog.text


def test_it_is_said_once_a_minute_while_almost_all_are_open(caplog: pytest.LogCaptureFixture) -> None:
    count = [899]
    files = OpenFiles(1000, lambda: count[0])
    with caplog.at_level(logging.WARNING):
        files.look(0.0)
        assert not caplog.records
        count[0] = 950
        for now in (5.0, 10.0, TELL_EVERY_S):
            files.look(now)
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            "950 of 1000 files and connections are open"
        ]
        files.look(5.0 + TELL_EVERY_S)
        assert len(caplog.records) == 2
        # Fallen and risen again, it is said at once.
        count[0] = 10
        files.look(70.0)
        count[0] = 1000
        files.look(75.0)
        assert len(caplog.records) == 3


def test_open_files_are_counted() -> None:
    before = count_open()
    with open("/dev/null", "rb"):
        assert count_open() == before + 1
    assert count_open() == before
