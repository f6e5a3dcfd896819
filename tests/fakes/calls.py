"""What the floor of calls needs of those beside it, where a test is about something else."""

from collections.abc import Mapping, Sequence

from wherry_service.calls.call import Input
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.failures import Failures
from wherry_service.calls.journal import Journal
from wherry_service.calls.queue import QueueLimit
from wherry_service.calls.recorder import Recorder
from wherry_service.calls.replay_settings import ReplaySettings
from wherry_service.calls.values import Values
from wherry_service.logs.batch import LogBatch, LogRow
from wherry_service.logs.masks import Masks
from wherry_service.node.node import NodeContainer
from wherry_service.pools.pools import Pools
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import Subject
from wherry_service.records.settings import RecordSettings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.failed_inputs import FailedInputStore
from wherry_service.store.yields import YieldStore


class Paper:
    """A log that is kept in memory (implements `diary.Log`)."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []

    def append(
        self,
        app_id: str,
        function_id: str,
        container_id: str,
        rows: Sequence[LogRow],
        calls: Mapping[str, str],
        source: NodeContainer | None = None,
    ) -> LogBatch:
        self.batches.append(LogBatch(app_id, function_id, container_id, rows, calls))
        return self.batches[-1]

    def ends(self, container_id: str, at_ms: int, stream: int = 0, input_id: str | None = None) -> list[LogRow]:
        return []

    def end_container(self, app_id: str, container_id: str) -> None:
        """Nobody follows it."""


def unnamed(function_id: str) -> None:
    """Describe no function (`graph.Describe`)."""


def named(function_id: str) -> Subject:
    """Name a function as it is called by its id (`records.Describe`)."""
    return Subject("main", "ap-1", "app", function_id, function_id)


def recorder_of(records: CallRecords | None = None) -> Recorder:
    """Return what tells these records, or some that nobody reads; no app has a version, and nothing is masked."""
    records = records or CallRecords(RecordSettings(), named)
    return Recorder(records, lambda function_id: 0, lambda app_id, failure: failure.message)


def failures_of(database: Database, blobs: BlobStore) -> Failures:
    """Return what keeps nothing until it is told of apps."""
    return Failures(FailedInputStore(database), blobs, ReplaySettings())


def journal_of(database: Database, blobs: BlobStore) -> Journal:
    """Return a journal in which no function has a name."""
    values = Values(YieldStore(database), blobs)
    return Journal(CallStore(database), blobs, values, unnamed, recorder_of(), failures_of(database, blobs))


def dispatcher_of(pools: Pools[Input], clients: Clients, journal: Journal) -> Dispatcher:
    """Return a dispatcher with the usual limits, whose log is paper."""
    return Dispatcher(pools, clients, journal, Diary(Paper(), Masks()), QueueLimit())
