"""Environment variables of a function: those as well that a process only reads as it starts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wherry
import wherry_proto
from tests.integration.runner.scripted_agent import RUNNER, ScriptedAgent

SOURCE = """
import os, sys
print("imported")
def f():
    print("to stdout")
    os.system("echo from a child")
    print("to stderr", file=sys.stderr)
    names = "PYTHONPATH", "PYTHONHASHSEED", "LC_CTYPE", "PLAIN", "MALLOC_ARENA_MAX"
    seen = {name: os.environ.get(name) for name in names}
    return seen, hash("a"), sys.path, sys.flags.optimize, sys.argv, os.getpid()
"""


def loaded(agent: ScriptedAgent, secrets: dict[str, str] | None = None, begins_again: bool = True, **env: str) -> Any:
    """Load f with these variables, and return what it returns."""
    (agent.directory / "source" / "job.py").write_text(SOURCE)
    pid = agent.begin()["pid"]
    parts = [b"", b"", json.dumps(secrets).encode()] if secrets else [b""]
    function = {"name": "f", "function_id": "fu-1", "app_id": "ap-1", "module": "job", "qualname": "f"}
    load = {"t": "load", "function": function, "concurrency": 1, "timeout_s": 60, "startup_timeout_s": 60, "env": env}
    agent.send(load, parts)
    if begins_again:
        agent.seen.clear()
        # The same process, on a new connection.
        assert agent.accept()["pid"] == pid
        agent.send(load, parts)
    agent.frame("ready")
    value = agent.value(agent.give(())[0])
    assert value[-1] == pid
    # Ours comes last (below).
    own, _, theirs = (value[0]["PYTHONPATH"] or "").rpartition(os.pathsep)
    assert theirs.endswith("wherry_runner/child")
    value[0]["PYTHONPATH"] = own or None
    lines = [text for stream in (1, 2) for _, text in agent.lines(stream)]
    assert sorted(lines) == ["from a child", "imported", "to stderr", "to stdout"]
    return value


@pytest.mark.parametrize("by", ["env", "secrets"])
def test_what_counts_as_python_starts(agent: ScriptedAgent, by: str, tmp_path: Path) -> None:
    variables = {"PYTHONPATH": str(tmp_path / "lib"), "PYTHONHASHSEED": "0", "PYTHONOPTIMIZE": "1", "PLAIN": "x"}
    seen, hashed, path, optimize, argv, _ = loaded(agent, **({"secrets": variables} if by == "secrets" else variables))  # type: ignore[arg-type]
    assert seen == {**dict.fromkeys(seen), "PYTHONPATH": str(tmp_path / "lib"), "PYTHONHASHSEED": "0", "PLAIN": "x"}
    assert path[:2] == [str(agent.directory / "source"), str(tmp_path / "lib")]
    assert path[-1] == str(agent.directory / "sdk")
    assert optimize == 1
    assert argv == [str(agent.directory / "source" / "job.py")]
    own = subprocess.run(
        [agent.python, "-c", "print(hash('a'))"],
        env={"PYTHONHASHSEED": "0"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert hashed == int(own.stdout)


def test_other_secrets_are_not_in_what_the_process_starts_with(agent: ScriptedAgent) -> None:
    seen, *_, pid = loaded(agent, secrets={"PYTHONHASHSEED": "1", "PLAIN": "hidden"})
    assert seen["PLAIN"] == "hidden"
    started_with = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PYTHONHASHSEED=1" in started_with
    assert b"hidden" not in started_with


def test_a_step_of_an_image_has_them_too(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "job.py").write_text("import os\ndef f(): print(hash('a'), os.environ['PLAIN'])")
    load = {"function": {"module": "job", "qualname": "f", "name": "f"}, "env": {"PYTHONHASHSEED": "0"}}
    (tmp_path / "step.json").write_text(json.dumps(load))
    (tmp_path / "secrets.json").write_text(json.dumps({"PLAIN": "secret", "PYTHONHASHSEED": "1"}))
    command = [sys.executable, str(RUNNER.with_name("build_step.py")), str(tmp_path)]
    hashed = subprocess.check_output([sys.executable, "-c", "print(hash('a'))"], env={"PYTHONHASHSEED": "0"}, text=True)
    assert subprocess.check_output(command, text=True) == f"{hashed.strip()} secret\n"


def test_what_env_says_wins_over_secrets(agent: ScriptedAgent) -> None:
    seen, *_ = loaded(agent, secrets={"MALLOC_ARENA_MAX": "1", "PLAIN": "secret"}, MALLOC_ARENA_MAX="2", PLAIN="env")
    assert (seen["MALLOC_ARENA_MAX"], seen["PLAIN"]) == ("2", "env")


def test_what_python_itself_changes_begins_again_once(agent: ScriptedAgent) -> None:
    # In the C locale Python sets LC_CTYPE to another value as it starts.
    assert loaded(agent, LC_CTYPE="C", PLAIN="x")[0]["PLAIN"] == "x"


@pytest.mark.parametrize("env", [{"PLAIN": "x"}, {"PYTHONUNBUFFERED": "1"}, {}])
def test_other_variables_cost_no_second_start(agent: ScriptedAgent, env: dict[str, str]) -> None:
    assert loaded(agent, begins_again=False, **env)[0]["PLAIN"] == env.get("PLAIN")


def test_python_processes_that_it_starts_find_the_sdk(agent: ScriptedAgent) -> None:
    for module in (wherry, wherry_proto):
        folder = Path(str(module.__file__)).parent
        os.symlink(folder, agent.directory / "sdk" / folder.name)
    # As in a container, whose / has a directory of that name.
    (agent.directory / "wherry").mkdir()
    agent.load(
        """
        import multiprocessing, subprocess, sys
        CODE = "import sys, wherry; print(wherry.is_local(), wherry.context.container_directory(), sys.path[-1])"
        def spawned():
            import wherry
            from wherry.context import container_directory
            return wherry.is_local(), container_directory()
        def f():
            told = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return told.stdout.split() or told.stderr, pool.apply(spawned)
        """
    )
    place = str(agent.directory)
    assert agent.value(agent.give(())[0]) == (["False", place, f"{place}/sdk"], (False, place))


def test_a_variable_that_keeps_python_from_starting_is_told(agent: ScriptedAgent) -> None:
    agent.begin()
    agent.send_load("f", env={"PYTHONHOME": "/nowhere"})
    assert agent.exit_code() == 1
    assert "PYTHONHOME = '/nowhere'" in agent.own_log
