"""Requests to a FastAPI app through the ingress, beside the same app on uvicorn on this machine."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import connect

from benchmarks import floors
from benchmarks.timing import Sample, in_turn, timed
from benchmarks.web_client import Connection, requests_per_second
from benchmarks.wherry_side import image_reference

HELLO = b'{"hello":"world"}'
CHUNKS_END = b"\r\n0\r\n\r\n"
CONCURRENCY = 32
READY_DEADLINE_S = 30.0
IMPORT_APP = "import sys; sys.path.insert(0, '/srv'); import benchmarks.web_app"


def measure_web(rows: dict[str, Any], rounds: int) -> None:
    """Measure requests, rates, events, echoes and first requests of one running app."""
    from benchmarks import web_functions  # noqa: PLC0415 - it reads the settings that the bench makes

    with _uvicorn() as direct, web_functions.app.run():
        ours = str(web_functions.site.web_url)
        _requests(rows, ours, direct, rounds)
        _echoes(rows, ours, direct, rounds)
        _first_requests(rows, web_functions, rounds)


@contextmanager
def _uvicorn() -> Iterator[str]:
    """Run the app on uvicorn; give its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "benchmarks.web_app:api", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "warning", "--no-access-log"])
    try:
        began = time.perf_counter()
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - began > READY_DEADLINE_S:
                    raise RuntimeError("uvicorn did not start") from None
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _requests(rows: dict[str, Any], ours: str, direct: str, rounds: int) -> None:
    connections = [Connection(url) for url in (ours, direct)]
    for path, end, name, block in (("/", HELLO, "request", 100), ("/events", CHUNKS_END, "events_1000", 3)):
        works = [lambda c=c, path=path, end=end: c.get(path, end) for c in connections]
        found = in_turn(works, rounds=10 * rounds, block=block)
        rows[f"web_{name}"], rows[f"uvicorn_{name}"] = (sample.row() for sample in found)
    for connection in connections:
        connection.close()
    rates: tuple[list[float], list[float]] = ([], [])
    # The first round warms up.
    for round_ in range(1 + 2 * rounds):
        for url, kept in zip((ours, direct), rates, strict=True):
            rate = requests_per_second(url, CONCURRENCY, 3_000, HELLO)
            if round_:
                kept.append(1 / rate)
    rows["web_request_of_32"], rows["uvicorn_request_of_32"] = (Sample(tuple(kept)).row() for kept in rates)


def _echoes(rows: dict[str, Any], ours: str, direct: str, rounds: int) -> None:
    with _socket(ours) as one, _socket(direct) as other:
        works = [lambda s=s: (s.send("x" * 64), s.recv(timeout=10)) for s in (one, other)]
        found = in_turn(works, rounds=10 * rounds, block=100)
    rows["web_socket_echo"], rows["uvicorn_socket_echo"] = (sample.row() for sample in found)


def _socket(url: str) -> Any:
    parts = urlsplit(url)
    sock = socket.create_connection(("127.0.0.1", parts.port or 80))
    return connect(f"ws://{parts.netloc}/echo", sock=sock, proxy=None)


def _first_requests(rows: dict[str, Any], functions: Any, rounds: int) -> None:
    """Measure the first request to an app, beside bare containers that import the same app."""
    image = image_reference(functions.site.object_id)
    engine = floors.BareEngine(image, IMPORT_APP, {str(Path(__file__).parent): "/srv/benchmarks:ro"})
    first, bare = [], []
    for cold in functions.cold[: 4 * rounds]:
        connection = Connection(cold.web_url)
        first.append(timed(lambda connection=connection: connection.get("/", HELLO)))
        connection.close()
        bare.append(timed(engine.start_and_answer))
        engine.remove_last()
    rows["web_cold_first_request"], rows["engine_start_and_import"] = (
        Sample(tuple(first)).row(),
        Sample(tuple(bare)).row(),
    )
