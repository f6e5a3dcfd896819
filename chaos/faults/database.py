"""The database can't be written for a while; where it is PostgreSQL it crashes, too, and is started again."""

import signal
import sqlite3

import sqlalchemy as sa

from chaos.faults.fault import Hit, Scene, Step
from chaos.postgres import database


def lock(scene: Scene, step: Step) -> Hit | None:
    """Hold its write lock."""
    if scene.stage.postgres is not None:
        return _lock_postgres(scene)
    connection = sqlite3.connect(
        scene.stage.state_dir / "wherry.db", timeout=1, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("begin immediate")
    except sqlite3.OperationalError:
        connection.close()
        return None

    def release() -> None:
        connection.rollback()
        connection.close()

    return Hit("wherry.db", release)


def _lock_postgres(scene: Scene) -> Hit | None:
    """Lock the tables that are written most."""
    engine = database(scene.stage.database_url).execution_options(isolation_level="READ COMMITTED")
    try:
        connection = engine.connect()
        connection.execute(sa.text("set lock_timeout = '1s'"))
        connection.execute(sa.text("lock table inputs, queue_items, dict_entries in share mode"))
    except sa.exc.DBAPIError:
        engine.dispose()
        return None

    def release() -> None:
        # The server may have crashed meanwhile: then nothing is locked.
        try:
            connection.rollback()
        except sa.exc.DBAPIError:
            connection.invalidate()
        connection.close()

    return Hit("inputs, queue_items, dict_entries", release)


def crash(scene: Scene, step: Step) -> Hit | None:
    """PostgreSQL ends as by a crash, and is started again."""
    return _down(scene, signal.SIGQUIT)


def restart(scene: Scene, step: Step) -> Hit | None:
    """PostgreSQL ends in order, throwing everybody out, and is started again."""
    return _down(scene, signal.SIGINT)


def _down(scene: Scene, number: int) -> Hit | None:
    postgres = scene.stage.postgres
    if postgres is None:
        return None
    postgres.stop(number)
    return Hit("PostgreSQL", postgres.start)
