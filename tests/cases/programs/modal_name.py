"""A program that imports modal runs as it is with --modal, also what its containers start, and functions of builds."""

import subprocess
import sys

import modal
from modal.exception import NotFoundError
from modal.functions import FunctionCall

COMMANDS = {
    "option": "wherry run -q --modal {file}",
    "variable": "WHERRY_MODAL=1 python -m wherry run -q {file}",
    "unasked": "wherry run -q {file} 2>&1 | tail -1",
    "shell": "wherry shell --modal {file}::built --cmd 'python3 -c \"import modal; print(modal.__name__)\"'",
}
EXPECTED = {
    "option": (0, "NotFoundError there is no dict True\nwherry True\nwherry\nwherry\n"),
    "variable": (0, "NotFoundError there is no dict True\nwherry True\nwherry\nwherry\n"),
    "unasked": (1, "hint: programs that `import modal` run as they are with --modal, or WHERRY_MODAL=1\n"),
    "shell": (0, "wherry\n"),
}


def build() -> None:
    import modal
    from modal import App

    with open("/built", "w") as file:
        file.write(App.__module__.partition(".")[0] + " " + str(modal.App is App))


app = modal.App("case-modal-name")


@app.function()
def raises() -> None:
    raise NotFoundError("there is no dict")


@app.function(image=modal.Image.debian_slim().run_function(build))
def built() -> str:
    with open("/built") as file:
        return file.read()


@app.function()
def started() -> str:
    code = "import modal; print(modal.__name__)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@app.function(serialized=True)
def by_value() -> str:
    return modal.__name__


@app.local_entrypoint()
def main() -> None:
    call = raises.spawn()
    try:
        FunctionCall.from_id(call.object_id).get()
    except NotFoundError as error:
        print(type(error).__name__, error, isinstance(error, modal.exception.Error))
    print(built.remote())
    print(started.remote())
    print(by_value.remote())
