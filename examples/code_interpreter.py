"""A code interpreter for snippets that nobody has checked, such as a language model writes.

Each runs in a sandbox without network, for 5 seconds at most, and finds the files that earlier ones have left.

    wherry run examples/code_interpreter.py
    wherry run examples/code_interpreter.py --snippet "print(2 ** 100)"
"""

import wherry

LIMIT_S = 5
SHOWN = 2000
SNIPPETS = {
    "a sum": "print(sum(n * n for n in range(1000)))",
    "a file": "open('notes.txt', 'w').write('42')",
    "the file again": "print(open('notes.txt').read())",
    "a mistake": "print(1 / 0)",
    "a way out": "import socket; socket.create_connection(('192.0.2.1', 80), timeout=3)",
    "no end": "while True: pass",
    "output without end": "while True: print('x' * 1000)",
    "memory without end": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "the host's files": "print(open('/etc/shadow').read())",
}

app = wherry.App("code-interpreter")


class Interpreter:
    """A sandbox that runs snippets one after another, and is replaced after one that had to be stopped."""

    def __init__(self) -> None:
        self._sandbox = self._new()

    def run(self, snippet: str) -> tuple[int, str]:
        """Return the snippet's exit code and the end of what it printed; 124: it took too long."""
        # Both of its streams in one, in order.
        command = ("sh", "-c", 'exec "$@" 2>&1', "sh", "python3", "-c", snippet)
        process = self._sandbox.exec(*command, timeout=LIMIT_S, workdir="/tmp", user="nobody", bufsize=0)
        printed = ""
        for piece in process.stdout:
            # One that prints without end fills neither memory nor screen.
            printed = (printed + piece)[-SHOWN:]
        code = process.wait()
        if code in (124, 137):
            # What it has started may still be there: no later snippet shall meet it.
            self.close()
            self._sandbox = self._new()
        return code, printed

    def close(self) -> None:
        """End the sandbox, with all that snippets have left running in it."""
        self._sandbox.terminate()

    @staticmethod
    def _new() -> wherry.Sandbox:
        # Its own timeouts are the last resort: they hold even if this program is killed.
        return wherry.Sandbox.create(app=app, block_network=True, timeout=600, idle_timeout=60, memory=(64, 256))


@app.local_entrypoint()
def main(snippet: str = "") -> None:
    """Run one snippet, or some that behave and some that do not."""
    interpreter = Interpreter()
    for name, source in {"yours": snippet}.items() if snippet else SNIPPETS.items():
        code, printed = interpreter.run(source)
        verdict = {0: "fine", 124: f"stopped after {LIMIT_S} s"}.get(code, f"failed with code {code}")
        last = printed.strip().splitlines()[-1:] or ["(printed nothing)"]
        print(f"{name}: {verdict}: {last[0][-80:]}")
    interpreter.close()
