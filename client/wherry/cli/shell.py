"""`wherry shell`."""

import os
import shlex
from typing import TYPE_CHECKING, Any

import typer

from wherry._connection.client import Client, default_client
from wherry._define.places import placed
from wherry._publish.needs import Needs
from wherry._publish.shell import end, fresh, fresh_for_function, shell_command
from wherry._screen.terminal import is_terminal
from wherry.cli._common import ENVIRONMENT_OPTION, MODAL_OPTION, MODULE_OPTION, use_environment, use_modal
from wherry.cli._exec import execute
from wherry.cli._ids import whole
from wherry.cli._ref import check_module, find_definition
from wherry.cli._usage import UsageError
from wherry.image import Image
from wherry.output import screen_for_stdout
from wherry.secret import Secret
from wherry.volume import Volume
from wherry_proto.messages import SandboxSpec

if TYPE_CHECKING:
    from wherry._define.places import Placed

_REF = typer.Argument(
    None,
    help="A container's id (co-..., sb-...), an image's (im-...), file.py::function or file.py::Class. "
    "Nothing: a fresh container of --image.",
)
_VARIABLES = typer.Option([], "--variable", help="NAME=VALUE: a variable of the shell. May be repeated.")
_SECRETS = typer.Option([], "--secret", help="The name of a secret whose values are variables. May be repeated.")
_VOLUMES = typer.Option([], "--volume", help="NAME[:PATH]: a volume, at /mnt/NAME or PATH. May be repeated.")
_LOCAL = typer.Option([], "--add-local", help="LOCAL[:REMOTE]: a file or directory to have in it. May be repeated.")


def shell(
    ref: str | None = _REF,
    is_module: bool = MODULE_OPTION,
    modal: bool = MODAL_OPTION,
    command: str | None = typer.Option(None, "-c", "--cmd", help="What to run; by default bash, else sh."),
    pty: bool | None = typer.Option(None, "--pty/--no-pty", help="With a terminal; by default if there is one here."),
    image: str | None = typer.Option(None, "--image", help="A registry's image; by default a small Debian."),
    add_python: str | None = typer.Option(None, "--add-python", help="With --image: the Python to add, such as 3.13."),
    secrets: list[str] = _SECRETS,
    volumes: list[str] = _VOLUMES,
    add_local: list[str] = _LOCAL,
    variables: list[str] = _VARIABLES,
    cpu: float | None = typer.Option(None, "--cpu", help="Cores it may use."),
    memory: int | None = typer.Option(None, "--memory", help="MiB it may use."),
    gpu: str | None = typer.Option(None, "--gpu", help="The GPU it gets, such as any or a100:2."),
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Open a shell in a running container, or in a fresh one.

    A fresh container is removed when the last shell has left it.
    """
    if environment is not None and "=" in environment:
        raise UsageError(f"--env takes the name of an environment: a variable is given as --variable {environment}")
    if is_module and ref is not None:
        check_module(ref)
    use_modal(modal)
    use_environment(environment)
    client = default_client()
    given = {
        "--image": image, "--add-python": add_python, "--secret": secrets, "--volume": volumes,
        "--add-local": add_local, "--cpu": cpu, "--memory": memory, "--gpu": gpu,
    }  # fmt: skip
    excluded = [name for name, value in given.items() if value]
    # A sandbox's own shells are where its other commands are.
    is_sandbox = ref is not None and ref.startswith("sb-")
    by_default = shell_command(with_terminal=bool(pty or is_terminal()), from_root=not is_sandbox)
    line = _words(command) if command is not None else by_default
    if not line:
        raise UsageError("--cmd is empty: say what to run")
    if command is None and pty is False:
        raise UsageError("--no-pty needs --cmd: say what to run")
    values = dict(_variable(item) for item in variables)
    if ref is not None and ref[:3] in ("co-", "sb-"):
        _refuse(excluded, f"{ref} is a container that runs already")
        ref = whole(ref, environment, prefix=ref[:2])
        raise typer.Exit(execute(client, ref, line, pty=pty, env=values))
    client.listener.screen = screen = screen_for_stdout(quiet=False, verbose=False)
    try:
        container_id = _make(client, ref, given, excluded)
    finally:
        screen.close()
    try:
        code = execute(client, container_id, line, pty=pty, env=values)
    except BaseException:
        end(client, container_id)
        raise
    raise typer.Exit(code)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--cmd {command!r} is no command line of a shell: {str(error).lower()}") from None


def _make(client: Client, ref: str | None, given: dict[str, Any], excluded: list[str]) -> str:
    if ref is not None and not ref.startswith("im-"):
        _refuse(excluded, f"{ref} says what its container is like")
        return _for_target(client, ref)
    if ref is not None and (given["--image"] or given["--add-python"]):
        raise UsageError(f"{ref} is an image already: leave out --image and --add-python")
    if given["--add-python"] and not given["--image"]:
        raise UsageError("--add-python belongs to --image: the small Debian has a Python")
    if ref is not None:
        image = Image.from_id(whole(ref, prefix="im"))
    elif given["--image"]:
        image = Image.from_registry(given["--image"], add_python=given["--add-python"])
    else:
        image = Image.debian_slim()
    for item in given["--add-local"]:
        image = _adding(image, item)
    secrets = [Secret.from_name(name) for name in given["--secret"]]
    spec = SandboxSpec()
    _limit(spec, given)
    needs = Needs(image, secrets=secrets, volumes=_placed(given["--volume"]))
    return fresh(client, needs, spec, with_sdk=False)


def _for_target(client: Client, ref: str) -> str:
    plan, definition = find_definition(ref)
    return fresh_for_function(client, plan, definition)


def _limit(spec: SandboxSpec, given: dict[str, Any]) -> None:
    from wherry._define.options import FunctionOptions  # noqa: PLC0415 - start-up cost: checks ranges as for functions
    from wherry_proto.messages import FunctionSpec  # noqa: PLC0415 - start-up cost: as above

    filled = FunctionSpec()
    cpu, memory = given["--cpu"], given["--memory"]
    FunctionOptions(
        cpu=(cpu, cpu) if cpu else None, memory=(memory, memory) if memory else None, gpu=given["--gpu"]
    ).fill(filled)
    spec.resources, spec.gpus = filled.resources, filled.gpus


def _placed(items: list[str]) -> "Placed":
    pairs = [item.partition(":") for item in items]
    return placed("--volume", {path or f"/mnt/{name}": Volume.from_name(name) for name, _, path in pairs})


def _adding(image: Image, item: str) -> Image:
    local, _, remote = item.partition(":")
    target = remote or f"/mnt/{os.path.basename(os.path.abspath(local))}"
    if os.path.isdir(local):
        return image.add_local_dir(local, target)
    if not os.path.exists(local):
        raise UsageError(f"--add-local {item!r}: {local} does not exist")
    return image.add_local_file(local, target)


def _variable(item: str) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not name or not equals:
        raise UsageError(f"--variable {item!r}: write NAME=VALUE")
    return name, value


def _refuse(excluded: list[str], why: str) -> None:
    if excluded:
        raise UsageError(f"{why}: leave out {', '.join(excluded)}")
