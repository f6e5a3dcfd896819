"""Calls at a steady rate while versions of their function are deployed, beside the same calls in peace."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import wherry
from benchmarks.timing import Sample, timed

RATE = 200
CALM_S = 10.0
VERSIONS = 10
SOURCE = """
import wherry

app = wherry.App("bench-deploy")


@app.function()
def f(data):
    return {version}
"""


def measure_deploy(rows: dict[str, Any], rounds: int) -> None:
    """Measure calls through ten deploys, and a deploy that changes nothing."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as folder:
        source = Path(folder) / "bench_deploy.py"
        _deploy(source, 0)
        function = wherry.Function.lookup("bench-deploy", "f")
        calm, _, errors = asyncio.run(_load(function, asyncio.to_thread(time.sleep, CALM_S)))
        if errors:
            raise SystemExit(f"a call failed though nothing was deployed: {errors[0]!r}")
        during, answers, errors = asyncio.run(_load(function, asyncio.to_thread(_deploys, source)))
        if set(answers) != set(range(VERSIONS + 1)):
            raise SystemExit(f"not every version answered, only {sorted(set(answers))}")
        rows["deploy_calls_calm"], rows["deploy_calls_during"] = Sample(tuple(calm)).row(), Sample(tuple(during)).row()
        rows["deploy_errors"] = len(errors)
        unchanged = [timed(lambda: _deploy(source, VERSIONS)) for _ in range(5 * rounds)]
        rows["deploy_no_change"] = Sample(tuple(unchanged)).row()
    subprocess.run([sys.executable, "-m", "wherry.cli.main", "app", "stop", "bench-deploy"], check=True)


async def _load(function: Any, meanwhile: Any) -> tuple[list[float], list[int], list[BaseException]]:
    """Call at the rate, whatever the calls before do, until `meanwhile` has ended; return times, values and errors."""
    times: list[float] = []
    answers: list[int] = []
    errors: list[BaseException] = []
    calls: set[asyncio.Task[None]] = set()
    ending = asyncio.ensure_future(meanwhile)

    async def call() -> None:
        began = time.perf_counter()
        try:
            answers.append(await function.remote.aio(b""))
        except Exception as error:  # noqa: BLE001 - each is counted
            errors.append(error)
        times.append(time.perf_counter() - began)

    began, count = time.perf_counter(), 0
    while not ending.done():
        task = asyncio.ensure_future(call())
        calls.add(task)
        task.add_done_callback(calls.discard)
        count += 1
        await asyncio.sleep(max(0.0, began + count / RATE - time.perf_counter()))
    await asyncio.gather(*calls)
    await ending
    return times, answers, errors


def _deploys(source: Path) -> None:
    for version in range(1, VERSIONS + 1):
        time.sleep(0.5)
        _deploy(source, version)
    time.sleep(0.5)


def _deploy(source: Path, version: int) -> None:
    source.write_text(SOURCE.format(version=version))
    command = [sys.executable, "-m", "wherry.cli.main", "deploy", str(source), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or json.loads(done.stdout)["version"] != version + 1:
        raise SystemExit(f"version {version + 1} could not be deployed:\n{done.stdout}{done.stderr}")
