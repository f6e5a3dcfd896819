"""Bytes that are no message, on every transport: told as such, in words, and nobody else notices.

`WHERRY_FUZZ=N` sends N times as many.
"""

import asyncio
import logging
import os
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.callers import CLOSED, FramesCaller, GrpcCaller, frame
from tests.integration.test_isolation import running
from wherry_proto import codec, messages, services
from wherry_service.server import Service

COUNT = 150 * int(os.environ.get("WHERRY_FUZZ", "1"))
# Calls that are answered when something happens, and the one that ends it all.
LEFT_OUT = {"Server.Stop", "Calls.Session", "Terminals.Offer"}
METHODS = sorted(set(services.METHODS) - LEFT_OUT)
INFO = messages.ServerInfoRequest()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


def run(tmp_path: Path, scenario: Callable[[Service, Path], Awaitable[None]]) -> None:
    async def main() -> None:
        state_dir = tmp_path / "s"
        state_dir.mkdir()
        async with running(state_dir) as world:
            await scenario(world.service, state_dir)

    asyncio.run(main())


def stacks_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged with a stack, but for what gRPC's one poller still had for the loop of a test before."""
    stacks = [record for record in caplog.records if record.exc_info]
    return [record.message for record in stacks if not of_a_closed_loop(record)]


def of_a_closed_loop(record: logging.LogRecord) -> bool:
    """Tell whether this is gRPC waking a loop that ended: a process with one loop, as a service is, never has it."""
    assert record.exc_info is not None
    error = record.exc_info[1]
    return (
        isinstance(error, RuntimeError)
        and str(error) == "Event loop is closed"
        and "PollerCompletionQueue" in record.message
    )


async def holder(service: Service, local: GrpcCaller) -> GrpcCaller:
    """Return one who calls over TCP, with a token for everything."""
    request = messages.TokenCreateRequest(name="fuzz", scopes=["admin"], environments=["*"])
    status, text, (made,) = await local.ask("Tokens.Create", [request])
    assert status == "OK", text
    tcp = service.parts.entrances.door.tcp
    assert tcp is not None
    return GrpcCaller(f"localhost:{tcp.port}", tcp.certificate, made.token.token_id, made.secret)


def damaged(random: random.Random, data: bytes) -> bytes:
    """Return bytes that may be a message still, or not."""
    out = bytearray(data or b"\x0a\x03abc")
    for _ in range(random.randint(1, 4)):
        match random.randrange(4):
            case 0:
                out[random.randrange(len(out))] = random.randrange(256)
            case 1:
                del out[random.randrange(len(out)) :]
            case 2:
                place = random.randrange(len(out) + 1)
                out[place:place] = random.randbytes(random.randint(1, 40))
            case _:
                # A length that is far too large, as a varint of five bytes.
                out += b"\x0a\xff\xff\xff\xff\x0f"
        out = out or bytearray(b"\xff")
    return bytes(out)


def sample(random: random.Random, method: str) -> Any:
    """Return a request with something in the fields that are text."""
    request = getattr(messages, services.METHODS[method].request)()
    for name in request.__slots__:
        if isinstance(getattr(request, name), str):
            setattr(request, name, random.choice(["", "x", "ap-" + "0" * 26, "ä" * 50, "../.."]))
    return request


def test_bytes_that_are_no_message_are_an_invalid_argument(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(service: Service, state_dir: Path) -> None:
        local = GrpcCaller(f"unix:{state_dir / 'wherry.sock'}")
        token = await holder(service, local)
        for caller in (local, token):
            for method in METHODS:
                status, text, found = await caller.send(method, [b"\xff\xff\xff"])
                assert (status, found) == ("INVALID_ARGUMENT", []), (method, status, text)
                assert f"what came is no {services.METHODS[method].request}" in text
        status, text, _ = await local.ask("Environments.Delete", [messages.EnvironmentDeleteRequest()])
        assert status == "INVALID_ARGUMENT", text
        await token.close()
        await local.close()

    run(tmp_path, scenario)
    assert stacks_in(caplog) == []


def test_damaged_requests_are_answered_and_disturb_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    chosen = random.Random(seed)

    async def scenario(service: Service, state_dir: Path) -> None:
        local = GrpcCaller(f"unix:{state_dir / 'wherry.sock'}")
        token = await holder(service, local)
        frames = FramesCaller(str(state_dir / "local.sock"))
        wrong: list[Any] = []
        for number in range(COUNT):
            method = chosen.choice(METHODS)
            request = sample(chosen, method)
            for caller in (local, token):
                data = damaged(chosen, codec.serialize(request))
                status, text, _ = await caller.send(method, [data], 0.5)
                if status in ("INTERNAL", "UNKNOWN", CLOSED):
                    wrong.append((method, data, status, text))
            data = damaged(chosen, frame(["call", method], request))
            # A frame may be cut, or say that it is longer than it is: then no answer can come.
            status, text, _ = await frames.send(method, data, 0.05)
            if status in ("INTERNAL", "UNKNOWN"):
                wrong.append((method, data, status, text))
            if number % 50 == 0:
                for caller in (local, token, frames):
                    status, text, _ = await caller.ask("Server.Info", [INFO])
                    assert status == "OK", (seed, status, text)
        assert not wrong, f"seed {seed}: " + "\n".join(str(one)[:600] for one in wrong[:20])
        for caller in (token, local):
            await caller.close()

    run(tmp_path, scenario)
    stacks = stacks_in(caplog)
    assert stacks == [], f"seed {seed}"
