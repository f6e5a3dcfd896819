"""What apps and functions may be called."""

from wherry._base.hints import Any
from wherry.exception import InvalidError

_LONGEST_APP = 64
_LONGEST_FUNCTION = 256  # a method's has its class's, and both are as long as their author likes
_SHOWN = 64


def check_app_name(name: Any) -> str:
    """Return an app's name; raise InvalidError for one that commands and links could not tell from something else."""
    if isinstance(name, str) and name.startswith("ap-"):
        raise InvalidError(f"an app's name is {name!r}: ids begin with ap-, so a name can't")
    return _checked("an app's name", name, _LONGEST_APP)


def check_written_name(name: Any) -> str:
    """Return the name that a program gives an app, which it need not deploy; raise InvalidError for what is no name.

    Where only the characters are wrong, or there are too many, it runs under another (`run_name`).
    """
    if isinstance(name, str) and name.strip() and not is_app_id(name):
        return name
    return check_app_name(name)


def run_name(name: str) -> str:
    """Return what an app of that name runs as: the same, but for what no app's name has."""
    plain = "".join(char if char.isprintable() and char != "/" else "-" for char in name.replace("::", "-"))
    return plain.strip()[:_LONGEST_APP].strip() or "app"


def check_function_name(name: Any) -> str:
    """Return the name that `name=` gives a function; raise InvalidError as above."""
    return _checked("a function's name", name, _LONGEST_FUNCTION)


def is_app_id(name: Any) -> bool:
    """Whether this is the id of an app, which no app's name looks like."""
    return isinstance(name, str) and name.startswith("ap-")


def checked_tags(tags: Any) -> dict[str, str]:
    """Return an app's tags; raise InvalidError unless they are a dict of strings."""
    if tags is None:
        return {}
    if not hasattr(tags, "items"):
        raise InvalidError(f"tags is {_shown(tags)}: it must be a dict of strings")
    found = dict(tags.items())
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidError(f"tag {_shown(name)}: {_shown(value)}: names and values must be strings")
    return found


def image_name(name: Any, environment: str) -> str:
    """Return "ENVIRONMENT/NAME:TAG" or "NAME:TAG" as it is given, with the environment where it names none.

    Raises InvalidError for anything but a text.
    """
    if not isinstance(name, str) or not name:
        raise InvalidError(f'an image\'s name is {_shown(name)}: it is a string such as "base" or "base:v2"')
    return f"{environment}/{name}" if environment and "/" not in name else name


def _checked(what: str, name: Any, longest: int) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= longest:
        raise InvalidError(f"{what} is {_shown(name)}: it must be a string of 1 to {longest} characters")
    # APP/FUNCTION and FILE::NAME are how commands take them.
    if "/" in name or "::" in name or not name.isprintable() or name != name.strip():
        raise InvalidError(
            f"{what} is {name!r}: it can't have '/', '::', line breaks or other control characters in it, "
            "nor blanks at its ends"
        )
    return name


def _shown(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
