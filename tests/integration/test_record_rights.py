"""What records tell of the log: only to who may read logs, by whatever way they are asked for."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_isolation import World, run
from wherry.exception import NotFoundError
from wherry_proto.messages import (
    AuditListRequest,
    AuditListResponse,
    CallKind,
    RecordShowRequest,
    RecordShowResponse,
    RecordState,
)
from wherry_service.api.callers import Caller, ask
from wherry_service.api.logins import Session
from wherry_service.errors import NotFound
from wherry_service.ids import call_of_input, new_id
from wherry_service.store.call_records import CallRecordStore, StoredRecord
from wherry_service.ui.page import Asked, Data, Kept, Page
from wherry_service.ui.pages import call, container

LINE = "ValueError: only who reads logs sees this"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


async def fail(world: World) -> str:
    """Have a record of an input that failed, and in the log how; return its id."""
    input_id, container_id, now_ms = new_id("in"), new_id("co"), int(time.time() * 1000)
    call_id = call_of_input(input_id)
    stores = world.service.parts.stores
    rows = [(2, input_id, now_ms, line, False) for line in ("Traceback (most recent call last):", LINE)]
    stores.logs.append(world.app_id, world.function_id, container_id, rows, {input_id: call_id})
    times = (now_ms, now_ms, now_ms)
    names = ("main", world.app_id, "app", world.function_id, "f", "", 1)
    record = StoredRecord(
        input_id, call_id, 0, "", *names, CallKind.MAP, RecordState.FAILED, *times, container_id, 0, 0, 1, 0, "E", "[]"
    )
    await CallRecordStore(stores.database).put([record])
    return input_id


def told(answer: RecordShowResponse) -> tuple[str, str]:
    """Return an input's error, and the last line of its traceback."""
    (detail,) = answer.records
    assert detail.record is not None
    return detail.record.error, detail.traceback.rpartition("\n")[2]


async def shown_by(page: Page, caller: Caller, **parts: str) -> Data:
    """Return what a page of the dashboard shows."""
    session = Session("", "tk-1", "", 0)
    nothing: Any = None
    return await page.data(Asked(nothing, session, caller, Kept(), "main", parts))


def test_a_traceback_is_shown_only_to_who_may_read_logs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        request = RecordShowRequest(record_id=await fail(world))
        assert told(await world.ask(world.local, "Records.Show", request)) == ("E", LINE)
        callers = world.service.handlers.callers
        for scopes, line in ((["invoke"], ""), (["deploy"], LINE), (["invoke", "deploy"], LINE), (["admin"], LINE)):
            made = await world.token(scopes, ["main"])
            assert made.token is not None
            over_tcp = world.connect(made.token.token_id, made.secret, made.certificate)
            assert told(await world.ask(over_tcp, "Records.Show", request)) == ("E", line), scopes
            # As the HTTP API asks, and as the dashboard does.
            by_secret = callers.by_secret(made.token.token_id, made.secret, "127.0.0.1:1")
            by_token = callers.by_token(made.token.token_id, "127.0.0.1:1")
            for caller in (by_secret, by_token):
                assert told(await ask(caller, "Records.Show", request)) == ("E", line), scopes
            shown = await shown_by(call.PAGE, by_token, id=request.record_id)
            assert (shown["record"].error, shown["traceback"].rpartition("\n")[2]) == ("E", line), scopes
            assert [one.text for one in shown["lines"]][1:] == ([line] if line else []), scopes
            container_id = shown["record"].container_id
            if line:
                shown = await shown_by(container.PAGE, by_token, container=container_id)
                assert [one.text for one in shown["lines"]][1:] == [line], scopes
            else:
                # Of this one there is nothing but lines.
                with pytest.raises(NotFound):
                    await shown_by(container.PAGE, by_token, container=container_id)
        stranger = await world.member(["admin"], ["elsewhere"])
        with pytest.raises(NotFoundError):
            await world.ask(stranger, "Records.Show", request)
        # Nothing of this was asked in vain but by the stranger.
        audit: AuditListResponse = await world.ask(world.local, "Audit.List", AuditListRequest())
        assert "Logs.Read" not in {entry.action for entry in audit.entries}

    run(tmp_path, scenario)
