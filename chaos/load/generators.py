"""Generators whose caller writes down each value as it comes, as a program does that goes on with what it has."""

from typing import Any

import wherry
from chaos.client import Client
from chaos.functions import APP

VALUES = 300


def run(client: Client) -> None:
    """Read one generator after the other."""
    values: wherry.Function[..., Any] = wherry.Function.from_name(APP, "values")
    while not client.stopping:
        first = client.random.randrange(10**6)
        with client.asking("generator", first=first, count=VALUES) as answer:
            for value in values.remote_gen(VALUES, first):
                answer.part(values=[value])
        client.rest(answer)
