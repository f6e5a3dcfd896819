"""What runs in a hostile container: takes programs one after the other, and says what each got. Standard library only.

Each runs in a process of its own, with a time limit: one that kills itself or hangs spoils no other.
"""

import json
import os
import subprocess
import sys
import time

MARK = "\x1eGOT "


def carry_out(program: str, timeout_s: float) -> str:
    """Run a program; return as JSON what it got: {"value": …}, {"error": TYPE, "errno": …, "text": …}."""
    try:
        ran = subprocess.run(
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return json.dumps({"error": "TimeoutExpired", "text": f"it ran for more than {timeout_s:g} s"})
    said = ran.stdout.decode(errors="replace")
    _, mark, got = said.rpartition(MARK)
    if mark:
        return got.splitlines()[0]
    kind = "Killed" if ran.returncode < 0 else "Ended"
    return json.dumps({"error": kind, "errno": abs(ran.returncode), "text": said[-2000:]})


def serve_lines() -> None:
    """Take jobs, a line of JSON each, from standard input, and answer each with a line."""
    for line in sys.stdin:
        job = json.loads(line)
        print(carry_out(job["program"], job["timeout_s"]), flush=True)


def serve_files(folder: str) -> None:
    """Take jobs from a folder that is shared with the one who asks, until it has a file `stop`."""
    number = 0
    while not os.path.exists(f"{folder}/stop"):
        path = f"{folder}/job-{number}"
        if not os.path.exists(path):
            time.sleep(0.005)
            continue
        with open(path) as file:
            job = json.load(file)
        with open(f"{folder}/writing", "w") as file:
            file.write(carry_out(job["program"], job["timeout_s"]))
        os.replace(f"{folder}/writing", f"{folder}/answer-{number}")
        number += 1
