"""Once more the version that serves, in new containers."""

import pytest

from tests.unit.service.test_deployments import REPLACED, Run, World, changes, run, spec, version
from wherry_proto.messages import DeploymentResult, DeploymentRollbackRequest, DeployStrategy
from wherry_service.errors import InvalidRequest

__all__ = ["run"]


async def rollover(world: World, app_id: str, strategy: int = DeployStrategy.ROLLING) -> DeploymentResult:
    request = DeploymentRollbackRequest(app_id=app_id, fresh=True, strategy=strategy)
    found = [event.result async for event in world.deployments.rollback(request) if event.result is not None]
    return found[0]


@pytest.mark.parametrize("strategy", [DeployStrategy.ROLLING, DeployStrategy.RECREATE])
def test_all_functions_get_new_containers_and_keep_their_ids(run: Run, strategy: int) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        with pytest.raises(InvalidRequest, match="is not deployed"):
            await rollover(world, app_id)
        first = await world.deploy(app_id, spec("f"), spec("g"))
        before = {container.container_id for container in world.node.running()}
        assert before
        again = await rollover(world, app_id, strategy)
        assert again.deployment is not None
        assert (version(again.deployment), again.deployment.rollback_of) == (2, 1)
        assert changes(again) == {"f": REPLACED, "g": REPLACED}
        assert again.functions == first.functions
        await world.until(lambda: not before & {container.container_id for container in world.node.running()})
        assert world.of(spec("f"))
        # Rolled over, it is not what the version before was: that one is gone back to as ever.
        assert (await world.rollback(app_id)).changes == []
        assert version((await rollover(world, app_id)).deployment) == 3

    run(scenario)


def test_a_running_input_ends_in_the_old_container(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        first = await world.deploy(app_id, spec("f"))
        item = world.call(first.functions[0].function_id)
        await world.until(lambda: any(container.inputs for container in world.node.running()))
        (old,) = [container for container in world.node.running() if container.inputs]
        await rollover(world, app_id)
        assert old in world.node.running()
        old.finish()
        await world.until(lambda: item.done)
        await world.until(lambda: old not in world.node.running())
        assert world.of(spec("f"))

    run(scenario)
