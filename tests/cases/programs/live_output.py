"""What is flushed is shown at once, in order, also without a newline; the log keeps the last state of a bar."""

import os
import subprocess
import sys
import time

import wherry

COMMANDS = {
    "dots": "wherry run -q {file}::dots | python {file}",
    "child": "wherry run -q {file}::child 2>/dev/null | python {file}",
    "bar": "wherry run -q {file}::bar 2>&1 >/dev/null | python {file}",
    "order": "wherry run -q {file}::steps",
    "log": "wherry run -q {file}::bar >/dev/null 2>&1; wherry app logs case-live-output --function bar 2>&1",
}
EXPECTED = {
    "dots": (0, "live\n"),
    "child": (0, "live\n"),
    "bar": (0, "live\n"),
    "order": (0, "p0\nc0\np1\nc1\np2\nc2\n[step] child\ndone\n"),
    "log": (0, "100%\nafter\n"),
}
app = wherry.App("case-live-output")


@app.function()
def dots() -> None:
    for _ in range(5):
        print(".", end="", flush=True)
        time.sleep(0.2)


@app.function()
def child() -> None:
    subprocess.run(["sh", "-c", r"for i in 1 2 3 4 5; do printf '\r%s0%%' $i; sleep 0.2; done"], check=True)


@app.function()
def bar() -> None:
    for percent in range(0, 101, 20):
        sys.stderr.write(f"\r{percent}%")
        sys.stderr.flush()
        time.sleep(0.1)
    print("\nafter", file=sys.stderr)


@app.function()
def steps() -> None:
    for number in range(3):
        print(f"p{number}")
        subprocess.run(["echo", f"c{number}"], check=True)
    print("[step] ", end="", flush=True)
    subprocess.run(["echo", "child"], check=True)
    print("done")


if __name__ == "__main__":
    pieces = 0
    while os.read(0, 100):
        pieces += 1
    print("live" if pieces >= 3 else f"{pieces} pieces")
