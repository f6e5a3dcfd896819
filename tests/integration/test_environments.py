"""Environments over TCP: who sees which, and what becomes of tokens when one is renamed or deleted."""

from pathlib import Path

import pytest

from tests.integration.test_isolation import World, run, tmp_path
from wherry._connection.transport.grpc import GrpcTransport
from wherry.exception import AuthError, NotFoundError, PermissionDeniedError
from wherry_proto import messages
from wherry_proto.messages import (
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentListRequest,
    EnvironmentListResponse,
    EnvironmentRenameRequest,
    TokenCreateRequest,
)

__all__ = ["tmp_path"]


def test_b66_tokens_follow_their_environment_and_end_with_it(tmp_path: Path) -> None:
    async def names(world: World, member: GrpcTransport) -> list[str]:
        listed: EnvironmentListResponse = await world.ask(member, "Environments.List", EnvironmentListRequest())
        return [info.name for info in listed.environments]

    async def scenario(world: World) -> None:
        foreign = await world.member(["deploy", "invoke"], ["dev"])
        both = await world.member(["deploy", "invoke"], ["main", "dev"])
        own = await world.member(["deploy", "invoke"], ["main"])
        assert [await names(world, member) for member in (foreign, both, own)] == [["dev"], ["dev", "main"], ["main"]]
        stats = messages.FunctionStatsRequest(function_id=world.function_id)
        await world.ask(both, "Functions.Stats", stats)

        rename = EnvironmentRenameRequest(name="dev", new_name="test")
        for member in (foreign, both, own, await world.member(["admin"], ["dev", "main"])):
            with pytest.raises(PermissionDeniedError, match=r"does not allow Environments.Rename in all environments"):
                await world.ask(member, "Environments.Rename", rename)
        await world.ask(world.local, "Environments.Rename", rename)
        assert [await names(world, member) for member in (foreign, both)] == [["test"], ["main", "test"]]
        await world.ask(foreign, "Apps.List", messages.AppListRequest(environment="test"))
        # One that takes its old name is not theirs.
        await world.ask(world.local, "Environments.Create", EnvironmentCreateRequest(name="dev"))
        with pytest.raises(PermissionDeniedError):
            await world.ask(foreign, "Apps.List", messages.AppListRequest(environment="dev"))

        await world.ask(world.local, "Environments.Delete", EnvironmentDeleteRequest(name="test"))
        with pytest.raises(AuthError):
            await names(world, foreign)
        assert await names(world, both) == ["main"]

        request = TokenCreateRequest(name="test", scopes=["deploy"], environments=["dve"])
        with pytest.raises(NotFoundError, match="there is no environment 'dve': did you mean 'dev'"):
            await world.ask(world.local, "Tokens.Create", request)

    run(tmp_path, scenario)
