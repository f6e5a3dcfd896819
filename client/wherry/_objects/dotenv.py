"""Reads .env files, as python-dotenv understands them."""

import os
from pathlib import Path

from wherry.exception import InvalidError


def read_near(path: "str | os.PathLike[str] | None", filename: str) -> dict[str, str]:
    """Return the values of the nearest `filename`, from `path` upwards; raise InvalidError where there is none."""
    start = Path(path) if path is not None else Path.cwd()
    if not start.exists():
        raise InvalidError(f"Secret.from_dotenv: {start} does not exist")
    if start.is_file():
        # The file itself; or, as __file__ is given, one beside it.
        if start.name == filename or start.suffix == ".env" or start.name.startswith(".env"):
            return read(start)
        start = start.parent
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / filename).is_file():
            return read(folder / filename)
    raise InvalidError(f"Secret.from_dotenv: there is no {filename} in {start} nor above it")


def read(path: Path) -> dict[str, str]:
    """Return the values of a .env file; raise InvalidError for one that can't be read or holds none."""
    from dotenv import dotenv_values  # noqa: PLC0415 - start-up cost: loads a parser; only where there is such a file

    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} can't be read as a .env file: {error}") from None
    return {key: value for key, value in values.items() if value is not None}
