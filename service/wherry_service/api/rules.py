"""Who may call what, over TCP and from inside containers: one rule for every rpc.

One without a rule is refused, and fails a test.
"""

from enum import Enum
from typing import NamedTuple

# Any of these is enough; with "+", all that it names. "admin" is in every rule.
ANY = ("deploy", "invoke")
DEPLOY = ("deploy",)
INVOKE = ("invoke",)
# Runs any code and sees what comes of it: what a developer's token has.
DEVELOP = ("deploy+invoke",)
ADMIN: tuple[str, ...] = ()


# Of a function, who may call it may have these otherwise, beside how it scales.
SHALLOW = frozenset(("timeout_s", "retry"))


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


class Inside(Enum):
    """What code in a container may ask by a method, over the container's own socket."""

    # It is not there.
    NOTHING = "nothing"
    # What a token with the scope `invoke` may ask in the app's environment.
    ENVIRONMENT = "environment"
    # Likewise, of what is its own app's.
    APP = "app"


class Rule(NamedTuple):
    """One of these scopes (or admin) in the request's environment."""

    scopes: tuple[str, ...]
    # The fields that tell the environment: of the first one that is set, the object's. `environment`, which counts as
    # set where no other is, and then means "main", names it. Of a stream, every message that sets the field.
    where: tuple[str, ...] | Where
    # Whether the audit log has it.
    audited: bool = False
    inside: Inside = Inside.NOTHING


_ENV = Inside.ENVIRONMENT
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
        f"{group}.Open": Rule(ANY, _OPEN, inside=_ENV),
        f"{group}.List": Rule(ANY, FIELD, inside=_ENV),
        f"{group}.Delete": Rule(scopes, ("object_id",), True, _ENV),
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
    "Functions.Lookup": Rule(ANY, ("function_id", "environment"), inside=_ENV),
    "Functions.Stats": Rule(ANY, FUNCTION, inside=_ENV),
    "Functions.Bind": Rule(ANY, FUNCTION, inside=_ENV),
    "Functions.Update": Rule(DEPLOY, FUNCTION, True, Inside.APP),
    "Containers.List": Rule(ANY, FIELD),
    "Containers.Stop": Rule(DEPLOY, ("container_id",), True),
    "Logs.Read": Rule(DEPLOY, ("app_id", "app_name", "container_id")),
    "Images.Ensure": Rule(DEPLOY, FIELD),
    "Images.Show": Rule(DEPLOY, Where.ANYWHERE),
    "Images.List": Rule(DEPLOY, Where.ANYWHERE),
    "Images.Logs": Rule(DEPLOY, ("image_id",)),
    "Images.Prune": Rule(ADMIN, Where.EVERYWHERE, True),
    "Blobs.Missing": Rule(DEPLOY, Where.ANYWHERE),
    "Blobs.Put": Rule(ANY, Where.ANYWHERE, inside=_ENV),
    "Blobs.PutSource": Rule(DEPLOY, Where.ANYWHERE),
    # The id of a payload is 80 random bits, told only to those it is for.
    "Blobs.Get": Rule(ANY, Where.ANYWHERE, inside=_ENV),
    "Blobs.Adopt": Rule(ADMIN, Where.NOWHERE),
    "Blobs.Locate": Rule(ADMIN, Where.NOWHERE),
    "Calls.Session": Rule(ANY, Where.SESSION, inside=_ENV),
    "Calls.Graph": Rule(INVOKE, CALL, inside=_ENV),
    "Calls.Values": Rule(INVOKE, CALL, inside=_ENV),
    # One without a name is made for a function that is published; what has a name is a developer's (member.py).
    "Secrets.Create": Rule(DEPLOY, ("environment", "app_id"), True),
    "Secrets.Lookup": Rule(DEPLOY, _SECRET),
    "Secrets.List": Rule(DEPLOY, FIELD),
    "Secrets.Delete": Rule(DEVELOP, ("secret_id", "environment"), True),
    "Secrets.Rotate": Rule(ADMIN, Where.EVERYWHERE, True),
    **_objects("Dicts", INVOKE),
    "Dicts.Get": Rule(INVOKE, ("dict_id",), inside=_ENV),
    "Dicts.Put": Rule(INVOKE, ("dict_id",), inside=_ENV),
    "Dicts.Pop": Rule(INVOKE, ("dict_id",), inside=_ENV),
    "Dicts.Count": Rule(INVOKE, ("dict_id",), inside=_ENV),
    "Dicts.Clear": Rule(INVOKE, ("dict_id",), inside=_ENV),
    "Dicts.Scan": Rule(INVOKE, ("dict_id",), inside=_ENV),
    **_objects("Queues", INVOKE),
    "Queues.Put": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Get": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Acknowledge": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Cancel": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Count": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Clear": Rule(INVOKE, ("queue_id",), inside=_ENV),
    "Queues.Scan": Rule(INVOKE, ("queue_id",), inside=_ENV),
    **_objects("Volumes", INVOKE),
    "Volumes.Rename": Rule(INVOKE, ("volume_id",), True, _ENV),
    "Volumes.Entries": Rule(INVOKE, ("volume_id",), inside=_ENV),
    "Volumes.Check": Rule(INVOKE, ("volume_id",), inside=_ENV),
    "Volumes.Write": Rule(INVOKE, ("volume_id",), inside=_ENV),
    "Volumes.Read": Rule(INVOKE, ("volume_id",), inside=_ENV),
    "Volumes.Remove": Rule(INVOKE, ("volume_id",), inside=_ENV),
    "Volumes.Copy": Rule(INVOKE, ("volume_id",), inside=_ENV),
    **_objects("NetworkFileSystems", INVOKE),
    "NetworkFileSystems.Rename": Rule(INVOKE, ("volume_id",), True, _ENV),
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
    "Terminals.Ask": Rule(ADMIN, Where.NOWHERE, inside=Inside.APP),
    "Schedules.List": Rule(ANY, ("app_id", "environment")),
    "Schedules.Run": Rule(INVOKE, FUNCTION, True),
    "Schedules.Pause": Rule(DEPLOY, FUNCTION, True),
    "Schedules.Resume": Rule(DEPLOY, FUNCTION, True),
    "Environments.List": Rule(ANY, Where.ANYWHERE),
    "Environments.Create": Rule(ADMIN, Where.EVERYWHERE, True),
    "Environments.Rename": Rule(ADMIN, Where.EVERYWHERE, True),
    "Environments.Delete": Rule(ADMIN, Where.EVERYWHERE, True),
    "Server.Info": Rule(ANY, Where.ANYWHERE, inside=_ENV),
    "Server.Stop": Rule(ADMIN, Where.EVERYWHERE, True),
    "Tokens.Create": Rule(ADMIN, Where.TOKEN, True),
    "Tokens.List": Rule(ADMIN, Where.TOKEN),
    "Tokens.Revoke": Rule(ADMIN, Where.TOKEN, True),
    "Tokens.Who": Rule(ANY, Where.TOKEN),
    "Audit.List": Rule(ADMIN, Where.EVERYWHERE),
}
