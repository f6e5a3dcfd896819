"""Spawned and scheduled inputs that failed: which are kept, their arguments, and running them again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from wherry._base.ids import new_id
from wherry._calling.records import ms_of
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    Format,
    KeptInput,
    Payload,
    ReplayArguments,
    ReplayArgumentsRequest,
    ReplayedInput,
    ReplayListRequest,
    ReplayListResponse,
    ReplayRunRequest,
    ReplayRunResponse,
    ReplayVersion,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

    from wherry._calling.caller import Caller
    from wherry._connection.client import Client

# Inputs of one request.
_AT_ONCE = 100
_PAGE = 1000
VERSIONS = {"newest": ReplayVersion.NEWEST, "failed": ReplayVersion.FAILED}


def version_of(name: str) -> int:
    """Return what "newest" or "failed" stands for; raise InvalidError for another word."""
    if name not in VERSIONS:
        raise InvalidError(
            f"version is {name!r}: 'newest' runs it on the newest version, 'failed' on the one that failed"
        )
    return VERSIONS[name]


def kept(client: Client, request: ReplayListRequest) -> Iterator[KeptInput]:
    """Iterate what is kept, the latest first; its environment is the client's, where none is said."""
    request.environment = request.environment or client.environment
    request.limit = _PAGE
    while True:
        answer = client.call("Replays.List", request, ReplayListResponse)
        yield from answer.inputs
        if not answer.next:
            return
        request.after = answer.next


def kept_of_call(client: Client, call_id: str) -> list[KeptInput]:
    """Return the inputs of a call that are kept; raise NotFoundError where there is none."""
    found = list(kept(client, ReplayListRequest(call_id=call_id)))
    if not found:
        raise NotFoundError(f"no failed input of {call_id} is kept: none has failed, or it was dropped")
    return found


def run_again(
    client: Client, input_ids: Sequence[str], version: int, environment: str | None = None
) -> Iterator[ReplayedInput]:
    """Run kept inputs again; yield what became of each, in that order."""
    for begin in range(0, len(input_ids), _AT_ONCE):
        request = ReplayRunRequest(
            environment=environment or client.environment,
            input_ids=list(input_ids[begin : begin + _AT_ONCE]),
            version=version,
            operation_id=new_id("op"),
        )
        yield from client.call("Replays.Run", request, ReplayRunResponse).inputs


def call_ids_of(replayed: Sequence[ReplayedInput]) -> list[str]:
    """Return the calls of what runs again; raise InvalidError that says why where some does not."""
    problems = [one.problem for one in replayed if one.problem]
    if problems:
        of = "" if len(replayed) == 1 else f"{len(problems)} of {len(replayed)} failed inputs do not run again: "
        raise InvalidError(f"{of}{problems[0]}")
    return [one.call_id for one in replayed]


def retry_failed(
    caller: Caller,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    error: str,
    version: str,
) -> list[str]:
    """Run what failed of a function again, the oldest first; return the ids of the new calls."""
    client, number, now = caller.client, version_of(version), datetime.now(UTC)
    request = ReplayListRequest(
        environment=caller.environment,
        app=caller.app_id,
        # By its name: what it is in other versions, and with other options, has other ids.
        function=caller.name,
        since_ms=ms_of(since, "retry_failed: since", now),
        until_ms=ms_of(until, "retry_failed: until", now),
        search=error,
        only_left=True,
    )
    ids = [one.input_id for one in kept(client, request)]
    replayed = list(run_again(client, ids[::-1], number, caller.environment))
    return call_ids_of(replayed)


def arguments(
    client: Client, input_id: str, version: int = ReplayVersion.FAILED, *, bare: bool, environment: str | None = None
) -> ReplayArguments:
    """Return what is kept of an input; `bare`: without its function."""
    request = ReplayArgumentsRequest(
        environment=environment or client.environment, input_id=input_id, version=version, bare=bare
    )
    return client.call("Replays.Arguments", request, ReplayArguments)


def loaded(client: Client, answer: ReplayArguments) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return args and kwargs; raise DeserializationError where they can't be read here."""
    payload = answer.payload or Payload()
    value = client.blobs.load(payload)
    if payload.format == Format.JSON:
        return tuple(value.get("args", ())), dict(value.get("kwargs", {}))
    args, kwargs = value
    return tuple(args), dict(kwargs)
