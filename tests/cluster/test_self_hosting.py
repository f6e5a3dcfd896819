"""docs/self-hosting.md on a machine like a user's: compose.yaml on an engine of its own, used from outside of it.

The images that compose.yaml names are made from the same software's Debian packages, as no registry need be in reach.
"""

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.cluster.machine import Machine
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="only root can make a machine's file system; whoever runs this suite is asked to be root",
    ),
]

CHECKOUT = Path(__file__).parents[2]
PACKAGES = [
    "ca-certificates", "curl", "debootstrap", "docker-buildx", "docker-cli", "docker-compose", "docker.io", "git",
    "iproute2", "iptables", "openssl", "python3", "python3-venv",
]  # fmt: skip
START_ENGINE = (
    "update-alternatives --set iptables /usr/sbin/iptables-legacy && (setsid dockerd >/var/log/dockerd.log 2>&1 &)"
)
# Of this very machine, whose packages are all there: quicker than another bootstrap.
MAKE_BASE = (
    "tar -C / $(printf -- '--exclude=./%s/* ' proc sys dev run tmp root var/lib/docker) --exclude=./.dockerenv -c ."
    " | docker import - machine"
)
# All that is in an image's own file system, by content.
FILES = (
    "docker run --rm --entrypoint sh wherry/service -c 'find / -xdev -type f ! -path /etc/hosts ! -path /etc/hostname"
    " ! -path /etc/resolv.conf ! -path /.dockerenv -print0 | sort -z | xargs -0 sha256sum'"
)
BUILD_SERVICE = (
    'printf \'[global]\\nindex-url = %s\\nextra-index-url = %s\\n\' "$PIP_INDEX_URL" "$PIP_EXTRA_INDEX_URL"'
    " | sed '/= $/d' >/tmp/pip.conf && touch /tmp/none && ca=/run/host/ca.crt && [ -e $ca ] || ca=/tmp/none;"
    " docker build --quiet --build-arg BASE=machine --secret id=ca,src=$ca --secret id=pip,src=/tmp/pip.conf"
    " --file images/service/Dockerfile --tag wherry/service ."
)
# As a network has it that no authority reaches.
SETTINGS = (
    "WHERRY_CADDY_OPTION=local_certs", "WHERRY_HTTP_URL=https://apps.localhost",
    "WHERRY_HTTP_TRUSTED_PROXIES=172.16.0.0/12",
)  # fmt: skip
COMPOSE = "docker compose --profile tls"
DURABLE = "tests/acceptance/apps/durable.py"
PAGES = "tests/cluster/apps/pages.py"
DIRECT = ("https://localhost:7433", "/var/lib/wherry/tls/certificate.pem")
# The authority's certificate that curl, and a client, is given.
CADDY_ROOT = "/root/caddy.crt"
PROXIED = ("https://localhost", CADDY_ROOT)


class Host:
    """A machine with a clone, on which the service is run, and a client's installation."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._token: dict[str, str] = {}

    def sh(self, script: str) -> str:
        done = self._machine.run("bash", "-eo", "pipefail", "-c", script, cwd="/root/wherry")
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def log_in(self, *scopes: str) -> None:
        options = " ".join(f"--scope {scope}" for scope in scopes)
        self._token = json.loads(self.sh(f"docker compose exec -T wherry wherry token new team {options} --json"))

    def client(self, command: str, url: str, authority: str) -> str:
        """Run a command of an installation that knows no more than an address and a token."""
        return self.sh(self._as_client(command, url, authority))

    def direct(self, command: str) -> str:
        return self.client(command, *DIRECT)

    @contextlib.contextmanager
    def started(self, command: str, url: str, authority: str) -> "Iterator[subprocess.Popen[str]]":
        """Start such a command; what it says on both streams is read as it comes."""
        line = self._machine.line("bash", "-ec", self._as_client(command, url, authority), cwd="/root/wherry")
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            yield process

    @contextlib.contextmanager
    def terminal(self, command: str) -> Iterator[Any]:
        """Run such a command at a terminal."""
        line = self._machine.line("bash", "-ec", self._as_client(command, *DIRECT), options=["-it"])
        child = pexpect.spawn(line[0], line[1:], timeout=60, encoding="utf-8", dimensions=(30, 100))
        try:
            yield child
        finally:
            child.close(force=True)

    def _as_client(self, command: str, url: str, authority: str) -> str:
        variables = {
            "WHERRY_SERVER_URL": url, "WHERRY_TLS_CA": authority, "WHERRY_TOKEN_ID": self._token["token_id"],
            "WHERRY_TOKEN_SECRET": self._token["token_secret"],
        }  # fmt: skip
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"export {exports} PATH=/root/client/bin:$PATH; {command}"

    def check_log(self) -> None:
        """See that nothing has failed in the service in a way that nobody thought of."""
        before, found, after = self.sh("docker compose logs --no-color wherry").partition("Traceback")
        assert not found, before[-1000:] + found + after[:9000]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    bundle = tmp_path_factory.mktemp("clone") / "wherry.bundle"
    subprocess.run(["git", "-C", str(CHECKOUT), "bundle", "create", "--quiet", str(bundle), "HEAD"], check=True)
    with Machine("trixie", PACKAGES) as machine:
        machine.copy_in(bundle, "/root/wherry.bundle")
        assert machine.run("git", "clone", "--quiet", "/root/wherry.bundle", "/root/wherry").returncode == 0
        host = Host(machine)
        host.sh(START_ENGINE)
        wait_until(lambda: machine.run("docker", "info").returncode == 0, "the engine answers", 60)
        host.sh(MAKE_BASE)
        names = ("postgres", "registry", "caddy")
        for name in names:
            host.sh(f"docker build --quiet --tag stand-in/{name} - <tests/cluster/images/{name}.Dockerfile")
        host.sh(BUILD_SERVICE)
        settings = [*SETTINGS, *(f"{name.upper()}_IMAGE=stand-in/{name}" for name in names)]
        host.sh("".join(f"echo {setting} >>.env\n" for setting in settings))
        host.sh("python3 -m venv /root/client && /root/client/bin/pip install --quiet -c constraints.txt .")
        # As the page says.
        host.sh("mkdir -m 700 secrets && openssl rand -hex 32 >secrets/database_password")
        host.sh(f"{COMPOSE} up -d --wait 2>&1")
        host.sh(f"{COMPOSE} exec -T caddy cat /data/caddy/pki/authorities/local/root.crt >{CADDY_ROOT}")
        host.log_in("deploy", "invoke")
        yield host


def test_b66_nothing_is_lost_when_each_service_is_killed_in_turn_while_calls_run(host: Host) -> None:
    host.direct(f"wherry deploy {DURABLE}")
    for service in ("postgres", "registry", "caddy", "wherry"):
        through = PROXIED if service == "caddy" else DIRECT
        said = host.client(f"wherry run --quiet --detach {DURABLE} --count 30", *through)
        call_id = json.loads(said.splitlines()[-1])
        with host.started(f"python {DURABLE} {call_id}", *through) as waiting:
            assert waiting.stdout is not None
            assert waiting.stdout.readline() == "1\n"
            killed = host.sh(f"{COMPOSE} ps -q {service}").strip()
            host.sh(f"docker kill {killed} && docker start {killed}")
            host.sh(f"{COMPOSE} up -d --wait 2>&1")
            said = waiting.stdout.read()
        assert waiting.returncode == 0, said
        results, numbers, items = json.loads(said.splitlines()[-1])
        assert results == [number * number for number in range(30)], service
        assert (numbers, items) == (list(range(30)), ["a", "b", "c"]), service
    host.check_log()
    # All of it stopped and started, in order.
    host.sh(f"{COMPOSE} down 2>&1 && {COMPOSE} up -d --wait 2>&1")
    assert [app["name"] for app in json.loads(host.direct("wherry app list --json"))].count("durable") >= 1


def test_b67_an_engine_that_restarts_while_calls_run_takes_nothing_with_it(host: Host) -> None:
    said = host.direct(f"wherry run --quiet --detach {DURABLE} --count 30")
    call_id = json.loads(said.splitlines()[-1])
    with host.started(f"python {DURABLE} {call_id}", *DIRECT) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "1\n"
        # The service, its database and all containers end with it, and come back by themselves.
        host.sh("kill $(cat /run/docker.pid) && while [ -e /run/docker.pid ]; do sleep 0.1; done")
        host.sh(START_ENGINE)
        said = waiting.stdout.read()
    assert waiting.returncode == 0, said
    results, numbers, items = json.loads(said.splitlines()[-1])
    assert results == [number * number for number in range(30)]
    assert (numbers, items) == (list(range(30)), ["a", "b", "c"])
    host.check_log()


def test_the_services_image_has_the_same_files_whenever_it_is_built(host: Host) -> None:
    before = host.sh(FILES).splitlines()
    host.sh(BUILD_SERVICE.replace("docker build", "docker build --no-cache"))
    assert [line for line in host.sh(FILES).splitlines() if line not in set(before)] == []
    assert any("/opt/wherry/" in line for line in before)


def test_built_images_are_in_the_registry(host: Host) -> None:
    host.direct(f"wherry deploy {PAGES}")
    assert json.loads(host.sh("curl -sf http://127.0.0.1:5000/v2/_catalog"))["repositories"]


def test_a_shell_into_a_running_function_from_outside(host: Host) -> None:
    host.direct(f"wherry deploy {PAGES}")
    containers = json.loads(host.direct("wherry container list --json"))
    container_id = next(item["container_id"] for item in containers if item["app_name"] == "pages")
    with host.terminal(f"wherry shell {container_id}") as child:
        child.expect("[#$] ")
        child.sendline("stty size; echo $((6 * 7)) >/tmp/left; ls /wherry/runner | wc -l")
        child.expect("30 100")
        child.expect("[#$] ")
        child.sendline("exit 3")
        child.expect(pexpect.EOF)
    assert child.exitstatus == 3
    # It was that very container.
    assert host.direct(f"wherry container exec {container_id} cat /tmp/left").split() == ["42"]


def test_caddy_passes_calls_through_with_a_certificate_of_its_own(host: Host) -> None:
    said = host.client(f"wherry run --quiet --detach {DURABLE} --count 3", *PROXIED)
    call_id = json.loads(said.splitlines()[-1])
    said = host.client(f"python {DURABLE} {call_id}", *PROXIED)
    assert json.loads(said.splitlines()[-1])[0] == [0, 1, 4]


def test_names_of_endpoints_get_certificates_and_others_none(host: Host) -> None:
    host.direct(f"wherry deploy {PAGES}")
    curl = f"curl --silent --show-error --cacert {CADDY_ROOT}"
    for url in ("https://wherry--page.apps.localhost", "https://apps.localhost/wherry--page", "https://shop.test"):
        # What the app saw: names, the scheme, and who asked were passed on.
        assert host.sh(f"{curl} --fail --resolve shop.test:443:127.0.0.1 {url}/") == f"GET {url}/\n"
    moved = host.sh(f"{curl} --write-out '%{{http_code}} %{{redirect_url}}' http://wherry--page.apps.localhost/a")
    assert moved == "308 https://wherry--page.apps.localhost/a"
    for name in ("wherry--nothing.apps.localhost", "evil.test"):
        refused = host.sh(f"{curl} --resolve {name}:443:127.0.0.1 https://{name}/ 2>&1 || echo code $?")
        # TLS is not spoken, rather than spoken with a certificate of another name.
        assert refused.splitlines()[-1] == "code 35", refused
    kept = host.sh(f"{COMPOSE} exec -T caddy ls /data/caddy/certificates/local").split()
    assert sorted(kept) == ["apps.localhost", "localhost", "shop.test", "wherry--page.apps.localhost"]


def test_what_was_backed_up_is_there_again_on_an_empty_machine(host: Host) -> None:
    page = (CHECKOUT / "docs" / "self-hosting.md").read_text()
    before = host.direct("wherry app history durable --json")
    host.sh(_block(page, "## Back up"))
    host.sh(f"{COMPOSE} down --volumes 2>&1 && rm -rf /var/lib/wherry")
    host.sh(_block(page, "## Restore"))
    assert host.direct("wherry app history durable --json") == before


def _block(page: str, title: str) -> str:
    """Return the first block of commands below a title."""
    return page.split(f"\n{title}\n", 1)[1].split("```\n", 2)[1]
