"""`wherry call` on a service whose engine runs nothing: calls wait, are seen, and are cancelled."""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.test_isolation import World, running
from wherry._connection.client import Client
from wherry.cli import main as cli
from wherry.function import Function
from wherry.types import CallRecord

Told = pytest.CaptureFixture[str]
Command = Callable[..., Awaitable[tuple[int, str, str]]]
Play = Callable[[Callable[[World, Client, Command], Awaitable[None]]], None]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told) -> Play:
    """Play a scenario with a service, a client of it, and what runs a command as that client: code, out, err."""

    def play(scenario: Callable[[World, Client, Command], Awaitable[None]]) -> None:
        async def main() -> None:
            async with running(tmp_path) as world:
                client = Client(world.local, "main", give_up_s=5)
                monkeypatch.setattr("wherry._connection.client._client_of", lambda _pid: client)
                # Only a main thread hears of signals.
                monkeypatch.setattr("wherry.cli._ending._NUMBERS", ())

                def command(*words: str) -> tuple[int, str, str]:
                    monkeypatch.setattr("sys.argv", ["wherry", *words])
                    with pytest.raises(SystemExit) as caught:
                        cli.main()
                    return int(caught.value.code or 0), *capsys.readouterr()

                try:
                    await scenario(world, client, lambda *words: asyncio.to_thread(command, *words))
                finally:
                    await asyncio.to_thread(client.close)

        asyncio.run(main())

    return play


def test_a_call_that_waits_is_listed_shown_and_cancelled(play: Play) -> None:
    async def scenario(world: World, client: Client, wherry: Command) -> None:
        call_id = world.ids["call_id"]
        code, out, _ = await wherry("call", "list", "--json")
        (one,) = json.loads(out)
        assert (code, one["call_id"], one["state"], one["kind"]) == (0, call_id, "queued", "spawn")
        assert (one["app_name"], one["function_name"], one["argument_bytes"]) == ("app", "f", 1)
        assert one["queued_ms"] <= time.time() * 1000
        code, out, _ = await wherry("call", "show", call_id[:13])
        assert code == 0
        assert out.startswith(f"{one['input_id']}: queued\nfunction app/f, environment main\n")
        assert "waits for a container, for " in out
        assert await wherry("call", "cancel", call_id) == (0, f"Cancelled {call_id}: 1 input.\n", "")
        for words in (("--state", "cancelled"), ("--function", "app/f", "--since", "1h"), ("--call", call_id)):
            code, out, _ = await wherry("call", "list", "-q", *words)
            assert (code, out) == (0, one["input_id"] + "\n"), words
        assert (await wherry("call", "list", "-q", "--failed"))[1] == ""
        assert (await wherry("call", "graph", call_id))[1].startswith("f  cancelled  in-")
        code, _, err = await wherry("call", "list", "--app", "ap")
        assert (code, "no app named 'ap' was ever run" in err) == (1, True)

    play(scenario)


def test_pages_follow_each_other_and_the_sdk_sees_the_same(play: Play) -> None:
    async def scenario(world: World, client: Client, wherry: Command) -> None:
        function = await Function.from_id.aio(world.function_id, client)
        call = await function.spawn_map.aio(range(25))
        _, out, err = await wherry("call", "list", "-q", "-n", "20")
        shown = out.split()
        while "--after" in err:
            after = err.split("--after ")[1].split(",")[0]
            _, out, err = await wherry("call", "list", "-q", "-n", "4", "--after", after)
            shown += out.split()
        assert len(shown) == len(set(shown)) == 26
        records = await function.calls.aio(limit=None)
        assert [one.input_id for one in records] == shown
        assert all(isinstance(one, CallRecord) and one.state == "queued" for one in records)
        _, out, _ = await wherry("call", "show", call.object_id)
        assert out.startswith(f"{call.object_id}: 25 inputs of app/f, made by spawn_map\n25 queued\n")
        alone = next(one.input_id for one in records if one.index == 7 and one.kind == "spawn_map")
        assert (await wherry("call", "cancel", alone))[1] == f"Cancelled fc-{alone[3:]}: 1 input.\n"
        assert (await wherry("call", "cancel", call.object_id))[1] == f"Cancelled {call.object_id}: 24 inputs.\n"
        assert "25 cancelled" in (await wherry("call", "show", call.object_id))[1]
        stats = await function.stats.aio()
        assert stats.input_success_count == 0

    play(scenario)
