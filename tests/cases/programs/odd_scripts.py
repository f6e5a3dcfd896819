"""A script runs whatever its file is called, and however it is started."""

import sys

import wherry

COMMANDS = {
    "link": "ln -s {file} other_name.py && python other_name.py",
    "dots": "cp {file} my.app.v1.py && python my.app.v1.py && wherry run -q my.app.v1.py",
    "no suffix": "cp {file} tool && chmod +x tool && python tool",
    "directory": "mkdir app && cp {file} app/__main__.py && python app",
    "profiler": "python -m cProfile -o /dev/null {file}",
    "tracer": "python -m trace --count -C counted {file}",
    "module": "mkdir pkg && cp {file} pkg/mod.py && wherry run -q -m pkg.mod && python -m pkg.mod",
    "input": "python - < {file}",
}
EXPECTED = {
    "link": (0, "42\n"),
    "dots": (0, "42\n42\n"),
    "no suffix": (0, "42\n"),
    "directory": (0, "42\n"),
    "profiler": (0, "42\n"),
    "tracer": (0, "42\n"),
    "module": (0, "42\n42\n"),
    "input": (0, "42\n"),
}
app = wherry.App("case-odd-scripts")


@app.function()
def f() -> int:
    return 42


@app.local_entrypoint()
def main() -> None:
    print(f.remote())


if __name__ == "__main__":
    with app.run():
        main()
        sys.stdout.flush()
