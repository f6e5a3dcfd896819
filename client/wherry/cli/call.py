"""`wherry call`: what became of calls, one by one."""

import time
from collections import Counter

import typer

from wherry._base.words import counted
from wherry._calling.records import FAILED, MANY
from wherry._connection.client import default_client
from wherry.call_graph import InputInfo, InputStatus, roots_of
from wherry.cli._call_graph import described_graph, tree_lines
from wherry.cli._call_shown import described_call, show_call, show_input
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, NEVER_ASKS_OPTION, say, show_json, tell
from wherry.cli._listing import Listing
from wherry.cli._records import (
    CALLS,
    call_id_of,
    first_of,
    known_of,
    list_records,
    num_open,
    numbers,
    own_call,
    request_of,
    split_method,
    states_of,
)
from wherry.cli._replay import debug, retry
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry_proto import views
from wherry_proto.messages import (
    CallGraph,
    CallGraphRequest,
    CallKind,
    Record,
    RecordShowResponse,
    RecordState,
)

group = typer.Typer(help="Look at calls: what waits, runs, failed, and why.", no_args_is_help=True)

_STATES = ", ".join(views.RECORD_STATES.values())
_KINDS = ", ".join(views.CALL_KINDS.values())
_CALL = typer.Argument(help="Id (in-… or fc-…), or its beginning.")
_CALLS = typer.Argument(help="Ids (fc-… or in-…).")
# Until a cancelled call is one that goes on.
CANCELLED_WITHIN_S = 10.0
LOOKS_AGAIN_S = 0.1
_STATUSES = {
    RecordState.QUEUED: InputStatus.PENDING,
    RecordState.RUNNING: InputStatus.RUNNING,
    RecordState.RETRYING: InputStatus.PENDING,
    RecordState.SUCCEEDED: InputStatus.SUCCESS,
    RecordState.TIMEOUT: InputStatus.TIMEOUT,
    RecordState.CANCELLED: InputStatus.TERMINATED,
}


@group.command("list")
@CALLS.command(limit=False)
def list_calls(
    app: str = typer.Option("", "--app", metavar="APP", help="Of this app: its name or id."),
    function: str = typer.Option("", "--function", metavar="FUNCTION", help="Of this: APP/FUNCTION, a name or an id."),
    states: list[str] = typer.Option(
        None, "--state", metavar="STATE", help=f"That are {', '.join(views.RECORD_STATES.values())}."
    ),
    failed: bool = typer.Option(False, "--failed", help="That failed, timed out, were lost or rejected."),
    error: str = typer.Option("", "--error", metavar="TEXT", help="With this text in the error, in whatever case."),
    since: str | None = typer.Option(None, "--since", help="Queued from then on: 10m, 2h (ago), 19:30, 2026-01-31."),
    until: str | None = typer.Option(None, "--until", help="Queued before then."),
    kinds: list[str] = typer.Option(
        None, "--kind", metavar="KIND", help=f"Made by {', '.join(views.CALL_KINDS.values())}."
    ),
    call: str = typer.Option("", "--call", metavar="CALL", help="Inputs of one call: fc-…."),
    container: str = typer.Option("", "--container", help="That a container ran: co-…."),
    limit: int = typer.Option(50, "-n", "--limit", metavar="N", help="Show at most N; 0: all.", min=0),
    after: str = typer.Option("", "--after", metavar="KEY", help="Go on where a list ended: it says the key."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[Record],
) -> None:
    """List calls, the latest first: one line for each input.

    A call of map has many inputs, all others have one. --state and --kind may be given several times.
    """
    if states and failed:
        raise UsageError("--failed means some states, and --state names others: use one of them")
    function, method = split_method(app, function, environment)
    request = request_of(
        environment,
        app=app,
        function=function,
        states=sorted(FAILED) if failed else numbers("--state", states, views.RECORD_STATES),
        kinds=numbers("--kind", kinds, views.CALL_KINDS),
        since=since,
        until=until,
        error=error,
        container=container,
        after=after,
    )
    request.call_id = own_call(call_id_of(call, environment)) if call else ""
    list_records(request, listing, limit, method)


@group.command()
def show(call: str = _CALL, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Show a call: its times, attempts, error and log.

    Of a call of many inputs: how many stand how, and which failed.
    """
    record_id = call_id_of(call, environment)
    found = known_of(record_id)
    if as_json:
        show_json(described_call(found))
        return
    record = first_of(found)
    if record_id == record.call_id and record.kind in MANY:
        show_call(record_id, found, states_of(record_id, found))
    else:
        show_input(found.records[0], alone=record.kind not in MANY)


@group.command()
def graph(
    call: str = _CALL,
    everything: bool = typer.Option(False, "--all", help="Show each input of calls of many on a line of its own."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show what led to a call, and the calls it made, as a tree.

    --json is a flat list: parent_input_id names the input that made the call, null for the first.
    """
    record_id = call_id_of(call, environment)
    roots, truncated = _graph_of(record_id)
    if as_json:
        show_json(described_graph(roots))
    else:
        for line in tree_lines(roots, record_id, everything):
            say(line)
    if truncated:
        tell("There are more: the service keeps 10,000 inputs of a graph.")


def _graph_of(record_id: str) -> tuple[list[InputInfo], bool]:
    """Return the graph that a call is in, as trees, and whether a part of it is missing; raise NotFoundError."""
    try:
        found = known_of(record_id)
    except NotFoundError:
        # Graphs of spawned calls are kept longer.
        found = RecordShowResponse()
    record = next((detail.record for detail in found.records if detail.record is not None), None)
    request = CallGraphRequest(call_id=record.call_id if record is not None else own_call(record_id))
    try:
        answer = default_client().call("Calls.Graph", request, CallGraph)
    except NotFoundError:
        if record is None:
            raise
        # It led to no other call, and none led to it.
        return [_alone(detail.record) for detail in found.records if detail.record is not None], False
    return roots_of(answer), answer.truncated


def _alone(record: Record) -> InputInfo:
    name = f"{record.function_name}.{record.method}" if record.method else record.function_name
    status = _STATUSES.get(record.state, InputStatus.FAILURE)
    return InputInfo(record.input_id, record.call_id, record.container_id, status, name, "")


@group.command()
def cancel(
    calls: list[str] = _CALLS,
    terminate: bool = typer.Option(False, "--terminate-containers", help="Kill the containers they run in, too."),
    yes: bool = NEVER_ASKS_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Cancel calls: drop what waits, interrupt what runs.

    Exits with 1, and names them, if some go on.
    """
    # All of them before the first is cancelled: a wrong one cancels none.
    chosen = [_cancelled(call_id_of(call, environment, acts=True)) for call in calls]
    before = {call_id: states_of(call_id, known_of(call_id)) for call_id in dict.fromkeys(chosen)}
    session = default_client().session
    for call_id, states in before.items():
        if num_open(states):
            session.cancel_id(call_id, terminate)
    left = _after_cancel([call_id for call_id, states in before.items() if num_open(states)])
    if as_json:
        show_json(
            [
                {"call_id": call_id, "cancelled": num_open(states) - left.get(call_id, 0), "left": left.get(call_id, 0)}
                for call_id, states in before.items()
            ]
        )
    else:
        for call_id, states in before.items():
            _say_cancelled(call_id, states, left.get(call_id, 0))
    if any(left.values()):
        raise typer.Exit(1)


group.command("retry")(retry)
group.command("debug")(debug)


def _cancelled(record_id: str) -> str:
    """Return the call that is to be cancelled with an input or a call."""
    record = first_of(known_of(record_id))
    if record_id == record.call_id:
        return record_id
    if record.call_id == own_call(record_id) or record.kind == CallKind.SPAWN_MAP:
        return own_call(record_id)
    raise InvalidError(
        f"{record_id} is one input of {record.call_id}, which is cancelled as a whole: wherry call cancel "
        f"{record.call_id}"
    )


def _after_cancel(call_ids: list[str]) -> dict[str, int]:
    """Wait until calls have ended; return how many inputs of each go on."""
    deadline = time.monotonic() + CANCELLED_WITHIN_S
    left: dict[str, int] = {}
    while call_ids:
        left = {call_id: num_open(states_of(call_id, known_of(call_id))) for call_id in call_ids}
        if not any(left.values()) or time.monotonic() > deadline:
            break
        time.sleep(LOOKS_AGAIN_S)
    return left


def _say_cancelled(call_id: str, before: Counter[int], left: int) -> None:
    was_open = num_open(before)
    if not was_open:
        states = ", ".join(
            f"{count:,} {views.RECORD_STATES.get(state, 'unknown')}" for state, count in before.items() if count
        )
        say(f"{call_id} had ended: {states}.")
    elif left:
        go_on = f"{left:,} of {counted(was_open, 'input')} go on"
        tell(f"{call_id}: {go_on}; --terminate-containers kills the containers they run in.")
    else:
        say(f"Cancelled {call_id}: {counted(was_open, 'input')}.")


def _word(state: int) -> str:
    return views.RECORD_STATES.get(state, "unknown")
