"""`wherry server`: the local service."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import typer

from wherry._base.words import counted
from wherry._connection.installed import check_service_installed
from wherry._connection.server import LocalServer
from wherry._connection.settings import Settings, default_state_dir
from wherry._connection.transport import open_transport
from wherry._connection.transport.transport import Transport
from wherry._connection.unit import Unit
from wherry._screen.output import waited
from wherry._screen.stream import ScreenStream
from wherry.cli import secret
from wherry.cli._common import JSON_OPTION, in_words, show_json, tell, time_of, when
from wherry.cli._disk import described, lines, warnings
from wherry.cli._monitoring import metrics
from wherry.cli._own_log import OwnLog
from wherry.cli._usage import UsageError
from wherry.exception import ConnectionError, InvalidError
from wherry.output import screen_for_stderr
from wherry_proto.messages import (
    EngineInfo,
    HostLoad,
    IsolationInfo,
    NetworkIsolation,
    ServerInfo,
    ServerInfoRequest,
    ServerStopRequest,
    ServerStopResponse,
)

group = typer.Typer(help="Manage the service.", no_args_is_help=True)

STOP_DEADLINE_S = 60.0
# The exit code of `status` where the service runs and its engine does not answer.
NO_ENGINE = 3

group.command("metrics")(metrics)


@group.command()
def run(
    config: Path | None = typer.Option(None, "--config", help="YAML file of settings (docs/configuration.md)."),
    listen: str | None = typer.Option(None, "--listen", metavar="HOST:PORT", help="Listen for TCP too."),
    dev_tls: bool = typer.Option(False, "--dev-tls", help="Make a certificate, for clients to pin."),
) -> None:
    """Run the service in the foreground.

    Ctrl-C or SIGTERM stops it; a second one ends running inputs at once.
    """
    check_service_installed()
    command = [sys.executable, "-P", "-m", "wherry_service"]
    if config is not None:
        command += ["--config", str(config)]
    command += ["--default-state-dir", str(default_state_dir())]
    if listen is not None:
        command += ["--listen", listen]
    if dev_tls:
        command.append("--dev-tls")
    os.execv(command[0], command)


@group.command()
def notify(
    test: bool = typer.Option(False, "--test", help="Send a test event."),
    config: Path | None = typer.Option(None, "--config", help="YAML file of settings (docs/configuration.md)."),
) -> None:
    """Send a test event to the webhook of the settings.

    Exits with 1, and says why, if the webhook does not take it.
    """
    if not test:
        raise UsageError("say --test: it sends an event to notify.url")
    check_service_installed()
    command = [sys.executable, "-P", "-m", "wherry_service", "--test-notify"]
    if config is not None:
        command += ["--config", str(config)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@group.command()
def start(as_json: bool = JSON_OPTION) -> None:
    """Start the local service, unless it runs."""
    settings = _local_settings("start")
    transport = _transport(settings)
    with waited(screen_for_stderr(), "The service starts"):
        started = LocalServer(settings).ensure(transport)
    info = _info(transport)
    if as_json:
        show_json({**_described(info), "started": started})
    else:
        typer.echo(f"The service {'is' if started else 'was already'} running (pid {info.pid}, {settings.state_dir}).")


@group.command()
def status(as_json: bool = JSON_OPTION) -> None:
    """Show whether the service runs: exit 1 if not, 3 without engine."""
    settings = Settings.from_environment()
    if settings.remote is None and not LocalServer(settings).answers():
        if as_json:
            show_json({"running": False, "state_dir": str(settings.state_dir)})
        else:
            typer.echo(f"No service is running ({settings.socket}).")
        raise typer.Exit(1)
    info = _info(_transport(settings), with_engine=True)
    if as_json:
        show_json(_described(info))
    else:
        _show(info, settings)
    if info.engine is not None and not info.engine.reachable:
        raise typer.Exit(NO_ENGINE)


def _show(info: ServerInfo, settings: Settings) -> None:
    engine = info.engine
    process = f"pid {info.pid}" if info.pid else settings.server_url
    _line(f"The service is running: wherry {info.version}, {process}, started {when(info.started_at_ms)}.")
    if info.state_dir:
        _line(f"State: {info.state_dir}")
    if engine is not None:
        where = f" at {engine.address} ({engine.origin})" if engine.address else ""
        _line(f"Engine: Docker {engine.version}{where}" if engine.reachable else f"Engine: {engine.error}")
    if (isolation := info.isolation) is not None:
        _line(f"Isolation: {_sentence(isolation)}")
        if isolation.network_problem:
            _line(f"  Network: {isolation.network_problem}")
        if isolation.build_runtime:
            _line(f"  Image builds: {_builds(isolation)}")
    for line in lines(info.disks):
        _line(f"Disk: {line}")
    if settings.is_default_server and (unit := Unit(settings.state_dir)).is_installed:
        _line(f"Starts with this machine: {unit.name}")
    if info.load is not None:
        _line(f"Load: {_load(info.load)}")
    _line(f"Apps: {info.num_apps}, containers: {info.num_containers}")
    for line in warnings(info.disks):
        tell(line)


@group.command()
def stop(
    force: bool = typer.Option(False, "--force", help="End running inputs now instead of letting them finish."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Stop the service and all its containers."""
    settings = _local_settings("stop")
    if not LocalServer(settings).answers():
        if as_json:
            show_json({"stopped": False, "containers": 0})
        else:
            typer.echo("No service is running.")
        return
    transport = _transport(settings)
    with waited(screen_for_stderr(), "The service stops: what runs gets some seconds to end"):
        answer = cast("ServerStopResponse", transport.call("Server.Stop", ServerStopRequest(force=force)))
        wait_until_gone(settings)
    if as_json:
        show_json({"stopped": True, "containers": answer.num_containers_stopped})
    else:
        typer.echo(f"Stopped the service and {counted(answer.num_containers_stopped, 'container')}.")


@group.command()
def logs(
    follow: bool = typer.Option(False, "-f", "--follow", help="Go on showing lines as they come."),
    lines: int = typer.Option(100, "-n", "--lines", help="How many lines from the end.", min=0),
) -> None:
    """Show the service's log."""
    with OwnLog(LocalServer(_local_settings("logs")).log_path) as log:
        try:
            for line in log.tail(lines):
                typer.echo(line, nl=False)
        except (FileNotFoundError, NotADirectoryError):
            typer.echo(f"There is no log yet ({log.path}).", err=True)
            raise typer.Exit(1) from None
        except OSError as error:
            raise InvalidError(f"the log {log.path} can't be read: {error.strerror}") from None
        while follow:
            if line := log.next_line():
                typer.echo(line, nl=False)
            else:
                time.sleep(0.2)


@group.command("rotate-key")
def rotate_key(as_json: bool = JSON_OPTION) -> None:
    """Encrypt all secrets with a new key.

    As `wherry secret rotate` does.
    """
    secret.rotate(as_json)


def _local_settings(command: str) -> Settings:
    settings = Settings.from_environment()
    if settings.remote is not None:
        raise InvalidError(
            f"`wherry server {command}` is for a service on this machine, and {settings.remote.url} is in use: "
            "run it there, or unset WHERRY_SERVER_URL or the profile (`wherry profile use`)"
        )
    return settings


def _transport(settings: Settings) -> Transport:
    return open_transport(settings)


def _info(transport: Transport, with_engine: bool = False) -> ServerInfo:
    request = ServerInfoRequest(with_engine=with_engine)
    return cast("ServerInfo", transport.call("Server.Info", request, timeout=10))


def _described(info: ServerInfo) -> dict[str, object]:
    engine = info.engine
    return {
        "running": True,
        "version": info.version,
        "pid": info.pid,
        "started_at": time_of(info.started_at_ms),
        "state_dir": info.state_dir,
        "engine": _engine(engine) if engine else None,
        "isolation": _isolation(info.isolation) if info.isolation else None,
        "disks": described(info.disks),
        "load": _load_fields(info.load) if info.load else None,
        "apps": info.num_apps,
        "containers": info.num_containers,
    }


def _line(text: str) -> None:
    typer.echo(in_words(text, ScreenStream(sys.stdout)))


def _load_fields(load: HostLoad) -> dict[str, object]:
    return {
        "cores": load.cores,
        "free_cores": round(load.free_cores, 3),
        "memory_mib": load.memory_mib,
        "free_memory_mib": load.free_memory_mib,
        "busy": round(load.busy, 3),
        "waiting": load.num_waiting,
    }


def _load(load: HostLoad) -> str:
    inputs = f"{counted(load.num_waiting, 'input')} waiting"
    memory = f"{load.free_memory_mib} of {load.memory_mib} MiB"
    free = f"{load.free_cores:.3g} of {load.cores:g} cores and {memory} not reserved"
    return f"{free}, processors {load.busy:.0%} busy, {inputs}"


def _engine(info: EngineInfo) -> dict[str, object]:
    return {
        "reachable": info.reachable,
        "version": info.version,
        "error": info.error,
        "address": info.address,
        "origin": info.origin,
    }


_NETWORKS = {
    NetworkIsolation.FULL: ("isolated", "isolated network"),
    NetworkIsolation.PARTIAL: ("partial", "network only partly isolated"),
    NetworkIsolation.OFF: ("off", "network shared with other containers"),
}


def _isolation(info: IsolationInfo) -> dict[str, object]:
    return {
        "runtime": info.runtime,
        "sandbox_runtime": info.sandbox_runtime,
        "network": _NETWORKS.get(info.network, ("unknown", ""))[0],
        "network_problem": info.network_problem,
        "user_namespaces": info.user_namespaces,
        "memory_limit_mib": info.memory_limit_mib or None,
        "user": info.user or None,
        "build_runtime": info.build_runtime or None,
        "build_memory_limit_mib": None,
    }


def _sentence(info: IsolationInfo) -> str:
    sandboxes = f" (sandboxes: {info.sandbox_runtime})" if info.sandbox_runtime != info.runtime else ""
    limit = f"{info.memory_limit_mib} MiB" if info.memory_limit_mib else "none"
    parts = (
        f"runtime {info.runtime or 'unknown'}{sandboxes}",
        _NETWORKS.get(info.network, ("", "network unknown"))[1],
        f"{'' if info.user_namespaces else 'no '}user namespaces",
        f"default memory limit {limit}",
        *((f"user {info.user}",) if info.user else ()),
    )
    return ", ".join(parts)


def _builds(info: IsolationInfo) -> str:
    lacks = [f"runtime {info.build_runtime}"] if info.build_runtime != info.runtime else []
    lacks += ["no memory limit"] if info.memory_limit_mib else []
    what = f"RUN steps have {' and '.join(lacks)}" if lacks else "RUN steps are contained as functions are"
    return f"{what}, and the engine's default network" + ("; Docker has no such settings for builds" if lacks else "")


def wait_until_gone(settings: Settings) -> None:
    """Wait until the service has let go of its lock: only then is everything cleaned up."""
    import fcntl  # noqa: PLC0415 - not on Windows, where no service runs

    lock = settings.state_dir / "server.lock"
    deadline = time.monotonic() + STOP_DEADLINE_S
    while time.monotonic() < deadline:
        if not lock.exists():
            return
        with lock.open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.02)
            else:
                return
    raise ConnectionError(f"the service has not ended after {STOP_DEADLINE_S:.0f} s; see `wherry server logs`")
