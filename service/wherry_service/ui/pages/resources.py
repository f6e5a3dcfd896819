"""What is stored under names: secrets, dicts, queues."""

from wherry_proto.messages import ObjectInfo, ObjectListRequest, SecretInfo, SecretListRequest
from wherry_service.ui.page import Asked, Data, Page
from wherry_service.ui.table import Column, count, identity, table, when, word

_OBJECT = (
    Column("Name", lambda one: word(one.name)),
    Column("Id", lambda one: identity(one.object_id)),
    Column("Made", lambda one: when(one.created_at_ms)),
)


def _object_id(one: ObjectInfo) -> str:
    return one.object_id


async def secrets(asked: Asked) -> Data:
    """Return the names of secrets and of their variables: no page ever has a value."""
    listed = await asked.ask("Secrets.List", SecretListRequest(environment=asked.environment))
    columns = (
        Column("Name", lambda one: word(one.name)),
        Column("Variables", lambda one: word(", ".join(one.keys))),
        Column("Changed", lambda one: when(one.updated_at_ms or one.created_at_ms)),
        Column("Last used", lambda one: when(one.used_at_ms)),
    )

    def secret_id(one: SecretInfo) -> str:
        return one.secret_id

    empty, command = "There is no secret.", "wherry secret create NAME KEY=VALUE"
    note = "Values are shown to nobody. Containers and builds are given them."
    return {
        "heading": "Secrets",
        "note": note,
        "tables": [table("", columns, listed.secrets, secret_id, empty, command)],
    }


async def dicts(asked: Asked) -> Data:
    """Return the dicts that have a name."""
    listed = await asked.ask("Dicts.List", ObjectListRequest(environment=asked.environment))
    columns = (*_OBJECT, Column("Entries", lambda one: count(one.num_items), number=True))
    empty, command = "There is no dict with a name.", "wherry dict create NAME"
    return {"heading": "Dicts", "tables": [table("", columns, listed.objects, _object_id, empty, command)]}


async def queues(asked: Asked) -> Data:
    """Return the queues that have a name, and how much waits in them."""
    listed = await asked.ask("Queues.List", ObjectListRequest(environment=asked.environment))
    columns = (*_OBJECT, Column("Waiting", lambda one: count(one.num_items), number=True))
    empty, command = "There is no queue with a name.", "wherry queue create NAME"
    return {"heading": "Queues", "tables": [table("", columns, listed.objects, _object_id, empty, command)]}


PAGES = (
    Page("/secrets", "list.html", secrets, live=("tables",), section="Secrets"),
    Page("/dicts", "list.html", dicts, live=("tables",), section="Dicts"),
    Page("/queues", "list.html", queues, live=("tables",), section="Queues"),
)
