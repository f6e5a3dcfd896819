"""Sandboxes: their streams, their processes, their files. Checked, never executed."""

from typing import Any, assert_type

import wherry
from wherry.container_process import ContainerProcess
from wherry.file_io import FileIO
from wherry.io_streams import StreamReader, StreamWriter


def streams() -> None:
    sandbox = wherry.Sandbox.create("sleep", "1", timeout=60)
    assert_type(sandbox, wherry.Sandbox)
    assert_type(sandbox.stdin, StreamWriter)
    assert_type(sandbox.stdout, StreamReader[str])
    assert_type(sandbox.stderr.read(), str)
    assert_type(sandbox.wait(), int)
    assert_type(sandbox.poll(), int | None)
    assert_type(sandbox.returncode, int | None)
    assert_type(sandbox.object_id, str)
    wherry.Sandbox.create(1)  # type: ignore[arg-type]


def processes(sandbox: wherry.Sandbox, as_text: bool) -> None:
    assert_type(sandbox.exec("ls"), ContainerProcess[str])
    assert_type(sandbox.exec("ls", text=False), ContainerProcess[bytes])
    assert_type(sandbox.exec("ls", text=as_text), ContainerProcess[Any])
    assert_type(sandbox.exec("ls").stdout.read(), str)
    assert_type(sandbox.exec("ls", text=False).stderr.read(), bytes)
    assert_type(list(sandbox.exec("ls").stdout), list[str])
    assert_type(sandbox.exec("ls").wait(), int)
    sandbox.exec("ls", timeout="1")  # type: ignore[call-overload]


def files(sandbox: wherry.Sandbox, mode: str) -> None:
    assert_type(sandbox.open("/a"), FileIO[str])
    assert_type(sandbox.open("/a", "wb"), FileIO[bytes])
    assert_type(sandbox.open("/a", mode), FileIO[Any])
    assert_type(sandbox.open("/a").read(), str)
    assert_type(sandbox.ls("/"), list[str])


async def awaiting(sandbox: wherry.Sandbox) -> None:
    assert_type(await wherry.Sandbox.create.aio(), wherry.Sandbox)
    assert_type(await wherry.Sandbox.from_id.aio("sb-1"), wherry.Sandbox)
    process = await sandbox.exec.aio("ls", text=False)
    assert_type(process, ContainerProcess[bytes])
    assert_type(await process.stdout.read.aio(), bytes)
    assert_type(await process.wait.aio(), int)
    assert_type(await sandbox.open.aio("/a", "rb"), FileIO[bytes])
    async for line in sandbox.stdout:
        assert_type(line, str)
