"""From steps to a Dockerfile; what the host lends a build (CA bundle, indexes, secrets) is mounted, never baked."""

import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from wherry_proto.messages import ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.images import dockerfiles
from wherry_service.images.borrowing import check_reference
from wherry_service.images.caches import with_own_caches
from wherry_service.images.definition import REFERENCE
from wherry_service.images.fetching import without

# What a single file is called in the build's context: its own name would be read as a pattern.
FILE_NAME = "file"
CA_SECRET = "wherry-ca"
PIP_SECRET = "wherry-pip"
APT_SECRET = "wherry-apt"
_PLACE = "/run/wherry-build"
_CA_PATH = f"{_PLACE}/ca.crt"
_PIP_PATH = f"{_PLACE}/pip.conf"
_APT_PATH = f"{_PLACE}/apt-mirror"
# Debian's packages from the mirror, by a configuration that is gone after the command.
_APT_SCRIPT = (
    f"if [ -r /etc/os-release ]; then (. /etc/os-release; printf 'deb %s %s main\\n' \"$(cat {_APT_PATH})\" "
    '"${VERSION_CODENAME:-testing}" >/run/wherry-apt/sources.list); '
    'printf \'Dir::Etc::SourceList "/run/wherry-apt/sources.list";\\nDir::Etc::SourceParts "-";\\n\' '
    ">/run/wherry-apt/apt.conf; export APT_CONFIG=/run/wherry-apt/apt.conf; fi; "
)
_SECRETS_PATH = f"{_PLACE}/secrets"
_CA_NAMES = (
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
# What BuildKit counts as a step.
_LAYERS = ("RUN ", "COPY ", "ADD ", "WORKDIR ")
_ROOT = frozenset({"", "0", "root", "0:0", "root:root"})


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, and what a person calls it."""

    text: str
    title: str
    # To be run as root, whoever the image's user is.
    as_root: bool = False
    # Set by an instruction that changes the image's user.
    user: str | None = None

    @property
    def is_layer(self) -> bool:
        """Whether BuildKit reports it as a step."""
        return self.text.upper().startswith(_LAYERS)


@dataclass(frozen=True, slots=True)
class Lent:
    """What the host lends a build."""

    ca: bool = False
    pip: bool = False
    apt: bool = False
    # A wheel of pip, for tools of ours in an image that has no pip.
    pip_wheel: bool = False
    # Makes the commands of forced steps differ from those of earlier builds.
    nonce: str = ""
    # What the names of an environment's caches begin with, which nobody else can guess; see `CacheNames`.
    caches: str = ""
    # Whether the engine may fetch what ADD names by a URL.
    urls: bool = True


class Renderer:
    """Renders steps one after the other: some change how later ones run."""

    def __init__(self, lent: Lent) -> None:
        self.lent = lent
        self._shell: tuple[str, ...] = ("/bin/sh", "-c")

    def own(self, step: ImageStep, number: int) -> list[Instruction]:
        """Return the instructions of a step that installs no packages; raise `InvalidRequest` if it can't be rendered.

        Its files are in the directory s<number> of the build's context, its secrets have the id <number>.
        """
        return _OWN[step.kind](self, step, number)

    def run(
        self,
        step: ImageStep,
        number: int,
        command: str,
        title: str,
        mounts: Iterable[str] = (),
        *,
        as_root: bool = False,
        in_shell: bool = False,
    ) -> Instruction:
        """Return a RUN instruction, with what is lent to it."""
        flags, before = self.lending(step, number)
        options = "".join(f"--mount={option} " for option in (*mounts, *flags))
        shell = self._shell if in_shell else ("/bin/sh", "-c")
        # The JSON form needs no quoting of ours, whatever the command contains.
        return Instruction(f"RUN {options}{json.dumps([*shell, before + command])}", title, as_root)

    def lending(self, step: ImageStep, number: int) -> tuple[list[str], str]:
        """Return the mounts of what a command is lent, and the shell text that goes before it."""
        mounts: list[str] = []
        before = ""
        if self.lent.ca:
            mounts.append(f"type=secret,id={CA_SECRET},target={_CA_PATH},mode=0444")
            before += "export " + " ".join(f"{name}={_CA_PATH}" for name in _CA_NAMES) + "; "
        if self.lent.pip:
            mounts.append(f"type=secret,id={PIP_SECRET},target={_PIP_PATH},mode=0444")
            before += f"export PIP_CONFIG_FILE={_PIP_PATH}; "
        if self.lent.apt:
            mounts.append(f"type=secret,id={APT_SECRET},target={_APT_PATH},mode=0444")
            mounts.append("type=tmpfs,target=/run/wherry-apt")
            before += _APT_SCRIPT
        if step.secret_ids:
            mounts.append(f"type=secret,id={secret_name(number)},target={_SECRETS_PATH},mode=0444")
            before += f"set -a; . {_SECRETS_PATH}; set +a; "
        if step.force_build and self.lent.nonce:
            before += f": {self.lent.nonce}; "
        return mounts, before

    def cache(self, name: str, target: str, *, locked: bool = False) -> str:
        """Return the mount of a cache that is one environment's own; `locked`: for one build at a time."""
        sharing = ",sharing=locked" if locked else ""
        return f"type=cache,id={self.lent.caches or 'wherry'}-{name},target={target}{sharing}"

    def run_commands(self, step: ImageStep, number: int) -> list[Instruction]:
        return [self.run(step, number, command, f"run {command}", in_shell=True) for command in step.args]

    def dockerfile_commands(self, step: ImageStep, number: int) -> list[Instruction]:
        found: list[Instruction] = []
        for item in dockerfiles.split("\n".join(step.args)):
            if item.word == "FROM":
                raise InvalidRequest("dockerfile_commands: FROM begins another image: use Image.from_dockerfile")
            found.append(self.raw(item, step, number))
            if item.word == "SHELL":
                self._shell = item.words
        return found

    def raw(self, item: dockerfiles.Line, step: ImageStep, number: int) -> Instruction:
        """Return a Dockerfile's own instruction; commands of a shell get what is lent."""
        text, title = item.text if self.lent.urls else without(item), " ".join(item.text.split())
        if item.word == "RUN" and self.lent.caches and item.flags:
            item = dockerfiles.parsed(*with_own_caches(item, self.lent.caches))
            text = item.text
        if item.word == "RUN" and item.is_shell:
            mounts, before = self.lending(step, number)
            options = "".join(f"--mount={option} " for option in mounts)
            if item.is_script:
                marker, _, body = item.rest.partition("\n")
                text = f"RUN {options}{item.flags}{marker}\n{before}\n{body}" if before else text
            else:
                text = f"RUN {options}{item.flags}{before}{item.rest}"
        return Instruction(text, title, user=item.rest.strip() if item.word == "USER" else None)

    def copy(self, step: ImageStep, number: int) -> list[Instruction]:
        (target,) = _one(step)
        source = f"s{number}/"
        if is_file(step):
            source += FILE_NAME
        else:
            target = target.rstrip("/") + "/"
        count = f"{len(step.files)} files" if len(step.files) != 1 else step.files[0].path
        # Docker reads variables in a target, and an escape before what it is to take as it stands.
        plain = target.replace("\\", "\\\\").replace("$", "\\$")
        return [Instruction(f"COPY {json.dumps([source, plain])}", f"copy {count} to {target}")] if step.files else []

    def env(self, step: ImageStep, number: int) -> list[Instruction]:
        pairs: list[str] = []
        for name, value in sorted(step.options.items()):
            if not _NAME.match(name):
                raise InvalidRequest(f"env: {name[:80]!r} is not the name of a variable")
            if "\n" in value or "\r" in value:
                raise InvalidRequest(f"env: the value of {name} spans lines, which an image's environment can't")
            pairs.append(f"{name}={expanded(value)}")
        return [Instruction(f"ENV {' '.join(pairs)}", f"env {' '.join(sorted(step.options))}")] if pairs else []

    def workdir(self, step: ImageStep, number: int) -> list[Instruction]:
        if len(step.args) != 1 or not step.args[0].startswith("/") or "\n" in step.args[0] or "\r" in step.args[0]:
            raise InvalidRequest(f"workdir: {' '.join(step.args)[:80]!r} is not an absolute path")
        return [Instruction(f"WORKDIR {quoted(step.args[0])}", f"workdir {step.args[0]}")]

    def words(self, step: ImageStep, number: int) -> list[Instruction]:
        if step.kind == "shell":
            if not step.args:
                raise InvalidRequest('shell: it must name a program, such as ["/bin/bash", "-c"]')
            self._shell = tuple(step.args)
        return [
            Instruction(f"{step.kind.upper()} {json.dumps(list(step.args))}", f"{step.kind} {shlex.join(step.args)}")
        ]

    def add_python(self, step: ImageStep, number: int) -> list[Instruction]:
        version = python_version(step)
        return [
            Instruction(f"COPY --from=wherry/python:{version} /opt/python /opt/python", f"add Python {version}"),
            Instruction('ENV PATH="/opt/python/bin:$PATH"', "env PATH"),
        ]


Rendering = Callable[[Renderer, ImageStep, int], list[Instruction]]

_OWN: dict[str, Rendering] = {
    "add_python": Renderer.add_python,
    "run_commands": Renderer.run_commands,
    "dockerfile_commands": Renderer.dockerfile_commands,
    "copy": Renderer.copy,
    "env": Renderer.env,
    "workdir": Renderer.workdir,
    "entrypoint": Renderer.words,
    "shell": Renderer.words,
    "cmd": Renderer.words,
}


def dockerfile(base: str, instructions: Iterable[Instruction], user: str = "") -> str:
    """Return the Dockerfile's text; `user` is the base's own, who is the image's again after what root has to do."""
    return "\n".join([f"FROM {base}", *(instruction.text for instruction in with_users(instructions, user))]) + "\n"


def with_users(instructions: Iterable[Instruction], user: str) -> list[Instruction]:
    """Return the instructions with those between that make root do what root has to do."""
    found: list[Instruction] = []
    for instruction in instructions:
        if instruction.as_root and user not in _ROOT:
            found += [Instruction("USER 0:0", "user 0"), instruction, Instruction(f"USER {user}", f"user {user}")]
        else:
            found.append(instruction)
        user = instruction.user if instruction.user is not None else user
    return found


def is_file(step: ImageStep) -> bool:
    """Whether a step copies a single file to a place that it names."""
    return step.options.get("file") == "true"


def registry_reference(step: ImageStep) -> str:
    """Return the reference a from_registry step names."""
    if len(step.args) != 1 or not _REFERENCE.match(step.args[0]):
        raise InvalidRequest(f"from_registry: {' '.join(step.args)[:80]!r} is not an image reference")
    check_reference("from_registry", step.args[0])
    return step.args[0]


def python_version(step: ImageStep) -> str:
    """Return the minor version that an add_python step names, "3.13"."""
    return ".".join(_one(step)[0].split(".")[:2])


def secret_name(number: int) -> str:
    """Return the id under which a step's secrets are handed to BuildKit."""
    return f"wherry-env-{number}"


def secret_text(values: dict[str, str]) -> str:
    """Return what a shell reads to have these variables; raise `InvalidRequest` for a name that is none."""
    for name in values:
        if not _NAME.match(name):
            raise InvalidRequest(f"a secret's key {name[:80]!r} is not the name of a variable")
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def quoted(value: str) -> str:
    """Return a value as an ENV or WORKDIR instruction has it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def expanded(value: str) -> str:
    """Return a value as ENV has it, where $NAME and ${NAME} are what the image has under that name so far.

    Where it has nothing, the text stays as it is: `$` is in passwords, too.
    """
    found, end = "", 0
    for match in REFERENCE.finditer(value):
        literal = quoted(match[0])[1:-1].replace("}", "\\}")
        found += f"{quoted(value[end : match.start()])[1:-1]}${{{match[1] or match[2]}:-{literal}}}"
        end = match.end()
    return f'"{found}{quoted(value[end:])[1:-1]}"'


def _one(step: ImageStep) -> tuple[str]:
    if len(step.args) != 1 or not step.args[0]:
        raise InvalidRequest(f"image step {step.kind} takes one argument, got {step.args!r}")
    return (step.args[0],)
