"""The reference's `aio` module, of early 2023: importable, and its names say what took their place."""

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"wherry.aio has no {name}: every method that blocks has a form that awaits, as in `await f.remote.aio(1)`, "
        f"and apps serve both styles. Use wherry.{name.removeprefix('Aio')}; Modal dropped its module modal.aio in 2023"
    )
