"""A PostgreSQL server of the campaign's own, in a folder of its own, run by a user without rights."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import sqlalchemy as sa

from chaos.processes import until

_DEADLINE_S = 60.0


class Postgres:
    """Listens on a Unix socket only. Syncs what it commits, as a server does that is to be trusted."""

    def __init__(self) -> None:
        # It refuses to run as root, and so has to own its folder.
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-pg-"))
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._server: subprocess.Popen[bytes] | None = None
        options = ["--pgdata=data", "--username=wherry", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        self._started([_program("initdb"), *options]).wait(_DEADLINE_S)
        self.start()

    @property
    def url(self) -> str:
        """Where the service reaches it."""
        return f"postgresql://wherry@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._server = self._started(
            [_program("postgres"), "-D", str(self.folder / "data"), f"-k{self.folder}", "-clisten_addresses="]
        )
        until(self._answers, "PostgreSQL answers", _DEADLINE_S)

    def stop(self, number: int) -> None:
        """End it: SIGINT is a restart's, SIGQUIT is as good as a crash."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(number)
            self._server.wait(_DEADLINE_S)

    def close(self) -> None:
        """End it, and leave nothing."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _answers(self) -> bool:
        try:
            rows(self.url, "select 1")
        except sa.exc.OperationalError:
            return False
        return True

    def _started(self, command: list[str]) -> "subprocess.Popen[bytes]":
        user = self._account
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                user=user.pw_uid if user else None, group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )  # fmt: skip


def database(url: str) -> sa.Engine:
    """Return a way into a database that keeps no connection open; each statement is a transaction."""
    return sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT"
    )


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """Read a database."""
    with database(url).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def _program(name: str) -> str:
    # Debian does not put all of them on the PATH.
    found = [shutil.which(name), *map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))]
    for program in reversed(found):
        if program is not None:
            return program
    raise FileNotFoundError(f"{name} is not installed, which --postgres needs: apt-get install postgresql")
