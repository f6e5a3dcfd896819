"""What code in a container asks of the service over its socket: nothing of another environment is told or touched."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.places import Place

# What a stranger is told: that it is not there, that it may not, that it makes no sense. Never an answer.
REFUSALS = ("NotFoundError", "PermissionDeniedError", "InvalidError", "AuthError")


@dataclass
class Treasury:
    """The other environment's things, by id."""

    app: ModuleType
    ids: dict[str, str]
    call: Any
    dict: Any
    queue: Any
    sandbox: Any

    def is_whole(self) -> None:
        """Assert that all is as it was."""
        assert self.dict["vault"] == "PROD-VAULT"
        assert self.queue.len() == 1
        assert b"".join(self.app.volume.read_file("ledger")).startswith(b"PROD-LEDGER")
        assert self.sandbox.poll() is None
        assert self.app.count.remote(0) == "PROD-RESULT"


@pytest.fixture(scope="module")
def treasury(service: OwnService) -> Iterator[Treasury]:
    command("environment", "create", "prod")
    command("secret", "create", "master", "KEY=PROD-MASTER", "-e", "prod")
    sys.modules.pop("tests.hostile.treasury", None)
    app = importlib.import_module("tests.hostile.treasury")
    vault = wherry.Dict.from_name("vault", create_if_missing=True, environment_name="prod")
    vault["vault"] = "PROD-VAULT"
    queue = wherry.Queue.from_name("orders", create_if_missing=True, environment_name="prod")
    queue.put("PROD-ORDER")
    with app.app.run(environment_name="prod"):
        assert app.count.remote(0) == "PROD-RESULT"
        call = app.count.spawn(0)
        assert call.get() == "PROD-RESULT"
        sandbox = wherry.Sandbox.create(
            "sh", "-c", "echo PROD-OUTPUT; sleep 600", image=wherry.Image.debian_slim(), environment_name="prod"
        )
        listed = json.loads(command("container", "list", "--json", "-e", "prod"))
        ids = {
            "function": app.count.object_id,
            "app": app.app.app_id,
            "call": call.object_id,
            "dict": vault.object_id,
            "queue": queue.object_id,
            "volume": app.volume.object_id,
            "sandbox": sandbox.object_id,
            "container": next(row["container_id"] for row in listed if row["function_name"] == "count"),
            "lease": "le-" + "0" * 26,
            # Of nobody here: what is built is everybody's who asks for the same.
            "image": "im-" + "q" * 26,
        }
        yield Treasury(app, {name: value or "" for name, value in ids.items()}, call, vault, queue, sandbox)
        sandbox.terminate()


def command(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def ask(method: str, fields: dict[str, object]) -> list[str]:
    """Ask the service; texts in place of ids, {"message": NAME, …} for a message, {"bytes": TEXT} for bytes."""
    import sys
    from typing import Any

    sys.path.append("/wherry/sdk")
    from wherry._connection.transport.frames import FramesTransport
    from wherry_proto import messages, services

    def made(value: Any) -> Any:
        if isinstance(value, list):
            return [made(item) for item in value]
        if isinstance(value, dict) and "message" in value:
            rest = {name: made(item) for name, item in value.items() if name != "message"}
            return getattr(messages, value["message"])(**rest)
        if isinstance(value, dict) and "bytes" in value:
            return value["bytes"].encode()
        return value

    def told(value: Any) -> str:
        if isinstance(value, messages.Message):
            return repr({name: told(getattr(value, name)) for name in value.__slots__})
        return repr([told(item) for item in value]) if isinstance(value, list) else repr(value)

    spec = services.METHODS[method]
    request = getattr(messages, spec.request)(**{name: made(value) for name, value in fields.items()})
    transport = FramesTransport("/run/wherry/api.sock")
    if spec.client_stream and spec.server_stream:
        return [told(answer) for answer in transport.exchange(method, request)]
    if spec.client_stream:
        return [told(transport.upload(method, iter([request])))]
    if spec.server_stream:
        return [told(answer) for answer in transport.stream(method, request)]
    return [told(transport.call(method, request, timeout=5))]


def filled(fields: Any, ids: dict[str, str]) -> Any:
    if isinstance(fields, dict):
        return {name: filled(value, ids) for name, value in fields.items()}
    if isinstance(fields, list):
        return [filled(value, ids) for value in fields]
    return ids[fields[1:]] if isinstance(fields, str) and fields.startswith("$") else fields


# "$dict" is the id of the other environment's dict.
STRANGE = {
    "read a dict": ("Dicts.Get", {"dict_id": "$dict", "key": {"bytes": "vault"}}),
    "list a dict": ("Dicts.Scan", {"dict_id": "$dict", "with_values": True}),
    "count a dict": ("Dicts.Count", {"dict_id": "$dict"}),
    "empty a dict": ("Dicts.Clear", {"dict_id": "$dict", "operation_id": "op-1"}),
    "take from a dict": ("Dicts.Pop", {"dict_id": "$dict", "operation_id": "op-2", "key": {"bytes": "vault"}}),
    "delete a dict": ("Dicts.Delete", {"object_id": "$dict"}),
    "open a dict by id": ("Dicts.Open", {"object_id": "$dict"}),
    "open a dict by name": ("Dicts.Open", {"name": "vault", "environment": "prod"}),
    "list dicts": ("Dicts.List", {"environment": "prod"}),
    "take from a queue": ("Queues.Get", {"queue_id": "$queue", "lease_id": "$lease", "count": 1}),
    "look into a queue": ("Queues.Scan", {"queue_id": "$queue"}),
    "empty a queue": ("Queues.Clear", {"queue_id": "$queue", "operation_id": "op-3", "all": True}),
    "count a queue": ("Queues.Count", {"queue_id": "$queue", "total": True}),
    "answer for a queue": ("Queues.Acknowledge", {"queue_id": "$queue", "lease_id": "$lease", "positions": [1]}),
    "delete a queue": ("Queues.Delete", {"object_id": "$queue"}),
    "read a volume": ("Volumes.Read", {"volume_id": "$volume", "paths": ["/ledger"]}),
    "list a volume": ("Volumes.Entries", {"volume_id": "$volume", "path": "/", "recursive": True}),
    "remove a volume's file": ("Volumes.Remove", {"volume_id": "$volume", "path": "/ledger"}),
    "write to a volume": ("Volumes.Write", {"volume_id": "$volume"}),
    "copy within a volume": ("Volumes.Copy", {"volume_id": "$volume", "sources": ["/ledger"], "destination": "/x"}),
    "rename a volume": ("Volumes.Rename", {"volume_id": "$volume", "name": "mine"}),
    "delete a volume": ("Volumes.Delete", {"object_id": "$volume", "force": True}),
    "look a function up": ("Functions.Lookup", {"function_id": "$function"}),
    "look a function up by name": (
        "Functions.Lookup",
        {"app_name": "treasury", "name": "count", "environment": "prod"},
    ),
    "a function's figures": ("Functions.Stats", {"function_id": "$function"}),
    "what a function asks for": ("Functions.Describe", {"function_id": "$function"}),
    "bind a function": ("Functions.Bind", {"function_id": "$function"}),
    "scale a function": (
        "Functions.Update",
        {"function_id": "$function", "pool": {"message": "PoolSettings", "max_containers": 0}},
    ),
    "begin a session of a server": ("Functions.StartSession", {"function_id": "$function", "idle_timeout_s": 60}),
    "end a session of a server": ("Functions.EndSession", {"function_id": "$function", "token": "x"}),
    "a call's graph": ("Calls.Graph", {"call_id": "$call"}),
    "a call's values": ("Calls.Values", {"call_id": "$call"}),
    "a secret's name": ("Secrets.Lookup", {"name": "master", "environment": "prod"}),
    "list secrets": ("Secrets.List", {"environment": "prod"}),
    "delete a secret": ("Secrets.Delete", {"name": "master", "environment": "prod"}),
    "have all secrets encrypted anew": ("Secrets.Rotate", {}),
    "a secret's name by its id": ("Secrets.Lookup", {"secret_id": "st-" + "0" * 26}),
    "write to a sandbox": ("Sandboxes.Input", {"sandbox_id": "$sandbox", "data": {"bytes": "x"}}),
    "an image of a sandbox": ("Sandboxes.Snapshot", {"sandbox_id": "$sandbox"}),
    "a sandbox by its id": ("Sandboxes.Get", {"sandbox_id": "$sandbox"}),
    "a sandbox in another's app": (
        "Sandboxes.Create",
        {"app_id": "$app", "sandbox_id": "sb-" + "0" * 26, "spec": {"message": "SandboxSpec", "image_id": "$image"}},
    ),
    "a sandbox of another's image": (
        "Sandboxes.Create",
        {"sandbox_id": "sb-" + "0" * 26, "spec": {"message": "SandboxSpec", "image_id": "$image"}},
    ),
    "a sandbox's output": ("Sandboxes.Output", {"sandbox_id": "$sandbox", "stream": 1}),
    "end a sandbox": ("Sandboxes.Terminate", {"sandbox_id": "$sandbox"}),
    "list sandboxes": ("Sandboxes.List", {"environment": "prod"}),
    "make a sandbox": ("Sandboxes.Create", {"environment": "prod"}),
    "run a command": (
        "Execs.Run",
        {"start": {"message": "ExecStart", "container_id": "$container", "args": ["env"]}},
    ),
    "run a command in a sandbox": (
        "Execs.Run",
        {"start": {"message": "ExecStart", "container_id": "$sandbox", "args": ["env"]}},
    ),
    "read logs": ("Logs.Read", {"app_id": "$app"}),
    "list containers": ("Containers.List", {"environment": "prod"}),
    "stop a container": ("Containers.Stop", {"container_id": "$container"}),
    "stop an app": ("Apps.Stop", {"app_id": "$app"}),
    "show an app": ("Apps.Show", {"app_id": "$app"}),
    "tag an app": ("Apps.SetTags", {"app_id": "$app"}),
    "publish into an app": ("Apps.Publish", {"app_id": "$app"}),
    "deploy over an app": ("Deployments.Create", {"app_id": "$app"}),
    "a token for everything": ("Tokens.Create", {"name": "mine", "scopes": ["admin"], "environments": ["*"]}),
    "list tokens": ("Tokens.List", {}),
    "read the audit log": ("Audit.List", {}),
    "delete an environment": ("Environments.Delete", {"name": "prod"}),
    "stop the service": ("Server.Stop", {"force": True}),
    "adopt a file of the host": ("Blobs.Adopt", {"blob_id": "bl-" + "0" * 26}),
    "where a blob is on the host": ("Blobs.Locate", {"blob_id": "bl-" + "0" * 26}),
    "a blob by a path": ("Blobs.Get", {"blob_id": "../../wherry.db"}),
    "a source by its hash": ("Blobs.Get", {"blob_id": "sha256:" + "0" * 64}),
    "an image of the host": ("Images.List", {}),
    "remove images": ("Images.Prune", {}),
}  # fmt: skip


@pytest.mark.parametrize("what", STRANGE)
def test_what_is_anothers_is_refused(function: Place, treasury: Treasury, what: str) -> None:
    method, fields = STRANGE[what]
    got = function.attack(ask, method, filled(fields, treasury.ids), timeout_s=20)
    assert got.error in REFUSALS, got
    assert "PROD-" not in got.text
    if "wherry.db" not in str(fields):
        assert "Traceback" not in got.text


def test_the_tools_work(function: Place, treasury: Treasury) -> None:
    # What is refused above is answered where it is one's own.
    got = function.attack(ask, "Dicts.Open", {"name": "own", "create": True})
    assert got.value, got
    own = got.value[0].split("'object_id': \"'")[1].split("'")[0]
    assert function.attack(ask, "Dicts.Count", {"dict_id": own}).value == ["{'count': '0'}"]


def session(rows: "dict[str, tuple[str, list[dict[str, Any]]]]", wait_s: float) -> list[str]:
    """Hold a session that asks for these, and return what was answered within the seconds."""
    import sys
    import threading
    from typing import Any

    sys.path.append("/wherry/sdk")
    from wherry._connection.transport.frames import FramesTransport
    from wherry.exception import Error as wherry_error
    from wherry_proto import messages
    from wherry_proto.messages import Hello, SessionUp

    up = SessionUp(hello=Hello(client_id="cl-" + "7" * 26, protocol=1, version="0", python="3.11"))
    for name, (kind, items) in rows.items():
        setattr(up, name, [getattr(messages, kind)(**item) for item in items])

    heard: list[str] = []
    found = FramesTransport("/run/wherry/api.sock").exchange("Calls.Session", up)

    def told(value: Any) -> str:
        if isinstance(value, messages.Message):
            return repr({name: told(getattr(value, name)) for name in value.__slots__})
        return repr([told(item) for item in value]) if isinstance(value, list) else repr(value)

    def listen() -> None:
        try:
            for message in found:
                heard.append(told(message))
        except wherry_error as error:
            heard.append(repr(error))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    thread.join(wait_s)
    return heard


SESSIONS = {
    "watch": {"watches": ["CallWatch", [{"call_id": "$call"}]]},
    "cancel": {"cancels": ["CallCancel", [{"call_id": "$call", "terminate_containers": True}]]},
    "end": {"ends": ["InputsEnd", [{"call_id": "$call"}]]},
    "call": {"calls": ["CallStart", [{"call_id": "fc-" + "8" * 26, "function_id": "$function", "kind": 1}]]},
    "join": {"inputs": ["Input", [{"input_id": "in-" + "9" * 26, "call_id": "$call"}]]},
}


@pytest.mark.parametrize("what", SESSIONS)
def test_a_session_learns_and_changes_nothing_of_anothers_calls(function: Place, treasury: Treasury, what: str) -> None:
    running = treasury.app.count.spawn(2)
    ids = {**treasury.ids, "call": running.object_id}
    got = function.attack(session, filled(SESSIONS[what], ids), 1.0, timeout_s=20)
    assert got.value, got
    assert "PROD-" not in str(got.value)
    assert running.get(timeout=30) == "PROD-RESULT"


def test_a_session_of_another_client_is_not_taken_over(function: Place, treasury: Treasury) -> None:
    # The client that runs the treasury; its id is told to nobody, and would not help.
    own = wherry._connection.client.default_client().client_id
    got = function.attack(_hello, own, timeout_s=20)
    assert "welcome" not in str(got.value) or got.refused, got
    assert treasury.app.count.remote(0) == "PROD-RESULT"


def _hello(client_id: str) -> str:
    import json
    import socket
    import struct

    own = socket.socket(socket.AF_UNIX)
    own.settimeout(3)
    own.connect("/run/wherry/api.sock")
    head = json.dumps(["call", "Calls.Session", [[client_id, 1, "0", "3.11"], [], [], [], [], [], [], []]]).encode()
    own.sendall(struct.pack(">II", len(head), 0) + head)
    said = own.recv(65536)
    return "welcome" if b'"item"' in said else repr(said)


def test_after_all_that_everything_is_as_it_was(treasury: Treasury, service: OwnService) -> None:
    treasury.is_whole()
    assert json.loads(command("secret", "list", "--json", "-e", "prod"))[0]["name"] == "master"
    log = service.log()
    assert "Traceback" not in log
    assert "Fatal error on transport" not in log
