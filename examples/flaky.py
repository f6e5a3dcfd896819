"""Retries against a service that often fails: what fails is run again, with growing pauses, and nothing is lost.

wherry run examples/flaky.py
"""

import random

import wherry

app = wherry.App("flaky", image=wherry.Image.debian_slim())


class Unavailable(Exception):
    """What a service that is overloaded answers."""


@app.function(max_containers=1)
def service(item: int, seed: int) -> int:
    """Answer, or not: three requests of five fail."""
    if random.Random(f"{item} {seed}").random() < 0.6:
        raise Unavailable(f"no answer for item {item}")
    return item * item


_attempts: dict[int, int] = {}


@app.function(
    max_containers=1, retries=wherry.Retries(max_retries=10, initial_delay=0.05, backoff_coefficient=1.5, max_delay=1.0)
)
def fetch(item: int) -> tuple[int, int]:
    """Ask the service from inside a container; return its answer and how often it was asked for this item."""
    _attempts[item] = _attempts.get(item, 0) + 1
    return service.remote(item, _attempts[item]), _attempts[item]


@app.local_entrypoint()
def main(items: int = 20) -> None:
    """Fetch some items and show how many attempts each took."""
    results = list(fetch.map(range(items)))
    assert [value for value, _ in results] == [item * item for item in range(items)]
    attempts = [number for _, number in results]
    print(f"{items} items, {sum(attempts)} attempts, at most {max(attempts)} for one")
    for item, number in enumerate(attempts):
        print(f"{item:>4}  {'●' * number}")
