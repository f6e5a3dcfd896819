"""Results of what `spawns` has spawned, by call id."""

from collections.abc import Iterator
from typing import Any

import wherry
from chaos.client import Client
from chaos.journal import Operation

TRIES = 3


def run(client: Client) -> None:
    """Fetch until nothing is spawned any more and all is fetched."""
    tries: dict[str, int] = {}
    for operation in client.before:
        call = operation.asked["call"]
        tries[call] = TRIES if operation.did else tries.get(call, 0) + operation.failed
    # Read before it is known whether more will come: what was spawned before is in there.
    while not (last := client.draining) or _open(client, tries):
        for operation in _open(client, tries):
            call = str(operation.answer["call"])
            with client.asking("fetch", call=call, kind=operation.asked["kind"]) as answer:
                answer.facts["values"] = list(_fetch(call, operation.asked["kind"]))
            tries[call] = tries.get(call, 0) + 1 if answer.error else TRIES
            client.rest(answer)
        if not last:
            client.pause(0.2)


def _open(client: Client, tries: dict[str, int]) -> list[Operation]:
    spawned = client.others("spawns", client.number)
    return [one for one in spawned if one.did and tries.get(str(one.answer["call"]), 0) < TRIES]


def _fetch(call_id: str, kind: str) -> Iterator[Any]:
    call: wherry.FunctionCall[Any] = wherry.FunctionCall.from_id(call_id)
    if kind == "call":
        yield call.get()
    else:
        yield from call.iter()
