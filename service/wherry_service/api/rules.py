"""Who may call what, over TCP and from inside containers: what a rule says of an rpc.

Each rpc has one, beside its handler (see rpc.py).
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
    # Sandboxes of its own app that have nothing which the app does not have (guest_sandboxes.py).
    SANDBOX = "sandbox"


class Rule(NamedTuple):
    """One of these scopes (or admin) in the request's environment."""

    scopes: tuple[str, ...]
    # The fields that tell the environment: of the first one that is set, the object's. `environment`, which counts as
    # set where no other is, and then means "main", names it. Of a stream, every message that sets the field.
    where: tuple[str, ...] | Where
    # Whether the audit log has it.
    audited: bool = False
    inside: Inside = Inside.NOTHING


FIELD = ("environment",)
APP = ("app_id",)
FUNCTION = ("function_id",)
CALL = ("call_id",)
# As the services read them: with an id, the rest is not looked at; an app goes before an environment but for secrets.
OPEN = ("object_id", "app_id", "environment")
SECRET = ("secret_id", "environment", "app_id")
