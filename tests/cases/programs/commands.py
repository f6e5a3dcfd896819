"""Commands and flags as people type them who know other command lines."""

import signal
import subprocess
import sys

import wherry

COMMANDS = {
    "dict": """
        wherry dict delete case-commands --allow-missing && wherry dict create case-commands >/dev/null &&
        for key in a b c; do wherry dict put case-commands $key x; done
        wherry dict items case-commands 1 --json | tr -d ' \\n' && echo
        wherry dict items case-commands -a -r --json | grep -c key
        wherry dict delete case-commands -y --allow-missing
    """,
    "queue": """
        wherry queue create case-commands >/dev/null && wherry queue put case-commands x y &&
        wherry queue peek case-commands 2 && wherry queue len case-commands -t &&
        wherry queue clear case-commands -a -y
        wherry queue delete case-commands -y && wherry queue delete case-commands -y --allow-missing
        wherry secret delete case-commands -y --allow-missing && wherry volume delete case-commands --allow-missing -y
    """,
    "function": """
        wherry deploy -q {file} >/dev/null && python {file} call &&
        wherry function autoscaler update case-commands/f --max-containers 3 --scaledown-window 300 &&
        wherry function autoscaler settings case-commands/f --json | tr -d ' \\n' && echo
        wherry function info case-commands/f | grep max_containers
        wherry function info case-commands/f --json | grep -c fu-
        wherry function logs case-commands/f -s stdout
        wherry app list --limit 1 --json | grep -c '"app_id"'
        wherry container stop -y $(wherry container list --app-id $(wherry app list --json | grep -A1 app_id |
          grep -B1 '"case-commands"' | grep -o 'ap-[^"]*') --json | grep -o 'co-[^"]*') | cut -c 1-10
        wherry app stop case-commands -y >/dev/null
    """,
    "stream": "python {file} stream",
    "environment": """
        wherry environment create case-commands >/dev/null
        wherry environment update case-commands --set-name case-commands-2
        wherry environment delete case-commands-2 -y
    """,
}
EXPECTED = {
    "dict": (0, '[{"key":"a","value":"x"}]\n3\nDeleted dict case-commands.\n'),
    "queue": (0, "'x'\n'y'\n2\nDeleted queue case-commands.\n"),
    "function": (
        0,
        "1\nmin_containers: 0\nmax_containers: 3\nbuffer_containers: 0\nscaledown_window_s: 300\n"
        '{"min_containers":0,"max_containers":3,"buffer_containers":0,"scaledown_window_s":300.0}\n'
        "max_containers: 3\n1\nf ran\n1\nContainer \n",
    ),
    "stream": (0, "added: f case-stream: version 1 serves\nf ran\n130\n"),
    "environment": (
        0,
        "Environment case-commands is called case-commands-2 now. "
        "To undo this: wherry environment rename case-commands-2 case-commands\n"
        "Deleted environment case-commands-2.\n",
    ),
}

app = wherry.App("case-commands")


@app.function()
def f() -> int:
    print("f ran")
    return 1


def stream() -> None:
    """Deploy, and read what is printed from then on."""
    command = ["wherry", "deploy", "-q", "--name", "case-stream", "--stream-logs", "--timestamps", __file__]
    deploying = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert deploying.stdout is not None
    print(*(deploying.stdout.readline().split(" (")[0].strip() for _ in range(2)))
    wherry.Function.from_name("case-stream", "f").remote()
    print(deploying.stdout.readline().partition(" ")[2], end="")
    deploying.send_signal(signal.SIGINT)
    print(deploying.wait())


if __name__ == "__main__" and sys.argv[1:] == ["stream"]:
    stream()
elif __name__ == "__main__" and sys.argv[1:]:
    print(wherry.Function.from_name("case-commands", "f").remote())
