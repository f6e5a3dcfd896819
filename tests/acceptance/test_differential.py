"""The same functions in plain Python and in containers: values, errors, tracebacks and output are the same.

The functions are in tests/cases/differential*.py. What must differ is in `DIFFERENT`, with its reason.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.acceptance.apps import differential as apps
from tests.acceptance.conftest import RunApp
from tests.acceptance.plain_run import FUNCTIONS, ROOT, described, kind_of, lines_of, shown
from tests.acceptance.service import OwnService
from wherry._connection.client import default_client
from wherry._screen.output import Silent
from wherry.exception import UnraisableError
from wherry_proto.messages import LogLine

Outcome = dict[str, Any]

STEERING = "raised as itself it would steer the caller's program: it is the exc of an UnraisableError"
CONTEXT = "each input has a copy of the context: what another one set is not there"
DIFFERENT: dict[str, tuple[Sequence[str], str]] = {
    "exits": (["error"], STEERING),
    "exits_with_code": (["error"], STEERING),
    "stops": (["error"], STEERING),
    "interrupted": (["error"], STEERING),
    "cancelled": (["error"], STEERING),
    "own_cancellation": (["error"], STEERING),
    "unpicklable": (["values", "error"], "a value has to travel"),
    "recursion": (["frames"], "of a thousand frames a hundred come along"),
    "context_is_fresh": (["values"], CONTEXT),
    "context_is_fresh_again": (["values"], CONTEXT),
    "prints_surrogates": (["values", "error", "frames", "stdout"], "what UTF-8 has no bytes for is shown as ?"),
}


class Screen(Silent):
    """Keeps what containers print."""

    def __init__(self) -> None:
        self.texts = {1: "", 2: ""}

    def log(self, lines: Sequence[LogLine]) -> None:
        for line in lines:
            self.texts[line.stream] += line.text + ("" if line.goes_on else "\n")


@pytest.fixture(scope="module")
def in_plain_python(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    file = tmp_path_factory.mktemp("plain") / "outcomes.json"
    command = [sys.executable, "-m", "tests.acceptance.plain_run", str(file)]
    environment = dict(os.environ, PYTHONIOENCODING="utf-8:strict")
    subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=True, timeout=60)
    found: dict[str, Outcome] = json.loads(file.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def in_containers(run_app: RunApp, service: OwnService) -> Iterator[dict[str, Outcome]]:
    screen, listener = Screen(), default_client().listener
    before, listener.screen = listener.screen, screen
    with run_app(apps.app):
        outcomes = {}
        for name in FUNCTIONS:
            screen.texts = {1: "", 2: ""}
            outcomes[name] = _outcome(name, screen)
        yield outcomes
    listener.screen = before


def _outcome(name: str, screen: Screen) -> Outcome:
    function: Any = getattr(apps, kind_of(name))
    values: list[str] = []
    error = None
    try:
        if "generator" in kind_of(name):
            values.extend(map(shown, function.remote_gen(name)))
        else:
            values.append(shown(function.remote(name)))
    except BaseException as raised:  # noqa: BLE001 - it is compared
        error = described(raised)
        if isinstance(raised, UnraisableError):
            assert error is not None
            error["frames"] = (described(raised.exc) or {})["frames"]
    return {"values": values, "error": error, "stdout": lines_of(screen.texts[1]), "stderr": lines_of(screen.texts[2])}


def _aspects(outcome: Outcome) -> dict[str, Any]:
    error = dict(outcome["error"] or {})
    frames = error.pop("frames", [])
    return {**outcome, "error": error, "frames": frames}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_is_the_same(name: str, in_plain_python: dict[str, Outcome], in_containers: dict[str, Outcome]) -> None:
    # Both as JSON has it.
    there = _aspects(json.loads(json.dumps(in_containers[name])))
    here = _aspects(in_plain_python[name])
    different, _ = DIFFERENT.get(name, ((), ""))
    for aspect in here:
        if aspect in different:
            assert there[aspect] != here[aspect], f"{aspect} is the same: it need not be in DIFFERENT"
        else:
            assert there[aspect] == here[aspect]


def test_there_are_many() -> None:
    assert len(FUNCTIONS) >= 60
    assert set(DIFFERENT) <= set(FUNCTIONS)
