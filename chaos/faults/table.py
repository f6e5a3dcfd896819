"""Which faults there are, and how often each is taken."""

import random
from collections.abc import Iterator

from chaos.faults import clients, containers, database, disk, engine, network, service
from chaos.faults.fault import Fault, Step
from chaos.stage import Choice

_HERE = (
    Fault("service killed", service.kill, 20),
    Fault("service killed again while it starts", service.kill_starting, 6),
    Fault("service stopped", service.stop, 10, (1, 8), "service"),
    Fault("container killed", containers.kill, 13),
    Fault("all containers killed", containers.kill_all, 2),
    Fault("client killed", clients.kill, 12, (0.1, 3)),
    Fault("client stopped", clients.stop, 4, (1, 8)),
    Fault("database locked", database.lock, 6, (1, 8), "database"),
    Fault("disk full", disk.fill, 6, (1, 5), "disk"),
)
# Under gVisor what runs in a container is no process of this machine.
_RUNNERS = (
    Fault("runner killed", containers.kill_runner, 9),
    Fault("runner stopped", containers.stop_runner, 8, (1, 8)),
)
_NETWORK = (
    Fault("connections cut", network.cut, 12),
    Fault("connections stalled", network.stall, 10, (1, 8), "network"),
    Fault("network down", network.down, 6, (0.5, 5), "network"),
    Fault("connections cut on a slow disk", network.cut_slow, 30, (0.3, 0.6), "database"),
)
_POSTGRES = (
    Fault("database crashed", database.crash, 6, (0.1, 5), "database"),
    Fault("database restarted", database.restart, 4, (0.1, 5), "database"),
)
_ENGINE = (Fault("engine killed", engine.kill, 4, (0.1, 5), "engine"),)


def faults(choice: Choice) -> tuple[Fault, ...]:
    """Return the kinds of fault that a campaign takes from."""
    return (
        *_HERE,
        *(() if choice.gvisor else _RUNNERS),
        *(_NETWORK if choice.tcp else ()),
        *(_POSTGRES if choice.postgres else ()),
        *(_ENGINE if choice.engine else ()),
    )


def plan(seed: str, kinds: tuple[Fault, ...], every_s: float) -> Iterator[Step]:
    """Give an endless sequence of faults: for one seed always the same, and one every `every_s` seconds on average."""
    chance = random.Random(f"{seed}/faults")
    while True:
        fault = chance.choices(kinds, [kind.weight for kind in kinds])[0]
        yield Step(chance.uniform(0.2, 2 * every_s - 0.2), fault.name, chance.uniform(*fault.lasts), chance.random())
