"""An app that runs, or is deployed, under another name than its code gives it: its functions find each other."""

import sys

import wherry

COMMANDS = {
    "run": "wherry run -q --name case-other-name-of-a-run {file}::outer",
    "deploy": "wherry deploy -q --name case-other-name-deployed {file} >/dev/null && python {file}",
    "program": "python {file} run",
}
EXPECTED = {"run": (0, "21 3\n"), "deploy": (0, "21 3\n"), "program": (0, "21 3\n")}

app = wherry.App("case-other-name")


@app.function()
def inner(x: int) -> int:
    return x * 10


@app.cls()
class Made:
    @wherry.method()
    def by(self, x: int) -> int:
        return x + 1


@app.function()
def outer(x: int = 2) -> str:
    return f"{inner.remote(x) + 1} {Made().by.remote(x)}"


if __name__ == "__main__":
    if sys.argv[1:]:
        with app.run(name="case-other-name-of-a-program"):
            print(outer.remote())
    else:
        print(wherry.Function.from_name("case-other-name-deployed", "outer").remote())
