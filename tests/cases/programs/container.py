"""Code in a container finds what programs written for Modal expect: in /root, its source there, and who it is."""

import os
import subprocess
import sys
from pathlib import Path

import wherry

COMMANDS = {"run": "wherry run -q {file} | sed 's/co-[0-9A-Z]*/co-X/'"}
EXPECTED = {
    "run": (
        0,
        "/root True True True\n/root True\n/root 1 False /root True\n/srv True\n/root True\n"
        "co-X True True 1 main\n"
        "LookupError <co-X>:/root/container.py True\n",
    )
}
app = wherry.App("case-container")
image = wherry.Image.debian_slim().add_local_file(__file__, "/root/added_to_case.py")


def places() -> str:
    there = (Path(__file__).resolve().parent / "added_to_case.py").exists()
    return f"{os.getcwd()} {there}"


@app.function(image=image)
def added() -> str:
    import added_to_case

    relative = os.path.exists("added_to_case.py") and os.path.exists("container.py")
    return f"{places()} {added_to_case.__file__ == '/root/added_to_case.py'} {relative}"


@app.function(image=image)
def child() -> str:
    code = "import os, added_to_case; print(os.getcwd(), os.path.exists(added_to_case.__file__))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def build() -> None:
    told = f"{os.getcwd()} {os.environ['MODAL_IS_REMOTE']} {os.path.exists('/root/container.py')}"
    Path("/built").write_text(told)


@app.function(image=wherry.Image.debian_slim().run_function(build).workdir("/"))
def built() -> str:
    # A build leaves no source in the image.
    return f"{Path('/built').read_text()} {os.getcwd()} {os.path.exists('/root/container.py')}"


@app.function(image=wherry.Image.debian_slim().workdir("/srv"))
def elsewhere() -> str:
    return f"{os.getcwd()} {os.path.exists('/root/container.py')}"


@app.function(serialized=True)
def by_value() -> str:
    return f"{os.getcwd()} {os.path.exists('/root/container.py')}"


@app.function(env={"MODAL_TASK_ID": "mine", "MODAL_TOKEN_ID": "theirs"})
def who() -> str:
    own = os.environ
    same = own["MODAL_TASK_ID"] == own["WHERRY_CONTAINER_ID"] and own["MODAL_TOKEN_ID"] == "theirs"
    ids = own["MODAL_IMAGE_ID"].startswith("im-") and own["WHERRY_FUNCTION_ID"].startswith("fu-")
    return f"{own['MODAL_TASK_ID']} {same} {ids} {own['MODAL_IS_REMOTE']} {own['MODAL_ENVIRONMENT']}"


@app.function()
def fails() -> None:
    raise LookupError("gone")


@app.local_entrypoint()
def main() -> None:
    for function in (added, child, built, elsewhere, by_value, who):
        print(function.remote())
    try:
        fails.remote()
    except LookupError as error:
        import linecache
        import traceback

        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(frame.filename, frame.lineno or 0)
        print(type(error).__name__, frame.filename, line.strip() == 'raise LookupError("gone")')
