"""Not a load: what is left when all others have ended. Read once, in a quiet service."""

import hashlib
from typing import Any

import wherry
from chaos.client import Client
from chaos.load.producers import QUEUES


def run(client: Client) -> None:
    """Read all queues, dicts and files."""
    for name in QUEUES:
        source = wherry.Queue.from_name(f"chaos-{name}", create_if_missing=True)
        with client.asking("left", queue=name) as answer:
            answer.facts["length"] = source.len()
            answer.facts["items"] = list(source.iterate())
    for name in ("chaos", "chaos-ticks"):
        entries = wherry.Dict.from_name(name, create_if_missing=True)
        with client.asking("entries", dict=name) as answer:
            answer.facts["entries"] = dict(entries.items())
    files = wherry.Volume.from_name("chaos", create_if_missing=True)
    names: list[Any] = []
    with client.asking("list") as answer:
        names = answer.facts["names"] = [entry.path.strip("/") for entry in files.listdir("/")]
    for name in names:
        with client.asking("file", name=name) as answer:
            answer.facts["sha"] = hashlib.sha256(b"".join(files.read_file(f"/{name}"))).hexdigest()
