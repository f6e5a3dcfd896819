"""Images from and to registries, through the docker CLI: its helpers and settings of credentials count too."""

import base64
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from wherry_service.errors import InvalidRequest, ServiceError
from wherry_service.images.process import follow
from wherry_service.images.progress import OnLog
from wherry_service.images.settings import ImageSettings

log = logging.getLogger(__name__)

_AWAY = ("connection refused", "no such host", "i/o timeout", "server misbehaving", "network is unreachable",
         "Temporary failure in name resolution", "connection reset", "EOF", "context deadline exceeded")  # fmt: skip

_REFUSED = ("denied", "unauthorized", "no basic auth credentials")


class RegistryError(ServiceError):
    """An image could not be pulled or pushed."""


class Registry:
    """The registry that built images are shared through, if there is one; and anybody's that images come from."""

    def __init__(self, settings: ImageSettings, work_dir: Path) -> None:
        self._settings = settings
        self._work_dir = work_dir

    @property
    def is_set(self) -> bool:
        return bool(self._settings.registry)

    async def fetch(self, docker: str, tag: str, on_log: OnLog) -> bool:
        """Pull a built image and give it its local tag; return whether the registry had it."""
        if not self.is_set:
            return False
        remote = self._remote(tag)
        try:
            async with self._credentials(docker, remote, self._own()) as env:
                if await follow([docker, "pull", "-q", remote], lambda line: None, env=env):
                    return False
        except RegistryError as error:
            log.warning("%s", error)
            return False
        on_log(f"pulled {remote}")
        return await follow([docker, "tag", remote, tag], lambda line: None) == 0

    async def share(self, docker: str, tag: str, on_log: OnLog) -> None:
        """Push a built image; a registry that is away is told, and stops nothing."""
        if not self.is_set:
            return
        remote = self._remote(tag)
        tail: list[str] = []
        await follow([docker, "tag", tag, remote], tail.append)
        try:
            async with self._credentials(docker, remote, self._own()) as env:
                code = await follow([docker, "push", remote], tail.append, env=env)
        except RegistryError as error:
            code, tail = 1, [str(error)]
        await follow([docker, "rmi", remote], lambda line: None)
        told = tail[-1] if tail else "the registry does not answer"
        if code:
            log.warning("%s could not be pushed: %s", remote, told)
        on_log(f"warning: {remote} could not be pushed: {told}" if code else f"pushed {remote}")

    async def pull(self, docker: str, reference: str, secrets: Mapping[str, str], kind: str, on_log: OnLog) -> None:
        """Pull somebody's image; raise `RegistryError` that says why it can't be had."""
        on_log(f"pulling {reference}")
        tail: list[str] = []
        async with self._credentials(docker, reference, _login(kind, secrets)) as env:
            code = await follow([docker, "pull", reference], tail.append, env=env)
        if code:
            told = tail[-1] if tail else "docker gave no reason"
            raise RegistryError(f"{reference} could not be pulled: {_hint(told, bool(secrets))}")

    def _own(self) -> tuple[str, str] | None:
        settings = self._settings
        return (settings.registry_username, settings.registry_password) if settings.registry_username else None

    def _remote(self, tag: str) -> str:
        name, _, version = tag.rpartition(":")
        return f"{self._settings.registry}/{name.removeprefix('wherry/')}:{version}"

    @asynccontextmanager
    async def _credentials(
        self, docker: str, reference: str, login: tuple[str, str] | None
    ) -> AsyncIterator[dict[str, str]]:
        """Log docker in with a configuration of its own: the password is in no argument, and in no file afterwards."""
        if login is None:
            yield {}
            return
        self._work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="login-", dir=self._work_dir) as folder:
            env = {"DOCKER_CONFIG": folder}
            user, password = login
            host = host_of(reference)
            command = [docker, "login", "--username", user, "--password-stdin", *([host] if host else [])]
            tail: list[str] = []
            if await follow(command, tail.append, env=env, stdin=password.encode()):
                told = tail[-1] if tail else "docker gave no reason"
                raise RegistryError(f"the registry of {reference} could not be logged in to: {_hint(told, True)}")
            yield env


def host_of(reference: str) -> str:
    """Return the registry that a reference names; "" for the one that docker asks when none is named."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def _login(kind: str, secrets: Mapping[str, str]) -> tuple[str, str] | None:
    if not secrets:
        return None
    if kind == "gcp":
        return "_json_key", _needed(secrets, "SERVICE_ACCOUNT_JSON")
    if kind == "aws":
        return "AWS", _amazon_password(secrets)
    return _needed(secrets, "REGISTRY_USERNAME"), _needed(secrets, "REGISTRY_PASSWORD")


def _needed(secrets: Mapping[str, str], name: str) -> str:
    if name not in secrets:
        raise InvalidRequest(
            f"the secret of the registry has no {name}; it has {', '.join(sorted(secrets)) or 'nothing'}"
        )
    return secrets[name]


def _amazon_password(secrets: Mapping[str, str]) -> str:
    try:
        import boto3  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415 - start-up cost: only where Amazon's registry is used
    except ImportError:
        raise InvalidRequest(
            "from_aws_ecr needs boto3 where the service runs, to ask Amazon for a password: pip install boto3"
        ) from None
    client = boto3.client(
        "ecr",
        aws_access_key_id=_needed(secrets, "AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=_needed(secrets, "AWS_SECRET_ACCESS_KEY"),
        aws_session_token=secrets.get("AWS_SESSION_TOKEN"),
        region_name=secrets.get("AWS_REGION") or secrets.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION"),
    )
    token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def _hint(told: str, with_secret: bool) -> str:
    if any(sign in told for sign in _AWAY):
        return f"its registry can't be reached ({told}); make the image here with `docker build` or `docker import`"
    if any(sign in told.lower() for sign in _REFUSED):
        again = "its secret is not accepted" if with_secret else "if it is private, give secret= with its credentials"
        return f"{told}; {again}"
    return told
