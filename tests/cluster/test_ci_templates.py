"""The templates for CI: their own steps, on a machine with nothing but Python and git, against a service over TCP."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.elsewhere import Elsewhere
from tests.cluster.machine import Machine
from tests.engine_host import bridge_gateway

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="only root can make a machine's file system; whoever runs this suite is asked to be root",
    ),
]

CHECKOUT = Path(__file__).parents[2]
APP = """\
import wherry

app = wherry.App("from-ci", image=wherry.Image.debian_slim())


@app.function()
def version() -> int:
    return {}
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A machine for a job, and the service that it deploys to."""

    machine: Machine
    service: Elsewhere
    url: str
    token: Mapping[str, str]
    folder: str = "/root/project"

    def commit(self, number: int) -> None:
        """Have the project at this version of its source."""
        command = f"printf %s {shlex.quote(APP.format(number))} >app.py && git add . && git commit -qm {number}"
        who = "git config user.name ci && git config user.email ci@example.com"
        self.run(f"git init -q . && {who} && {command}")

    def run(self, script: str, wanted: int = 0, **variables: str) -> str:
        """Run a script as a runner of CI does: in bash, ending with the first failure."""
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        ended = self.machine.run("bash", "-eo", "pipefail", "-c", exports + script, cwd=self.folder)
        assert ended.returncode == wanted, ended.stdout
        return ended.stdout

    def versions(self) -> list[dict[str, Any]]:
        shown = self.service.wherry("app", "history", "from-ci", "-e", "prod", "--json")
        assert shown.returncode == 0, shown.stderr
        found: list[dict[str, Any]] = json.loads(shown.stdout)
        return found


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway = bridge_gateway()
    variables = {"WHERRY_LISTEN_ADDRESS": f"{gateway}:{port}", "WHERRY_TLS_MODE": "dev"}
    bundle = tmp_path / "wherry.bundle"
    subprocess.run(["git", "-C", str(CHECKOUT), "bundle", "create", "--quiet", str(bundle), "HEAD"], check=True)
    folder = Path(tempfile.mkdtemp(prefix="wherry-"))
    machine = Machine("trixie", ["ca-certificates", "git", "python3", "python3-venv"])
    with Elsewhere(folder, variables) as service, machine:
        assert service.wherry("environment", "create", "prod").returncode == 0
        made = service.wherry("token", "new", "ci", "--scope", "deploy", "-e", "prod", "--json")
        assert made.returncode == 0, made.stderr
        token = json.loads(made.stdout)
        machine.copy_in(bundle, "/root/wherry.bundle")
        machine.copy_in(folder / "tls" / "certificate.pem", "/root/service.pem")
        prepared = machine.run(
            "sh", "-c", "git clone -q wherry.bundle wherry && mkdir project temp"
            # The certificate that the service makes itself has this name.
            f" && echo '{gateway} localhost' >/tmp/hosts && cat /tmp/hosts >/etc/hosts"
        )  # fmt: skip
        assert prepared.returncode == 0, prepared.stdout
        yield Job(machine, service, f"https://localhost:{port}", token)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_steps_of_the_github_action_deploy_and_say_what_they_did(job: Job) -> None:
    action = yaml.safe_load((CHECKOUT / "action.yml").read_text())
    given = {
        "app": "app.py", "server-url": job.url, "token-id": job.token["token_id"],
        "token-secret": job.token["token_secret"], "environment": "prod", "tag": "a 'tag' $(false)",
        "tls-ca": (job.service.service.state_dir / "tls" / "certificate.pem").read_text(),
    }  # fmt: skip
    install, deploy = action["runs"]["steps"]

    def step(which: Mapping[str, Any], wanted: int = 0, **others: str) -> dict[str, str]:
        """Run it as GitHub's runner does; return its outputs."""
        inputs = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | given | others
        variables = {name: evaluated(text, inputs) for name, text in which["env"].items()}
        output = "/root/temp/output"
        job.run(f": >{output}\n" + which["run"], wanted, RUNNER_TEMP="/root/temp", GITHUB_OUTPUT=output, **variables)
        return dict(line.split("=", 1) for line in job.run(f"cat {output}").splitlines())

    job.commit(1)
    step(install)
    assert step(deploy, **{"dry-run": "true"})["changed"] == "true"
    said = step(deploy)
    assert (said["version"], said["changed"]) == ("1", "true")
    assert json.loads(said["result"])["changes"] == {"version": "added"}
    assert step(deploy)["changed"] == "false"
    (only,) = job.versions()
    assert only["tag"] == given["tag"]
    # Its steps left the work tree as it was.
    assert job.run("git status --short").strip() in ("", "?? __pycache__/")
    # A step fails as the command does: this token deploys to one environment.
    assert step(deploy, 4, environment="main") == {}


def test_the_script_of_the_gitlab_template_deploys(job: Job) -> None:
    template = yaml.safe_load((CHECKOUT / "ci" / "gitlab.yml").read_text())[".wherry-deploy"]
    variables = template["variables"] | {
        "WHERRY_SERVER_URL": job.url, "WHERRY_TOKEN_ID": job.token["token_id"],
        "WHERRY_TOKEN_SECRET": job.token["token_secret"], "WHERRY_ENVIRONMENT": "prod",
        "WHERRY_TLS_CA": "/root/service.pem", "WHERRY_PACKAGE": "/root/wherry",
        "WHERRY_DEPLOY_OPTIONS": "--tag nightly",
    }  # fmt: skip
    job.commit(1)
    job.run("\n".join(template["before_script"]), **variables)
    script = "\n".join(template["script"])
    assert json.loads(job.run(script, **variables))["version"] == 1
    (artifact,) = template["artifacts"]["paths"]
    assert json.loads(job.run(f"cat {artifact} && rm {artifact}"))["changed"]
    job.commit(2)
    job.run(script, **variables)
    assert [(one["version"], one["tag"]) for one in job.versions()] == [(2, "nightly"), (1, "nightly")]
    job.run(script, 4, **variables | {"WHERRY_ENVIRONMENT": "main"})


def evaluated(text: str, inputs: Mapping[str, str]) -> str:
    """Return what GitHub makes of an expression: of its language, what the action uses."""
    found = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+)( \|\| github\.action_path)? \}\}", text)
    assert found is not None, f"the test does not know this expression: {text}"
    return inputs[found[1]] or ("/root/wherry" if found[2] else "")
