"""What is to outlive its service and its database: spawned inputs, a dict, a queue."""

import json
import sys
import time

import wherry

app = wherry.App("durable", image=wherry.Image.debian_slim())
kept = wherry.Dict.from_name("durable", create_if_missing=True)
line = wherry.Queue.from_name("durable", create_if_missing=True)


@app.function(max_containers=1)
def slow(number: int) -> int:
    time.sleep(0.2)
    return number * number


@app.local_entrypoint()
def begin(count: int) -> None:
    """Ask for that many, and leave."""
    call = slow.spawn_map(range(count))
    kept["numbers"] = list(range(count))
    line.put_many(["a", "b", "c"])
    print(json.dumps(call.object_id))


def end(call_id: str) -> None:
    """Print what has become of it, and meanwhile how far it is."""
    call: wherry.FunctionCall[list[int]] = wherry.FunctionCall.from_id(call_id)
    results = []
    for result in call.iter():
        results.append(result)
        print(len(results), file=sys.stderr, flush=True)
    print(json.dumps([results, kept["numbers"], line.get_many(10)]))


if __name__ == "__main__":
    end(sys.argv[1])
