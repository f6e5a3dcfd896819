"""An app, as its functions, objects and sandboxes see it: what it says is to run, and what runs."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._calling.callee import Callee, own_by_name
from wherry.context import is_local
from wherry.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from wherry._calling.caller import Caller
    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry._publish.published import Published
    from wherry._publish.running import Running
    from wherry.secret import Secret

    class AppLike(Protocol):
        """An `App`: all its other names are for users to choose."""

        __wherry_owner__: Owner


# large: an attribute for each thing that an app is given
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
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.app = app
        self.name = name
        self.image = image
        self.secrets = secrets
        self.volumes = volumes
        self.mounts = mounts
        self.tags = dict(tags or {})
        # What it has as its own beside functions: made by `Dict.new()` and the like.
        self.objects: list[SharedObject] = []
        # Where it runs, or was deployed to: names of volumes mean those of its environment.
        self.environment = ""
        self.deployed_id: str | None = None
        self._default_image = default_image
        self.functions: dict[str, tuple[Definition, Own]] = {}
        # Those that were there when it began to run.
        self.bound: list[Own] = []
        self.running: Running | None = None
        # Whether it has run, or an entrypoint of it was called: `python file.py` does more then than define it.
        self.was_used = False
        # Which client it was looked up by; None: the process's.
        self._asking: Client | None = None
        # Apps whose functions are this one's, too, by the functions' names; and those that have this one's.
        self.included: dict[str, Owner] = {}
        self.including: list[Owner] = []

    @property
    def app_id(self) -> str | None:
        """The id while it runs, and once it was deployed here; its own, or that of an app which includes it."""
        ids = (one.running.app_id if one.running is not None else one.deployed_id for one in self.lineage())
        return next((app_id for app_id in ids if app_id), None)

    @property
    def is_running(self) -> bool:
        """Whether it runs now, begun by this program, by itself or in an app that includes it."""
        return self.running_one() is not None

    def includes(self, other: Owner) -> bool:
        """Whether functions of another app are this one's, too, and not the other way round as well."""
        return other in self.included.values() and self not in other.included.values()

    @property
    def state(self) -> str:
        """Whether it runs, or was deployed here, as people say it."""
        return "running" if self.is_running else "deployed" if self.deployed_id else "not running"

    @property
    def client(self) -> Client | None:
        """The client that runs it; None while it does not run."""
        return next((one.running.client for one in self.lineage() if one.running is not None), None)

    @property
    def module_name(self) -> str:
        """The name of the module that defines its first function; "app" if there is none."""
        for definition, _ in self.functions.values():
            return definition.module_name.rpartition(".")[2]
        return "app"

    def became(self, app_id: str, name: str, environment: str, client: Client | None) -> None:
        """Be the deployed app that was looked up."""
        self.deployed_id, self.name, self.environment, self._asking = app_id, name, environment, client

    def reached(self, how: str, client: Client | None) -> tuple[Client, str]:
        """Return who asks about it, and its id; raise ExecutionError where it has none, which `how` needs."""
        app_id = self.app_id
        if app_id is None:
            called = f"wherry.App.lookup({self.name!r})" if self.name else "wherry.App.lookup(name)"
            raise ExecutionError(
                f"{self!r} does not run, and was not deployed by this program: for a deployed app write {called}.{how}"
            )
        from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session

        return client or self.client or self._asking or default_client(), app_id

    def include(self, other: Owner, with_tags: bool) -> None:
        """Have the functions of another app as well; raise InvalidError for a name that both have."""
        if other is self:
            raise InvalidError(f"{self!r} can't include itself")
        for name, (definition, callee) in other.functions.items():
            known = self.functions.get(name)
            if known is None or known[1] is not callee:
                self.register(definition, callee)
            self.included[name] = other.included.get(name, other)
        self.objects += [one for one in other.objects if one not in self.objects]
        if with_tags:
            self.tags = {**other.tags, **self.tags}
        if self not in other.including:
            other.including.append(self)

    def register(self, definition: Definition, callee: Own) -> None:
        """Add a function, or the same one defined again; raise InvalidError for two of one name."""
        name = definition.name
        known = self.functions[name][0] if name in self.functions else None
        if known is not None and not definition.is_again(known):
            one, other = known.module_name, definition.module_name
            where = f", in {one} and in {other}" if one != other else ""
            raise InvalidError(f"the app has two functions named {name!r}{where}: give one another name=")
        if self.is_running:
            definition.came_late()
        self.functions[name] = definition, callee

    def defines(self, name: str, callee: Own) -> bool:
        """Whether the function of that name is this one, and not one that was defined later."""
        return name in self.functions and self.functions[name][1] is callee

    def plan(self) -> Plan:
        """Return what is to run, as it is defined now."""
        others = {id(other): other for other in self.included.values()}
        plans = {key: other.plan_with({}) for key, other in others.items()}
        return self.plan_with({name: plans[id(other)] for name, other in self.included.items()})

    def plan_with(self, included: Mapping[str, Plan]) -> Plan:
        from wherry._define.plan import Plan  # noqa: PLC0415 - start-up cost: only where something is brought up

        mounts = self.mounts
        if mounts:
            from wherry.mount import mounts_of  # noqa: PLC0415 - start-up cost: only where there are some

            mounts = mounts_of(mounts)
        return Plan(
            self.name,
            [definition for definition, _ in self.functions.values()],
            self.image or self._default_image(),
            secrets=self.secrets,
            volumes=self.volumes,
            mounts=mounts,
            objects=self.objects,
            environment=self.environment,
            tags=self.tags,
            included=included,
        )

    def running_one(self) -> Owner | None:
        """Return the app that runs its functions: itself, or one that includes it."""
        return next((one for one in self.lineage() if one.running is not None), None)

    def lineage(self) -> list[Owner]:
        """Return it and all that include it, each once; they may include each other."""
        found = [self]
        for one in found:
            found += [other for other in one.including if other not in found]
        return found

    def publish_again(self) -> None:
        """Give the app, which runs, the functions that were defined since it began; those it has stay as they are."""
        from wherry._publish.running import publish  # noqa: PLC0415 - start-up cost: loaded with the session

        running = self.running
        assert running is not None
        with running.publishing:
            if any(callee.known() is None for _, callee in self.functions.values()):
                self.bind(publish(self.plan(), running.client, running.app_id, self.environment, running.name))

    def begin(self, client: Client | None, detach: bool, environment: str | None, name: str | None = None) -> None:
        """Bring it up; raise ExecutionError where it runs already, and what any step raises."""
        from wherry._publish.running import start  # noqa: PLC0415 - start-up cost: loads the session

        if self.running is not None:
            raise ExecutionError(f"{self!r} is running already: run it once at a time")
        self.was_used = True
        self.running, published = start(self.plan(), client, detach, environment, name)
        self.bind(published)

    def bind(self, published: Published) -> None:
        """Let the functions' handles be called."""
        from wherry._calling.caller import Caller  # noqa: PLC0415 - start-up cost: as above

        self.environment, ready = published.environment, published.ready
        before, self.bound = self.bound, [callee for _, callee in self.functions.values()]
        for callee in before:
            if callee not in self.bound:
                callee.bind(None)  # replaced by another of its name
        for callee, info in zip(self.bound, published.infos, strict=True):
            callee.bind(Caller(published.client, info, by_reference=ready.by_reference, local_root=ready.root))

    def end(self) -> None:
        """Stop it; its handles can't be called afterwards."""
        running, self.running = self.running, None
        if running is None:
            return
        for callee in self.bound:
            callee.bind(None)
        running.stop()

    def stopped(self) -> None:
        """Note that it has been stopped: its handles can't be called, and it can be run again."""
        for one in self.lineage():
            one.running = one.deployed_id = None
            for callee in one.bound:
                callee.bind(None)

    def __getstate__(self) -> dict[str, Any]:
        # With the code of a function that names its app: where that arrives, the app neither runs nor is brought up.
        return {**self.__dict__, **_left_behind()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickled by a version before, it lacks some.
        self.__dict__.update({**_left_behind(), "tags": {}, **state})

    def __repr__(self) -> str:
        return f"App({self.name!r})"


def _left_behind() -> dict[str, Any]:
    return {
        "functions": {}, "included": {}, "bound": [], "including": [], "running": None, "_asking": None,
    }  # fmt: skip


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
        if app is not None and (running := app.running_one()) is not None:
            if running.defines(self._name, self):
                # Defined since the app began to run.
                running.publish_again()
                if self._caller is not None:
                    return self._caller
            if app.defines(self._name, self):
                raise ExecutionError(
                    f"{self._name} can't be called: it was defined after {running!r} had included its app; write it "
                    "above `include`"
                )
            raise ExecutionError(
                f"{self._name} can't be called: it was replaced by another function of its name, defined later; call "
                "that one, or give one another name="
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
