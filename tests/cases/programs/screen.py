"""Lines that can't be shown cost no result: a screen that can't encode them, a full disk, a reader that has gone."""

import os
import sys

import wherry

COMMANDS = {
    "ascii": "PYTHONIOENCODING=ascii wherry run {file}",
    "C locale": "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 wherry run {file} | tail -1",
    "full disk": "wherry run {file} > /dev/full; echo still here",
    "closed": "wherry run {file} >&-; echo $?",
    "closed both": "wherry run -q {file} >&- 2>&-; echo $?",
    "head": "wherry run {file} --lines 20000 | head -2 | tail -1",
    "python": "PYTHONIOENCODING=ascii python {file}",
}
EXPECTED = {
    "ascii": (0, "na?ve\n42\n"),
    "C locale": (0, "42\n"),
    "full disk": (0, "still here\n"),
    "closed": (0, "0\n"),
    "closed both": (0, "0\n"),
    "head": (141, "na\u00efve\n"),
    "python": (0, "na?ve\n42\n"),
}
app = wherry.App("case-screen")


@app.function()
def say(count: int) -> int:
    for _ in range(count):
        print("na\u00efve")
    return 42


@app.local_entrypoint()
def main(lines: int = 1) -> None:
    value = say.remote(lines)
    if sys.stdout is not None and not os.path.samefile("/proc/self/fd/1", "/dev/full"):
        print(value)


if __name__ == "__main__":
    with wherry.enable_output(show_progress=False), app.run():
        main()
