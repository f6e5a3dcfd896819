"""`python3 /wherry/runner/wherry_runner/bucket.py`: mounts one bucket with rclone, for the containers of its host.

The service's own helper container runs it (node/bucket_helper.py), with rclone, FUSE and two directories:

    /run/wherry     of this container alone; bucket.sock in it answers the service, one line of JSON for each
    /bucket         on a mount that is shared with the host: what is mounted at `files` in it appears there, too;
                    `cache` has what was written and is not in the bucket yet

Requests: {"do": "mount", "remote", "read_only", "env", "ca"}, {"do": "flush", "within_s"}, {"do": "end", "within_s"},
{"do": "discard"}. An answer has "error" where it failed, "unwritten": what is not in the bucket, and "reason".
The credentials come in "env" and are in no file, no argument and no variable that the engine knows.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

TYPE_CHECKING = False  # as everywhere in the runner
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SOCKET = "/run/wherry/bucket.sock"
FILES = "/bucket/files"
CACHE = "/bucket/cache"
# Seconds that a store gets to answer the first question, and rclone to mount.
CHECK_S = 30.0
MOUNT_S = 15.0
# Seconds in which the kernel tells that a file was closed; and one that has been open for long already.
CLOSING_S = 0.5
CLOSING_LATER_S = 0.05
# Of the ten that an engine gives a container which it stops.
STOP_S = 8.0
POLL_S = 0.02

_OPTIONS = (
    "--config=/dev/null", "--use-json-log", "--log-level=INFO", f"--cache-dir={CACHE}",
    "--allow-other", "--umask=0", "--file-perms=0666", "--dir-perms=0777",
    "--vfs-cache-mode=writes", "--vfs-write-back=10ms", "--vfs-cache-max-age=1m", "--vfs-cache-poll-interval=30s",
    # Seconds after which it is seen what others have put into the bucket.
    "--dir-cache-time=5s",
)  # fmt: skip
# How rclone and stores say what is wrong, and what that means to whoever wrote the function.
_MEANINGS = (
    (("NoSuchBucket", "directory not found"), "there is no such bucket"),
    (("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"), "the store refuses the key"),
    (("AccessDenied", "Forbidden", "status code: 403"), "the store refuses access with this key"),
    (("no such host", "connection refused", "i/o timeout", "network is unreachable", "deadline exceeded"),
     "the store can't be reached from this host"),
)  # fmt: skip


class Bucket:
    """The bucket of this container, mounted or not."""

    def __init__(self) -> None:
        self._rclone: subprocess.Popen[str] | None = None
        self._env: dict[str, str] = {}
        # Directories of rclone's cache above those of the mount.
        self._depth = 0
        self._lock = threading.Lock()
        # Written, closed, and perhaps not in the bucket yet; and what became of the attempts to put it there.
        self._closed: set[str] = set()
        # Written, and still open when somebody waited for them to be closed.
        self._open: set[str] = set()
        self._failed: dict[str, str] = {}

    def mount(self, request: dict[str, Any]) -> dict[str, Any]:
        """Mount it, unless it is mounted; answers when it can be used."""
        with self._lock:
            if self._rclone is not None:
                return {}
            self._depth = 1 + len([part for part in request["remote"].rpartition(":")[2].split("/") if part])
            self._env = {str(name): str(value) for name, value in request["env"].items()}
            if authorities := request.get("ca"):
                with open("/tmp/ca.crt", "w", encoding="utf-8") as file:
                    file.write(authorities)
                self._env["SSL_CERT_FILE"] = "/tmp/ca.crt"
            if error := self._check(request["remote"]):
                return {"error": self._told(error)}
            _unmount_dead()
            os.makedirs(FILES, exist_ok=True)
            os.makedirs(CACHE, mode=0o700, exist_ok=True)
            return self._start(request)

    def _start(self, request: dict[str, Any]) -> dict[str, Any]:
        command = ["rclone", "mount", *_OPTIONS, request["remote"], FILES]
        if request.get("read_only"):
            command.append("--read-only")
        said: list[str] = []
        rclone = subprocess.Popen(
            command, env={**os.environ, **self._env}, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(rclone, said), daemon=True).start()
        deadline = time.monotonic() + MOUNT_S
        while not os.path.ismount(FILES):
            if rclone.poll() is not None or time.monotonic() > deadline:
                rclone.kill()
                rclone.wait()
                return {
                    "error": "rclone could not mount it: " + (self._clean(" ".join(said[-3:])) or "it said nothing")
                }
            time.sleep(POLL_S)
        self._rclone = rclone
        return {}

    def flush(self, within_s: float) -> dict[str, Any]:
        """Wait until what was written and closed is in the bucket."""
        return self._wait(self._unwritten, within_s)

    def _wait(self, unwritten_after: Callable[[float], list[str]], within_s: float) -> dict[str, Any]:
        began = time.monotonic()
        while unwritten := unwritten_after(time.monotonic() - began):
            if time.monotonic() - began > within_s:
                reason = next((self._failed[name] for name in unwritten if name in self._failed), "")
                return {"unwritten": unwritten[:100], "reason": self._told(reason) or "the store takes its time"}
            time.sleep(POLL_S)
        return {}

    def end(self, within_s: float) -> dict[str, Any]:
        """Unmount it, once everything is in the bucket: nobody has a file open any more."""
        return self._wait(lambda waited_s: sorted(_dirty(self._depth)), within_s) or self.discard()

    def discard(self) -> dict[str, Any]:
        """Unmount it as it is, also where a container that was killed has left it."""
        with self._lock:
            rclone, self._rclone = self._rclone, None
            if rclone is not None:
                rclone.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    rclone.wait(5.0)
                rclone.kill()
            _unmount_dead()
            return {"unwritten": left} if (left := list(_dirty(self._depth))[:100]) else {}

    def stop(self) -> None:
        """End with the container: what can still be written in its time is."""
        self.flush(STOP_S)
        if self._rclone is not None:
            self._rclone.terminate()
            self._rclone.wait()
        _unmount_dead()
        os._exit(0)

    def _check(self, remote: str) -> str:
        """Return what the store says that prevents reading there; "" for nothing."""
        command = ["rclone", "lsf", "--config=/dev/null", "--recursive", "--fast-list", "--retries=1"]
        command += ["--low-level-retries=1", "--contimeout=8s", "--timeout=15s", remote]
        with subprocess.Popen(
            command, env={**os.environ, **self._env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
        ) as rclone:  # fmt: skip
            late = threading.Timer(CHECK_S, rclone.kill)
            late.start()
            assert rclone.stdout is not None
            assert rclone.stderr is not None
            # The first name is enough, and there may be millions.
            if rclone.stdout.readline():
                rclone.kill()
            told = rclone.stderr.read()
            was_late, code = not late.is_alive(), rclone.wait()
            late.cancel()
        if was_late:
            return f"i/o timeout: no answer within {CHECK_S:.0f} s"
        # Ended by us, it has a negative code.
        return (told or f"rclone ended with code {code}") if code > 0 else ""

    def _listen(self, rclone: subprocess.Popen[str], said: list[str]) -> None:
        """Hear what rclone says of uploads; end this container when it ends by itself."""
        assert rclone.stderr is not None
        for line in rclone.stderr:
            name, message = _parsed(line)
            print(self._clean(f"{name}: {message}"), file=sys.stderr, flush=True)
            said.append(message)
            del said[:-20]
            if "queuing for upload" in message:
                self._closed.add(name)
            elif "failed to upload" in message:
                self._failed[name] = message
            elif "upload succeeded" in message:
                self._failed.pop(name, None)
        rclone.wait()
        if self._rclone is rclone:
            _unmount_dead()
            os._exit(1)

    def _unwritten(self, waited_s: float) -> list[str]:
        """Return what is to be waited for: files that were closed, and such that may just be being closed."""
        dirty = set(_dirty(self._depth))
        self._closed &= dirty
        self._open &= dirty - self._closed
        if waited_s > CLOSING_S:
            self._open |= dirty - self._closed
        return sorted(dirty - self._open if waited_s > CLOSING_LATER_S else dirty)

    def _told(self, text: str) -> str:
        text = " ".join(self._clean(text).rpartition("Failed to lsf: ")[2].split())[:400]
        meaning = next((meaning for signs, meaning in _MEANINGS if any(sign in text for sign in signs)), "")
        return f"{meaning} ({text})" if meaning else text

    def _clean(self, text: str) -> str:
        """Return a text without the credentials."""
        for name, value in self._env.items():
            if name.startswith("RCLONE_S3_") and ("KEY" in name or "TOKEN" in name) and len(value) > 3:
                text = text.replace(value, "***")
        return text


def main() -> None:
    bucket = Bucket()
    signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=bucket.stop).start())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(SOCKET)
        # Its directory keeps others out.
        os.chmod(SOCKET, 0o666)
        listening.listen(64)
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=_serve, args=(bucket, connection), daemon=True).start()


def _serve(bucket: Bucket, connection: socket.socket) -> None:
    with connection, connection.makefile("rwb") as stream, contextlib.suppress(OSError):
        for line in stream:
            request = json.loads(line)
            try:
                answer = _answer(bucket, request)
            except OSError as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            stream.write(json.dumps(answer).encode() + b"\n")
            stream.flush()


def _answer(bucket: Bucket, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "mount":
        return bucket.mount(request)
    if request["do"] == "flush":
        return bucket.flush(request["within_s"])
    if request["do"] == "end":
        return bucket.end(request["within_s"])
    return bucket.discard()


def _dirty(depth: int = 0) -> Iterator[str]:
    """Yield the names of files that rclone has and the bucket has not; `depth`: directories above what is mounted."""
    # vfsMeta/:s3/BUCKET/PREFIX/NAME: what rclone knows of each file in its cache.
    for folder, _, names in os.walk(f"{CACHE}/vfsMeta"):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, encoding="utf-8") as file:
                    is_dirty = json.load(file)["Dirty"]
            except FileNotFoundError:
                continue
            except ValueError:  # it is being written
                is_dirty = True
            if is_dirty:
                yield os.path.relpath(path, f"{CACHE}/vfsMeta").split("/", depth)[-1]


def _parsed(line: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
        return str(row.get("object", "")), str(row["msg"])
    except (ValueError, KeyError, AttributeError):
        return "", line.rstrip()


def _unmount_dead() -> None:
    """Take a mount away, also where nobody serves it any more: on the host as well, since it is shared."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        count = sum(1 for line in file if line.split(" ")[4] == FILES)
    for _ in range(count):
        subprocess.run(["umount", "--lazy", FILES], check=False)


if __name__ == "__main__":
    main()
