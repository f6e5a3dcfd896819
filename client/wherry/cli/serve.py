"""`wherry serve`."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import typer

from wherry._connection.client import Client, default_client
from wherry._define.names import check_app_name
from wherry._publish.opening import STOPPING
from wherry.cli import _publish
from wherry.cli._common import (
    ENVIRONMENT_OPTION,
    MODAL_OPTION,
    MODULE_OPTION,
    NAME_OPTION,
    TIMESTAMPS_OPTION,
    use_modal,
)
from wherry.cli._ref import check_module, no_file
from wherry.cli._usage import UsageError
from wherry.output import screen_for_stdout
from wherry_proto.messages import AppStopRequest

# Changes that come closer together than this, in milliseconds, are one.
BURST_MS = 200
LONGEST_BURST_MS = 1600


def serve(
    ref: str = typer.Argument(help="The app: file.py, file.py::app, or package.module."),
    is_module: bool = MODULE_OPTION,
    name: str | None = NAME_OPTION,
    modal: bool = MODAL_OPTION,
    timeout: float | None = typer.Option(None, "--timeout", help="Stop after so many seconds."),
    environment: str | None = ENVIRONMENT_OPTION,
    timestamps: bool = TIMESTAMPS_OPTION,
) -> None:
    """Run an app until Ctrl-C, and reload it when it changes.

    Its functions keep their ids.
    """
    if is_module:
        check_module(ref)
    use_modal(modal)
    place = ref.partition("::")[0]
    if place.endswith(".py") and not Path(place).is_file():
        raise no_file(Path(place).resolve())
    if place == "-":
        raise UsageError("only `wherry run` reads a program from standard input: serve follows a file")
    if timeout is not None and timeout <= 0:
        raise UsageError(f"--timeout is {timeout:g}: it must be a number of seconds above 0")
    if name is not None:
        check_app_name(name)
    client = default_client()
    client.listener.screen = screen = screen_for_stdout(quiet=False, verbose=False, timestamps=timestamps)
    served = Served(client, ref, environment, name)
    stop = threading.Event()
    if timeout is not None:
        timer = threading.Timer(timeout, stop.set)
        timer.daemon = True
        timer.start()
    try:
        _ = client.session  # the app lives as long as this
        served.publish()
        served.follow(stop)
    except KeyboardInterrupt:
        typer.echo(f"wherry: {STOPPING}", err=True)
    finally:
        served.stop()
        screen.close()
    typer.echo("wherry: stopped", err=True)


class Served:
    """An app that is published anew when its source changes."""

    def __init__(self, client: Client, ref: str, environment: str | None, name: str | None = None) -> None:
        self._client = client
        self._ref = ref
        self._environment = environment or ""
        self._name = name or ""
        self._app_id = ""
        # The source that was sent last, by path, each file's hash.
        self._files: dict[str, str] = {}
        self._failed = False
        place = Path(ref.partition("::")[0])
        if place.is_file():
            self._files[str(place.resolve())] = ""

    def publish(self) -> bool:
        """Load the source in a process of its own and publish it; return whether that went well.

        What fails there says why, and leaves the last version running.
        """
        before = {path: _digest(path) for path in (*self._files, *self._around())}
        with tempfile.TemporaryDirectory(prefix="wherry-serve-") as scratch:
            report = Path(scratch) / "report"
            environ = {
                **os.environ,
                _publish.OWNER: self._client.client_id,
                _publish.APP: self._app_id,
                _publish.ENVIRONMENT: self._environment,
                _publish.NAME: self._name,
            }
            command = [sys.executable, "-m", "wherry.cli._publish", self._ref, str(report)]
            # Ctrl-C is ours to hear.
            process = subprocess.Popen(command, env=environ, start_new_session=True)
            try:
                code = process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise
            if code or not report.exists():
                kept = "the last version keeps running" if self._app_id else "nothing runs yet"
                typer.echo(f"wherry: this could not be published; {kept}. Waiting for a change.", err=True)
                # Not again until something changes: what was sent, or a module that may be the missing one.
                self._failed, self._files = True, before
                return False
            found = json.loads(report.read_text())
        is_first = not self._app_id
        self._app_id, self._files, self._failed = found["app_id"], found["files"], False
        if is_first:
            typer.echo(f"wherry: serving {found['name'] or self._ref} ({self._app_id}); Ctrl-C stops it", err=True)
        return True

    def follow(self, stop: threading.Event) -> None:
        """Publish after each burst of changes, until `stop` is set."""
        import watchfiles  # noqa: PLC0415 - start-up cost: only here; asyncio comes with it

        while not stop.is_set():
            folders = self._folders()
            changes = watchfiles.watch(
                *folders,
                watch_filter=lambda _, path: path.endswith(".py"),
                step=BURST_MS,
                debounce=LONGEST_BURST_MS,
                rust_timeout=500,
                yield_on_timeout=True,
                stop_event=stop,
                recursive=False,
            )
            for _ in changes:
                # Also after a time of quiet: what changed while the last version was being published.
                if self._is_stale():
                    began, runs = time.monotonic(), bool(self._app_id)
                    if self.publish() and runs:
                        typer.echo(f"wherry: reloaded in {time.monotonic() - began:.1f} s", err=True)
                    if self._folders() != folders:
                        break

    def stop(self) -> None:
        """Stop the app."""
        if self._app_id:
            self._client.tell("Apps.Stop", AppStopRequest(app_id=self._app_id))

    def _folders(self) -> list[str]:
        folders = sorted({str(Path(path).parent) for path in self._files})
        return folders or [os.getcwd()]

    def _around(self) -> list[str]:
        """Return the modules beside what was sent."""
        return [str(path) for folder in self._folders() for path in Path(folder).glob("*.py")]

    def _is_stale(self) -> bool:
        if self._failed and any(path not in self._files for path in self._around()):
            return True
        return any(_digest(path) != digest for path, digest in self._files.items())


def _digest(path: str) -> str:
    try:
        return f"sha256:{hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
    except OSError:
        return ""
