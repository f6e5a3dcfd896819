"""Secrets: values in, never out."""

from wherry_proto.messages import (
    SecretCreateRequest,
    SecretDeleteRequest,
    SecretInfo,
    SecretListRequest,
    SecretListResponse,
    SecretLookupRequest,
    SecretRotateRequest,
    SecretRotateResponse,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, DEPLOY, DEVELOP, FIELD, SECRET, Inside, Where
from wherry_service.apps.register import AppRegister
from wherry_service.ids import check_id
from wherry_service.objects.secrets import Secrets
from wherry_service.store.secrets import SecretRecord


class SecretApi:
    """Serves secrets."""

    def __init__(self, secrets: Secrets, apps: AppRegister) -> None:
        self._secrets = secrets
        self._apps = apps

    # One without a name is made for a function that is published; what has a name is a developer's (member.py).
    @rpc("Secrets.Create", DEPLOY, ("environment", "app_id"), audited=True)
    async def create(self, request: SecretCreateRequest) -> SecretInfo:
        environment = self._environment(request.environment, request.app_id)
        if request.merge:
            return _info(await self._secrets.update(request.name, environment, request.values))
        return _info(await self._secrets.create(request.name, environment, request.values, request.replace))

    @rpc("Secrets.Lookup", DEPLOY, SECRET, inside=Inside.SANDBOX)
    async def lookup(self, request: SecretLookupRequest) -> SecretInfo:
        if request.secret_id:
            check_id(request.secret_id, "st", "secret id")
        environment = self._environment(request.environment, request.app_id)
        return _info(await self._secrets.lookup(request.name, environment, request.secret_id, request.required_keys))

    @rpc("Secrets.List", DEPLOY, FIELD)
    async def list(self, request: SecretListRequest) -> SecretListResponse:
        return SecretListResponse(secrets=[_info(r) for r in await self._secrets.list(request.environment)])

    @rpc("Secrets.Delete", DEVELOP, ("secret_id", "environment"), audited=True)
    async def delete(self, request: SecretDeleteRequest) -> SecretInfo:
        if request.secret_id:
            check_id(request.secret_id, "st", "secret id")
        return _info(await self._secrets.delete(request.name, request.environment, request.secret_id))

    @rpc("Secrets.Rotate", ADMIN, Where.EVERYWHERE, audited=True)
    async def rotate(self, request: SecretRotateRequest) -> SecretRotateResponse:
        count, new_key = await self._secrets.rotate()
        return SecretRotateResponse(num_secrets=count, new_key=new_key)

    def _environment(self, environment: str, app_id: str) -> str:
        return environment or (self._apps.info(app_id).environment if app_id else "")


def _info(record: SecretRecord) -> SecretInfo:
    return SecretInfo(
        secret_id=record.secret_id,
        name=record.object.name if record.object.is_named else "",
        environment=record.object.environment,
        keys=list(record.keys),
        created_at_ms=record.object.created_at_ms,
        updated_at_ms=record.updated_at_ms,
        used_at_ms=record.used_at_ms,
    )
