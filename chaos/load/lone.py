"""One caller, one call after the other: how long the service is away is what it waits."""

from typing import Any

import wherry
from chaos.client import Client
from chaos.functions import APP


def run(client: Client) -> None:
    """Call until told to stop."""
    lone: wherry.Function[..., Any] = wherry.Function.from_name(APP, "lone")
    number = 0
    while not client.stopping:
        number += 1
        with client.asking("call", x=number) as answer:
            answer.facts["value"] = lone.remote(number)
        client.rest(answer)
        client.pause(0.02)
