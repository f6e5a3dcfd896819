"""`wherry queue`: queues that programs share."""

import queue as builtin

import typer

from wherry._connection.client import default_client
from wherry.cli import _shared
from wherry.cli._common import ALLOW_MISSING_OPTION, ENVIRONMENT_OPTION, JSON_OPTION, YES_OPTION, confirm, show_json
from wherry.cli._listing import Listing
from wherry.cli._values import only_shown
from wherry.exception import NotFoundError, ResourceExhaustedError
from wherry.queue import Queue
from wherry_proto.messages import ObjectInfo

group = typer.Typer(help="Manage queues that programs share.", no_args_is_help=True)

_NAME = typer.Argument(help="Name of the queue.")
_PARTITION = typer.Option(None, "-p", "--partition", help="The partition.")
_COUNT = typer.Option(1, "-n", "--count", help="How many at most.", min=1)
_TIMEOUT = typer.Option(0.0, "--timeout", help="Seconds to wait.", min=0)
_VALUES = typer.Argument(help="Items, texts unless --parse is given.")


@group.command()
def create(name: str = _NAME, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Create a queue if it does not exist."""
    _shared.make(Queue, name, environment, as_json)


@group.command("list")
@_shared.listed(Queue, "items").command()
def list_queues(environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[ObjectInfo]) -> None:
    """List the queues of an environment."""
    listing.show(lambda: _shared.objects(Queue, environment))


@group.command("len")
def length(
    name: str = _NAME,
    partition: str | None = _PARTITION,
    total: bool = typer.Option(False, "-t", "--total", help="Of all partitions."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show how many items wait."""
    count = _queue(name, environment).len(partition=partition, total=total)
    if as_json:
        show_json({"items": count})
    else:
        typer.echo(str(count))


@group.command()
def peek(
    name: str = _NAME,
    first: int | None = typer.Argument(None, metavar="N", help="As --count.", min=1),
    count: int = _COUNT,
    partition: str | None = _PARTITION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the first items and leave them where they are."""
    found = _queue(name, environment).iterate(partition=partition)
    _shared.show_values(_shared.taken(found, first or count), as_json)


@group.command()
def get(
    name: str = _NAME,
    count: int = _COUNT,
    timeout: float = _TIMEOUT,
    partition: str | None = _PARTITION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take the first items and show them; exit 1 where there are none."""
    try:
        values = _queue(name, environment).get_many(count, timeout=timeout, partition=partition)
    except builtin.Empty:
        raise NotFoundError(f"queue {name} is empty{f', partition {partition}' if partition else ''}") from None
    _shared.show_values(values, as_json)


@group.command()
def put(
    name: str = _NAME,
    values: list[str] = _VALUES,
    parse: bool = _shared.PARSE_OPTION,
    timeout: float = _TIMEOUT,
    partition: str | None = _PARTITION,
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Put items at the end: all or none."""
    items = [_shared.parsed(value, parse) for value in values]
    try:
        _queue(name, environment).put_many(items, timeout=timeout, partition=partition)
    except builtin.Full:
        raise ResourceExhaustedError(f"queue {name} has no room for {len(items)} more: get some first") from None


@group.command()
def clear(
    name: str = _NAME,
    partition: str | None = _PARTITION,
    everything: bool = typer.Option(False, "-a", "--all", help="All partitions."),
    yes: bool = YES_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Delete what waits."""
    found = _queue(name, environment)
    confirm(f"Delete {found.len(partition=partition, total=everything)} items of queue {name}?", yes)
    found.clear(partition=partition, all=everything)


@group.command()
def delete(
    name: str = _NAME,
    yes: bool = YES_OPTION,
    allow_missing: bool = ALLOW_MISSING_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Delete a queue with all it holds."""
    _shared.remove(Queue, name, environment, yes, allow_missing, as_json)


def _queue(name: str, environment: str | None) -> Queue:
    only_shown(default_client())
    return Queue.lookup(name, environment_name=environment)
