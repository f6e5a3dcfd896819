"""A function to be entered, and one that is busy meanwhile."""

import time

import wherry

app = wherry.App("shell")


@app.function(env={"HELLO": "there"}, secrets=[wherry.Secret.from_dict({"TOKEN": "abcdef"})])
def entered() -> str:
    return "entered"


@app.function(min_containers=1)
def busy() -> str:
    time.sleep(0.01)
    return "done"


@app.local_entrypoint()
def main(seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        busy.remote()
    print("every call was answered")


@app.function()
def stopped(value: int = 5) -> int:
    print("before the debugger")
    breakpoint()
    print("printed at the terminal")
    return value + 1


@app.function()
def talks() -> str:
    wherry.interact()
    name = input("name? ")
    try:
        print(f"{name} waits")
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        return f"{name} was interrupted"
