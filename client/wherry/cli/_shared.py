"""What `wherry dict` and `wherry queue` share: named objects made, listed, deleted; values read and shown."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from wherry._connection.client import default_client
from wherry._objects.shared import SharedObject, nothing_to_delete
from wherry._screen.table import Column, Kind
from wherry.cli._common import confirm, say, show_json
from wherry.cli._listing import Listed
from wherry.cli._usage import UsageError
from wherry.exception import DeserializationError, NotFoundError
from wherry_proto import views
from wherry_proto.messages import ObjectInfo, ObjectListRequest, ObjectListResponse

PARSE_OPTION = typer.Option(False, "--parse", help="Read what is given as JSON: 5 is a number then, not a text.")


def make(cls: type[SharedObject], name: str, environment: str | None, as_json: bool) -> None:
    """Create an object of that name if it does not exist, and say which of the two it was."""
    try:
        made = cls.lookup(name, environment_name=environment)
        existed = True
    except NotFoundError:
        # Where the environment is what is missing, this says so.
        made = cls.lookup(name, environment_name=environment, create_if_missing=True)
        existed = False
    if as_json:
        show_json({f"{cls._kind}_id": made.object_id, "name": name})
        return
    said = f"{cls.__name__} {name} exists already" if existed else f"Created {cls._kind} {name}"
    typer.echo(f'{said}. Use it as wherry.{cls.__name__}.from_name("{name}").')


def listed(cls: type[SharedObject], what: str = "", command: str = "") -> Listed[ObjectInfo]:
    """Return what lists objects of a kind, with how many of `what` they hold, if that is counted."""
    kind = command or cls._kind
    columns = [Column[ObjectInfo]("name", lambda info: info.name)]
    if what:
        columns.append(Column(what, lambda info: info.num_items, leaves=2))
    columns.append(Column("created", lambda info: info.created_at_ms, Kind.TIME, leaves=1))
    return Listed[ObjectInfo](
        *columns,
        key=lambda info: info.name,
        keys="names",
        described=lambda info: views.shared_object(info, cls._kind, what),
        empty=f"There are none here. Make one with `wherry {kind} create NAME`.",
    )


def objects(cls: type[SharedObject], environment: str | None) -> list[ObjectInfo]:
    """Return an environment's objects of a kind."""
    client = default_client()
    request = ObjectListRequest(environment=environment or client.environment)
    return client.call(f"{cls._service}.List", request, ObjectListResponse).objects


def remove(
    cls: type[SharedObject], name: str, environment: str | None, yes: bool, allow_missing: bool, as_json: bool
) -> None:
    """Delete an object, when the answer is yes."""
    with missing_allowed(allow_missing):
        found = cls.lookup(name, environment_name=environment)
    confirm(f"Delete {cls._kind} {name} with all it holds?", yes)
    info = found.discard()
    if as_json:
        show_json({f"{cls._kind}_id": info.object_id, "name": name})
    else:
        typer.echo(f"Deleted {cls._kind} {name}.")


@contextlib.contextmanager
def missing_allowed(allowed: bool) -> Iterator[None]:
    """End the command with 0, and say why, where something does not exist within this block and that is allowed."""
    try:
        yield
    except NotFoundError as error:
        told = nothing_to_delete(error)
        if not allowed:
            raise told from None
        typer.echo(f"Nothing to do: {told}", err=True)
        raise typer.Exit from None


def parsed(text: str, parse: bool) -> Any:
    """Return what a word on the command line means; raise UsageError where it should be JSON and is none."""
    if not parse:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no JSON ({error}): write it so, or leave out --parse") from None


def jsonable(value: Any) -> Any:
    """Return the value where JSON has such, else how Python shows it."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError):
        return repr(value)


def show_values(values: Sequence[Any], as_json: bool) -> None:
    """Print values, one a line as Python shows them, or as a JSON list."""
    if as_json:
        show_json([jsonable(value) for value in values])
        return
    for value in values:
        say(repr(value))


def taken(values: Any, limit: int) -> list[Any]:
    """Return the first values; where one can't be read here, say so and how to see what is there nevertheless."""
    found: list[Any] = []
    try:
        for value in values:
            if len(found) == limit:
                break
            found.append(value)
    except DeserializationError as error:
        raise DeserializationError(f"{error} (run this where the programs that use it run)") from None
    return found
