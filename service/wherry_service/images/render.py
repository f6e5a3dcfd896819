"""From a definition to a Dockerfile; what the host lends a build (CA bundle, pip's index) is mounted, never baked."""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from wherry_proto.messages import ImageStep
from wherry_service.errors import InvalidRequest

CA_SECRET = "wherry-ca"
PIP_SECRET = "wherry-pip"
_CA_PATH = "/run/wherry-build/ca.crt"
_PIP_PATH = "/run/wherry-build/pip.conf"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_APT_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+:~=*_-]*\Z", re.IGNORECASE)
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
_PIP_OPTIONS = {"index_url": "--index-url", "extra_index_url": "--extra-index-url", "find_links": "--find-links"}


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a Dockerfile, and what a person calls it."""

    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Lent:
    """What the host lends a build."""

    ca: bool = False
    pip: bool = False


def dockerfile(base: str, instructions: Iterable[Instruction]) -> str:
    """Return the Dockerfile's text."""
    return "\n".join([f"FROM {base}", *(instruction.text for instruction in instructions)]) + "\n"


def instructions(steps: Iterable[ImageStep], lent: Lent) -> list[Instruction]:
    """Render the steps after the base; raise `InvalidRequest` naming what can't be rendered."""
    rendered: list[Instruction] = []
    for step in steps:
        rendered += _RENDERERS[step.kind](step, lent)
    return rendered


def registry_reference(step: ImageStep) -> str:
    """Return the reference a from_registry step names."""
    if len(step.args) != 1 or not _REFERENCE.match(step.args[0]):
        raise InvalidRequest(f"from_registry: {' '.join(step.args)[:80]!r} is not an image reference")
    return step.args[0]


def _run(command: str, lent: Lent, title: str, mounts: Iterable[str] = ()) -> Instruction:
    options = list(mounts)
    prefix = ""
    if lent.ca:
        options.append(f"type=secret,id={CA_SECRET},target={_CA_PATH},mode=0444")
        names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
        prefix += "export " + " ".join(f"{name}={_CA_PATH}" for name in names) + "; "
    if lent.pip:
        options.append(f"type=secret,id={PIP_SECRET},target={_PIP_PATH},mode=0444")
        prefix += f"export PIP_CONFIG_FILE={_PIP_PATH}; "
    flags = "".join(f"--mount={option} " for option in options)
    # The JSON form needs no quoting of ours, whatever the command contains.
    return Instruction(f"RUN {flags}{json.dumps(['/bin/sh', '-c', prefix + command])}", title)


def _apt_install(step: ImageStep, lent: Lent) -> list[Instruction]:
    for package in step.args:
        if not _APT_PACKAGE.match(package):
            raise InvalidRequest(f"apt_install: {package[:80]!r} is not the name of a package")
    if not step.args:
        return []
    packages = " ".join(shlex.quote(package) for package in sorted(set(step.args)))
    command = (
        "rm -f /etc/apt/apt.conf.d/docker-clean; export DEBIAN_FRONTEND=noninteractive; "
        f"apt-get update -qq && apt-get install -y -qq --no-install-recommends {packages}"
    )
    caches = [f"type=cache,target={path},sharing=locked" for path in ("/var/cache/apt", "/var/lib/apt/lists")]
    return [_run(command, lent, f"apt install {packages}", caches)]


def _pip_install(step: ImageStep, lent: Lent) -> list[Instruction]:
    if not step.args:
        return []
    for package in step.args:
        if package.startswith("-"):
            raise InvalidRequest(f"pip_install: {package[:80]!r} is an option: use extra_options=")
    packages = " ".join(shlex.quote(package) for package in sorted(set(step.args)))
    options = [
        f"{flag} {shlex.quote(step.options[name])} " for name, flag in _PIP_OPTIONS.items() if step.options.get(name)
    ]
    if step.options.get("pre") == "true":
        options.append("--pre ")
    if extra := step.options.get("extra_options"):
        options.append(f"{extra} ")
    command = (
        "export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off; "
        f"python3 -m pip install {''.join(options)}{packages}"
    )
    return [_run(command, lent, f"pip install {packages}", ["type=cache,target=/root/.cache/pip"])]


def _run_commands(step: ImageStep, lent: Lent) -> list[Instruction]:
    return [_run(command, lent, f"run {command}") for command in step.args]


def _env(step: ImageStep, lent: Lent) -> list[Instruction]:
    pairs: list[str] = []
    for name, value in sorted(step.options.items()):
        if not _NAME.match(name):
            raise InvalidRequest(f"env: {name[:80]!r} is not the name of a variable")
        if "\n" in value or "\r" in value:
            raise InvalidRequest(f"env: the value of {name} spans lines, which an image's environment can't")
        pairs.append(f"{name}={_quoted(value)}")
    return [Instruction(f"ENV {' '.join(pairs)}", f"env {' '.join(sorted(step.options))}")] if pairs else []


def _workdir(step: ImageStep, lent: Lent) -> list[Instruction]:
    if len(step.args) != 1 or not step.args[0].startswith("/") or "\n" in step.args[0] or "\r" in step.args[0]:
        raise InvalidRequest(f"workdir: {' '.join(step.args)[:80]!r} is not an absolute path")
    return [Instruction(f"WORKDIR {_quoted(step.args[0])}", f"workdir {step.args[0]}")]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


_RENDERERS = {
    "apt_install": _apt_install,
    "pip_install": _pip_install,
    "run_commands": _run_commands,
    "env": _env,
    "workdir": _workdir,
}
