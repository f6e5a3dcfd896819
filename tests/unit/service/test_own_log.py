"""The service's own log: its lines, its files, and `wherry server logs`, which reads them."""

import asyncio
import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wherry.cli._own_log import OwnLog
from wherry_service.own_log import OLD_FILES, JsonLines, LogFile

# A process whose output is the log, as whoever starts the service opens it.
PROGRAM = """
import os, sys
from pathlib import Path
from wherry_service.own_log import LogFile, begin
begin("info", sys.argv[2])
import logging
file = LogFile(Path(sys.argv[1]), 200)
for number in range(int(sys.argv[3])):
    logging.getLogger("wherry").info("line %d %s", number, "x" * 100)
    file.look()
print("a print", flush=True)
os.write(2, b"a crash\\n")
os.system("echo a child")
"""


def run(path: Path, how: str = "text", lines: int = 10) -> None:
    with path.open("ab") as log:
        subprocess.run([sys.executable, "-c", PROGRAM, str(path), how, str(lines)], stdout=log, stderr=log, check=True)


def test_a_large_file_is_continued_in_a_new_one_and_few_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    run(path, lines=30)
    files = sorted(one.name for one in tmp_path.iterdir())
    assert files == ["server.log", *(f"server.log.{number}" for number in range(1, OLD_FILES + 1))]
    assert all(one.stat().st_size < 600 for one in tmp_path.iterdir())
    # What is no line of the log goes on in the same file, also what a child prints.
    assert path.read_text().splitlines()[-3:] == ["a print", "a crash", "a child"]
    # Nothing is lost in between: the numbers go on from file to file.
    text = "".join((tmp_path / name).read_text() for name in [*reversed(files[1:]), files[0]])
    numbers = [int(line.split("line ")[1].split()[0]) for line in text.splitlines() if "line " in line]
    assert numbers == list(range(30 - len(numbers), 30))
    assert len(numbers) >= 2 * OLD_FILES


def test_a_file_that_is_not_this_process_s_output_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "server.log"
    path.write_text("x" * 1000)
    assert not LogFile(path, 10).look()
    assert not LogFile(tmp_path / "none", 10).look()
    assert not caplog.records, "whoever has the output elsewhere is not told so every few seconds"
    assert [one.name for one in tmp_path.iterdir()] == ["server.log"]


def test_without_a_limit_it_is_not_looked_at(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(LogFile(tmp_path / "server.log", 0).watch(), 5))


def test_a_file_keeps_its_mode_and_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_text("x" * 1000)
    path.chmod(0o600)
    own = os.open(path, os.O_APPEND | os.O_WRONLY)
    try:
        assert LogFile(path, 10, (own,)).look()
        assert path.stat().st_mode & 0o777 == 0o600
        os.write(own, b"new" * 10)
        assert path.read_text() == "new" * 10
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert not LogFile(path, 10, (own,)).look()
    finally:
        os.close(own)


@pytest.mark.parametrize("broken", ["open", "replace"])
def test_where_no_new_file_can_be_made_the_log_stays_and_the_next_look_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "server.log"
    path.write_text("x" * 1000)
    own = os.open(path, os.O_APPEND | os.O_WRONLY)
    real_replace = os.replace

    def no_open(*args: Any) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    def no_replace(old: Path, new: Path) -> None:
        if old.suffix == ".new":
            raise OSError(errno.ENOSPC, "No space left on device")
        real_replace(old, new)

    try:
        with monkeypatch.context() as within:
            if broken == "open":
                within.setattr("wherry_service.own_log.os.open", no_open)
            else:
                within.setattr("wherry_service.own_log.os.replace", no_replace)
            assert not LogFile(path, 10, (own,)).look()
        os.write(own, b"more")
        assert path.read_text() == "x" * 1000 + "more"
        assert not path.with_name("server.log.1").exists()
        assert LogFile(path, 10, (own,)).look()
        os.write(own, b"new")
        assert path.read_text() == "new"
        assert sorted(one.name for one in tmp_path.iterdir()) == ["server.log", "server.log.1"]
    finally:
        os.close(own)


def test_as_json_each_line_is_an_object(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    run(path, "json", 1)
    described = json.loads(path.read_text().splitlines()[0])
    assert described.pop("at").endswith("+00:00")
    assert described == {"level": "info", "logger": "wherry", "text": f"line 0 {'x' * 100}"}
    try:
        raise ValueError("two\nlines")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f.py", 1, "it %s", ("failed\n",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    assert json.loads(line)["text"] == "it failed\n"
    assert json.loads(line)["traceback"].endswith("ValueError: two\nlines\n")


# Reading


@pytest.fixture
def files(tmp_path: Path) -> Path:
    path = tmp_path / "server.log"
    for number, name in enumerate(("server.log.2", "server.log.1", "server.log")):
        (tmp_path / name).write_text("".join(f"{number}{line}\n" for line in "abc"))
    return path


@pytest.mark.parametrize(
    ("count", "found"),
    [
        (0, ""),
        (2, "2b 2c"),
        (3, "2a 2b 2c"),
        (5, "1b 1c 2a 2b 2c"),
        (8, "0b 0c 1a 1b 1c 2a 2b 2c"),
        (99, "0a 0b 0c 1a 1b 1c 2a 2b 2c"),
    ],
)
def test_the_last_lines_are_those_of_all_files(files: Path, count: int, found: str) -> None:
    with OwnLog(files) as log:
        assert [line.strip() for line in log.tail(count)] == found.split()


def test_following_goes_on_in_the_new_file(files: Path) -> None:
    with OwnLog(files) as log:
        log.tail(0)
        assert log.next_line() == ""
        with files.open("a") as old:
            old.write("in time\n")
            old.flush()
            assert log.next_line() == "in time\n"
            files.rename(files.with_name("server.log.1"))
            old.write("at last\n")
        # Between the two there is none.
        assert log.next_line() == "at last\n"
        assert log.next_line() == ""
        files.write_text("in the new one\n")
        assert log.next_line() == "in the new one\n"
        assert log.next_line() == ""


def test_the_command_follows_across_files(files: Path) -> None:
    command = [sys.executable, "-m", "wherry.cli.main", "server", "logs", "-f", "-n", "1"]
    environ = {**os.environ, "WHERRY_STATE_DIR": str(files.parent), "PYTHONUNBUFFERED": "1"}
    environ.pop("WHERRY_SERVER_URL", None)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    with process.stdout as read:
        try:
            assert read.readline() == "2c\n"
            files.rename(files.with_name("server.log.1"))
            files.write_text("later\n")
            assert read.readline() == "later\n"
        finally:
            process.kill()
            process.wait()
