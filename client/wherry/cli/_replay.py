"""`wherry call retry` and `wherry call debug`: failed inputs run again, and opened."""

from typing import Any

import typer

from wherry._base.words import counted
from wherry._calling.replaying import VERSIONS, arguments, kept, run_again, version_of
from wherry._connection.client import Client, default_client
from wherry._publish.debugging import bring, container_for, opening
from wherry._publish.shell import end, shell_command
from wherry._screen.terminal import is_terminal
from wherry.cli._common import (
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    YES_OPTION,
    confirm,
    say,
    show_json,
    tell,
    use_environment,
)
from wherry.cli._exec import execute
from wherry.cli._records import call_id_of, named, span_of
from wherry.cli._usage import UsageError
from wherry.exception import NotFoundError
from wherry.output import screen_for_stdout
from wherry_proto.messages import KeptInput, ReplayedInput, ReplayListRequest

# Of more it is asked whether they are to run.
MANY = 10

_CALLS = typer.Argument(None, help="Ids (in-… or fc-…) of what failed.")
_CALL = typer.Argument(help="Id (in-… or fc-…) of what failed.")
_VERSION = typer.Option("newest", "--version", metavar="|".join(VERSIONS), help="On the newest version, or that one.")
_THAT_VERSION = typer.Option("failed", "--version", metavar="|".join(VERSIONS), help="As it was, or is now.")


def retry(
    calls: list[str] = _CALLS,
    app: str = typer.Option("", "--app", metavar="APP", help="What failed of this app: its name or id."),
    function: str = typer.Option("", "--function", metavar="FUNCTION", help="Of this function: APP/NAME, name or id."),
    since: str | None = typer.Option(None, "--since", help="Failed from then on: 10m, 2h (ago), 19:30, 2026-01-31."),
    until: str | None = typer.Option(None, "--until", help="Failed before then."),
    error: str = typer.Option("", "--error", metavar="TEXT", help="With this text in the error, in whatever case."),
    again: bool = typer.Option(False, "--again", help="Also what was run again already."),
    version: str = _VERSION,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what would run."),
    yes: bool = YES_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Run failed inputs of spawned and scheduled calls again, each as a new call.

    By their ids, or all that the options choose. Exits with 1 if some do not run.
    """
    use_environment(environment)
    client = default_client()
    number = version_of(version)
    chosen = any((app, function, since, until, error))
    if bool(calls) == chosen:
        raise UsageError("say which failed inputs: their ids, or --app, --function, --since, --until, --error")
    missing: list[ReplayedInput] = []
    if calls:
        found, missing = _of_ids(client, calls, environment)
    else:
        since_ms, until_ms = span_of(since, until, "nothing failed")
        own_app, name = named(app, function, environment)
        request = ReplayListRequest(
            app=own_app,
            function=name,
            since_ms=since_ms,
            until_ms=until_ms,
            search=error,
            only_left=not again,
        )
        # The oldest first, as they were called.
        found = list(kept(client, request))[::-1]
    if dry_run:
        _show_chosen(found, missing, as_json)
        if missing:
            raise typer.Exit(1)
        return
    if len(found) > MANY:
        confirm(f"Run {len(found)} failed inputs again, on the {_words(version)}?", yes)
    replayed = [*missing, *run_again(client, [one.input_id for one in found], number)]
    names = {one.input_id: _name(one) for one in found}
    if as_json:
        show_json([_described(one, names) for one in replayed])
    else:
        _show_replayed(replayed, names)
    if any(one.problem for one in replayed):
        raise typer.Exit(1)


def debug(
    call: str = _CALL,
    version: str = _THAT_VERSION,
    pdb: bool = typer.Option(False, "--pdb", help="Run it under pdb to where it raises."),
    stop: bool = typer.Option(False, "--breakpoint", help="Stop in pdb at its first line."),
    shell: bool = typer.Option(False, "--shell", help="A shell instead of a Python prompt."),
    python: bool = typer.Option(False, "--python", help="A Python prompt, as without any of these."),
    command: str | None = typer.Option(
        None, "-c", "--cmd", metavar="CODE", help="Run this Python, with args and kwargs."
    ),
    pty: bool | None = typer.Option(None, "--pty/--no-pty", help="With a terminal; by default if there is one here."),
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Open a failed input: a prompt in its function's image, with its arguments.

    The container is as the function's: image, source, secrets, volumes. It is removed when you leave it.
    """
    if sum((pdb, stop, shell, python, command is not None)) > 1:
        raise UsageError("--pdb, --breakpoint, --shell, --python and --cmd exclude each other: use one of them")
    use_environment(environment)
    client = default_client()
    one = _only(client, call, environment)
    answer = arguments(client, one.input_id, version_of(version), bare=False)
    client.listener.screen = screen = screen_for_stdout(quiet=False, verbose=False)
    try:
        container_id = container_for(client, answer)
    finally:
        screen.close()
    try:
        bring(client, container_id, answer)
        mode = "pdb" if pdb else "breakpoint" if stop else "code" if command is not None else "prompt"
        line = opening(mode, command or "")
        if shell:
            tell(f"The input is in $WHERRY_INPUT; this opens it: {' '.join(opening('prompt')[:-1])}")
            line = shell_command(with_terminal=bool(pty or is_terminal()), from_root=True)
        result = execute(client, container_id, line, pty=pty)
    except BaseException:
        end(client, container_id)
        raise
    raise typer.Exit(result)


def _of_ids(client: Client, calls: list[str], environment: str | None) -> tuple[list[KeptInput], list[ReplayedInput]]:
    """Return what is kept of inputs and calls, each once, and of which of them nothing is, with the reason.

    Raises NotFoundError where one alone is named of which nothing is kept.
    """
    # An input and its call may both be named.
    found: dict[str, KeptInput] = {}
    missing: list[ReplayedInput] = []
    for given in dict.fromkeys(calls):
        try:
            found.update((one.input_id, one) for one in _of_id(client, given, environment))
        except NotFoundError as error:
            if len(calls) == 1:
                raise
            missing.append(ReplayedInput(input_id=given, problem=str(error)))
    return list(found.values()), missing


def _of_id(client: Client, given: str, environment: str | None) -> list[KeptInput]:
    """Return what is kept of an input or a call; raise NotFoundError where nothing is."""
    given = call_id_of(given, environment, acts=True)
    call_id = f"fc-{given[3:]}" if given.startswith("in-") else given
    found = list(kept(client, ReplayListRequest(call_id=call_id)))
    if given.startswith("in-"):
        found = [one for one in found if one.input_id == given]
    if not found:
        raise NotFoundError(
            f"no failed input {given} is kept: it has not failed, was dropped, or was called by remote or map; "
            "wherry call list --failed shows what failed"
        )
    return found[::-1]


def _only(client: Client, given: str, environment: str | None) -> KeptInput:
    found = _of_id(client, given, environment)
    if len(found) > 1:
        ids = ", ".join(one.input_id for one in found[:5]) + (", …" if len(found) > 5 else "")
        raise UsageError(f"{len(found)} inputs of {given} have failed: name one of them, {ids}")
    return found[0]


def _name(one: KeptInput) -> str:
    function = f"{one.function_name}.{one.method}" if one.method else one.function_name
    return f"{one.app_name}/{function}"


def _words(version: str) -> str:
    return "newest version" if version == "newest" else "version that failed"


def _show_chosen(found: list[KeptInput], missing: list[ReplayedInput], as_json: bool) -> None:
    if as_json:
        chosen: list[dict[str, Any]] = [
            {"input_id": one.input_id, "call_id": one.call_id, "function": _name(one), "error": one.error}
            for one in found
        ]
        show_json(chosen + [{"input_id": one.input_id, "problem": one.problem} for one in missing])
        return
    for one in missing:
        tell(f"{one.input_id} would not run again: {one.problem}")
    for kept_one in found:
        say(f"{kept_one.input_id}  {_name(kept_one)}  {kept_one.error}")
    tell(f"{counted(len(found), 'failed input')} would run again.")


def _described(one: ReplayedInput, names: dict[str, str]) -> dict[str, Any]:
    return {
        "input_id": one.input_id,
        "function": names.get(one.input_id, ""),
        "new_input_id": one.new_input_id or None,
        "call_id": one.call_id or None,
        "problem": one.problem or None,
    }


def _show_replayed(replayed: list[ReplayedInput], names: dict[str, str]) -> None:
    for one in replayed:
        if one.problem:
            tell(f"{one.input_id} does not run again: {one.problem}")
        else:
            say(f"{one.input_id} of {names[one.input_id]} runs again: {one.call_id}")
    done = sum(not one.problem for one in replayed)
    if len(replayed) > 1 or not replayed:
        tell(f"{counted(done, 'failed input')} run{'s' if done == 1 else ''} again." if done else "Nothing runs again.")
