"""The button that runs failed inputs of a call again."""

import asyncio
from typing import Any

import pytest

from wherry_proto.messages import (
    Record,
    RecordDetail,
    RecordShowRequest,
    RecordShowResponse,
    ReplayedInput,
    ReplayRunRequest,
    ReplayRunResponse,
    ReplayVersion,
)
from wherry_service.api.logins import Session
from wherry_service.errors import NotFound
from wherry_service.ui.page import Asked, Done, Kept
from wherry_service.ui.pages.call import run_again
from wherry_service.ui.web import Place, Request


class Service:
    """Knows a call's inputs, which of them are kept, and which can't be run."""

    def __init__(self, kept: dict[str, bool], problems: dict[str, str]) -> None:
        self.runs: list[ReplayRunRequest] = []
        self._kept = kept
        self._problems = problems

    def handler(self, name: str) -> Any:
        return {"Records.Show": self._show, "Replays.Run": self._run}[name]

    async def _show(self, request: RecordShowRequest) -> RecordShowResponse:
        records = [Record(input_id=one, call_id="fc-1", kept=kept) for one, kept in self._kept.items()]
        return RecordShowResponse(records=[RecordDetail(record=record) for record in records])

    async def _run(self, request: ReplayRunRequest) -> ReplayRunResponse:
        self.runs.append(request)
        return ReplayRunResponse(
            inputs=[
                ReplayedInput(input_id=one, problem=self._problems[one])
                if one in self._problems
                else ReplayedInput(input_id=one, new_input_id=f"{one}-again", call_id="fc-2")
                for one in request.input_ids
            ]
        )


def again(service: Service, **form: str) -> Done:
    async def nothing() -> dict[str, Any]:
        return {}

    request = Request({"path": "/", "query_string": b"", "headers": []}, nothing, Place("h", "", False), "http", "")
    asked = Asked(request, Session("k", "", "h", 0), service, Kept(), "dev", parts={"id": "fc-1"})
    return asyncio.run(run_again(asked, form))


def test_what_is_kept_runs_and_the_page_of_its_new_call_follows() -> None:
    service = Service({"in-1": True, "in-2": False}, {})
    done = again(service)
    assert (done.path, done.said) == ("/calls/fc-2", "1 failed input run again.")
    (run,) = service.runs
    assert (run.input_ids, run.environment, run.version) == (["in-1"], "dev", ReplayVersion.NEWEST)
    assert run.operation_id.startswith("op-")


def test_of_several_the_page_stays_and_says_which_could_not() -> None:
    service = Service({"in-1": True, "in-2": True}, {"in-2": "its version is gone"})
    done = again(service, version="failed")
    assert done.path == "/calls/fc-1"
    assert done.said == "1 failed input run again. in-2: its version is gone."
    assert service.runs[0].version == ReplayVersion.FAILED


def test_where_nothing_is_kept_that_is_said() -> None:
    with pytest.raises(NotFound, match="nothing is kept of fc-1"):
        again(Service({"in-1": False}, {}))
