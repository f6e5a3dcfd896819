"""Calls that are spawned here; another process fetches their results by their ids."""

from typing import Any

import wherry
from chaos.client import Client
from chaos.functions import APP

MAP = 60
VALUES = 40


def run(client: Client) -> None:
    """Spawn calls, maps and generators."""
    spawned: wherry.Function[..., Any] = wherry.Function.from_name(APP, "spawned")
    values: wherry.Function[..., Any] = wherry.Function.from_name(APP, "values")
    while not client.stopping:
        first = client.random.randrange(10**6)
        kind = client.random.choices(["call", "map", "generator"], [8, 1, 1])[0]
        count = {"call": 1, "map": MAP, "generator": VALUES}[kind]
        with client.asking("spawn", kind=kind, first=first, count=count) as answer:
            if kind == "call":
                call = spawned.spawn(first, client.random.uniform(0, 0.5))
            elif kind == "map":
                call = spawned.spawn_map(range(first, first + count), [0.02] * count)
            else:
                call = values.spawn(count, first)
            answer.facts["call"] = call.object_id
        client.rest(answer)
        client.pause(0.4)
