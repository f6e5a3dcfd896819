"""Entries of a dict: each client writes keys of its own, reads those of all, and races for others."""

import wherry
from chaos.client import Client

CLIENTS = 2
KEYS = 20


def run(client: Client) -> None:
    """Put, get, and race until told to stop. A value is [writer, version]; versions of a key only grow."""
    entries = wherry.Dict.from_name("chaos", create_if_missing=True)
    version = max([0, *(int(one.asked["version"]) for one in client.before if one.what == "put")])
    race = max([0, *(int(one.asked["race"]) for one in client.before if one.what == "race")])
    while not client.stopping:
        what = client.random.choices(["put", "get", "race"], [5, 5, 1])[0]
        if what == "put":
            version += 1
            key = f"{client.number}-{client.random.randrange(KEYS)}"
            with client.asking("put", key=key, version=version) as answer:
                entries.put(key, [client.number, version])
        elif what == "get":
            key = f"{client.random.randrange(CLIENTS)}-{client.random.randrange(KEYS)}"
            with client.asking("get", key=key) as answer:
                answer.facts["value"] = entries.get(key, None)
        else:
            race += 1
            mine = f"{client.name}/{client.life}"
            with client.asking("race", race=race, mine=mine) as answer:
                answer.facts["won"] = entries.put(f"race-{race}", mine, skip_if_exists=True)
            if not answer.error:
                with client.asking("winner", race=race) as answer:
                    answer.facts["value"] = entries.get(f"race-{race}", None)
        client.rest(answer)
        client.pause(0.04)
