"""All that is recorded of calls and containers: what keeps it, and who answers what is asked about it."""

import logging
from dataclasses import dataclass

from wherry_service.calls.call import Input
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.calls.lanes import LaneKeeper, seen_in
from wherry_service.calls.recorder import OpenInputs
from wherry_service.errors import ServiceError
from wherry_service.pools.pools import Pools
from wherry_service.records.disk import DiskRecords
from wherry_service.records.lanes import Lanes
from wherry_service.records.mending import Mending
from wherry_service.records.reader import RecordReader
from wherry_service.records.records import CallRecords
from wherry_service.records.rollup import Rollup
from wherry_service.records.stats import Statistics
from wherry_service.store.call_records import CallRecordStore
from wherry_service.store.database import Database
from wherry_service.store.lost_records import LostRecords
from wherry_service.store.rollups import RollupStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The records, by what they are asked for."""

    # In memory; `hear` has others told of what ends.
    records: CallRecords
    disk: DiskRecords
    reader: RecordReader
    rollup: Rollup
    statistics: Statistics
    lanes: Lanes
    mending: Mending

    async def begin(self) -> None:
        """Write what an earlier life could not write any more; before an input ends in this one."""
        try:
            if count := await self.mending.mend():
                log.info("wrote %d records of calls that the service before could not write", count)
        except ServiceError as error:
            log.warning("records that the service before could not write are missing: %s", error)

    async def close(self) -> None:
        """Write what waits."""
        self.records.settle()
        await self.disk.write()
        await self.rollup.close()


def recorded_by(journal: Journal, dispatcher: Dispatcher, pools: Pools[Input], database: Database) -> Recorded:
    """Return what keeps and answers what these say."""
    recorder, store = journal.recorder, CallRecordStore(database)
    records = recorder.records
    disk = DiskRecords(store, records.settings, records.beside)
    records.hear(disk)
    rollup = Rollup(records, RollupStore(database), dispatcher.gauges)

    def take_open() -> OpenInputs:
        return recorder.open_inputs(journal.known_inputs())

    lanes = Lanes(records, take_open, lambda: seen_in(pools))
    dispatcher.watchers.append(LaneKeeper(lanes))
    mending = Mending(LostRecords(database), store, records.settings, recorder.line, recorder.version_of)
    reader = RecordReader(records, store, take_open)
    return Recorded(records, disk, reader, rollup, Statistics(rollup), lanes, mending)
