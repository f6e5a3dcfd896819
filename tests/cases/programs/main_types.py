"""Types of the script itself are the container's own, whatever travels beside them."""

import enum
from collections.abc import Callable
from typing import Any

import wherry

COMMANDS = {
    "python": "python {file}",
    "module": "cd $(dirname {file}) && python -m main_types",
    "run": "wherry run -q {file}",
}
EXPECTED = {
    "python": (0, "True True True\nTrue True True\nTrue True True\nTrue True True\n"),
    "module": (0, "True True True\nTrue True True\nTrue True True\nTrue True True\n"),
    "run": (0, "True True True\nTrue True True\nTrue True True\nTrue True True\n"),
}
app = wherry.App("case-main-types")


class Color(enum.Enum):
    RED = 1


class Point:
    color = Color.RED

    class Inner:
        pass


def helper(point: object) -> bool:
    return isinstance(point, Point)


@app.function()
def check(point: Any, inner: object, key: Callable[[Any], Any] | None = None, filler: bytes = b"") -> list[bool]:
    color = key(point) if key else point.color
    return [isinstance(point, Point), color is Color.RED, isinstance(inner, Point.Inner)]


@app.function()
def check_stored(stored: wherry.Dict) -> list[bool]:
    return check.local(stored["point"], stored["inner"])  # type: ignore[no-any-return]


@app.local_entrypoint()
def main() -> None:
    print(*check.remote(Point(), Point.Inner()))
    print(*check.remote(Point(), Point.Inner(), key=lambda point: Color.RED if helper(point) else point))
    # What is large takes another way.
    print(*check.remote(Point(), Point.Inner(), key=lambda point: point.color, filler=b"x" * (2 << 20)))
    with wherry.Dict.ephemeral() as stored:
        stored["point"], stored["inner"] = Point(), Point.Inner()
        print(*check_stored.remote(stored))


if __name__ == "__main__":
    with app.run():
        main()
