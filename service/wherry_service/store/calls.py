"""Durable calls: inputs on disk before they are accepted, results kept until they expire."""

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import CallGraph, Output, Payload
from wherry_service.store.database import Database
from wherry_service.store.schema import call_graphs, inputs, yields

# Seconds for which the result of a durable call is kept (reference: FunctionCall.get).
KEEP_RESULTS_S = 7 * 24 * 3600.0

# Ids in one statement.
_IDS = 500

InputRow = tuple[str, str, str, int, Payload, str]
"""Input id, call id, function id, position, payload, method."""


class Cause(enum.IntEnum):
    """Why the service made an input itself."""

    # It did not: a client has, or a schedule.
    NONE = 0
    # It is another run of one that failed.
    REPLAY = 1
    # It tells an app's `on_failure` function of one that failed.
    TELL = 2


@dataclass(frozen=True, slots=True)
class OpenInput:
    """A durable input that had not ended when the service did."""

    input_id: str
    call_id: str
    function_id: str
    client_id: str
    index: int
    payload: Payload
    method: str
    created_at_ms: int
    cause: int = Cause.NONE
    # The input because of which the service made it.
    origin: str = ""


@dataclass(frozen=True, slots=True)
class StoredOutputs:
    """What the disk knows of a call."""

    function_id: str
    num_inputs: int
    outputs: list[Output]
    expired: bool
    # Outputs that are kept, of which `outputs` may have one alone.
    num_done: int


class CallStore:
    """Reads and writes the `inputs` table."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def add_inputs(self, rows: Sequence[InputRow], client_id: str) -> set[str]:
        """Write inputs and return the ids of those that are new; others stay as they are."""
        now_ms = int(self._now() * 1000)
        return await self._database.write(lambda connection: add_inputs_in(connection, rows, client_id, now_ms))

    async def finish_inputs(self, outputs: Sequence[Output]) -> None:
        """Write the ends of inputs, each once: a second end changes nothing.

        Those that end alike, such as the inputs of a call that is cancelled, cost one statement for many.
        """
        now_ms = int(self._now() * 1000)
        await self._database.write(lambda connection: finish_in(connection, outputs, now_ms))

    async def outputs(self, call_id: str) -> StoredOutputs | None:
        """Return what is known of a call; None if it is not known at all."""
        query = (
            sa.select(
                inputs.c.input_id, inputs.c.position, inputs.c.function_id, inputs.c.finished_at_ms, inputs.c.output
            )
            .where(inputs.c.call_id == call_id)
            .order_by(inputs.c.position)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        if not rows:
            return None
        finished = [row for row in rows if row.finished_at_ms]
        outputs = [_output(row.output, row.input_id, call_id, row.position) for row in finished if row.output]
        return StoredOutputs(
            function_id=rows[0].function_id,
            num_inputs=len(rows),
            outputs=outputs,
            expired=len(outputs) < len(finished),
            num_done=len(outputs),
        )

    async def output_at(self, call_id: str, position: int) -> StoredOutputs | None:
        """Return what is known of a call, of its outputs that of one input; None if it is not known at all.

        `expired` is told of that input, and `num_done` counts what has ended.
        """
        counted = sa.select(
            sa.func.count(),
            sa.func.count(sa.func.nullif(inputs.c.finished_at_ms, 0)),
            sa.func.max(inputs.c.function_id),
        ).where(inputs.c.call_id == call_id)
        wanted = sa.select(inputs.c.input_id, inputs.c.finished_at_ms, inputs.c.output).where(
            inputs.c.call_id == call_id, inputs.c.position == position
        )

        def look(connection: sa.Connection) -> tuple[Any, Any]:
            return connection.execute(counted).one(), connection.execute(wanted).first()

        (num_inputs, num_done, function_id), row = await self._database.read(look)
        if not num_inputs:
            return None
        return StoredOutputs(
            function_id=function_id,
            num_inputs=num_inputs,
            outputs=[_output(row.output, row.input_id, call_id, position)] if row is not None and row.output else [],
            expired=bool(row is not None and row.finished_at_ms and not row.output),
            num_done=num_done,
        )

    async def output_of(self, input_id: str, call_id: str) -> StoredOutputs | None:
        """Return what is known of one input, as if it were the only one of that call; None if it is not known."""
        query = sa.select(inputs.c.function_id, inputs.c.finished_at_ms, inputs.c.output).where(
            inputs.c.input_id == input_id
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        return StoredOutputs(
            function_id=row.function_id,
            num_inputs=1,
            outputs=[_output(row.output, input_id, call_id, 0)] if row.output else [],
            expired=bool(row.finished_at_ms and not row.output),
            num_done=1 if row.output else 0,
        )

    async def call_of(self, input_id: str) -> str | None:
        """Return the id of the call that a durable input belongs to."""
        query = sa.select(inputs.c.call_id).where(inputs.c.input_id == input_id)
        found: str | None = await self._database.read(lambda connection: connection.execute(query).scalar())
        return found

    async def open_inputs(self) -> list[OpenInput]:
        """Return all durable inputs that have not ended, oldest first."""
        query = (
            sa.select(inputs)
            .where(inputs.c.finished_at_ms == 0)
            .order_by(inputs.c.created_at_ms, inputs.c.call_id, inputs.c.position)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            OpenInput(
                row.input_id,
                row.call_id,
                row.function_id,
                row.client_id,
                row.position,
                codec.deserialize(Payload, row.payload),
                row.method,
                row.created_at_ms,
                row.cause,
                row.origin,
            )
            for row in rows
        ]

    async def expire(self) -> tuple[int, list[str]]:
        """Forget results older than `KEEP_RESULTS_S`; return how many, and the blobs that can go too."""
        limit_ms = int((self._now() - KEEP_RESULTS_S) * 1000)
        old = (inputs.c.finished_at_ms > 0) & (inputs.c.finished_at_ms < limit_ms) & (inputs.c.output != b"")

        def work(connection: sa.Connection) -> tuple[list[bytes], list[bytes]]:
            found = list(connection.execute(sa.select(inputs.c.output).where(old)).scalars())
            if found:
                gone = sa.select(inputs.c.input_id).where(old)
                kept = sa.select(yields.c.payload).where(yields.c.input_id.in_(gone))
                values = list(connection.execute(kept).scalars())
                connection.execute(sa.delete(yields).where(yields.c.input_id.in_(gone)))
                connection.execute(sa.update(inputs).where(old).values(output=b"", payload=b""))
                return found, values
            connection.execute(sa.delete(call_graphs).where(call_graphs.c.written_at_ms < limit_ms))
            return found, []

        found, values = await self._database.write(work)
        outputs = [codec.deserialize(Output, data) for data in found]
        blobs = [output.payload.blob_id for output in outputs if output.payload is not None]
        blobs += [codec.deserialize(Payload, data).blob_id for data in values]
        return len(outputs), [blob_id for blob_id in blobs if blob_id]

    async def put_graphs(self, graphs: Mapping[str, CallGraph]) -> None:
        """Write calls' graphs, in place of earlier ones."""
        now_ms = int(self._now() * 1000)

        def work(connection: sa.Connection) -> None:
            ids = list(graphs)
            for begin in range(0, len(ids), _IDS):
                some = ids[begin : begin + _IDS]
                connection.execute(sa.delete(call_graphs).where(call_graphs.c.call_id.in_(some)))
                rows = [
                    {"call_id": call_id, "graph": codec.serialize(graphs[call_id]), "written_at_ms": now_ms}
                    for call_id in some
                ]
                connection.execute(sa.insert(call_graphs), rows)

        await self._database.write(work)

    async def graph(self, call_id: str) -> CallGraph | None:
        """Return the graph of a durable call that has ended, None if there is none."""
        query = sa.select(call_graphs.c.graph).where(call_graphs.c.call_id == call_id)
        data = await self._database.read(lambda connection: connection.execute(query).scalar())
        return codec.deserialize(CallGraph, data) if data is not None else None

    async def blob_ids(self) -> set[str]:
        """Return the blobs that durable inputs and results refer to."""
        query = sa.select(inputs.c.payload, inputs.c.output)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        query_kept = sa.select(yields.c.payload)
        kept = await self._database.read(lambda connection: connection.execute(query_kept).scalars().all())
        found = {codec.deserialize(Payload, data).blob_id for data in kept} - {""}
        for row in rows:
            payloads = [codec.deserialize(Payload, row.payload)] if row.payload else []
            if row.output and (payload := codec.deserialize(Output, row.output).payload) is not None:
                payloads.append(payload)
            found.update(payload.blob_id for payload in payloads if payload.blob_id)
        return found


# Not by the index of that column: SQLite takes it for better than 500 keys, and reads all that is open each time.
_IS_OPEN = inputs.c.finished_at_ms + 0 == 0
_ENDED: dict[str, Any] = {"finished_at_ms": sa.bindparam("at_ms"), "output": sa.bindparam("data")}
_FINISH = sa.update(inputs).where(inputs.c.input_id == sa.bindparam("id"), _IS_OPEN).values(_ENDED)
_FINISH_ALIKE = (
    sa.update(inputs).where(inputs.c.input_id.in_(sa.bindparam("ids", expanding=True)), _IS_OPEN).values(_ENDED)
)


def finish_in(connection: sa.Connection, outputs: Sequence[Output], now_ms: int) -> None:
    """Write the ends of inputs within a transaction, each once."""
    rows: list[dict[str, Any]] = []
    # By failure, which many share; and those that have yielded as many values.
    alike: dict[tuple[int, int], list[Output]] = {}
    for output in outputs:
        if output.failure is not None and output.payload is None:
            alike.setdefault((id(output.failure), output.num_yields), []).append(output)
        else:
            rows.append({"id": output.input_id, "at_ms": now_ms, "data": _data(output)})
    for same in alike.values():
        if len(same) == 1:
            rows.append({"id": same[0].input_id, "at_ms": now_ms, "data": _data(same[0])})
            continue
        data = _data(same[0])
        for begin in range(0, len(same), _IDS):
            ids = [output.input_id for output in same[begin : begin + _IDS]]
            connection.execute(_FINISH_ALIKE, {"ids": ids, "at_ms": now_ms, "data": data})
    if rows:
        connection.execute(_FINISH, rows)


def _data(output: Output) -> bytes:
    """Serialize what the row does not say by itself; never to nothing, which stands for what has expired."""
    bare = Output(payload=output.payload, failure=output.failure, num_yields=output.num_yields)
    return codec.serialize(bare) or codec.serialize(output)


def _output(data: bytes, input_id: str, call_id: str, position: int) -> Output:
    output = codec.deserialize(Output, data)
    output.input_id, output.call_id, output.index = input_id, call_id, position
    return output


def add_inputs_in(
    connection: sa.Connection,
    rows: Sequence[InputRow],
    client_id: str,
    now_ms: int,
    cause: Cause = Cause.NONE,
    origins: Mapping[str, str] = MappingProxyType({}),
) -> set[str]:
    """Write inputs within a transaction; return the ids of those that are new.

    `cause` and `origins`, by the inputs' ids, are of those that the service makes itself.
    """
    values = [
        {
            "input_id": input_id,
            "call_id": call_id,
            "function_id": function_id,
            "client_id": client_id,
            "position": index,
            "payload": codec.serialize(payload),
            "method": method,
            "created_at_ms": now_ms,
            "finished_at_ms": 0,
            "output": b"",
            "cause": int(cause),
            "origin": origins.get(input_id, ""),
        }
        for input_id, call_id, function_id, index, payload, method in rows
    ]
    ids = [value["input_id"] for value in values]
    there = set(connection.execute(sa.select(inputs.c.input_id).where(inputs.c.input_id.in_(ids))).scalars())
    fresh = [value for value in values if value["input_id"] not in there]
    if fresh:
        connection.execute(sa.insert(inputs), fresh)
    return {str(value["input_id"]) for value in fresh}
