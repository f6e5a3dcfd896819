"""The database's tables. A change here needs a migration in migrations/versions, and HEAD moved to it."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.types import BigInteger

HEAD = "0014"

metadata = MetaData()

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
    Index("functions_of_app", "app_id"),
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
    Index("inputs_of_call", "call_id"),
    Index("inputs_by_finish", "finished_at_ms"),
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
