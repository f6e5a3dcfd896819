"""Secrets of sandboxes and of their execs: whoever may ask the engine is not told them, and nothing keeps them."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest

import wherry
from tests.acceptance.service import OwnService

VALUES = {"TOKEN": "hush-of-the-sandbox", "UID": "hush-of-a-shells-own", "LINES": "hush\nof 'two' lines"}
EXEC_VALUE = "hush-of-the-exec"
NAMED_VALUE = "hush-with-a-name"
# Prints its variables, and says what is left of the file that they came in.
SHOW = "env -0; echo; ls -A /run | grep secrets; echo over; sleep 600"


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    engine = docker.from_env()
    yield engine.api
    engine.close()


def told_by_the_engine(api: Any, service: OwnService, sandbox: wherry.Sandbox, since: int) -> str:
    """All that the engine says of a sandbox's container, of its execs, its processes and what happened to it."""
    (row,) = service.containers(container=sandbox.object_id)
    found = api.inspect_container(row["Id"])
    execs = [api.exec_inspect(exec_id) for exec_id in found["ExecIDs"] or ()]
    events = list(api.events(since=since, until=int(time.time()) + 1, filters={"container": row["Id"]}))
    changed = [item["Path"] for item in api.diff(row["Id"])]
    said = (found, execs, api.top(row["Id"], "-eo pid,args"), [event.decode() for event in events], changed, row)
    return json.dumps(said, default=str)


def test_the_engine_is_not_told_the_secrets_of_sandboxes_and_execs(service: OwnService, api: Any) -> None:
    since = int(time.time()) - 1
    wherry.Secret.create_deployed("named-for-an-exec", {"NAMED": NAMED_VALUE}, overwrite=True)
    given = [wherry.Secret.from_dict(VALUES)]
    with wherry.Sandbox.create("sh", "-c", SHOW, secrets=given, block_network=True, timeout=120) as sandbox:
        lines = []
        for line in sandbox.stdout:
            lines.append(line)
            if line == "over\n":
                break
        environment = "".join(lines).split("\0")
        assert {f"{name}={value}" for name, value in VALUES.items()} <= set(environment)
        # The file that they came in is gone, also for whoever looks into the container from outside.
        assert environment[-1] == "\nover\n"
        assert not service.has_file(service.containers(container=sandbox.object_id)[0]["Id"], "/run/.wherry-secrets")
        more = [wherry.Secret.from_dict({"MORE": EXEC_VALUE}), wherry.Secret.from_name("named-for-an-exec")]
        process = sandbox.exec("sh", "-c", 'echo "$TOKEN $MORE $NAMED"; read wait', secrets=more)
        assert next(process.stdout) == f"{VALUES['TOKEN']} {EXEC_VALUE} {NAMED_VALUE}\n"
        told = told_by_the_engine(api, service, sandbox, since)
        assert "hush" not in told
        # It was asked the right thing.
        assert sandbox.object_id in told
        assert "read wait" in told
        # An image made of it has none either.
        image = sandbox.snapshot_filesystem()
        reference = f"wherry/image:{image.object_id.removeprefix('im-')}"
        assert "hush" not in json.dumps([api.inspect_image(reference), api.history(reference)])
        process.stdin.write("\n")
        assert process.wait() == 0


def test_one_that_only_waits_tells_them_to_its_execs(service: OwnService, api: Any) -> None:
    since = int(time.time()) - 1
    given = [wherry.Secret.from_dict(VALUES)]
    with wherry.Sandbox.create(secrets=given, env={"TOKEN": "its own"}, block_network=True, timeout=120) as sandbox:
        process = sandbox.exec("sh", "-c", 'echo "$TOKEN $LINES"', env={"LINES": "the exec's"})
        assert (process.stdout.read(), process.wait()) == ("its own the exec's\n", 0)
        assert "hush" in sandbox.exec("printenv", "UID").stdout.read()
        assert "hush" not in told_by_the_engine(api, service, sandbox, since)


def test_a_user_who_may_not_remove_them_leaves_nothing(service: OwnService) -> None:
    image = wherry.Image.debian_slim().dockerfile_commands("RUN useradd -m joe", "USER joe")
    given = [wherry.Secret.from_dict(VALUES)]
    show = "echo $TOKEN; cat /run/.wherry-secrets"
    with wherry.Sandbox.create("sh", "-c", show, image=image, secrets=given, block_network=True) as sandbox:
        assert sandbox.wait() == 0
        assert sandbox.stdout.read() == f"{VALUES['TOKEN']}\n"


def test_an_image_without_a_shell_says_so(service: OwnService) -> None:
    image = wherry.Image.debian_slim().run_commands("cp /bin/true /bin/just && rm -f /bin/sh /usr/bin/sh")
    given = [wherry.Secret.from_dict(VALUES)]
    with wherry.Sandbox.create("/bin/just", image=image, secrets=given, block_network=True) as sandbox:
        assert sandbox.wait() == 127
    listed = wherry.Sandbox.from_id(sandbox.object_id)
    assert listed.poll() == 127


@pytest.mark.parametrize("masks", [True, False])
def test_output_is_masked_where_that_is_asked_for(service: OwnService, masks: bool) -> None:
    given = [wherry.Secret.from_dict({"TOKEN": VALUES["TOKEN"]})]
    show = "echo own $TOKEN; exec sleep 600"
    with wherry.Sandbox.create("sh", "-c", show, secrets=given, mask_secrets=masks, block_network=True) as sandbox:
        own = "own ****\n" if masks else f"own {VALUES['TOKEN']}\n"
        assert next(sandbox.stdout) == own
        # In two pieces, on both streams, and of a secret of its own.
        prints = 'printf hush-of-; sleep 0.3; echo "the-sandbox"; echo $MORE >&2'
        process = sandbox.exec("sh", "-c", prints, secrets=[wherry.Secret.from_dict({"MORE": EXEC_VALUE})])
        shown = ("****\n", "****\n") if masks else (f"{VALUES['TOKEN']}\n", f"{EXEC_VALUE}\n")
        assert (process.stdout.read(), process.stderr.read(), process.wait()) == (*shown, 0)
        # A file is what it is: it may be written back.
        assert sandbox.exec("sh", "-c", "echo $TOKEN >/tmp/file").wait() == 0
        assert sandbox.filesystem.read_text("/tmp/file") == f"{VALUES['TOKEN']}\n"
        # People see it masked in any case.
        logs = [sys.executable, "-m", "wherry.cli.main", "sandbox", "logs", sandbox.object_id]
        done = subprocess.run(logs, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "own ****\n"
