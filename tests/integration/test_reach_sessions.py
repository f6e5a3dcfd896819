"""A session, every field that names something: nobody hears of, ends or changes another environment's calls."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callers import CLOSED, LATE
from tests.fields import KINDS, name_of, naming, put
from tests.integration.test_reach import MARK, Realm, World, alike, run
from wherry_proto import messages, rows
from wherry_proto.messages import CallKind, CallStart, Hello, Input, Payload, SessionUp
from wherry_service.ids import new_id

# Ids that a client makes itself: one that is taken is refused, one that is not is its own from then on.
MADE = {"calls.call_id", "inputs.input_id", "hello.client_id", "calls.parent_input_id"}
# A session goes on: how long to listen for what it says at once.
LISTEN_S = 0.25


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


def said(path: Any, value: str, ours: Realm) -> list[SessionUp]:
    """Return a session that says hello, makes a call of ours, and says something with `value` in it."""
    client_id, call_id = new_id("cl"), new_id("fc")
    hello = SessionUp(hello=Hello(client_id=client_id, protocol=1, version="0", python="3.11"))
    call = CallStart(call_id=call_id, function_id=ours.ids["function"], kind=CallKind.MAP)
    item = Input(call_id=call_id, input_id=new_id("in"), payload=Payload(data=b"x", size=1))
    message = SessionUp()
    match path[0].name:
        case "hello":
            put(hello, path, value)
            return [hello]
        case "calls":
            message.calls = [call]
        case "inputs":
            message.calls, message.inputs = [call], [item]
    put(message, path, value)
    return [hello, message]


def test_no_session_reaches_another_environment(tmp_path: Path) -> None:
    cells: list[int] = []

    async def scenario(world: World) -> None:
        theirs = world.theirs
        words = [MARK.encode(), *(known.encode() for kind, known in theirs.ids.items() if kind != "environment")]
        before = await theirs.seen()
        wrong: list[Any] = []
        for path in naming("Calls.Session"):
            kind, name = KINDS[path[-1].name], name_of(path)
            known = theirs.ids["client"] if kind == "client" else theirs.of(kind, "Calls.Session")
            prefix = known.partition("-")[0]
            unknown: dict[str, Any] = {}
            values = [
                ("unknown", new_id(prefix)), ("theirs", known), ("empty", ""), ("malformed", f"{prefix}-{'!' * 26}"),
                ("of another kind", theirs.ids["app"]),
            ]  # fmt: skip
            for whose, value in values:
                answers = await asyncio.gather(
                    *(
                        caller.ask("Calls.Session", said(path, value, world.ours), LISTEN_S, stays=True)
                        for caller in world.askers.values()
                    )
                )
                for asker, answer in zip(world.askers, answers, strict=True):
                    cells.append(1)
                    status, text, found = answer
                    where = (asker, name, whose, status, text[:200], len(found))
                    if status in ("INTERNAL", "UNKNOWN", CLOSED):
                        wrong.append(("no answer", *where))
                    told = json.dumps([messages_of(message) for message in found]).encode()
                    if leaked := [word for word in words if word in told and word not in value.encode()]:
                        wrong.append(("told", leaked, *where))
                    if whose == "unknown":
                        unknown[asker] = shown(answer, value)
                    elif whose == "theirs" and name not in MADE and shown(answer, value) != unknown[asker]:
                        # On a busy machine one of the two may not have been said in so short a time.
                        both = [
                            shown(
                                await world.askers[asker].ask(
                                    "Calls.Session", said(path, one, world.ours), 3.0, stays=True
                                ),
                                one,
                            )
                            for one in (new_id(prefix), value)
                        ]
                        wrong += [("not as unknown", both, *where)] * (both[0] != both[1])
            if (after := await theirs.seen()) != before:
                changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
                wrong.append(("changed", name, changed))
                before = after
        assert not wrong, "\n".join(str(line)[:700] for line in wrong[:60])

    run(tmp_path, scenario)
    assert len(cells) >= 12 * 5 * 5


def messages_of(message: messages.SessionDown) -> str:
    parts: list[bytes] = []
    return json.dumps(rows.to_row(message, parts)) + b"\0".join(parts).decode("latin-1")


def shown(answer: Any, value: str) -> Any:
    """What an answer tells, apart from how long the session went on."""
    status, text, found = answer
    goes_on = status in ("OK", LATE)
    return "goes on" if goes_on else status, alike(("", "" if goes_on else text, found), value)
