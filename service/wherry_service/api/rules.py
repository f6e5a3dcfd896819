"""Who may call what over TCP: one rule for every rpc. One without a rule is refused, and fails a test."""

from enum import Enum
from typing import NamedTuple

# Any of these is enough; with "+", all that it names. "admin" is in every rule.
ANY = ("deploy", "invoke")
DEPLOY = ("deploy",)
INVOKE = ("invoke",)
# Runs any code and sees what comes of it: what a developer's token has.
DEVELOP = ("deploy+invoke",)
ADMIN: tuple[str, ...] = ()


class Where(Enum):
    """Requests that name no single environment."""

    # In any environment at all: what is asked belongs to none.
    ANYWHERE = "anywhere"
    # In all environments: it concerns the whole service.
    EVERYWHERE = "everywhere"
    # Each call within the session is checked (member.py).
    SESSION = "session"
    # The handler is given the token, and checks.
    TOKEN = "token"
    # Only on the service's machine.
    NOWHERE = "nowhere"


class Rule(NamedTuple):
    """One of these scopes (or admin) in the request's environment."""

    scopes: tuple[str, ...]
    # The fields that tell the environment: of the first one that is set, the object's. `environment`, which counts as
    # set where no other is, and then means "main", names it. Of a stream, every message that sets the field.
    where: tuple[str, ...] | Where
    # Whether the audit log has it.
    audited: bool = False


FIELD = ("environment",)
APP = ("app_id",)
FUNCTION = ("function_id",)
CALL = ("call_id",)
# As the services read them: with an id, the rest is not looked at; an app goes before an environment but for secrets.
_OPEN = ("object_id", "app_id", "environment")
_SECRET = ("secret_id", "environment", "app_id")


def _objects(group: str, scopes: tuple[str, ...]) -> dict[str, Rule]:
    return {
        # By whom functions are published, too: they name what they use.
        f"{group}.Open": Rule(ANY, _OPEN),
        f"{group}.List": Rule(ANY, FIELD),
        f"{group}.Delete": Rule(scopes, ("object_id",), True),
    }


RULES: dict[str, Rule] = {
    "Apps.Open": Rule(DEPLOY, FIELD, True),
    "Apps.Publish": Rule(DEPLOY, APP, True),
    "Apps.Stop": Rule(DEPLOY, APP, True),
    "Apps.List": Rule(ANY, FIELD),
    "Apps.Show": Rule(ANY, ("app_id", "environment")),
    "Deployments.Create": Rule(DEPLOY, APP, True),
    "Deployments.Rollback": Rule(DEPLOY, APP, True),
    "Deployments.List": Rule(ANY, ("app_id", "environment")),
    "Functions.Lookup": Rule(ANY, ("function_id", "environment")),
    "Functions.Stats": Rule(ANY, FUNCTION),
    "Functions.Bind": Rule(ANY, FUNCTION),
    "Functions.Update": Rule(DEPLOY, FUNCTION, True),
    "Containers.List": Rule(ANY, FIELD),
    "Containers.Stop": Rule(DEPLOY, ("container_id",), True),
    "Logs.Read": Rule(DEPLOY, ("app_id", "app_name", "container_id")),
    "Images.Ensure": Rule(DEPLOY, FIELD),
    "Images.Show": Rule(DEPLOY, Where.ANYWHERE),
    "Images.List": Rule(DEPLOY, Where.ANYWHERE),
    "Images.Logs": Rule(DEPLOY, ("image_id",)),
    "Images.Prune": Rule(ADMIN, Where.EVERYWHERE, True),
    "Blobs.Missing": Rule(DEPLOY, Where.ANYWHERE),
    "Blobs.Put": Rule(ANY, Where.ANYWHERE),
    "Blobs.PutSource": Rule(DEPLOY, Where.ANYWHERE),
    # The id of a payload is 80 random bits, told only to those it is for.
    "Blobs.Get": Rule(ANY, Where.ANYWHERE),
    "Blobs.Adopt": Rule(ADMIN, Where.NOWHERE),
    "Blobs.Locate": Rule(ADMIN, Where.NOWHERE),
    "Calls.Session": Rule(ANY, Where.SESSION),
    "Calls.Graph": Rule(INVOKE, CALL),
    "Calls.Values": Rule(INVOKE, CALL),
    # One without a name is made for a function that is published; what has a name is a developer's (member.py).
    "Secrets.Create": Rule(DEPLOY, ("environment", "app_id"), True),
    "Secrets.Lookup": Rule(DEPLOY, _SECRET),
    "Secrets.List": Rule(DEPLOY, FIELD),
    "Secrets.Delete": Rule(DEVELOP, ("secret_id", "environment"), True),
    "Secrets.Rotate": Rule(ADMIN, Where.EVERYWHERE, True),
    **_objects("Dicts", INVOKE),
    "Dicts.Get": Rule(INVOKE, ("dict_id",)),
    "Dicts.Put": Rule(INVOKE, ("dict_id",)),
    "Dicts.Pop": Rule(INVOKE, ("dict_id",)),
    "Dicts.Count": Rule(INVOKE, ("dict_id",)),
    "Dicts.Clear": Rule(INVOKE, ("dict_id",)),
    "Dicts.Scan": Rule(INVOKE, ("dict_id",)),
    **_objects("Queues", INVOKE),
    "Queues.Put": Rule(INVOKE, ("queue_id",)),
    "Queues.Get": Rule(INVOKE, ("queue_id",)),
    "Queues.Acknowledge": Rule(INVOKE, ("queue_id",)),
    "Queues.Cancel": Rule(INVOKE, ("queue_id",)),
    "Queues.Count": Rule(INVOKE, ("queue_id",)),
    "Queues.Clear": Rule(INVOKE, ("queue_id",)),
    "Queues.Scan": Rule(INVOKE, ("queue_id",)),
    **_objects("Volumes", INVOKE),
    "Volumes.Rename": Rule(INVOKE, ("volume_id",), True),
    "Volumes.Entries": Rule(INVOKE, ("volume_id",)),
    "Volumes.Check": Rule(INVOKE, ("volume_id",)),
    "Volumes.Write": Rule(INVOKE, ("volume_id",)),
    "Volumes.Read": Rule(INVOKE, ("volume_id",)),
    "Volumes.Remove": Rule(INVOKE, ("volume_id",)),
    "Volumes.Copy": Rule(INVOKE, ("volume_id",)),
    **_objects("NetworkFileSystems", INVOKE),
    "NetworkFileSystems.Rename": Rule(INVOKE, ("volume_id",), True),
    "Sandboxes.Create": Rule(DEVELOP, ("app_id", "environment"), True),
    "Sandboxes.Get": Rule(DEVELOP, ("sandbox_id", "environment")),
    "Sandboxes.Wait": Rule(DEVELOP, ("sandbox_id",)),
    "Sandboxes.Terminate": Rule(DEVELOP, ("sandbox_id",), True),
    "Sandboxes.List": Rule(DEVELOP, FIELD),
    "Sandboxes.SetTags": Rule(DEVELOP, ("sandbox_id",)),
    "Sandboxes.Output": Rule(DEVELOP, ("sandbox_id",)),
    "Sandboxes.Input": Rule(DEVELOP, ("sandbox_id",)),
    "Sandboxes.Snapshot": Rule(DEVELOP, ("sandbox_id",), True),
    # Of functions' containers, and of sandboxes.
    "Execs.Run": Rule(DEVELOP, ("start.container_id",), True),
    # What comes of it is in the audit log: a command in the container that asks.
    "Terminals.Offer": Rule(DEVELOP, APP),
    # Containers ask, over their own socket.
    "Terminals.Ask": Rule(ADMIN, Where.NOWHERE),
    "Schedules.List": Rule(ANY, ("app_id", "environment")),
    "Schedules.Run": Rule(INVOKE, FUNCTION, True),
    "Schedules.Pause": Rule(DEPLOY, FUNCTION, True),
    "Schedules.Resume": Rule(DEPLOY, FUNCTION, True),
    "Environments.List": Rule(ANY, Where.ANYWHERE),
    "Environments.Create": Rule(ADMIN, Where.EVERYWHERE, True),
    "Environments.Rename": Rule(ADMIN, Where.EVERYWHERE, True),
    "Environments.Delete": Rule(ADMIN, Where.EVERYWHERE, True),
    "Server.Info": Rule(ANY, Where.ANYWHERE),
    "Server.Stop": Rule(ADMIN, Where.EVERYWHERE, True),
    "Tokens.Create": Rule(ADMIN, Where.TOKEN, True),
    "Tokens.List": Rule(ADMIN, Where.TOKEN),
    "Tokens.Revoke": Rule(ADMIN, Where.TOKEN, True),
    "Tokens.Who": Rule(ANY, Where.TOKEN),
    "Audit.List": Rule(ADMIN, Where.EVERYWHERE),
}
