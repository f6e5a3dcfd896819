"""An app, as its functions, objects and sandboxes see it: what it says is to run, and what runs."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._calling.callee import Callee, own_by_name
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from wherry._calling.caller import Caller
    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry._publish.running import Published, Running
    from wherry.secret import Secret

    class AppLike(Protocol):
        """An `App`: all its other names are for users to choose."""

        __wherry_owner__: Owner


class Owner:
    """Keeps what an `App` was given and has registered, and binds its functions while it runs."""

    def __init__(
        self,
        app: Any,
        name: str | None,
        image: Any,
        *,
        secrets: Sequence[Secret],
        volumes: Placed,
        mounts: Sequence[Any],
        default_image: Callable[[], Recipe],
    ) -> None:
        self.app = app
        self.name = name
        self.image = image
        self.secrets = secrets
        self.volumes = volumes
        self.mounts = mounts
        # What it has as its own beside functions: made by `Dict.new()` and the like.
        self.objects: list[SharedObject] = []
        # Where it runs, or was deployed to: names of volumes mean those of its environment.
        self.environment = ""
        self.deployed_id: str | None = None
        self._default_image = default_image
        self._functions: dict[str, tuple[Definition, Own]] = {}
        # Those that were there when it began to run.
        self._bound: list[Own] = []
        self._running: Running | None = None

    @property
    def app_id(self) -> str | None:
        """The id while it runs, and once it was deployed here."""
        return self._running.app_id if self._running is not None else self.deployed_id

    @property
    def is_running(self) -> bool:
        """Whether it runs now, begun by this program."""
        return self._running is not None

    @property
    def client(self) -> Client | None:
        """The client that runs it; None while it does not run."""
        return self._running.client if self._running is not None else None

    def register(self, definition: Definition, callee: Own) -> None:
        """Add a function, or the same one defined again; raise InvalidError for two of one name."""
        name = definition.name
        known = self._functions[name][0] if name in self._functions else None
        if known is not None and not definition.is_again(known):
            one, other = known.module_name, definition.module_name
            where = f", in {one} and in {other}" if one != other else ""
            raise InvalidError(f"the app has two functions named {name!r}{where}: give one another name=")
        self._functions[name] = definition, callee

    def defines(self, name: str, callee: Own) -> bool:
        """Whether the function of that name is this one, and not one that was defined later."""
        return name in self._functions and self._functions[name][1] is callee

    def plan(self) -> Plan:
        """Return what is to run, as it is defined now."""
        from wherry._define.plan import Plan  # noqa: PLC0415 - start-up cost: only where something is brought up

        mounts = self.mounts
        if mounts:
            from wherry.mount import mounts_of  # noqa: PLC0415 - start-up cost: only where there are some

            mounts = mounts_of(mounts)
        return Plan(
            self.name,
            [definition for definition, _ in self._functions.values()],
            self.image or self._default_image(),
            secrets=self.secrets,
            volumes=self.volumes,
            mounts=mounts,
            objects=self.objects,
            environment=self.environment,
        )

    def begin(self, client: Client | None, detach: bool, environment: str | None, name: str | None = None) -> None:
        """Bring it up; raise ExecutionError where it runs already, and what any step raises."""
        from wherry._publish.running import start  # noqa: PLC0415 - start-up cost: loads the session

        if self._running is not None:
            raise ExecutionError(f"{self!r} is running already: run it once at a time")
        self._running, published = start(self.plan(), client, detach, environment, name)
        self.bind(published)

    def bind(self, published: Published) -> None:
        """Let the functions' handles be called."""
        from wherry._calling.caller import Caller  # noqa: PLC0415 - start-up cost: as above

        self.environment, ready = published.environment, published.ready
        self._bound = [callee for _, callee in self._functions.values()]
        for callee, info in zip(self._bound, published.infos, strict=True):
            callee.bind(Caller(published.client, info, by_reference=ready.by_reference, local_root=ready.root))

    def end(self) -> None:
        """Stop it; its handles can't be called afterwards."""
        running, self._running = self._running, None
        if running is None:
            return
        for callee in self._bound:
            callee.bind(None)
        running.stop()

    def __getstate__(self) -> dict[str, Any]:
        # With the code of a function that names its app: where that arrives, the app neither runs nor is brought up.
        return {**self.__dict__, "_functions": {}, "_bound": [], "_running": None}

    def __repr__(self) -> str:
        return f"App({self.name!r})"


class Own(Callee):
    """The function that a handle's own app defines: bound while the app runs. In containers it is looked up."""

    def __init__(self, name: str, module_name: str, app: Owner | None) -> None:
        super().__init__()
        self._name = name
        self._module_name = module_name
        self._app = app

    def bind(self, caller: Caller | None) -> None:
        """Be this running function, or none."""
        self._caller = caller

    def _find(self, client: Client | None) -> Caller:
        app = self._app
        if not is_local():
            return own_by_name(self._name, (app.name if app is not None else None) or "").resolved()
        if app is not None and app.is_running:
            own = f"{self._name} can't be called: it was "
            if not app.defines(self._name, self):
                raise ExecutionError(
                    f"{own}replaced by another function of its name, defined later; call that one, or give one "
                    "another name="
                )
            raise ExecutionError(
                f"{own}defined after its app began to run, which has the functions that it had then; "
                "define it before `with app.run():`, or run the app again"
            )
        name = app.name if app is not None and app.name else "its app"
        raise ExecutionError(
            f"{self._name} can't be called yet, since {name} is not running: "
            f"call it within `with app.run():`, or from a local entrypoint with `wherry run {self._module_name}.py`"
        )


def owner_of(app: Any) -> Owner | None:
    """Return what is behind an `App`; None for anything else."""
    found: Owner | None = getattr(app, "__wherry_owner__", None)
    return found
