"""What records of calls cost: two services at once, one that keeps records and one that does not, asked in turn."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.timing import Sample, timed
from benchmarks.wherry_side import own_state_dir

DATA = b"x" * 64
CALLS = 100
MANY = 10_000


class Side:
    """A program with a service of its own, which times what it is told to."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._read()

    def time(self, what: str) -> float:
        """Return the seconds of one call, or of a map."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a side of the benchmark of records has ended")
        return line


@contextmanager
def side(keep: str) -> Iterator[Side]:
    """Start a side whose service keeps so many records of each function."""
    environ = {**os.environ, "WHERRY_RECORDS_KEEP": keep}
    command = [sys.executable, "-m", "benchmarks.records"]
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Side(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def measure_records(rows: dict[str, Any], rounds: int) -> None:
    """Measure a warm call and a map, with records and without."""
    with ExitStack() as ends:
        sides = {name: ends.enter_context(side(keep)) for name, keep in (("on", "10000"), ("off", "0"))}
        for what, count in (("remote", 20 * rounds), ("map", 6 * rounds)):
            times: dict[str, list[float]] = {name: [] for name in sides}
            for number in range(count):
                for name in sides if number % 2 else reversed(sides):
                    times[name].append(sides[name].time(what))
            for name, found in times.items():
                rows[f"records_{name}_{what}"] = Sample(tuple(found)).row()


def main() -> None:
    """Be a side: time what the lines of standard input say."""
    with own_state_dir():
        from benchmarks import functions  # noqa: PLC0415 - it reads the settings that the bench makes

        noop, wide = functions.noop, functions.noop_wide

        def calls() -> None:
            for _ in range(CALLS):
                noop.remote(DATA)

        def many() -> None:
            list(wide.map([DATA] * MANY))

        with functions.app.run():
            calls()
            many()
            print("ready", flush=True)
            for line in sys.stdin:
                seconds = timed(calls) / CALLS if line.strip() == "remote" else timed(many)
                print(seconds, flush=True)


if __name__ == "__main__":
    main()
