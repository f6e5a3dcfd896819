"""`wherry dict`: dicts that programs share."""

from typing import Any

import typer

from wherry._connection.client import default_client
from wherry._screen.table import Column
from wherry.cli import _shared
from wherry.cli._common import (
    ALLOW_MISSING_OPTION,
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    YES_OPTION,
    confirm,
    say,
    show_json,
)
from wherry.cli._listing import Listing, show_rows
from wherry.cli._values import only_shown
from wherry.dict import Dict
from wherry.exception import AlreadyExistsError, NotFoundError
from wherry_proto.messages import ObjectInfo

group = typer.Typer(help="Manage dicts that programs share.", no_args_is_help=True)

_NAME = typer.Argument(help="Name of the dict.")
_KEY = typer.Argument(help="Key, a text unless --parse is given.")
_ABSENT = object()


@group.command()
def create(name: str = _NAME, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Create a dict if it does not exist."""
    _shared.make(Dict, name, environment, as_json)


@group.command("list")
@_shared.listed(Dict, "entries").command()
def list_dicts(environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[ObjectInfo]) -> None:
    """List the dicts of an environment."""
    listing.show(lambda: _shared.objects(Dict, environment))


@group.command()
def items(
    name: str = _NAME,
    count: int | None = typer.Argument(None, metavar="N", help="As --limit.", min=0),
    limit: int = typer.Option(20, "-n", "--limit", help="How many; 0: all.", min=0),
    everything: bool = typer.Option(False, "-a", "--all", help="All of them."),
    as_repr: bool = typer.Option(False, "-r", "--repr", help="As Python shows them; so it is without --json."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show entries, in the order in which their keys came."""
    limit = 0 if everything else limit if count is None else count
    found = _dict(name, environment)
    pairs = _shared.taken(found.items(), limit or -1)
    if as_json:
        shown = repr if as_repr else _shared.jsonable
        show_json([{"key": shown(key), "value": shown(value)} for key, value in pairs])
        return
    if not pairs:
        typer.echo(f"Dict {name} is empty. Write an entry with `wherry dict put {name} KEY VALUE`.", err=True)
        return
    columns = [
        Column[Any]("key", lambda pair: repr(pair[0])),
        Column[Any]("value", lambda pair: repr(pair[1]), cut=True),
    ]
    show_rows(*columns, rows=pairs)
    if limit and len(pairs) == limit and (rest := found.len() - limit) > 0:
        typer.echo(f"and {rest} more: --limit 0 shows all", err=True)


@group.command()
def get(
    name: str = _NAME,
    key: str = _KEY,
    parse: bool = _shared.PARSE_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the value of a key; exit 1 where there is none."""
    value = _dict(name, environment).get(_shared.parsed(key, parse), _ABSENT)
    _show(name, key, value, as_json)


@group.command()
def put(
    name: str = _NAME,
    key: str = _KEY,
    value: str = typer.Argument(help="Value, likewise."),
    parse: bool = _shared.PARSE_OPTION,
    skip_if_exists: bool = typer.Option(False, "--skip-if-exists", help="Fail where the key is there."),
    ttl: float | None = typer.Option(None, "--ttl", help="Seconds after which it is gone."),
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Write an entry."""
    found = _dict(name, environment)
    written = found.put(
        _shared.parsed(key, parse), _shared.parsed(value, parse), skip_if_exists=skip_if_exists, ttl=ttl
    )
    if not written:
        raise AlreadyExistsError(f"dict {name} has {key} already")


@group.command()
def pop(
    name: str = _NAME,
    key: str = _KEY,
    parse: bool = _shared.PARSE_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Take an entry out and show its value; exit 1 where there is none."""
    value = _dict(name, environment).pop(_shared.parsed(key, parse), _ABSENT)
    _show(name, key, value, as_json)


@group.command()
def clear(name: str = _NAME, yes: bool = YES_OPTION, environment: str | None = ENVIRONMENT_OPTION) -> None:
    """Delete all entries."""
    found = _dict(name, environment)
    confirm(f"Delete all {found.len()} entries of dict {name}?", yes)
    found.clear()


@group.command()
def delete(
    name: str = _NAME,
    yes: bool = YES_OPTION,
    allow_missing: bool = ALLOW_MISSING_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Delete a dict with all it holds."""
    _shared.remove(Dict, name, environment, yes, allow_missing, as_json)


def _dict(name: str, environment: str | None) -> Dict:
    only_shown(default_client())
    return Dict.lookup(name, environment_name=environment)


def _show(name: str, key: str, value: object, as_json: bool) -> None:
    if value is _ABSENT:
        raise NotFoundError(f"dict {name} has no key {key!r}; --parse reads a key as JSON: 5 is a number then")
    if as_json:
        show_json(_shared.jsonable(value))
    else:
        say(value if isinstance(value, str) else repr(value))
