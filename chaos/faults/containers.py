"""Containers are killed: one, or all at once. And the program within one is killed or stopped."""

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import docker

from chaos.faults.fault import Hit, Scene, Step
from chaos.processes import Process


@contextlib.contextmanager
def _engine(scene: Scene) -> Iterator[docker.APIClient]:
    client = scene.stage.engine_client()
    try:
        yield client
    finally:
        client.close()


def kill(scene: Scene, step: Step) -> Hit | None:
    """`docker kill` of one."""
    row = step.pick(scene.stage.containers())
    if row is None:
        return None
    with _engine(scene) as engine:
        return Hit(_name(row)) if _killed(engine, row) else None


def kill_all(scene: Scene, step: Step) -> Hit | None:
    """`docker kill` of all that there are."""
    with _engine(scene) as engine:
        killed = [_name(row) for row in scene.stage.containers() if _killed(engine, row)]
    return Hit(" ".join(killed)) if killed else None


def kill_runner(scene: Scene, step: Step) -> Hit | None:
    """SIGKILL for the runner within one."""
    row, runner = _runner(scene, step)
    if row is None or runner is None or not runner.send(signal.SIGKILL):
        return None
    return Hit(_name(row))


def stop_runner(scene: Scene, step: Step) -> Hit | None:
    """SIGSTOP for the runner within one, for some seconds."""
    row, runner = _runner(scene, step)
    if row is None or runner is None or not runner.send(signal.SIGSTOP):
        return None
    return Hit(_name(row), lambda: runner.send(signal.SIGCONT))


def _killed(engine: docker.APIClient, row: dict[str, Any]) -> bool:
    with contextlib.suppress(docker.errors.APIError):
        engine.kill(row["Id"])
        return True
    return False


def _runner(scene: Scene, step: Step) -> tuple[dict[str, Any] | None, Process | None]:
    found = [row for row in scene.stage.containers() if row["Labels"].get("wherry.kind") == "container"]
    row = step.pick(found)
    if row is not None:
        with _engine(scene) as engine, contextlib.suppress(docker.errors.APIError, ProcessLookupError):
            shown = engine.top(row["Id"], "-eo pid,args")
            for pid, line in shown["Processes"]:
                if "wherry_runner" in line and "docker-init" not in line:
                    return row, Process(int(pid))
    return row, None


def _name(row: dict[str, Any]) -> str:
    return str(row["Labels"].get("wherry.container", row["Id"][:12]))
