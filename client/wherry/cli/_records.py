"""Calls as commands name, choose and list them: by their records."""

import contextlib
import time
from collections import Counter
from collections.abc import Sequence

from wherry._base.ids import times_of_beginning
from wherry._calling.records import OPEN, Records, Times, full_name, times_of
from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import tell
from wherry.cli._functions import split_name
from wherry.cli._ids import whole
from wherry.cli._listing import Listed, Listing
from wherry.cli._times import read_time
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry_proto import views
from wherry_proto.messages import Record, RecordListRequest, RecordShowRequest, RecordShowResponse

# Digits of a whole id, and those by which a call is found.
_DIGITS = 26
_TO_FIND = 8
# Records that are looked through for an id, and candidates that an error lists.
_LOOKED_AT = 20_000
_LISTED = 10
# So many are an error anyway.
_SEVERAL = 2
# By how many ms an id's time, which the client's clock gave, and the service's may differ: tried one after the other.
_SKEWS_MS = (2_000, 600_000)
# Inputs of a call that are asked for.
_INPUTS = 1000


def state_of(record: Record) -> str:
    """Return how an input stands, in one word."""
    return views.RECORD_STATES.get(record.state, "unknown")


def _times(record: Record) -> Times:
    """How long it waited and ran; of one that has not ended, so far."""
    return times_of(record, int(time.time() * 1000) if record.state in OPEN else 0)


CALLS = Listed[Record](
    Column("id", lambda record: record.input_id, Kind.ID),
    Column("function", lambda record: f"{record.app_name}/{full_name(record)}", cut=True),
    Column("state", state_of, Kind.STATE),
    Column("queued", lambda record: record.queued_ms, Kind.TIME, leaves=1),
    Column("waited", lambda record: _times(record).queue, Kind.SECONDS, leaves=4),
    Column("ran", lambda record: _times(record).run, Kind.SECONDS, leaves=2),
    Column("error", lambda record: record.error, leaves=3, cut=True),
    Column("retries", lambda record: record.retries + record.losses or None, leaves=6),
    Column("kind", lambda record: views.CALL_KINDS.get(record.kind), leaves=5),
    Column("container", lambda record: record.container_id, Kind.ID, leaves=7),
    Column("call", lambda record: record.call_id, Kind.ID, leaves=8),
    key=lambda record: record.input_id,
    described=views.record,
    empty="No such call is known. `wherry call list` shows the latest of all functions that it has an environment for.",
)


def list_records(request: RecordListRequest, listing: Listing[Record], limit: int, method: str = "") -> None:
    """List the calls that a request asks for, at most so many (0: all), and say where to go on."""
    after = request.after
    records: Records | None = None

    def fetch() -> list[Record]:
        nonlocal records
        request.after = after
        records = Records(default_client(), request, limit or None, method)
        return list(records)

    listing.show(fetch)
    if records is not None and records.next:
        tell(f"There are more: the next ones with --after {records.next}, all with --limit 0.")


def request_of(
    environment: str | None,
    *,
    app: str = "",
    function: str = "",
    states: Sequence[int] = (),
    kinds: Sequence[int] = (),
    since: str | None = None,
    until: str | None = None,
    error: str = "",
    container: str = "",
    after: str = "",
) -> RecordListRequest:
    """Return what asks for the calls that a command's options choose; raise UsageError for what can't be read."""
    request = RecordListRequest(
        environment=environment or default_client().environment,
        states=[int(state) for state in states],
        kinds=[int(kind) for kind in kinds],
        search=error,
        after=after,
    )
    request.since_ms, request.until_ms = span_of(since, until)
    request.app, request.function = named(app, function, environment)
    request.container_id = whole(container.removeprefix("wherry-"), environment, prefix="co")
    return request


def span_of(since: str | None, until: str | None, what: str = "no call was queued") -> tuple[int, int]:
    """Return --since and --until in ms since 1970, 0 for one that was left out; raise UsageError.

    `what`: of a span that ends before it begins, what none can have done in it.
    """
    since_ms = read_time(since, "--since") if since else 0
    until_ms = read_time(until, "--until") if until else 0
    if until_ms and since_ms >= until_ms:
        raise UsageError(f"--since {since!r} is not before --until {until!r}: {what} between them")
    return since_ms, until_ms


def split_method(app: str, function: str, environment: str | None) -> tuple[str, str]:
    """Return function and method of "Class.method", or of "APP/Class.method"; "": all methods, or no class.

    Names of functions may have dots, too (`main.<locals>.f`): a name of which there are calls is a function's.
    """
    owner, method = halves(function)
    if method and not owner.startswith("fu-"):
        own_app, name = named(app, function, environment)
        request = RecordListRequest(environment=environment or default_client().environment, app=own_app, function=name)
        # The service knows names of functions, and takes that of a method for a slip.
        with contextlib.suppress(NotFoundError):
            if list(Records(default_client(), request, 1)):
                return function, ""
    return owner, method


def halves(function: str) -> tuple[str, str]:
    """Return what stands before and behind the last dot of a name, or of APP/NAME; nothing behind it for ".*"."""
    head, slash, name = function.rpartition("/")
    owner, dot, method = name.rpartition(".")
    return (f"{head}{slash}{owner}", "" if method == "*" else method) if dot else (function, "")


def named(app: str, function: str, environment: str | None) -> tuple[str, str]:
    """Return an app and a function as records are asked for, by ids or names; `function` may be APP/FUNCTION."""
    if "/" in function:
        own_app, function = split_name(function)
        if app and own_app != app:
            raise UsageError(f"--function {own_app}/{function} is not of --app {app}: leave one of them out")
        app = own_app
    return whole(app, environment, prefix="ap"), whole(function, environment, prefix="fu")


def numbers(option: str, given: Sequence[str] | None, known: dict[int, str]) -> list[int]:
    """Return what an option's words stand for, which may be several with commas between; raise UsageError."""
    by_word = {word: int(number) for number, word in known.items()}
    found = []
    for word in (part for text in given or () for part in text.split(",")):
        if word not in by_word:
            raise UsageError(f"{option} {word!r} is none of {', '.join(by_word)}")
        found.append(by_word[word])
    return found


def call_id_of(given: str, environment: str | None, *, acts: bool = False) -> str:
    """Return the one id of an input ("in-…") or a call ("fc-…") that begins so.

    Raises UsageError for what is neither, NotFoundError where there is none, and InvalidError where there are several,
    if it is too short, or, for a command that does something to it (`acts`), where not all could be looked through.
    """
    prefix, dash, digits = given.partition("-")
    if prefix not in ("in", "fc") or not dash or not digits:
        raise UsageError(f"{given!r} is no id of a call (in-… or fc-…): `wherry call list` shows them")
    if len(digits) >= _DIGITS:
        return f"{prefix}-{digits.upper()}"
    if len(digits) < _TO_FIND:
        what = "for a command that asks nothing" if acts else "to find a call by"
        raise InvalidError(
            f"{given} is too short {what}: give at least {_TO_FIND} characters behind {prefix}-; `wherry call list` "
            "shows them"
        )
    found = _beginning(prefix, digits.upper(), environment, acts)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"no call has an id that begins with {given}; `wherry call list` shows those that are kept")
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    raise InvalidError(
        f"{len(found)} calls have ids that begin with {given}: give more of it. "
        f"There are {', '.join(found[:_LISTED])}{more}"
    )


def _beginning(prefix: str, digits: str, environment: str | None, acts: bool) -> list[str]:
    try:
        first_ms, last_ms = times_of_beginning(digits)
    except ValueError:
        return []
    client = default_client()
    spans = [(max(0, first_ms - skew), last_ms + skew) for skew in _SKEWS_MS]
    # Ids of calls from inside containers are made by the service, and tell no time: these are among the latest.
    for since_ms, until_ms in (*spans, (0, 0)):
        request = RecordListRequest(environment=environment or client.environment, since_ms=since_ms, until_ms=until_ms)
        records = Records(client, request, _LOOKED_AT)
        ids = {record.input_id if prefix == "in" else record.call_id for record in records}
        found = sorted(one for one in ids if one.startswith(f"{prefix}-{digits}"))
        # The one that is meant may be among those that were not looked at.
        if acts and records.next and len(found) < _SEVERAL and (found or since_ms):
            raise InvalidError(
                f"more than {_LOOKED_AT:,} inputs begin near there: give the whole id of {prefix}-{digits}…"
            )
        if found:
            return found
    return []


def known_of(record_id: str) -> RecordShowResponse:
    """Return all that is known of an input or a call, one record at least; raise NotFoundError."""
    try:
        return _shown(record_id)
    except NotFoundError:
        if record_id.startswith("in-"):
            raise
        # An input of a call of many is a call of its own, too.
        with contextlib.suppress(NotFoundError):
            return _shown(f"in-{record_id[3:]}")
        raise


def _shown(record_id: str) -> RecordShowResponse:
    request = RecordShowRequest(record_id=record_id, limit=_INPUTS)
    found = default_client().call("Records.Show", request, RecordShowResponse)
    if not any(detail.record is not None for detail in found.records):
        raise NotFoundError(f"nothing is known of {record_id} any more; `wherry call list` shows what is")
    return found


def first_of(found: RecordShowResponse) -> Record:
    """Return the one record, or the first of many."""
    return next(detail.record for detail in found.records if detail.record is not None)


def states_of(record_id: str, found: RecordShowResponse) -> Counter[int]:
    """Return how many inputs stand how: of a call all, of an input that is asked for alone its own."""
    if record_id == first_of(found).call_id and found.counts:
        return Counter({one.state: one.count for one in found.counts if one.count})
    return Counter(detail.record.state for detail in found.records if detail.record is not None)


def num_open(states: Counter[int]) -> int:
    """Return how many of them have not ended."""
    return sum(states[state] for state in OPEN)


def own_call(record_id: str) -> str:
    """Return the call of an id; of an input the call that it is by itself, with the same letters and digits."""
    return f"fc-{record_id[3:]}"
