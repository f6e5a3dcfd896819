"""Where attacks run: in a function's container, in a sandbox, in a step of an image's build."""

import contextlib
import inspect
import io
import json
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import wherry
from tests.hostile import inside
from tests.waiting import wait_until

Attack = Callable[..., Any] | str
"""A function of its arguments that imports what it needs by itself, or text for the shell."""


@dataclass(frozen=True)
class Got:
    """What an attacker got: a value, or an error of that type."""

    value: Any = None
    error: str = ""
    errno: int | None = None
    text: str = ""

    @property
    def refused(self) -> bool:
        """Whether it got an error, whichever."""
        return bool(self.error)


class Place(Protocol):
    """Where attacks run."""

    name: str

    def attack(self, attack: Attack, *args: Any, timeout_s: float = 10.0) -> Got:
        """Run an attack there, in a process of its own, with arguments that JSON can carry.

        A function's value must be one as well. Text for the shell gets [exit code, what it printed].
        """


class FunctionPlace:
    """In a container of the app `attacker`."""

    name = "function"

    def __init__(self, function: wherry.Function[..., Any]) -> None:
        self._function = function

    def attack(self, attack: Attack, *args: Any, timeout_s: float = 10.0) -> Got:
        return _got(self._function.remote(_program(attack, args), timeout_s))


class SandboxPlace:
    """In a sandbox that is there for it."""

    name = "sandbox"

    def __init__(self, sandbox: wherry.Sandbox) -> None:
        self.sandbox = sandbox
        source = inspect.getsource(inside)
        self._process = sandbox.exec("python3", "-u", "-c", f"{source}\nserve_lines()\n")
        self._answers = iter(self._process.stdout)

    def attack(self, attack: Attack, *args: Any, timeout_s: float = 10.0) -> Got:
        self._process.stdin.write(_job(attack, args, timeout_s) + "\n")
        self._process.stdin.drain()
        line = next(self._answers, "")
        assert line, f"the sandbox no longer answers: {self._process.stderr.read()}"
        return _got(line)


class BuildPlace:
    """In a step of an image's build, `Image.run_function`; jobs and answers are files of a volume."""

    name = "build"

    def __init__(self, volume: wherry.Volume) -> None:
        self._volume = volume
        self._number = 0

    def attack(self, attack: Attack, *args: Any, timeout_s: float = 10.0) -> Got:
        number, self._number = self._number, self._number + 1
        self._put(f"job-{number}", _job(attack, args, timeout_s))
        return _got(wait_until(lambda: self._read(f"answer-{number}"), "the build answers", timeout_s + 60))

    def stop(self) -> None:
        """Have it end."""
        self._put("stop", "")

    def _put(self, name: str, text: str) -> None:
        with self._volume.batch_upload() as batch:
            batch.put_file(io.BytesIO(text.encode()), f"/{name}")

    def _read(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return b"".join(self._volume.read_file(name)).decode()
        return ""


@contextlib.contextmanager
def function_place() -> Iterator[FunctionPlace]:
    from tests.hostile import attacker  # its app is made for the service that runs by now

    with attacker.app.run():
        yield FunctionPlace(attacker.attack)


@contextlib.contextmanager
def sandbox_place(**options: Any) -> Iterator[SandboxPlace]:
    """A sandbox with these options of `Sandbox.create`."""
    sandbox = wherry.Sandbox.create(image=wherry.Image.debian_slim(), timeout=1200, **options)
    try:
        yield SandboxPlace(sandbox)
    finally:
        sandbox.terminate()


@contextlib.contextmanager
def build_place() -> Iterator[BuildPlace]:
    from tests.hostile import attacker

    with wherry.Volume.ephemeral() as volume:
        image = wherry.Image.debian_slim().run_function(
            attacker.build, args=("/jobs",), volumes={"/jobs": volume}, force_build=True, timeout=1200
        )
        ended: list[BaseException] = []

        def run() -> None:
            try:
                image.build()
            except BaseException as error:  # noqa: BLE001 - it is looked at below
                ended.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        place = BuildPlace(volume)
        yield place
        place.stop()
        thread.join(30)
        assert "SystemExit: 3" in str(ended), ended


def _job(attack: Attack, args: tuple[Any, ...], timeout_s: float) -> str:
    return json.dumps({"program": _program(attack, args), "timeout_s": timeout_s})


def _program(attack: Attack, args: tuple[Any, ...]) -> str:
    if isinstance(attack, str):
        attack, args = _shell, (attack, *args)
    source = textwrap.dedent(inspect.getsource(attack))
    return (
        f"{source}\nimport json\n"
        "try:\n"
        f"    got = {{'value': {attack.__name__}(*json.loads({json.dumps(args)!r}))}}\n"
        "except BaseException as error:\n"
        "    got = {'error': type(error).__name__, 'errno': getattr(error, 'errno', None), 'text': str(error)}\n"
        f"print('\\n' + {inside.MARK!r} + json.dumps(got, default=repr))\n"
    )


def _shell(text: str, *args: str) -> list[object]:
    import subprocess

    ran = subprocess.run(
        ["sh", "-c", text, "attack", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return [ran.returncode, ran.stdout]


def _got(answer: str) -> Got:
    return Got(**json.loads(answer))
