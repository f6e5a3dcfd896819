"""A followed subprocess: its lines, its code, and its end with the one who waits."""

import asyncio
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wherry_service.images.process import follow


def run(script: str, **options: bytes | dict[str, str]) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = asyncio.run(follow(["/bin/sh", "-c", script], lines.append, **options))  # type: ignore[arg-type]
    return code, lines


def has_ended(pid: str) -> bool:
    """Whether it is gone, or waits for an init that never collects it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_both_streams_are_heard_line_by_line() -> None:
    assert run("echo one; echo two >&2; printf '\\nlast\\377'; exit 3") == (3, ["one", "two", "", "last�"])


def test_it_gets_its_environment_and_its_input() -> None:
    assert run('echo "$A"; cat', env={"A": "1"}, stdin=b"given") == (0, ["1", "given"])
    assert run("cat") == (0, [])


def test_a_line_without_end_is_left_out() -> None:
    code, lines = run("head -c 3000000 /dev/zero; echo; echo after")
    assert code == 0
    assert lines[0] == "[a line of over 1 MiB was left out]"
    assert lines[-1] == "after"


def test_the_signal_that_ended_it_is_its_code() -> None:
    assert run("kill -9 $$") == (-9, [])


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["obedient", "stubborn"])
def test_when_cancelled_it_ends_with_its_children(trap: str) -> None:
    async def main() -> list[str]:
        pids: list[str] = []
        running = asyncio.Event()

        def hear(line: str) -> None:
            pids.extend(line.split())
            running.set()

        script = f"{trap}sleep 600 & echo $$ $!; while :; do wait; done"
        task = asyncio.ensure_future(follow(["/bin/sh", "-c", script], hear, grace_s=0.2))
        await asyncio.wait_for(running.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pids

    pids = asyncio.run(main())
    assert len(pids) == 2
    wait_until(lambda: all(has_ended(pid) for pid in pids), "the command and its child have ended", 10)


def test_a_listener_that_fails_ends_it() -> None:
    def hear(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="up"):
        asyncio.run(follow(["/bin/sh", "-c", "echo up; exec sleep 600"], hear))
