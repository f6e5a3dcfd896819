"""A service that is elsewhere: all of the SDK and the commands over TCP with TLS and a token, and no socket at hand."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.acceptance.service import OwnService
from tests.acceptance.wire import Wire
from tests.waiting import wait_until

COMMAND = [sys.executable, "-m", "wherry.cli.main"]
APP = Path(__file__).parent / "apps" / "remote.py"

RAISING = """
import wherry
app = wherry.App("raising")
with app.run():
    raise ValueError("of the body")
"""
CRASHING = """
import time
import wherry
app = wherry.App("crashing")
with app.run():
    print("runs", flush=True)
    time.sleep(60)
"""
MAPPING = """
import wherry
for value in wherry.Function.from_name("remote", "work").map(range(300)):
    print(value, flush=True)
"""


class Team:
    """A service on TCP, and the profiles of those who use it."""

    def __init__(self, folder: Path) -> None:
        self.service = OwnService(folder / "s")
        self._folder = folder
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("WHERRY_")}
        self.environ |= {"WHERRY_CONFIG_PATH": str(folder / "profiles.toml"), "PYTHONWARNINGS": "error"}
        # Those who use it have no socket, and no state.
        self.environ["WHERRY_STATE_DIR"] = str(folder / "nowhere")

    @property
    def port(self) -> int:
        return int(json.loads(self.said("config", "show", "--json", profile="work"))["server_url"].rpartition(":")[2])

    def token(self, profile: str, *options: str, port: int = 0) -> str:
        """Make a token, as the service's own user; write it into a profile, with another port; return its id."""
        made = json.loads(self.as_owner("token", "new", profile, *options, "--json"))
        values = {"server_url": made["server_url"], "token_id": made["token_id"], "token_secret": made["token_secret"]}
        if port:
            values["server_url"] = f"https://127.0.0.1:{port}"
        pem = self._folder / "certificate.pem"
        pem.write_text(made["certificate"])
        self.said(
            "profile", "add", profile, "--url", values["server_url"], "--certificate", str(pem),
            WHERRY_TOKEN_ID=values["token_id"], WHERRY_TOKEN_SECRET=values["token_secret"],
        )  # fmt: skip
        return str(values["token_id"])

    def as_owner(self, *words: str) -> str:
        """Run a command as the service's own user."""
        own = {"WHERRY_STATE_DIR": str(self.service.state_dir), "WHERRY_CONFIG_PATH": str(self._folder / "none.toml")}
        return self.said(*words, **own)

    def said(self, *words: str, code: int = 0, told: str = "", profile: str = "", **environ: str) -> str:
        """Run a command; return what it printed."""
        environ = {**self.environ, **({"WHERRY_PROFILE": profile} if profile else {}), **environ}
        done = subprocess.run([*COMMAND, *words], env=environ, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == code, (words, done.stdout[-1000:], done.stderr[-2000:])
        assert told in done.stderr, done.stderr[-2000:]
        if code:
            assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    folder = Path(tempfile.mkdtemp(prefix="wherry-"))
    team = Team(folder)
    team.service.start("--listen", "127.0.0.1:0", "--dev-tls")
    team.token("work")
    yield team
    team.service.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def app_id(team: Team) -> Iterator[str]:
    """The app, which runs until the end; its entrypoint has used everything once."""
    command = [*COMMAND, "run", str(APP)]
    with subprocess.Popen(command, env=team.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        printed = ""
        while "all of it works" not in printed:
            line = run.stdout.readline()
            assert line, f"it ended after {printed!r}"
            printed += line
        (app,) = [app for app in json.loads(team.said("app", "list", "--json")) if app["name"] == "remote"]
        yield str(app["app_id"])
        run.stdin.close()
        assert run.wait(60) == 0


def test_functions_images_volumes_dicts_queues_and_sandboxes_work_over_tls(team: Team, app_id: str) -> None:
    assert "working on 21" in team.said("app", "logs", app_id)
    assert not (Path(team.environ["WHERRY_STATE_DIR"]) / "local.sock").exists()


SHOP = """
import wherry

app = wherry.App("shop")
image = wherry.Image.debian_slim().run_commands("test $KEY = of-prod", secrets=[wherry.Secret.from_name("key")])


@app.function(image=image, secrets=[wherry.Secret.from_name("key")])
def f(): ...
"""


def test_a_deploy_token_deploys_to_its_environment_and_does_nothing_else(team: Team, tmp_path: Path) -> None:
    source = tmp_path / "shop.py"
    source.write_text(SHOP)
    team.as_owner("environment", "create", "prod")
    team.as_owner("secret", "create", "key", "KEY=of-prod", "-e", "prod")
    team.token("ci", "--scope", "deploy", "-e", "prod")
    # With the profile of the token for prod alone, as documented: nothing but -e says where it goes.
    ci = {"profile": "ci"}
    made = json.loads(team.said("deploy", "-e", "prod", str(source), "--json", **ci))
    assert (made["version"], made["changed"]) == (1, True)
    assert json.loads(team.said("deploy", "-e", "prod", str(source), "--json", **ci))["changed"] is False
    assert json.loads(team.said("deploy", "-e", "prod", str(source), "--dry-run", "--json", **ci))["changed"] is False
    (image_id,) = json.loads(team.said("image", "build", "-e", "prod", f"{source}::image", "--json", **ci))
    (version,) = json.loads(team.said("app", "history", "-e", "prod", "shop", "--json", **ci))
    assert version["by"] == "ci"
    team.said("deploy", str(source), "-e", "main", profile="ci", code=4, told="does not allow")
    team.said("secret", "create", "s", "A=1", "-e", "prod", **ci, code=4, told="does not allow")
    calls = "import wherry; wherry.Function.from_name('shop', 'f', environment_name='prod').remote()"
    done = subprocess.run(
        [sys.executable, "-c", calls], env={**team.environ, "WHERRY_PROFILE": "ci"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "NotFoundError" in done.stderr or "PermissionDeniedError" in done.stderr, done.stderr
    # Another environment's token sees nothing of it, its image included.
    team.said("app", "history", made["app_id"], profile="work", code=1, told="does not exist")
    team.said("image", "logs", image_id, profile="work", code=1, told="does not exist")
    team.said("app", "stop", "-e", "prod", "shop", **ci)
    team.as_owner("audit", "list")


def test_b54_an_app_ends_with_its_client(team: Team, app_id: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISING], env=team.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert "ValueError: of the body" in done.stderr
    with subprocess.Popen([sys.executable, "-c", CRASHING], env=team.environ, stdout=subprocess.PIPE) as crashing:
        assert crashing.stdout is not None
        assert crashing.stdout.readline() == b"runs\n"
        crashing.kill()

    def states() -> dict[str, str]:
        return {app["name"]: app["state"] for app in json.loads(team.said("app", "list", "--all", "--json"))}

    assert states()["raising"] == "stopped"
    wait_until(lambda: states()["crashing"] == "stopped", "the app of a client that crashed stops", 40)
    assert states()["remote"] == "ephemeral"


def test_a_shell_and_execs_work_over_tls(team: Team, app_id: str) -> None:
    containers = json.loads(team.said("container", "list", "--json"))
    container_id = next(item["container_id"] for item in containers if item["app_id"] == app_id)
    assert team.said("container", "exec", container_id, "cat", "/root/note.txt") == "a file of this machine\n"
    child = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], "shell", container_id], env={**team.environ, "TERM": "xterm"},
        timeout=30, encoding="utf-8",
    )  # fmt: skip
    try:
        child.expect(r"[#$] ")
        child.sendline("echo $((6 * 7))")
        child.expect("42")
        child.sendline("exit 3")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert child.exitstatus == 3


def test_the_terminal_is_put_back_when_the_network_is_cut(team: Team, app_id: str) -> None:
    containers = json.loads(team.said("container", "list", "--json"))
    container_id = next(item["container_id"] for item in containers if item["app_id"] == app_id)
    line = f"{' '.join(COMMAND)} shell {container_id}; echo code-$?; stty -a"
    with Wire(team.port) as wire:
        team.token("wired", port=wire.port)
        environ = {**team.environ, "TERM": "xterm", "WHERRY_PROFILE": "wired"}
        with pexpect.spawn("/bin/sh", ["-c", line], env=environ, timeout=30, encoding="utf-8") as child:
            child.expect(r"[#$] ")
            wire.cut(silently=False)
            child.expect("Error: no answer from the service at")
            child.expect("code-3")
            child.expect(r"\sicanon\s")
            child.expect(r"\secho\s")

    def is_left() -> bool:
        (found,) = [
            item for item in json.loads(team.said("container", "list", "--json"))
            if item["container_id"] == container_id
        ]  # fmt: skip
        return bool(found["execs"] == 0)

    wait_until(is_left, "the shell is gone from the container")


def test_volumes_take_and_give_files_over_tls(team: Team, app_id: str, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "sent").write_bytes(data)
    team.said("volume", "put", "files", str(tmp_path / "sent"), "/sent")
    team.said("volume", "get", "files", "/sent", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == data


def test_a_token_of_another_environment_sees_none_of_it(team: Team, app_id: str) -> None:
    team.as_owner("environment", "create", "dev")
    team.token("stranger", "-e", "dev")
    assert json.loads(team.said("app", "list", "--json", profile="stranger", WHERRY_ENVIRONMENT="dev")) == []
    team.said("app", "list", code=4, told="does not allow Apps.List in environment 'main'", profile="stranger")
    team.said("app", "stop", app_id, code=1, told="", profile="stranger", WHERRY_ENVIRONMENT="dev")
    team.said("volume", "ls", "files", code=1, told="'files'", profile="stranger", WHERRY_ENVIRONMENT="dev")
    assert app_id in team.said("app", "list", "--json")


def test_a_revoked_token_ends_what_it_has_open(team: Team, app_id: str) -> None:
    token_id = team.token("leaver")
    command = [*COMMAND, "app", "logs", "remote", "--follow"]
    environ = {**team.environ, "WHERRY_PROFILE": "leaver"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        assert "working on" in following.stdout.readline()
        own = {"WHERRY_STATE_DIR": str(team.service.state_dir), "WHERRY_PROFILE": "", "WHERRY_CONFIG_PATH": os.devnull}
        team.said("token", "revoke", token_id, **own)
        _, told = following.communicate(timeout=30)
    assert following.returncode == 4
    assert "was revoked" in told
    team.said("token", "info", code=4, told="this token is not valid here", profile="leaver")
    audit = json.loads(team.said("audit", "list", "--json", **own))
    assert {"Tokens.Create", "Tokens.Revoke", "Apps.Publish", "login"} <= {entry["action"] for entry in audit}


def test_what_is_not_there_or_not_trusted_is_told_at_once(team: Team) -> None:
    url = json.loads(team.said("config", "show", "--json"))["server_url"]
    no_profile = {"WHERRY_CONFIG_PATH": os.devnull}
    team.said("app", "list", code=3, told="the certificate of", WHERRY_SERVER_URL=url, **no_profile)
    team.said(
        "app", "list", code=3, told="no service answers at", WHERRY_SERVER_URL="https://127.0.0.1:9", **no_profile
    )
    team.said("server", "stop", code=1, told="is for a service on this machine")


def test_b66_a_killed_service_is_found_again_by_a_map_over_tls(team: Team, app_id: str) -> None:
    port = team.port
    command = [sys.executable, "-c", MAPPING]
    with subprocess.Popen(command, env=team.environ, stdout=subprocess.PIPE, text=True) as mapping:
        assert mapping.stdout is not None
        assert mapping.stdout.readline() == "0\n"
        team.service.signal(signal.SIGKILL)
        wait_until(lambda: not team.service.is_running, "it is gone")
        (team.service.state_dir / "local.sock").unlink()
        team.service.start("--listen", f"127.0.0.1:{port}", "--dev-tls")
        rest, _ = mapping.communicate(timeout=60)
    assert [int(line) for line in rest.split()] == [2 * number for number in range(1, 300)]
