"""A nightly job fails on 3 of 1,000 inputs: they are heard of, opened, and run again once the code is mended."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until

SOURCE = """
import wherry

app = wherry.App("nightly")
heard = wherry.Queue.from_name("heard-of-failures", create_if_missing=True)

@app.function()
def tell(failure):
    heard.put(failure)

@app.function(on_failure=tell)
def price(row, currency="EUR"):
    if row % 400 == 7 and not MENDED:
        raise ValueError(f"row {row} has no price")
    return f"{row} {currency}"

MENDED = False
"""


def command(*words: str, code: int = 0) -> str:
    """Run `wherry`; return what it printed."""
    line = [sys.executable, "-m", "wherry.cli.main", *words]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + ("" if "--json" in words else done.stderr)


@pytest.fixture(scope="module")
def file(service: OwnService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program of the job, deployed."""
    file = tmp_path_factory.mktemp("nightly") / "nightly.py"
    file.write_text(SOURCE)
    command("deploy", str(file))
    yield file
    command("app", "stop", "nightly", "-y")


def listed(*words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("call", "list", "--app", "nightly", *words, "--json"))
    return found


def test_a_nightly_job_that_fails_on_some_inputs_is_mended_and_they_run_again(service: OwnService, file: Path) -> None:
    price = wherry.Function.from_name("nightly", "price")
    price.spawn_map(range(1000), kwargs={"currency": "CHF"})

    # They are heard of, each once.
    queue = wherry.Queue.from_name("heard-of-failures", create_if_missing=True)
    told = sorted((queue.get(timeout=30) for _ in range(3)), key=lambda one: int(one["index"]))
    assert [one["message"] for one in told] == [f"row {row} has no price" for row in (7, 407, 807)]
    assert [(one["app"], one["function"], one["version"], one["kind"]) for one in told] == [
        ("nightly", "price", 1, "exception")
    ] * 3
    ids = [one["input_id"] for one in told]

    # The list shows the three, and that they are kept.
    wait_until(lambda: sorted(one["input_id"] for one in listed("--failed") if one["kept"]) == sorted(ids), "listed")

    # One is opened: in its image, with its arguments.
    said = command("call", "debug", ids[1], "-c", "print(args, kwargs); run()", code=1)
    assert said.startswith("(407,) {'currency': 'CHF'}\n")
    assert "ValueError: row 407 has no price" in said
    assert "debug.py" not in said

    # The code is mended and deployed, and the three run again.
    file.write_text(SOURCE.replace("MENDED = False", "MENDED = True"))
    command("deploy", str(file))
    again = json.loads(command("call", "retry", "--app", "nightly", "--error", "no price", "--json"))
    assert sorted(one["input_id"] for one in again) == sorted(ids)
    values = {one["input_id"]: wherry.FunctionCall.from_id(one["call_id"]).get(timeout=30) for one in again}
    assert [values[one] for one in ids] == ["7 CHF", "407 CHF", "807 CHF"]
    shown = {one["input_id"]: one for one in listed("--function", "price", "-n", "20")}
    for one in again:
        assert shown[one["new_input_id"]]["replay_of"] == one["input_id"]
        assert shown[one["new_input_id"]]["state"] == "succeeded"
    # What was run again is not chosen a second time.
    assert json.loads(command("call", "retry", "--app", "nightly", "--json")) == []


def test_what_failed_runs_again_as_it_was_and_outlives_the_service(service: OwnService, file: Path) -> None:
    file.write_text(SOURCE)
    command("deploy", str(file))
    price = wherry.Function.from_name("nightly", "price")
    call = price.spawn(7, currency="x" * (2 << 20))
    with pytest.raises(ValueError, match="row 7"):
        call.get(timeout=30)
    file.write_text(SOURCE.replace("MENDED = False", "MENDED = True"))
    command("deploy", str(file))
    service.stop()
    service.start()
    args, kwargs = call.arguments()
    assert (args, len(kwargs["currency"])) == ((7,), 2 << 20)
    (before,) = call.retry(version="failed")
    with pytest.raises(ValueError, match="row 7"):
        before.get(timeout=30)
    (newest,) = call.retry()
    assert newest.get(timeout=30).startswith("7 xxx")
    wait_until(lambda: wherry.Queue.from_name("heard-of-failures").len() == 2, "both failures were heard of")
