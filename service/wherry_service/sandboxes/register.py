"""The sandboxes that run: found by id, name, app and environment; and what was there before."""

from collections.abc import Iterator, Mapping, Sequence

from wherry_proto.messages import SandboxInfo, SandboxSpec
from wherry_service.errors import AlreadyExists, NotFound, near
from wherry_service.sandboxes.sandbox import Sandbox, info_of
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore
from wherry_service.store.secrets import secrets_named


class SandboxRegister:
    """Owns the sandboxes that run, are beginning or ending; those that ended are in the store for a while."""

    def __init__(self, store: SandboxStore) -> None:
        self._store = store
        self._running: dict[str, Sandbox] = {}

    # Changing

    def add(self, sandbox: Sandbox) -> None:
        """Know one more."""
        self._running[sandbox.sandbox_id] = sandbox

    def forget(self, sandbox: Sandbox) -> None:
        """Forget one whose container is gone, or never was; whoever waits for its end goes on."""
        self._running.pop(sandbox.sandbox_id, None)
        for event in (sandbox.ended, sandbox.saved, sandbox.gone):
            event.set()

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now."""
        for sandbox in self.in_environment(name):
            sandbox.record.environment = new_name

    # Finding

    def __len__(self) -> int:
        return len(self._running)

    def __iter__(self) -> Iterator[Sandbox]:
        return iter(list(self._running.values()))

    def find(self, sandbox_id: str) -> Sandbox | None:
        """Return one that runs, is beginning or ending."""
        return self._running.get(sandbox_id)

    def alive(self, sandbox_id: str) -> Sandbox:
        """Return one that has not ended; raise `NotFound`."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is None or sandbox.ended.is_set():
            raise NotFound(f"sandbox {sandbox_id[:64]} has ended, or does not exist")
        return sandbox

    async def record(self, sandbox_id: str) -> SandboxRecord | None:
        """Return what is written of one, also after its end; None if there is none."""
        sandbox = self._running.get(sandbox_id)
        return sandbox.record if sandbox is not None else await self._store.get(sandbox_id)

    async def get(self, sandbox_id: str) -> SandboxInfo:
        """Return one by id, also after its end; raise `NotFound`."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None:
            return sandbox.info()
        record = await self._store.get(sandbox_id)
        if record is None:
            raise NotFound(f"sandbox {sandbox_id[:64]} does not exist, or ended over 7 days ago")
        return info_of(record)

    async def masks_output(self, sandbox_id: str) -> bool:
        """Whether the values of secrets are masked in what one prints or printed."""
        record = await self.record(sandbox_id)
        return record is not None and record.spec.masks_output

    def by_name(self, name: str, app_name: str, environment: str) -> SandboxInfo:
        """Return a running one by its name; raise `NotFound` naming those that there are."""
        names = []
        for sandbox in self._running.values():
            record = sandbox.record
            if (record.app_name, record.environment) == (app_name, environment) and not sandbox.ended.is_set():
                if record.name == name:
                    return sandbox.info()
                if record.name:
                    names.append(record.name)
        of_app = f" of app {app_name[:64]!r}" if app_name else ""
        raise NotFound(f"no sandbox{of_app} named {name[:64]!r} runs in environment {environment!r}{near(name, names)}")

    async def latest(self, name: str, app_name: str, environment: str) -> SandboxInfo:
        """Return the one that runs under a name, else the one that ended last; raise `NotFound`."""
        try:
            return self.by_name(name, app_name, environment)
        except NotFound:
            record = await self._store.latest(name, app_name, environment)
            if record is None:
                raise
            return info_of(record)

    def refuse_twice(self, name: str, app_name: str, environment: str) -> None:
        """Raise `AlreadyExists` where one of that name runs."""
        try:
            known = self.by_name(name, app_name, environment)
        except NotFound:
            return
        raise AlreadyExists(f"sandbox {known.sandbox_id} runs under the name {name!r}: end it, or take another name")

    async def list(
        self, environment: str, app_id: str, tags: Mapping[str, str], include_ended: bool
    ) -> list[SandboxInfo]:
        """List an environment's sandboxes, the latest first."""
        running = [s.info() for s in self._running.values() if not s.ended.is_set()]
        running.sort(key=lambda info: info.created_at_ms, reverse=True)
        ended = [info_of(record) for record in await self._store.ended(environment)] if include_ended else []
        return [
            info
            for info in [*running, *ended]
            if info.environment == environment and app_id in ("", info.app_id) and tags.items() <= info.tags.items()
        ]

    def of_app(self, app_id: str) -> Sequence[Sandbox]:
        """Return those of an app."""
        return [s for s in self._running.values() if s.record.app_id == app_id]

    def in_environment(self, environment: str) -> Sequence[Sandbox]:
        """Return those of an environment."""
        return [s for s in self._running.values() if s.record.environment == environment]

    def num_in(self, environment: str) -> int:
        """Return how many run in an environment."""
        return sum(1 for s in self.in_environment(environment) if not s.ended.is_set())

    # What they use

    def app_ids(self) -> set[str]:
        """Return the apps whose sandboxes run."""
        return {s.record.app_id for s in self._running.values() if s.record.app_id}

    def image_ids(self) -> set[str]:
        """Return the images of those that run."""
        return {s.record.spec.image_id for s in self._running.values()}

    def specs(self) -> Sequence[SandboxSpec]:
        """Return what those that run were made of."""
        return [s.record.spec for s in self._running.values()]

    def secret_ids(self) -> set[str]:
        """Return the secrets of those that run."""
        return {secret_id for s in self._running.values() for secret_id in secrets_named(s.record.spec)}
