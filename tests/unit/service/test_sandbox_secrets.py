"""How a shell gives a sandbox's command its secrets: by real shells, in a directory that stands for its root."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.archives import unpack
from wherry_service.node.sandbox_secrets import archive, lacked_a_shell, with_secrets

SECRETS = {
    "PLAIN": "value",
    "ODD": "a 'quoted' $HOME `id` \\ \"x\"\nsecond line\n",
    "EMPTY": "",
    "UNICODE": "schlüssel-€",
    "with.dot": "1 'x'",
    "UID": "own",
    "LONG": "x" * 100_000,
}
PRINT = "import json, os; print(json.dumps({n: os.environ.get(n) for n in %r}))"


def unpacked(secrets: dict[str, str], root: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(archive(secrets))) as tar:
        unpack(tar, root)
    (file,) = (path for path in root.rglob("*") if path.is_file())
    assert file == root / "run/.wherry-secrets"
    return file


@pytest.mark.parametrize("shell", ["sh", "bash", "busybox"])
def test_a_shell_gives_them_and_removes_them(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed on this host: sh, which all images have, is tested always")
    file = unpacked(SECRETS, tmp_path)
    file.write_text(file.read_text().replace("/run/.wherry", f"{tmp_path}/run/.wherry"))
    command = with_secrets((sys.executable, "-c", PRINT % (list(SECRETS),)))
    assert command[0] == "sh"
    runs = [part.replace("/run/.wherry", f"{tmp_path}/run/.wherry") for part in command[1:]]
    shells = ["busybox", "sh"] if shell == "busybox" else [shell, "--posix"] if shell == "bash" else [shell]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run([*shells, *runs], env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == SECRETS
    assert (done.stderr, file.exists()) == ("", False)


def test_they_are_emptied_where_they_cannot_be_removed(tmp_path: Path) -> None:
    file = unpacked({"A": "hush"}, tmp_path)
    # As for a user who may write the file and not its directory.
    text = file.read_text()
    assert text.startswith("rm -f /run/.wherry-secrets")
    file.write_text(text.replace("rm -f", "false").replace("/run/.wherry", f"{tmp_path}/run/.wherry"))
    runs = ["sh", "-c", f'. {file}; exec "$@"', "sh", "sh", "-c", "echo $A"]
    assert subprocess.run(runs, capture_output=True, text=True, timeout=30, check=True).stdout == "hush\n"
    assert file.read_bytes() == b""


def test_what_an_image_without_a_shell_says() -> None:
    assert lacked_a_shell("[FATAL tini (7)] exec sh failed: No such file or directory")
    assert not lacked_a_shell("sh: 1: exec: nothing: not found")
