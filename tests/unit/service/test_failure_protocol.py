"""The protocol of failed inputs, checked by trying every order of commits, failed writes and restarts.

The rules: an input that failed is kept once, with its argument, and one input tells of it, whatever happens between.
"""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from tests.explore import explore, go_well
from tests.fakes.gated_database import GatedDatabase
from tests.unit.service.test_journal_protocol import JournalWorld
from wherry_proto.messages import CallKind, Failure, FailureKind
from wherry_service.calls import journal as journal_module
from wherry_service.calls import writing
from wherry_service.calls.call import Input
from wherry_service.calls.failures import Around, Facts
from wherry_service.store.calls import Cause
from wherry_service.store.schema import failed_inputs, inputs

TOLD = "fu-told"


class FailingWorld(JournalWorld):
    """All that is asked fails, and a function hears of it."""

    def __init__(self, database: GatedDatabase, count: int, failures: int, restarts: int) -> None:
        database.empty(failed_inputs)
        super().__init__(database, [CallKind.SPAWN] * count, failures, restarts, 0, False)
        # The argument of what tells is no file.
        self.blobs.here.add("")

    def begin_life(self) -> None:
        super().begin_life()
        facts = Facts("ap-1", "app", "main", "f", 1, TOLD)
        self.journal._failures.begin(Around(lambda *_: facts, lambda _, text: text, self.run))

    def run(self, items: Sequence[Input]) -> None:
        self.journal.restore(items)
        self.queue.extend(items)

    def end(self, item: Input, **how: Any) -> None:
        if item.call.function_id != TOLD:
            how = {"failure": Failure(kind=FailureKind.EXCEPTION, type_name="ValueError", message="no")}
        super().end(item, **how)

    def check(self) -> None:
        written = self.database.rows(sa.select(failed_inputs.c.input_id, failed_inputs.c.blob_id))
        for _, blob_id in written:
            assert blob_id in self.blobs.here, "an argument went that is kept"
        told = self.database.rows(sa.select(inputs.c.origin).where(inputs.c.cause == Cause.TELL))
        assert sorted(row.origin for row in told) == sorted(row.input_id for row in written), "kept, and not told of"

    async def finish(self) -> None:
        await go_well(self, self._is_over, lambda step: step not in ("fail", "restart"))
        ids = sorted(one.input_id for one in self.asked)
        assert sorted(row.input_id for row in self.database.rows(sa.select(failed_inputs.c.input_id))) == ids
        told = sa.select(inputs.c.origin, inputs.c.output).where(inputs.c.cause == Cause.TELL)
        rows = self.database.rows(told)
        assert sorted(row.origin for row in rows) == ids
        assert all(row.output for row in rows), "nobody heard of it"
        assert not self.journal._inputs, "an input is in memory that is over"
        assert not self.journal._failures._telling, "one that tells is in memory, and is over"


@pytest.mark.parametrize(("count", "failures", "restarts", "depth"), [(1, 1, 1, 6), (2, 1, 1, 4)], ids=["one", "two"])
def test_no_order_of_events_loses_a_failed_input_or_tells_of_it_twice(
    gated_database: GatedDatabase,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    failures: int,
    restarts: int,
    depth: int,
) -> None:
    async def kept(blobs: Any, blob_ids: list[str]) -> None:
        """Keep what is kept already: it waits for no thread here."""

    monkeypatch.setattr(journal_module, "keep_patiently", kept)
    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.0)
    assert explore(lambda: FailingWorld(gated_database, count, failures, restarts), depth) > 50
