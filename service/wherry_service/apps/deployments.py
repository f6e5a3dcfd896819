"""Versions of apps: deployed, rolled back, looked at.

A version is made whole or not at all: its containers are warm before anything changes; then one transaction says that
it serves, and it takes over within one turn of the event loop. A service that ends before the transaction serves the
old version again, one that ends after it the new one: containers tell which they are of (`plans.revision_of`).
"""

import asyncio
import contextlib
import copy
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from wherry_proto.messages import (
    AppState,
    DeployedFunction,
    Deployment,
    DeploymentCreateRequest,
    DeploymentEvent,
    DeploymentOrigin,
    DeploymentResult,
    DeploymentRollbackRequest,
    DeploymentState,
    DeployStrategy,
    FunctionInfo,
    FunctionSpec,
)
from wherry_service.apps.app import EXIT_HOOKS_GRACE_S, App, FunctionHost
from wherry_service.apps.apps import Apps
from wherry_service.apps.binding import MAX_VARIANTS
from wherry_service.apps.change import Change
from wherry_service.apps.plans import revision_of, server_of
from wherry_service.apps.rollout import Rollout
from wherry_service.apps.room import expect_room
from wherry_service.calls.call import Input
from wherry_service.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound, near, stack_of
from wherry_service.ids import new_id
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.deployments import KEEP_VERSIONS, DeploymentStore

log = logging.getLogger(__name__)

MAX_TAG = 128
# Seconds beyond its timeout that an input may take to end.
END_GRACE_S = 10.0
T = TypeVar("T")


class Deployments:
    """Makes versions of apps, and knows those there were."""

    def __init__(
        self, apps: Apps, app_store: AppStore, store: DeploymentStore, pools: Pools[Input], host: FunctionHost
    ) -> None:
        self._apps = apps
        self._app_store = app_store
        self.store = store
        self._pools = pools
        self._host = host
        # Called with the app, and with why its new version did not start.
        self.on_failed: list[Callable[[App, str], None]] = []
        # Called with an app whose new version serves.
        self.on_deployed: list[Callable[[App], None]] = []

    async def restore(self) -> None:
        """Take note of the versions that serve, after `Apps.restore`."""
        for app_id, deployment in (await self.store.live()).items():
            if self._apps.register.is_running(app_id):
                self._apps.register.running(app_id).deployment = _summary(deployment)

    def create(self, request: DeploymentCreateRequest) -> AsyncIterator[DeploymentEvent]:
        """Make functions the next version of an app, or say what that would change."""
        origin = _checked(request.origin)
        wanted = Deployment(
            deployment_id=new_id("de"), app_id=request.app_id, origin=origin, strategy=_strategy(request.strategy)
        )
        return _events(lambda tell: self._deploy(wanted, request.functions, {}, request.dry_run, tell))

    def rollback(self, request: DeploymentRollbackRequest) -> AsyncIterator[DeploymentEvent]:
        """Make the functions of an earlier version the next one; raise `NotFound` if it is not known."""
        return _events(lambda tell: self._rollback(request, tell))

    async def _rollback(self, request: DeploymentRollbackRequest, tell: Callable[[str], None]) -> DeploymentResult:
        app = self._apps.register.running(request.app_id)
        if app.deployment is None:
            raise InvalidRequest(f"{app} is not deployed, so there is nothing to roll back to")
        live = app.deployment.version
        target = await self._target(app, live, live if request.fresh else request.version)
        specs = [one.spec for one in target.functions if one.spec is not None]
        ids = {one.spec.name: one.function_id for one in target.functions if one.spec is not None}
        await self._apps.serving.mask_secrets(
            app, [FunctionRecord("", request.app_id, spec.name, spec) for spec in specs]
        )
        wanted = Deployment(
            deployment_id=new_id("de"),
            app_id=request.app_id,
            origin=_origin_again(target, request.origin),
            strategy=_strategy(request.strategy),
            rollback_of=target.version,
        )
        return await self._deploy(wanted, specs, ids, request.dry_run, tell, request.fresh)

    async def _target(self, app: App, live: int, version: int) -> Deployment:
        versions = await self.store.list(app.record.app_id)
        served = [one for one in versions if one.state == DeploymentState.SUPERSEDED]
        if not version:
            if not served:
                raise InvalidRequest(f"{app} has no version before {live} that could serve")
            return served[0]
        found = next((one for one in versions if one.version == version), None)
        if found is None:
            known = ", ".join(str(one.version) for one in versions[:10])
            raise NotFound(
                f"{app} has no version {version}; the latest are {known} (the last {KEEP_VERSIONS} are kept)"
            )
        if found.state == DeploymentState.FAILED:
            raise InvalidRequest(f"version {version} of {app} did not start when it was deployed, and never served")
        return found

    # Deploying

    async def _deploy(
        self,
        wanted: Deployment,
        specs: Sequence[FunctionSpec],
        ids: Mapping[str, str],
        dry_run: bool,
        tell: Callable[[str], None],
        fresh: bool = False,
    ) -> DeploymentResult:
        app = self._apps.register.running(wanted.app_id)
        async with app.lock:
            # Stopped while another version was being deployed, it is no more.
            app = self._apps.register.running(wanted.app_id)
            self._expect_only(app)
            change = await self._apps.change(app, specs, deploys=True, ids=ids, dry_run=dry_run, fresh=fresh)
            changes = change.described()
            is_same = not change.kinds and not change.removed and app.record.state == AppState.DEPLOYED
            if not is_same:
                is_beside = wanted.strategy == DeployStrategy.ROLLING
                expect_room(str(app), change, self._apps.serving.plan, self._pools, is_beside)
            if dry_run or is_same:
                return DeploymentResult(
                    deployment=app.deployment, changes=changes, functions=[] if dry_run else self._infos(app, change)
                )
            wanted.functions = [DeployedFunction(function_id=one.function_id, spec=one.spec) for one in change.bases]
            wanted.created_at_ms = int(time.time() * 1000)
            rollout = Rollout(self._apps.serving, self._pools, self._host, app, change, tell)
            error = "it was interrupted"
            try:
                if wanted.strategy == DeployStrategy.RECREATE:
                    await rollout.pause(_grace_of)
                error = await rollout.warm()
                if not error:
                    self._expect_only(app)
                    await _uninterrupted(self._switch(app, change, rollout, wanted))
            finally:
                if wanted.state != DeploymentState.LIVE:
                    await _uninterrupted(rollout.abandon())
            if error:
                await self._note_failure(app, wanted, error)
            return DeploymentResult(
                deployment=_summary(wanted), changes=changes, functions=[] if error else self._infos(app, change)
            )

    async def _switch(self, app: App, change: Change, rollout: Rollout, wanted: Deployment) -> None:
        wanted.state = DeploymentState.LIVE
        try:
            await self._app_store.deploy(wanted, list(change.records))
        except BaseException:
            wanted.state = DeploymentState.UNSPECIFIED
            raise
        self._note_served(app)
        app.record.state, app.record.client_id = AppState.DEPLOYED, ""
        app.deployment = _summary(wanted)
        self._apps.take(app, change, rollout.pools, _grace_of)
        for record in change.removed:
            self._apps.ending.let_go(app, record, _grace_of(record))
        log.info("version %d of %s serves", wanted.version, app)
        for hear in self.on_deployed:
            hear(app)
        await rollout.end_imports()
        await self._apps.serving.schedule(app)

    def _note_served(self, app: App) -> None:
        """Note which version was served by the containers that there are."""
        version = app.deployment.version if app.deployment is not None else 0
        pools = ((function_id, self._pools.get(function_id)) for function_id in app.functions)
        app.served = {
            (function_id, pool.plan.load.revision): version for function_id, pool in pools if pool is not None
        }

    async def _note_failure(self, app: App, wanted: Deployment, error: str) -> None:
        log.warning("a new version of %s did not start: %s", app, error.partition("\n")[0])
        wanted.state, wanted.error = DeploymentState.FAILED, error
        for hear in self.on_failed:
            hear(app, error)
        # Of an app that was never deployed nothing is kept.
        if app.record.state == AppState.DEPLOYED:
            await self.store.add_failed(wanted)

    def _expect_only(self, app: App) -> None:
        other = self._apps.register.deployed(app.record.name, app.record.environment)
        if other is not None and other is not app:
            raise AlreadyExists(f"{other} was deployed meanwhile: deploy again to make this its next version")

    def _infos(self, app: App, change: Change) -> list[FunctionInfo]:
        return [self._apps.register.function_info(app, record) for record in change.bases]

    # What there was

    async def list(self, record: AppRecord) -> list[Deployment]:
        """Return an app's versions, the latest first, without the functions' code."""
        found = [_summary(one) for one in await self.store.list(record.app_id)]
        if record.state == AppState.STOPPED:
            for one in found:
                if one.state == DeploymentState.LIVE:
                    one.state = DeploymentState.SUPERSEDED
        return found

    async def function(self, app_name: str, name: str, environment: str, version: int) -> FunctionInfo:
        """Return a function as it was in a version of its app; raise `NotFound`.

        While that is as it is now, it is the same function; else one with containers of its own, of which none is kept
        running. (reference: Function.lookup)
        """
        app = self._apps.register.named(app_name, environment)
        async with app.lock:
            app = self._apps.register.running(app.record.app_id)
            deployment = await self.store.get(app.record.app_id, version)
            if deployment is None:
                kept = f"versions 1 to {app.deployment.version}" if app.deployment is not None else "no versions"
                raise NotFound(f"{app} has no version {version}: it has {kept}, of which the last 100 are kept")
            found = {one.spec.name: one for one in deployment.functions if one.spec is not None}
            if name not in found:
                raise NotFound(f"version {version} of {app} has no function {name[:64]!r}{near(name, list(found))}")
            wanted = found[name]
            assert wanted.spec is not None
            for record in app.functions.values():
                is_current = not record.base_id and record.name == name
                if is_current and revision_of(record.spec) == revision_of(wanted.spec):
                    return self._apps.register.function_info(app, record)
                if record.name == name and record.version == version:
                    return self._apps.register.function_info(app, record)
            if len(app.functions) - len(app.bases) >= MAX_VARIANTS:
                raise Exhausted(f"{app} has {MAX_VARIANTS} variants of its functions: use fewer different versions")
            return await self._apps.binding.add_version(app, wanted.function_id, wanted.spec, version)


async def _events(
    work: Callable[[Callable[[str], None]], Awaitable[DeploymentResult]],
) -> AsyncIterator[DeploymentEvent]:
    """Yield what the work says on its way, then its result. It is cancelled when nobody listens any more."""
    texts: asyncio.Queue[str | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(texts.put_nowait))
    task.add_done_callback(lambda _: texts.put_nowait(None))
    try:
        while (text := await texts.get()) is not None:
            yield DeploymentEvent(text=text)
        yield DeploymentEvent(result=await task)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


async def _uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Await it to its end even when this is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        # Nobody is left who could be told.
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what was begun for one who has gone failed: %s", error, exc_info=stack_of(error))
        raise


def _grace_of(record: FunctionRecord) -> float:
    """Return the seconds in which a version that is replaced has surely ended what it runs."""
    server = server_of(record.spec)
    if server is not None:
        # Nothing limits how long its requests run, but this.
        return server.exit_grace_s + END_GRACE_S + EXIT_HOOKS_GRACE_S
    hooks = EXIT_HOOKS_GRACE_S if record.spec.methods else 0.0
    return (record.spec.timeout_s or 300.0) + END_GRACE_S + hooks


def _strategy(strategy: int) -> int:
    if strategy not in (DeployStrategy.UNSPECIFIED, DeployStrategy.ROLLING, DeployStrategy.RECREATE):
        raise InvalidRequest(f"{strategy} is no strategy of deploying that this service knows")
    return strategy or DeployStrategy.ROLLING


def _checked(origin: DeploymentOrigin | None) -> DeploymentOrigin:
    origin = origin or DeploymentOrigin()
    if len(origin.tag) > MAX_TAG or len(origin.commit) > MAX_TAG:
        raise InvalidRequest(f"a tag has at most {MAX_TAG} characters, got {len(origin.tag)}")
    return origin


def _origin_again(target: Deployment, asked: DeploymentOrigin | None) -> DeploymentOrigin:
    """Return where the code of an earlier version came from, and who has it serve again."""
    origin = copy.copy(target.origin or DeploymentOrigin())
    asked = _checked(asked)
    origin.token_name, origin.tag = asked.token_name, asked.tag or origin.tag
    return origin


def _summary(deployment: Deployment) -> Deployment:
    """Return it with the names and images of its functions only: their code may be large."""
    found = copy.copy(deployment)
    found.functions = [
        DeployedFunction(function_id=one.function_id, spec=FunctionSpec(name=one.spec.name, image_id=one.spec.image_id))
        for one in deployment.functions
        if one.spec is not None
    ]
    return found
