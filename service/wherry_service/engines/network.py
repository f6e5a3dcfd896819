"""The network of this service's containers: a bridge of their own, without each other and without the host."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from wherry_service.engines.engine import ContainerMissing, EngineError
from wherry_service.engines.firewall import Firewall, FirewallError, Place, Rules, name_servers, run_here
from wherry_service.errors import Unready

if TYPE_CHECKING:
    import docker

log = logging.getLogger(__name__)

DEFAULT = "bridge"
KIND = "network"
# Files that say which name servers containers are given; the second is what the engine takes for a local resolver.
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
# Seconds between two looks whether the rules are still there: a firewall that is started anew drops those of others.
CHECK_EVERY_S = 60.0
_HELPER_WITHIN_S = 30
# In each network but its default one an engine has containers ask a resolver of its own, which knows the names of the
# containers there. To set that up, Docker 20.10 runs itself again in each new container: 70 ms, a fourth of the start.
# It does not for a network whose name begins like this. Later versions need no second process, only some rules.
_QUICK = "container:"
_SLOW_RESOLVERS = "20.10."
_LOCAL_RESOLVER = "127.0.0.53"
_MOST_PLACES = 256


class Ask(Protocol):
    """Asks the engine, in a thread."""

    def __call__(self, what: str, work: "Callable[[docker.APIClient], Any]") -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """What containers may reach."""

    # "auto": isolated as far as this host allows; "require": no container starts where it does not; "off": not at all.
    isolate: str = "auto"
    allowed: tuple[Place, ...] = ()
    blocked: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "NetworkSettings":
        """Read the WHERRY_NETWORK_ variables; raise `Unready` naming one that makes no sense."""
        isolate = environ.get("WHERRY_NETWORK_ISOLATE", "") or "auto"
        if isolate not in ("auto", "require", "off"):
            raise Unready(f"WHERRY_NETWORK_ISOLATE is {isolate!r}: it is auto, require or off")
        places = {}
        for name in ("WHERRY_NETWORK_ALLOW", "WHERRY_NETWORK_BLOCK"):
            words = environ.get(name, "").replace(",", " ").split()
            if len(words) > _MOST_PLACES:
                raise Unready(f"{name} has {len(words)} places: {_MOST_PLACES} are allowed")
            places[name] = tuple(Place.parse(word, name) for word in words)
        blocked = places["WHERRY_NETWORK_BLOCK"]
        if with_port := next((place for place in blocked if place.port), None):
            raise Unready(f"WHERRY_NETWORK_BLOCK has {with_port.network}:{with_port.port}: it takes whole networks")
        return cls(isolate, places["WHERRY_NETWORK_ALLOW"], tuple(place.network for place in blocked))


class OwnNetwork:
    """One service's network on its engine, and the kernel's rules for it.

    `beside`: another one, connected, checked and cleaned away with it.
    """

    # What its label says it is.
    kind = KIND

    def __init__(
        self,
        settings: NetworkSettings,
        instance: str,
        state_dir: Path,
        open_ports: tuple[int, ...] = (),
        firewall: Firewall | None = None,
        beside: "OwnNetwork | None" = None,
    ) -> None:
        self._beside = beside
        self.settings = settings
        self._ask: Ask | None = None
        self._instance = instance
        self._state_dir = state_dir
        self._name = f"wherry-{instance}"
        # What a request calls it: its name, or its id where the name would be understood otherwise.
        self._reference = self._name
        self._rules = Rules(f"wh-{instance}", instance, settings.allowed, open_ports, blocked=settings.blocked)
        self._firewall = firewall or Firewall(self._run)
        self._lock = asyncio.Lock()
        self._made = False
        # Why containers reach more than they should; "": they do not.
        self.problem = ""
        self._told = ""

    def connect(self, ask: Ask) -> None:
        """Say how the engine is asked."""
        self._ask = ask
        if self._beside is not None:
            self._beside.connect(ask)

    async def name(self) -> str:
        """Return the network that containers join, as requests call it, made if it is missing; raise `EngineError`."""
        if self.settings.isolate == "off":
            return DEFAULT
        async with self._lock:
            if not self._made:
                await self._make()
                await self._hold()
                self._made = True
        if self.problem and self.settings.isolate == "require":
            raise EngineError(
                f"containers can't be isolated here, and network.isolate is require: {self.problem}; give them no "
                "network (block_network=True), mend it, or set network.isolate to auto"
            )
        return self._reference

    async def join(self, body: dict[str, Any]) -> None:
        """Have a container, by the request that creates it, be in this network; raise `EngineError`."""
        body["HostConfig"]["NetworkMode"] = await self.name()
        if self._reference != self._name:
            # By its name it is found also where it was removed meanwhile, and made again.
            body["NetworkingConfig"] = {"EndpointsConfig": {_QUICK + self._name: {}}}

    def lost(self) -> None:
        """Know that somebody has removed it."""
        self._made = False

    async def keep(self) -> None:
        """Have it there, and its rules hold, for as long as the service runs."""
        while self.settings.isolate != "off":
            with contextlib.suppress(EngineError):  # told when a container wants it
                await self.name()
            await asyncio.sleep(CHECK_EVERY_S)
            await self.check()

    async def check(self) -> None:
        """Make the network and its rules again where they have gone, as when the engine or a firewall was restarted."""
        if self._beside is not None:
            await self._beside.check()
        async with self._lock:
            if not self._made:
                return
            try:
                await self._make()
            except EngineError as error:
                log.debug("the network %s can't be looked for: %s", self._name, error)
                return
            await self._hold()

    async def clean(self) -> None:
        """Remove the network and its rules; what can't be removed is found by the next life."""
        if self._beside is not None:
            await self._beside.clean()
        async with self._lock:
            if not self._made:
                return
            self._made = False
            try:
                await self._engine("remove the network", lambda client: client.remove_network(self._reference))
            except EngineError as error:
                # Its rules stay with it.
                log.info("the network %s stays: %s", self._name, error)
                return
            try:
                await self._firewall.remove(self._rules)
            except (FirewallError, OSError) as error:
                log.debug("the network's rules could not be removed: %s", error)

    # The network

    async def _make(self) -> None:
        found = await self._look()
        if found is not None and found["Name"] != self._name and not await self._may_be_quick():
            # Of the time before the engine was replaced by a newer one. What still runs in it keeps it.
            old = found["Id"]
            with contextlib.suppress(EngineError):
                await self._engine("remove the network", lambda client: client.remove_network(old))
                found = None
        if found is None:
            name = _QUICK + self._name if await self._may_be_quick() else self._name
            await self._create(name)
            found = {"Name": self._name} if name == self._name else await self._look()
            if found is None:
                raise EngineError("the network of this service's containers was removed as it was made")
        self._reference = self._name if found["Name"] == self._name else str(found["Id"])

    async def _look(self) -> Mapping[str, Any] | None:
        """Return this service's network, if it is there; remove those whose service has gone."""
        if self._beside is not None:
            await self._beside.tidy()
        return await self.tidy()

    async def tidy(self) -> Mapping[str, Any] | None:
        """Remove networks of this kind whose service has gone; return this service's, if it is there."""
        rows = await self._engine(
            "list networks", lambda client: client.networks(filters={"label": f"wherry.kind={self.kind}"})
        )
        found = None
        for row in rows:
            if row["Name"] in (self._name, _QUICK + self._name):
                found = row
            else:
                await self._tidy(row)
        return found

    async def _may_be_quick(self) -> bool:
        """Whether this engine runs a resolver of names for each container, slowly, and containers do without one."""
        about = await self._engine("ask for its version", lambda client: client.version())
        parts = about.get("Components") or ()
        version = next((str(part.get("Version")) for part in parts if part.get("Name") == "Engine"), "")
        return version.startswith(_SLOW_RESOLVERS) and await asyncio.to_thread(_reach_their_resolver)

    async def _create(self, name: str) -> None:
        labels = {
            "wherry.instance": self._instance,
            "wherry.kind": self.kind,
            "wherry.state_dir": str(self._state_dir),
        }
        options = {
            "com.docker.network.bridge.name": self._rules.bridge,
            "com.docker.network.bridge.enable_icc": "false",
        }
        try:
            await self._engine(
                "create the network",
                lambda client: client.create_network(
                    name, driver="bridge", options=options, labels=labels, check_duplicate=True
                ),
            )
        except EngineError as error:
            if "already exists" in str(error):
                return
            if "address pool" in str(error):
                raise EngineError(
                    f"{error}: the engine has no addresses left for another network; remove those that nothing uses "
                    "(docker network prune)"
                ) from error
            raise

    async def _tidy(self, row: Mapping[str, Any]) -> None:
        """Remove the network of a service whose state directory is gone."""
        state_dir = (row.get("Labels") or {}).get("wherry.state_dir", "")
        if not state_dir or os.path.exists(state_dir):
            return
        with contextlib.suppress(EngineError):  # something uses it
            await self._engine("remove a network", lambda client: client.remove_network(row["Id"]))
            log.info("removed the network of a service whose state directory %s is gone", state_dir)

    async def _engine(self, what: str, work: "Callable[[docker.APIClient], Any]") -> Any:
        if self._ask is None:
            raise EngineError(f"could not {what}: this service's engine has no networks of its own")
        return await self._ask(what, work)

    # The rules

    async def _hold(self) -> None:
        await self._renew_rules()
        problem = ""
        try:
            if not await self._firewall.apply(self._rules):
                problem = (
                    "this kernel does not show frames on a bridge to its rules, so containers reach each other: load "
                    "br_netfilter (modprobe br_netfilter) and set net.bridge.bridge-nf-call-iptables to 1"
                )
        except (FirewallError, OSError) as error:
            problem = f"the host's own addresses and the cloud's metadata can't be kept from containers: {error}"
        self.problem = problem
        if problem != self._told:
            self._told = problem
            if problem:
                log.warning("containers are not wholly isolated: %s (docs/security.md says what that means)", problem)
            else:
                log.info("containers are isolated: from each other, the host and the cloud's metadata")

    async def _renew_rules(self) -> None:
        self._rules = replace(self._rules, name_servers=await asyncio.to_thread(host_name_servers))

    async def _run(self, script: str) -> tuple[int, str, str]:
        code, said, errors = await run_here(script)
        if code in (3, 4):
            beside = await self._run_beside(script)
            if beside is not None:
                return beside
        if code == 3 and os.geteuid():
            errors = "making rules needs root, which this service does not run as"
        return code, said, errors

    async def _run_beside(self, script: str) -> tuple[int, str, str] | None:
        """Run a script in the engine's network, where this service is itself one of the engine's containers."""

        def run(client: "docker.APIClient") -> tuple[int, str, str]:
            own = client.inspect_container(socket.gethostname())
            host = client.create_host_config(
                network_mode="host", userns_mode="host", cap_drop=["ALL"], cap_add=["NET_ADMIN", "NET_RAW"]
            )
            made = client.create_container(
                own["Image"],
                ["-c", script],
                entrypoint=["sh"],
                user="0",
                host_config=host,
                labels={"wherry.instance": self._instance, "wherry.kind": "rules"},
            )
            try:
                client.start(made["Id"])
                code = int(client.wait(made["Id"], timeout=_HELPER_WITHIN_S)["StatusCode"])
                said = client.logs(made["Id"], stdout=True, stderr=False).decode(errors="replace")
                errors = client.logs(made["Id"], stdout=False, stderr=True).decode(errors="replace")
            finally:
                client.remove_container(made["Id"], force=True, v=True)
            return code, said, errors

        if not os.path.exists("/.dockerenv"):
            return None
        try:
            found: tuple[int, str, str] = await self._engine("make rules beside this service", run)
        except ContainerMissing:
            # This service is in a container, and that is not one of this engine's.
            return None
        except EngineError as error:
            return 1, "", str(error)
        return found


def host_name_servers() -> tuple[str, ...]:
    """Return the name servers of this host that containers may ask."""
    return name_servers([_text(path) for path in _RESOLVERS])


def _reach_their_resolver() -> bool:
    """Whether containers can ask the host's name servers: those on its loopback answer only the engine's resolver."""
    servers = _named(_text(_RESOLVERS[0]))
    if servers == [_LOCAL_RESOLVER]:
        servers = _named(_text(_RESOLVERS[1]))
    return bool(servers) and len(name_servers([f"nameserver {server}" for server in servers])) == len(servers)


def _named(text: str) -> list[str]:
    return [words[1] for line in text.splitlines() if (words := line.split())[:1] == ["nameserver"] and len(words) > 1]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
