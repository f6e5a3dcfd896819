"""Items taken from queues, by one or by many. Consumer 0 alone takes from `single`; the others share `shared`."""

import queue

import wherry
from chaos.client import Client

LAST_S = 3.0  # nothing for so long, when nobody puts any more: it is empty


def run(client: Client) -> None:
    """Take until the queue is empty and nobody puts any more."""
    name = "single" if client.number == 0 else "shared"
    source = wherry.Queue.from_name(f"chaos-{name}", create_if_missing=True)
    while True:
        last = client.draining
        count = client.random.choice([1, 1, 10])
        with client.asking("get", queue=name, count=count) as answer:
            answer.facts["items"] = []
            try:
                if count == 1:
                    answer.facts["items"] = [source.get(timeout=LAST_S)]
                else:
                    answer.facts["items"] = source.get_many(count, timeout=LAST_S)
            except queue.Empty:
                pass
        if last and not answer.error and not answer.facts["items"]:
            return
        client.rest(answer)
