"""Sees what went wrong, and has the webhook told of it."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from wherry_proto.messages import ScheduledState, ScheduleInfo
from wherry_service import __version__
from wherry_service.apps.app import App
from wherry_service.assembly import Parts
from wherry_service.notify.settings import (
    CRASH_LOOP,
    DEPLOY_FAILED,
    DISK_LOW,
    INPUTS_FAILED,
    SCHEDULE_FAILED,
    SERVICE_RESTARTED,
)
from wherry_service.pools.container import Home
from wherry_service.store.away import left_for_later
from wherry_service.store.failed_inputs import Failed

# Seconds between two looks at the schedules and the disk.
LOOK_EVERY_S = 10.0
# Percent more than the limit that must be free before the disk may be low again.
_RISE = 2.0
# Failed inputs that one notification names.
MOST_NAMED = 20
_LIFE = "life"
_RUNS, _STOPPED = "runs\n", "stopped\n"


class Watchman:
    """Knows what is worth a notification. Begins nothing where there is no webhook."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._notifier = parts.basics.notifier
        self._life = parts.basics.state_dir / _LIFE
        # When each function's last scheduled run that was seen had ended.
        self._seen: dict[str, int] | None = None
        self._is_low = False
        # Inputs that failed since the last look, by app and function: how many, the first ones, and an error.
        self._failed: dict[tuple[str, str], tuple[int, list[str], str]] = {}

    def begin(self) -> None:
        """Listen to those who know, and tell that the service began again, where it had run before. Blocks shortly."""
        self._parts.published.deployments.on_failed.append(self._deploy_failed)
        self._parts.work.dispatcher.on_crash_loop.append(self._crash_loop)
        self._parts.work.failures.on_failed.append(self._inputs_failed)
        self._notifier.begin()
        before = _read(self._life)
        _write(self._life, _RUNS)
        if before:
            was_killed = before == _RUNS
            how = "The one before was killed, or the machine went down." if was_killed else "It had been stopped."
            text = f"The Wherry service has started again. {how}"
            self._notifier.tell(SERVICE_RESTARTED, "", text, {"was_killed": was_killed, "wherry": __version__})

    def close(self) -> None:
        """Note that the service was stopped in order, and send what waits."""
        _write(self._life, _STOPPED)
        self._notifier.close()

    async def run(self) -> None:
        """Look from time to time, until cancelled."""
        while self._notifier.is_on:
            with left_for_later():
                await self._look_at_schedules()
            self._tell_of_inputs()
            self._look_at_disk()
            await asyncio.sleep(LOOK_EVERY_S)

    # What is heard of

    def _deploy_failed(self, app: App, error: str) -> None:
        record = app.record
        self._notifier.tell(
            DEPLOY_FAILED,
            record.app_id,
            f"A new version of app {record.name} did not start. The version before serves on, if there is one.",
            {**self._of_app(record.app_id), "error": self._masked(record.app_id, error)},
        )

    def _crash_loop(self, pool: Home, error: str) -> None:
        load = pool.plan.load
        self._notifier.tell(
            CRASH_LOOP,
            # All variants of a function have its name.
            f"{load.app_id} {pool.plan.name}",
            f"Containers of function {pool.plan.name} end before they can work, one after the other.",
            {**self._of_app(load.app_id), "function": pool.plan.name, "error": self._masked(load.app_id, error)},
        )

    def _inputs_failed(self, failed: Sequence[Failed]) -> None:
        """Gather what fails until the next look: a job may have many that do."""
        if not self._notifier.wants(INPUTS_FAILED):
            return
        for one in failed:
            count, ids, error = self._failed.get((one.app_id, one.function_name), (0, [], one.error))
            if len(ids) < MOST_NAMED:
                ids.append(one.input_id)
            self._failed[one.app_id, one.function_name] = count + 1, ids, error

    def _tell_of_inputs(self) -> None:
        failed, self._failed = self._failed, {}
        for (app_id, function), (count, ids, error) in failed.items():
            facts = self._of_app(app_id)
            inputs = "1 input" if count == 1 else f"{count} inputs"
            chosen = f" --app {facts['app']}" if facts["app"] else ""
            where = f" -e {facts['environment']}" if facts["environment"] not in ("", "main") else ""
            self._notifier.tell(
                INPUTS_FAILED,
                f"{app_id} {function}",
                f"{inputs} of function {function} failed, spawned or scheduled ones.",
                {
                    **facts,
                    "function": function,
                    "count": count,
                    "input_ids": ids,
                    "error": error,
                    "command": f"wherry call show {ids[0]}{where}"
                    if count == 1
                    else f"wherry call list --failed{chosen} --function {function}{where}",
                },
            )

    # What is looked for

    async def _look_at_schedules(self) -> None:
        if not self._notifier.wants(SCHEDULE_FAILED):
            return
        found = await self._parts.work.schedules.all()
        before, self._seen = self._seen, {}
        for one in found:
            last = one.last_ended
            ended_ms = (last.finished_at_ms or last.tick_ms) if last is not None else 0
            self._seen[one.function_id] = ended_ms
            is_new = before is not None and ended_ms > before.get(one.function_id, 0)
            if is_new and last is not None and last.state in (ScheduledState.FAILED, ScheduledState.SKIPPED):
                self._schedule_failed(one)

    def _schedule_failed(self, one: ScheduleInfo) -> None:
        last = one.last_ended
        assert last is not None
        was_skipped = last.state == ScheduledState.SKIPPED
        self._notifier.tell(
            SCHEDULE_FAILED,
            one.function_id,
            f"A scheduled run of function {one.function_name} {'was not started' if was_skipped else 'failed'}.",
            {
                **self._of_app(one.app_id),
                "function": one.function_name,
                "call_id": last.call_id,
                "error": self._masked(one.app_id, last.error),
            },
        )

    def _look_at_disk(self) -> None:
        limit = self._notifier.settings.disk_free
        if not limit or not self._notifier.wants(DISK_LOW):
            return
        try:
            usage = shutil.disk_usage(self._parts.basics.state_dir)
        except OSError:
            return
        free = 100 * usage.free / usage.total if usage.total else 100.0
        if free < limit and not self._is_low:
            self._is_low = True
            text = f"The disk of the Wherry service is nearly full: {free:.1f} % are free."
            self._notifier.tell(DISK_LOW, "", text, {"free_bytes": usage.free, "free_percent": round(free, 1)})
        elif free > limit + _RISE:
            self._is_low = False

    # What is told

    def _of_app(self, app_id: str) -> dict[str, str]:
        register = self._parts.published.apps.register
        record = register.running(app_id).record if register.is_running(app_id) else None
        name, environment = (record.name, record.environment) if record is not None else ("", "")
        return {"app_id": app_id, "app": name, "environment": environment}

    def _masked(self, app_id: str, error: str) -> str:
        """Return an error's first line, with **** for what are values of the app's secrets."""
        return self._parts.stores.masks.masker(app_id).text(error.strip().partition("\n")[0])


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:
        # A full disk: then nothing is known of this life.
        return
