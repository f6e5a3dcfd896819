"""Files of a volume: written in a function or uploaded from here, read from here, listed at the end."""

import hashlib
import io
from typing import Any

import wherry
from chaos.client import Client
from chaos.functions import APP, content

KEPT = 40  # files; then the first are written over


def run(client: Client) -> None:
    """Write and read until told to stop."""
    files = wherry.Volume.from_name("chaos", create_if_missing=True)
    write: wherry.Function[..., Any] = wherry.Function.from_name(APP, "write")
    turn = 0
    while not client.stopping:
        turn += 1
        name = f"{client.number}-{turn % KEPT}-{client.random.randrange(4)}"
        size = 100 + len(name) * client.random.choice([1, 50, 2000])
        how = client.random.choice(["function", "upload"])
        with client.asking("write", name=name, size=size, how=how) as answer:
            if how == "function":
                write.remote(name, size)
            else:
                with files.batch_upload(force=True) as batch:
                    batch.put_file(io.BytesIO(content(name, size)), f"/{name}")
        client.rest(answer)
        if answer.error:
            continue
        with client.asking("read", name=name, size=size) as answer:
            answer.facts["sha"] = hashlib.sha256(b"".join(files.read_file(f"/{name}"))).hexdigest()
        client.rest(answer)
        client.pause(0.1)
