"""Each input of a `spawn_map` is a call of its own, beside the whole: got, watched, cancelled and followed alone."""

import time

import wherry

COMMANDS = {"run": "wherry run -q {file}"}
EXPECTED = {
    "run": (
        0,
        "True\n4 True\n[10, 20, 30, 40]\n[10, 20, 30, 40]\n1 [40]\nIndexError\n"
        "[('f', 0), ('f', 0), ('f', 0), ('f', 0)]\n"
        "RemoteError 7\n",
    )
}

app = wherry.App("case-spawned-inputs")
seen = wherry.Dict.from_name("case-spawned-inputs", create_if_missing=True)


@app.function()
def f(i):
    seen[i] = wherry.current_function_call_id()
    return i * 10


@app.function(max_containers=1)
def slow(i):
    seen["slow", i] = wherry.current_function_call_id()
    while i == 0 and not seen.get("go"):
        time.sleep(0.05)
    return i + 5


@app.local_entrypoint()
def main():
    seen.clear()
    alone = f.spawn(0)
    alone.get()
    print(seen[0] == alone.object_id)
    call = f.spawn_map([1, 2, 3, 4])
    values = list(call.iter())
    ids = [seen[i] for i in (1, 2, 3, 4)]
    print(len(set(ids)), call.object_id not in ids)
    print(values)
    print([wherry.FunctionCall.from_id(own).get(timeout=30) for own in ids])
    last = wherry.FunctionCall.from_id(ids[3])
    print(last.num_inputs(), list(last.iter()))
    try:
        last.get(index=1)
    except IndexError:
        print("IndexError")
    nodes = [node for own in ids for node in wherry.FunctionCall.from_id(own).get_call_graph()]
    print([(node.function_name, len(node.children)) for node in nodes])
    waiting = slow.spawn_map([0, 1, 2])
    while ("slow", 0) not in seen:
        time.sleep(0.05)
    wherry.FunctionCall.from_id(seen["slow", 0]).cancel()
    try:
        waiting.get(index=0)
    except wherry.exception.RemoteError as error:
        print(type(error).__name__, waiting.get(index=2))
