"""The database's tables. A change here needs a migration in migrations/versions, and HEAD moved to it."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.types import BigInteger

HEAD = "0023"

metadata = MetaData()


def storable(text: str) -> str:
    """Return a text as every database takes it."""
    if text.isprintable() and text.isascii():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Text(sa.types.TypeDecorator[str]):
    """Text of any length. Of what no database takes (half a surrogate pair) or not each (NUL), a mark is left."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else storable(value)


apps = Table(
    "apps",
    metadata,
    Column("app_id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("state", Integer, nullable=False),
    # The client that runs an ephemeral app.
    Column("client_id", String(40), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("stopped_at_ms", BigInteger, nullable=False, default=0),
    # JSON of an object of strings.
    Column("tags", Text, nullable=False, default="{}"),
)

functions = Table(
    "functions",
    metadata,
    Column("function_id", String(40), primary_key=True),
    Column("app_id", String(40), ForeignKey("apps.app_id"), nullable=False),
    Column("name", Text, nullable=False),
    # A serialized FunctionSpec.
    Column("spec", LargeBinary, nullable=False),
    # False: a later version of the app does not have it any more.
    Column("active", Boolean, nullable=False),
    # Of a variant: the function it was made of, and a serialized FunctionBindRequest of what makes it another.
    Column("base_id", String(40), nullable=False, default=""),
    Column("bind", LargeBinary, nullable=False, default=b""),
    # A serialized FunctionUpdateRequest: how it scales otherwise than published, until it is published anew.
    Column("live", LargeBinary, nullable=False, default=b""),
    # Of one that is kept as it was in a version of its app: that version. `base_id` is then its id there.
    Column("version", Integer, nullable=False, default=0),
    Index("functions_of_app", "app_id"),
)

# Versions of deployed apps.
deployments = Table(
    "deployments",
    metadata,
    Column("deployment_id", String(40), primary_key=True),
    Column("app_id", String(40), nullable=False),
    # Counts from 1.
    Column("version", Integer, nullable=False),
    # A DeploymentState.
    Column("state", Integer, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # A serialized Deployment.
    Column("record", LargeBinary, nullable=False),
    # What its functions use, separated by commas.
    Column("secret_ids", Text, nullable=False),
    Column("image_ids", Text, nullable=False),
    Index("deployments_by_version", "app_id", "version", unique=True),
)

# Durable calls only (reference: Function.spawn).
inputs = Table(
    "inputs",
    metadata,
    Column("input_id", String(40), primary_key=True),
    Column("call_id", String(40), nullable=False),
    Column("function_id", String(40), nullable=False),
    Column("client_id", String(40), nullable=False),
    Column("position", Integer, nullable=False),
    # A serialized Payload.
    Column("payload", LargeBinary, nullable=False),
    # Of a class: which method runs.
    Column("method", Text, nullable=False, default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    # 0 while the input is open.
    Column("finished_at_ms", BigInteger, nullable=False, default=0),
    # A serialized Output, once finished; empty again when expired.
    Column("output", LargeBinary, nullable=False, default=b""),
    # A `Cause`: why the service made it itself; and the input because of which it did.
    Column("cause", Integer, nullable=False, default=0),
    Column("origin", String(40), nullable=False, default=""),
    Index("inputs_of_call", "call_id"),
    Index("inputs_by_finish", "finished_at_ms"),
)

# Durable inputs that failed and are kept with their arguments, so that they can be run again.
failed_inputs = Table(
    "failed_inputs",
    metadata,
    Column("input_id", String(40), primary_key=True),
    Column("call_id", String(40), nullable=False),
    Column("function_id", String(40), nullable=False),
    Column("app_id", String(40), nullable=False),
    # Of the app that ran it; 0: it is not deployed.
    Column("version", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("method", Text, nullable=False),
    Column("queued_at_ms", BigInteger, nullable=False),
    Column("failed_at_ms", BigInteger, nullable=False),
    # A FailureKind, and the error's first line without secrets.
    Column("kind", Integer, nullable=False),
    Column("error", Text, nullable=False),
    # How often it has run.
    Column("attempts", Integer, nullable=False),
    # As in `inputs`.
    Column("cause", Integer, nullable=False),
    Column("origin", String(40), nullable=False),
    # The latest input that was another run of it.
    Column("replayed_by", String(40), nullable=False, default=""),
    # Bytes of its arguments, inline or in the blob, which is its own.
    Column("size", BigInteger, nullable=False),
    Column("blob_id", String(40), nullable=False),
    # A serialized Payload.
    Column("payload", LargeBinary, nullable=False),
    Index("failed_inputs_by_time", "failed_at_ms", "input_id"),
)

# Of durable calls that have ended: what they led to.
call_graphs = Table(
    "call_graphs",
    metadata,
    Column("call_id", String(40), primary_key=True),
    # A serialized CallGraph.
    Column("graph", LargeBinary, nullable=False),
    Column("written_at_ms", BigInteger, nullable=False),
    Index("call_graphs_by_time", "written_at_ms"),
)

# What durable generators have yielded.
yields = Table(
    "yields",
    metadata,
    Column("input_id", String(40), primary_key=True),
    # From 0.
    Column("position", Integer, primary_key=True),
    # A serialized Payload.
    Column("payload", LargeBinary, nullable=False),
)

images = Table(
    "images",
    metadata,
    Column("image_id", String(40), primary_key=True),
    # A serialized ImageDefinition.
    Column("definition", LargeBinary, nullable=False),
    Column("state", Integer, nullable=False),
    # Part of other images' chains only.
    Column("internal", Boolean, nullable=False),
    Column("built_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("error", Text, nullable=False),
)

# Secrets, dicts and queues: what each is called, and whose it is.
objects = Table(
    "objects",
    metadata,
    Column("object_id", String(40), primary_key=True),
    # "secret", "dict" or "queue".
    Column("kind", String(16), nullable=False),
    Column("environment", Text, nullable=False),
    # The app that has it as its own; empty for those that outlive apps.
    Column("app_id", String(40), nullable=False, default=""),
    # Of one that goes with the client that made it: that client.
    Column("client_id", String(40), nullable=False, default=""),
    # Its id, where it has no name.
    Column("name", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("objects_by_name", "kind", "environment", "app_id", "name", unique=True),
)

secrets = Table(
    "secrets",
    metadata,
    Column("secret_id", String(40), ForeignKey("objects.object_id"), primary_key=True),
    # The names of its values, a JSON list.
    Column("keys", Text, nullable=False),
    # Names and values, encrypted.
    Column("data", LargeBinary, nullable=False),
    # A keyed hash of them: equal for equal ones.
    Column("digest", String(64), nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger, nullable=False, default=0),
)

# SQLite counts only in a column of this type.
_counted = BigInteger().with_variant(Integer, "sqlite")

dict_entries = Table(
    "dict_entries",
    metadata,
    # In the order in which the keys came.
    Column("position", _counted, primary_key=True, autoincrement=True),
    Column("dict_id", String(40), ForeignKey("objects.object_id"), nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("key", LargeBinary, nullable=False),
    # A serialized Payload.
    Column("value", LargeBinary, nullable=False),
    # The blob that holds the value, if one does: it is the entry's own.
    Column("blob_id", String(40), nullable=False, default=""),
    # 0: never.
    Column("expires_at_ms", BigInteger, nullable=False, default=0),
    Index("dict_entries_by_key", "dict_id", "key_hash", unique=True),
    Index("dict_entries_in_order", "dict_id", "position"),
    sqlite_autoincrement=True,
)

queue_partitions = Table(
    "queue_partitions",
    metadata,
    Column("queue_id", String(40), ForeignKey("objects.object_id"), primary_key=True),
    Column("name", Text, primary_key=True),
    # 0: never.
    Column("expires_at_ms", BigInteger, nullable=False, default=0),
)

queue_items = Table(
    "queue_items",
    metadata,
    # First in, first out.
    Column("position", _counted, primary_key=True, autoincrement=False),
    Column("queue_id", String(40), ForeignKey("objects.object_id"), nullable=False),
    Column("partition", Text, nullable=False),
    # A serialized Payload.
    Column("value", LargeBinary, nullable=False),
    # The blob that holds the value, if one does: it is the item's own.
    Column("blob_id", String(40), nullable=False, default=""),
    Index("queue_items_in_order", "queue_id", "partition", "position"),
)

# What was asked lately and how it was answered: who asks again, after a connection broke, is answered likewise.
answers = Table(
    "answers",
    metadata,
    Column("operation_id", String(40), primary_key=True),
    Column("answer", LargeBinary, nullable=False),
    # A blob that the answer names.
    Column("blob_id", String(40), nullable=False, default=""),
    Column("at_ms", BigInteger, nullable=False),
    Index("answers_by_time", "at_ms"),
)

# Containers that run any command; those that have ended are kept for a while.
sandboxes = Table(
    "sandboxes",
    metadata,
    Column("sandbox_id", String(40), primary_key=True),
    # "": of no app.
    Column("app_id", String(40), nullable=False),
    Column("app_name", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    # JSON: names and values.
    Column("tags", Text, nullable=False),
    # A serialized SandboxSpec.
    Column("spec", LargeBinary, nullable=False),
    # A SandboxState.
    Column("state", Integer, nullable=False),
    Column("returncode", Integer, nullable=False, default=0),
    Column("reason", Text, nullable=False, default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    # 0 while it runs.
    Column("ended_at_ms", BigInteger, nullable=False, default=0),
    # JSON: its ports, and the host's ports that lead there.
    Column("tunnels", Text, nullable=False, default="{}"),
    Index("sandboxes_by_end", "ended_at_ms"),
)

# Answers of web endpoints that are fetched later, by result URL.
web_results = Table(
    "web_results",
    metadata,
    Column("call_id", String(40), primary_key=True),
    Column("function_id", String(40), nullable=False),
    Column("status", Integer, nullable=False),
    # JSON: pairs.
    Column("headers", Text, nullable=False),
    Column("blob_id", String(40), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

# Functions that run by the clock.
schedules = Table(
    "schedules",
    metadata,
    Column("function_id", String(40), primary_key=True),
    Column("app_id", String(40), nullable=False),
    # A serialized ScheduleSpec.
    Column("spec", LargeBinary, nullable=False),
    # Periods count from here.
    Column("anchor_ms", BigInteger, nullable=False),
    # What was due until then has been run, or never will be.
    Column("done_ms", BigInteger, nullable=False),
    Column("paused", Boolean, nullable=False),
    Index("schedules_of_app", "app_id"),
)

# Ticks that were run, or skipped.
schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("function_id", String(40), primary_key=True),
    Column("tick_ms", BigInteger, primary_key=True),
    # "": of the schedule; else asked for, by this operation's id.
    Column("asked", String(40), primary_key=True),
    # "": skipped.
    Column("call_id", String(40), nullable=False),
    Column("queued_at_ms", BigInteger, nullable=False),
    # A ScheduledState; RUNNING until the call's own record, which is kept for less long, has been looked at.
    Column("state", Integer, nullable=False),
    Column("finished_at_ms", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Index("schedule_runs_by_time", "function_id", "queued_at_ms"),
)

# What became of inputs: of those that failed, were spawned or scheduled, and of some others.
call_records = Table(
    "call_records",
    metadata,
    # Ids that clients have made are of any letters.
    Column("input_id", Text, primary_key=True),
    Column("call_id", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("parent_input_id", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("app_id", String(40), nullable=False),
    Column("app_name", Text, nullable=False),
    Column("function_id", Text, nullable=False),
    Column("function_name", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("version", Integer, nullable=False),
    # A CallKind, and a RecordState.
    Column("kind", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("queued_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("container_id", Text, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("argument_bytes", BigInteger, nullable=False),
    Column("result_bytes", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    # JSON: a list of attempts before the last one, each as in `records.rows.Attempt`.
    Column("attempts", Text, nullable=False),
    # Whether its arguments are kept, the input that it ran again, and the latest that ran it again.
    Column("kept", Boolean, nullable=False, default=False),
    Column("replay_of", Text, nullable=False, default=""),
    Column("replayed_by", Text, nullable=False, default=""),
    Index("call_records_in_order", "environment", "queued_ms"),
    Index("call_records_of_function", "function_id", "queued_ms"),
    Index("call_records_of_call", "call_id"),
    Index("call_records_by_end", "ended_ms"),
)

# How many inputs of a function ended how in a minute, later in an hour; one may have several rows.
call_minutes = Table(
    "call_minutes",
    metadata,
    Column("number", _counted, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    # 60,000, or 3,600,000.
    Column("span_ms", BigInteger, nullable=False),
    Column("environment", Text, nullable=False),
    Column("app_id", String(40), nullable=False),
    Column("app_name", Text, nullable=False),
    Column("function_id", Text, nullable=False),
    Column("function_name", Text, nullable=False),
    # Whole numbers, separated by commas: see records/tally.py.
    Column("counts", Text, nullable=False),
    # The most of each at one time.
    Column("backlog", Integer, nullable=False),
    Column("running", Integer, nullable=False),
    Column("containers", Integer, nullable=False),
    Index("call_minutes_in_order", "environment", "at_ms"),
    Index("call_minutes_by_time", "span_ms", "at_ms"),
)

# Which environments have asked for an image.
image_environments = Table(
    "image_environments",
    metadata,
    Column("image_id", String(40), primary_key=True),
    Column("environment", Text, primary_key=True),
)

# What names images have had in environments; the latest row of a name is what it means.
image_names = Table(
    "image_names",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("environment", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("image_id", String(40), nullable=False),
    Column("published_at_ms", BigInteger, nullable=False),
    Index("image_names_by_name", "environment", "name"),
)

# Who may connect over TCP.
tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    # SHA-256 of the secret, which is random and of 256 bits.
    Column("secret_hash", LargeBinary, nullable=False),
    # Lists, separated by commas.
    Column("scopes", Text, nullable=False),
    Column("environments", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # 0 while it is valid.
    Column("revoked_at_ms", BigInteger, nullable=False, default=0),
)

# What was changed, and by whom.
audit = Table(
    "audit",
    metadata,
    Column("entry_id", String(40), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("token_id", String(40), nullable=False),
    Column("token_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Index("audit_by_time", "at_ms"),
)

# One row: which service works on the database, and how far it has come (store/postgres.py).
tenure = Table(
    "tenure",
    metadata,
    # Counted up by each service that takes the database.
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    # Of its last transaction.
    Column("number", BigInteger, nullable=False),
    # Which service, in words.
    Column("holder", Text, nullable=False),
)
