"""What a container's file system holds: an image, as an immutable chain of steps."""

from __future__ import annotations

from wherry._typing import TYPE_CHECKING
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry_proto.messages import ImageDefinition

_Step = tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]


class Image:
    """A chain of build steps. Each method returns a new image; the service builds it when an app first needs it.

    (reference: Image)
    """

    __slots__ = ("_force_build", "_steps")

    def __init__(self, steps: tuple[_Step, ...] = (), force_build: bool = False) -> None:
        if not steps:
            raise InvalidError("an image begins with Image.debian_slim() or Image.from_registry(...)")
        self._steps = steps
        self._force_build = force_build

    @classmethod
    def debian_slim(cls, python_version: str | None = None, *, force_build: bool = False) -> Image:
        """Return a small Debian with Python; `python_version` is "3.11" for example, None lets the service choose.

        Raises InvalidError when the version does not look like one. (reference: Image.debian_slim)
        """
        options: dict[str, str] = {}
        if python_version is not None:
            parts = str(python_version).split(".")
            if not isinstance(python_version, str) or len(parts) not in (2, 3) or not all(p.isdigit() for p in parts):
                raise InvalidError(f'python_version is {python_version!r}: it must be a string such as "3.11"')
            options["python_version"] = python_version
        return cls((_step("debian_slim", (), options),), force_build)

    @classmethod
    def from_registry(cls, tag: str, *, force_build: bool = False) -> Image:
        """Return the image of a registry, for example "python:3.12-slim"; it must have Python 3.10 or newer.

        Raises InvalidError when the tag is empty. (reference: Image.from_registry)
        """
        return cls((_step("from_registry", _strings("from_registry", (tag,)), {}),), force_build)

    @classmethod
    def from_id(cls, image_id: str) -> Image:
        """Return the image of that id ("im-…"), which must be on the service's host.

        Raises InvalidError when it is no such id. (reference: Image.from_id)
        """
        if not isinstance(image_id, str) or not image_id.startswith("im-") or len(image_id) != 29:
            raise InvalidError(f"{image_id!r} is not the id of an image: those look like im-{'a' * 26}")
        return cls((_step("from_id", (image_id,), {}),))

    @property
    def object_id(self) -> str | None:
        """The id, "im-…", of an image made by `from_id`; None of others: it is made of their steps when they build."""
        kind, args, _ = self._steps[0]
        return args[0] if kind == "from_id" and len(self._steps) == 1 else None

    def apt_install(self, *packages: str | Sequence[str], force_build: bool = False) -> Image:
        """Install Debian packages. (reference: Image.apt_install)"""
        return self._then("apt_install", _strings("apt_install", packages), {}, force_build)

    def pip_install(
        self,
        *packages: str | Sequence[str],
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
    ) -> Image:
        """Install Python packages with pip. (reference: Image.pip_install)"""
        options = {
            "find_links": find_links,
            "index_url": index_url,
            "extra_index_url": extra_index_url,
            "pre": "true" if pre else None,
            "extra_options": extra_options or None,
        }
        given = {name: value for name, value in options.items() if value is not None}
        return self._then("pip_install", _strings("pip_install", packages), given, force_build)

    def run_commands(self, *commands: str | Sequence[str], force_build: bool = False) -> Image:
        """Run shell commands while building. (reference: Image.run_commands)"""
        return self._then("run_commands", _strings("run_commands", commands), {}, force_build)

    def env(self, vars: Mapping[str, str]) -> Image:
        """Set environment variables; values must be strings, otherwise InvalidError. (reference: Image.env)"""
        for name, value in vars.items():
            if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
                raise InvalidError(f"Image.env got {name!r}: {value!r}: names and values must be strings")
        return self._then("env", (), dict(vars), False)

    def workdir(self, path: str) -> Image:
        """Set the directory in which commands and functions run. (reference: Image.workdir)"""
        return self._then("workdir", _strings("workdir", (str(path),)), {}, False)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Image):
            return NotImplemented
        return self._steps == other._steps and self._force_build == other._force_build

    def __hash__(self) -> int:
        return hash((self._steps, self._force_build))

    def __repr__(self) -> str:
        return "Image(" + ", ".join(" ".join((kind, *args)) for kind, args, _ in self._steps) + ")"

    def _then(self, kind: str, args: tuple[str, ...], options: Mapping[str, str], force_build: bool) -> Image:
        return Image((*self._steps, _step(kind, args, options)), self._force_build or force_build)

    def _definition(self) -> ImageDefinition:
        from wherry_proto.messages import ImageDefinition, ImageStep  # not needed to import wherry

        return ImageDefinition(
            steps=[ImageStep(kind=kind, args=list(args), options=dict(options)) for kind, args, options in self._steps],
            force_build=self._force_build,
        )


def _step(kind: str, args: tuple[str, ...], options: Mapping[str, str]) -> _Step:
    return kind, args, tuple(options.items())


def _strings(method: str, values: tuple[str | Sequence[str], ...]) -> tuple[str, ...]:
    """Return the strings, and those of lists, in order; raise InvalidError for anything else or nothing."""
    found: list[str] = []
    for value in values:
        found.extend([value] if isinstance(value, str) else value)
    if not found or not all(isinstance(item, str) and item for item in found):
        raise InvalidError(f"Image.{method} got {values!r}: it takes strings, or lists of strings")
    return tuple(found)
