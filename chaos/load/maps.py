"""Maps of thousands of inputs that sleep for a moment; some raise. In between, values too large for a message."""

import hashlib
from typing import Any

import wherry
from chaos.client import Client
from chaos.functions import APP

INPUTS = 1500
LARGE = 1_300_000
_AT_ONCE = 100  # outputs of one record


def run(client: Client) -> None:
    """Run one map after the other."""
    work: wherry.Function[..., Any] = wherry.Function.from_name(APP, "work")
    echo: wherry.Function[..., Any] = wherry.Function.from_name(APP, "echo")
    while not client.stopping:
        first = client.random.randrange(10**6)
        ordered = client.random.random() < 0.7
        with client.asking("map", first=first, count=INPUTS, ordered=ordered) as answer:
            inputs = [(x, client.random.uniform(0.005, 0.05)) for x in range(first, first + INPUTS)]
            outputs: list[Any] = []
            results = work.starmap(inputs, order_outputs=ordered, return_exceptions=True)
            for output in results:
                outputs.append(str(output) if isinstance(output, Exception) else output)
                if len(outputs) == _AT_ONCE:
                    answer.part(outputs=outputs)
                    outputs = []
            answer.part(outputs=outputs)
        client.rest(answer)
        data = client.random.randbytes(LARGE)
        with client.asking("echo", sha=hashlib.sha256(data).hexdigest()) as answer:
            answer.facts["sha"] = hashlib.sha256(echo.remote(data)).hexdigest()
        client.rest(answer)
