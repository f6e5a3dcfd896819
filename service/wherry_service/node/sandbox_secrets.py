"""How a sandbox's command gets secret variables that the engine is not told: a shell reads them before it begins.

They are written into the container's own file system before it starts, and the shell removes them as it reads them.
"""

import io
import re
import shlex
import tarfile
from collections.abc import Mapping

_FILE = "run/.wherry-secrets"
_SCRIPT = f'. /{_FILE}; exec "$@"'
# What is said where the image has no shell.
NO_SHELL = (
    "could not begin: a shell gives its command the values of secrets=, and its image has no sh; use an image that has "
    "one, or give the values with env=, where `docker inspect` shows them"
)
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# A shell sets these itself, and refuses to have them set.
_SHELLS_OWN = frozenset(("UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO"))


def with_secrets(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return what runs a command once it has its secrets; `archive` must be in the container before."""
    return ("sh", "-c", _SCRIPT, "sh", *command)


def archive(secrets: Mapping[str, str]) -> bytes:
    """Return a tar archive, for the root of the container's file system."""
    plain = {name for name in secrets if _PLAIN_NAME.match(name) and name not in _SHELLS_OWN}
    lines = [f"rm -f /{_FILE} 2>/dev/null"]
    lines += [f"export {name}={shlex.quote(secrets[name])}" for name in sorted(plain)]
    # A user who may not remove it empties it.
    lines.append(f"if [ -e /{_FILE} ]; then : >/{_FILE}; fi")
    if others := sorted(secrets.keys() - plain):
        words = " ".join(shlex.quote(f"{name}={secrets[name]}") for name in others)
        lines.append(f'exec env {words} "$@"')
    data = ("\n".join(lines) + "\n").encode(errors="surrogateescape")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(_FILE)
        member.size = len(data)
        # Whatever user the image has.
        member.mode = 0o666
        tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def lacked_a_shell(log_tail: str) -> bool:
    """Whether what a container printed says that it had no shell to begin with."""
    return "exec sh failed" in log_tail or 'exec: "sh"' in log_tail
