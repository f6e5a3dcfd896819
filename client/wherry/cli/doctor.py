"""`wherry doctor`: what this machine lacks, and what mends it."""

import contextlib
import json
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import cast

import typer

from wherry import __version__
from wherry._connection.engine import engine_here
from wherry._connection.installed import check_service_installed
from wherry._connection.server import LocalServer
from wherry._connection.settings import Settings
from wherry._connection.transport import open_transport
from wherry.cli._common import JSON_OPTION, say_sentence, show_json
from wherry.exception import ConnectionError, Error
from wherry_proto.messages import ServerInfo, ServerInfoRequest

_ANSWER_WITHIN_S = 10
_NAME = "wherry-doctor.localhost"


@dataclass(frozen=True, slots=True)
class Check:
    """One line."""

    name: str
    ok: bool
    said: str
    # The command that mends it; "" where all is well.
    mend: str = ""


def doctor(as_json: bool = JSON_OPTION) -> None:
    """Look for what this machine lacks; exit 1 if anything is wrong.

    Works without a service and without an engine. Each line that is wrong says what mends it.
    """
    found: list[Check] = []
    for check in _checks():
        found.append(check)
        if not as_json:
            _show(check)
    wrong = sum(not check.ok for check in found)
    if as_json:
        show_json({"ok": not wrong, "checks": [asdict(check) for check in found]})
    elif wrong:
        typer.echo(f"\n{wrong} of {len(found)} {'is' if wrong == 1 else 'are'} wrong.")
    else:
        typer.echo("\nAll is well.")
    if wrong:
        raise typer.Exit(1)


def _show(check: Check) -> None:
    say_sentence(f"{'✓' if check.ok else '✗'} {check.name}: {check.said}", hanging=2)
    if check.mend:
        say_sentence(f"    → {check.mend}", hanging=2)


def _checks() -> Iterator[Check]:
    yield Check("Client", True, f"wherry {__version__} on Python {platform.python_version()}, {platform.system()}")
    try:
        settings = Settings.from_environment()
    except Error as error:
        yield Check("Settings", False, str(error), "wherry config show")
        return
    yield from _of_service(settings)
    if settings.is_default_server:
        yield from _of_machine(settings)
    yield _names()


def _of_service(settings: Settings) -> Iterator[Check]:
    is_here = settings.remote is None
    try:
        if is_here and not LocalServer(settings).answers():
            if settings.is_default_server:
                yield Check("Service", True, "does not run; the next command that needs it starts it")
            else:
                yield Check("Service", False, f"nothing answers at {settings.server_url}", "unset WHERRY_SERVER_URL")
            return
        request = ServerInfoRequest(with_engine=True)
        answer = open_transport(settings).call("Server.Info", request, timeout=_ANSWER_WITHIN_S)
    except Error as error:
        # One of another version can be stopped all the same: the next command starts the right one.
        mend = "wherry server stop" if "version" in str(error) else "wherry server logs"
        yield Check("Service", False, str(error), mend if is_here else "wherry config show")
        return
    info = cast("ServerInfo", answer)
    where = f"pid {info.pid}" if info.pid else settings.server_url
    yield Check("Service", True, f"runs ({where})")
    if info.version == __version__:
        yield Check("Versions", True, f"client and service are both {__version__}")
    else:
        mend = "wherry server stop" if is_here else f"pip install 'wherry=={info.version}'"
        yield Check("Versions", False, f"the client is {__version__}, the service {info.version}", mend)
    engine = info.engine
    if engine is None:
        return
    if not is_here:
        said = f"Docker {engine.version}" if engine.reachable else engine.error
        mend = "" if engine.reachable else "wherry doctor (on the service's machine)"
        yield Check("Engine", engine.reachable, said, mend)
    elif settings.is_default_server and engine.address:
        here = engine_here().partition(" (")[0]
        if here and here != engine.address:
            said = f"the service has {engine.address} ({engine.origin}), and one started here would have {here}"
            yield Check("Engine in use", False, said, "wherry server stop")


def _of_machine(settings: Settings) -> Iterator[Check]:
    """Have the service's own code look at this machine, in a process of its own."""
    try:
        check_service_installed()
    except ConnectionError as error:
        yield Check("Installation", False, str(error), "pip install 'wherry[service]'")
        return
    command = [sys.executable, "-P", "-m", "wherry_service.doctor", "--state-dir", str(settings.state_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                with contextlib.suppress(ValueError, TypeError):
                    yield Check(**json.loads(line))
            told = process.stderr.read().strip().splitlines()
        except BaseException:
            process.kill()
            raise
    # 1: something is wrong, which it has said.
    if process.returncode not in (0, 1) or told:
        yield Check("Doctor", False, told[-1] if told else f"ended with code {process.returncode}", " ".join(command))


def _names() -> Check:
    """Look whether names below localhost are this machine, as web endpoints have them."""
    try:
        found = {str(row[4][0]) for row in socket.getaddrinfo(_NAME, 80, type=socket.SOCK_STREAM)}
    except OSError:
        found = set()
    if found and found <= {"127.0.0.1", "::1"}:
        return Check("Names", True, "*.localhost is this machine")
    mend = "apt-get install libnss-myhostname (browsers, curl and wherry do without)"
    said = f"{_NAME} is {', '.join(sorted(found))}" if found else "*.localhost is not known to this machine"
    return Check("Names", False, f"{said}, so other programs don't find web endpoints", mend)
