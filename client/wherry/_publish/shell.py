"""Shells: into a container that runs, or into a fresh one of a function's or an image's making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._base import modal_name
from wherry._base.checks import DAY_S
from wherry._base.ids import new_id
from wherry._publish.bring_up import bring_up
from wherry._publish.needs import Needs, needs_of
from wherry._screen import terminal
from wherry._screen.output import waited
from wherry.exception import InvalidError
from wherry_proto.messages import (
    ExecStart,
    FunctionSpec,
    SandboxCreateRequest,
    SandboxInfo,
    SandboxSpec,
    SandboxTerminateRequest,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.plan import Plan

# Where the image names no directory of its own, as functions are.
_TO_ROOT = 'if [ "$(pwd)" = / ]; then cd /root 2>/dev/null; fi; '
# Seconds that a container made for a shell outlives its last one.
LINGER_S = 2.0
PYTHON_PATH = "/run/wherry/source:/wherry/sdk"
# What `import modal` finds where that means Wherry.
_MODAL_PATH = "/wherry/runner/wherry_runner/child_modal"


def fresh(client: Client, needs: Needs, spec: SandboxSpec, *, with_sdk: bool, environment: str = "") -> str:
    """Make a container that only waits, and goes soon after the last shell has left it; return its id."""
    environment = environment or client.environment
    bring_up(client, [needs], environment=environment, bare=not with_sdk).ready[0].fill(spec)
    spec.with_sdk = with_sdk
    spec.only_waits = True
    spec.timeout_s, spec.idle_timeout_s = DAY_S, LINGER_S
    request = SandboxCreateRequest(
        sandbox_id=new_id("sb"), environment=environment, tags={"made-for": "shell"}, spec=spec
    )
    with waited(client.listener.screen, "The container starts"):
        return client.call("Sandboxes.Create", request, SandboxInfo).sandbox_id


def fresh_for_function(client: Client, plan: Plan, definition: Definition) -> str:
    """Make a container as a function's: its image, files, variables, secrets and limits, its source importable."""
    options = definition.options
    module = definition.module
    needs = needs_of(plan, definition, [module] if module is not None else [])
    # A sandbox has one kind of volumes.
    needs.volumes, needs.shared = [*needs.volumes, *needs.shared], []
    filled = FunctionSpec()
    options.fill(filled)
    env = {"PYTHONPATH": PYTHON_PATH}
    if modal_name.is_taken():
        env = {"PYTHONPATH": f"{PYTHON_PATH}:{_MODAL_PATH}", modal_name.VARIABLE: "1"}
    spec = SandboxSpec(
        env={**env, **options.env},
        resources=filled.resources,
        gpus=filled.gpus,
        block_network=options.block_network,
    )
    return fresh(client, needs, spec, with_sdk=True, environment=plan.environment)


def shell_command(*, with_terminal: bool, from_root: bool) -> list[str]:
    """Return what starts bash where there is one, else sh.

    Without a terminal it runs what is piped in, and says nothing of its own. `from_root`: it begins in /root where
    the image names no directory of its own.
    """
    flag = " -i" if with_terminal else ""
    begin = _TO_ROOT if from_root else ""
    return ["/bin/sh", "-c", f"{begin}command -v bash >/dev/null && exec bash{flag} || exec sh{flag}"]


def enter(client: Client, start: ExecStart) -> int:
    """Run a command in a container with this terminal; return its exit code.

    Raises InvalidError without a terminal.
    """
    if not terminal.is_terminal():
        raise InvalidError("a shell needs a terminal: use --no-pty with --cmd in scripts")
    return terminal.run_in_terminal(client, start)


def open_shell(client: Client, plan: Plan, definition: Definition) -> int:
    """Open a shell in a fresh container as a function's; return its exit code."""
    container_id = fresh_for_function(client, plan, definition)
    try:
        args = shell_command(with_terminal=True, from_root=True)
        return enter(client, ExecStart(container_id=container_id, args=args))
    finally:
        end(client, container_id)


def end(client: Client, sandbox_id: str) -> None:
    """End a container that was made and not entered."""
    client.tell("Sandboxes.Terminate", SandboxTerminateRequest(sandbox_id=sandbox_id))
