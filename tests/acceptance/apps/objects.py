"""Functions that use secrets, dicts and queues; without a network."""

import os
import sys
from typing import Any

import wherry

app = wherry.App("objects", secrets=[wherry.Secret.from_dict({"FROM_APP": "app", "SHARED": "app"})])
app.own = wherry.Dict.new({"made": "outside"})

named = wherry.Secret.from_name("acceptance", required_keys=["TOKEN"])


@app.function(
    secrets=[named, wherry.Secret.from_dict({"SHARED": "function", "ENV": "secret"})],
    env={"ENV": "env"},
    block_network=True,
)
def ask(what: str, *args: Any) -> Any:
    """Do one thing inside the container."""
    if what == "environ":
        return {name: os.environ.get(name) for name in args}
    if what == "put":
        target, key, value = args
        target[key] = value
        return target[key]
    if what == "name":
        return list(wherry.Dict.from_name(args[0]).items())
    if what == "own":
        app.own["inside"] = 1
        return dict(app.own.items())
    if what == "move":
        source, target = args
        moved = 0
        while (value := source.get()) is not None:
            target.put(value)
            moved += 1
        return moved
    if what == "ephemeral":
        with wherry.Queue.ephemeral() as queue:
            queue.put_many([1, 2, 3])
            return queue.get_many(3)
    if what == "secret":
        return wherry.Secret.lookup("acceptance").info()
    if what == "rpc":
        from wherry._connection.client import default_client
        from wherry_proto import messages

        method, request, answer = args
        return repr(default_client().call(method, getattr(messages, request)(), getattr(messages, answer)))
    raise ValueError(what)


@app.function(block_network=True, secrets=[named])
async def ask_async(name: str, value: Any) -> list[Any]:
    """The asynchronous forms, inside."""
    async with wherry.Dict.ephemeral() as own:
        await own.put.aio("a", value)
        await wherry.Queue.from_name(name).put.aio(value)
        return [item async for item in own.items.aio()]


@app.function(secrets=[named], max_containers=1, single_use_containers=True)
def token() -> tuple[str, list[str]]:
    """What a new container has."""
    return os.environ["TOKEN"], sys.argv


@app.function(secrets=[wherry.Secret.from_name("fleeting")])
def fleeting() -> str:
    """Has a secret that is deleted before it first runs."""
    return os.environ["A"]
