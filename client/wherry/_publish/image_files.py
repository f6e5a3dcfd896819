"""From an image's steps as written to what the service is sent: files read and hashed, texts normalized."""

import os
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._base.mounted import Mounted
from wherry._define.names import image_name
from wherry._define.step import Step
from wherry._publish.build_function import build_spec, fingerprint
from wherry._publish.ignore import matcher
from wherry._publish.local_files import docker_ignored, file_of, files_below, module_files
from wherry._publish.requirements import read_requirements
from wherry._publish.secrets import WantedSecret
from wherry._publish.shipping import described
from wherry._publish.source import SourceFile
from wherry.exception import InvalidError
from wherry_proto.messages import ImageDefinition, ImageName, ImageNameRequest, ImageStep

if TYPE_CHECKING:
    from wherry._define.recipe import Recipe
    from wherry._publish.resolver import Resolver


OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Resolved:
    """An image's definition, and the files whose contents it names."""

    __slots__ = ("definition", "files")

    def __init__(self, definition: ImageDefinition, files: list[SourceFile]) -> None:
        self.definition = definition
        self.files = files


def resolve(image: "Recipe", resolver: "Resolver | None", *, names: "Resolver | None" = None) -> Resolved:
    """Read what the steps name, and have the resolver bring up what they need.

    Without one (for a look at the image) functions are described, not sent; `names` finds images by their names
    then. Raises InvalidError for a file that is missing or says nothing usable, and what the resolver raises.
    """
    files: list[SourceFile] = []
    steps = [_resolved(step, files, resolver, resolver or names) for step in image.steps]
    return Resolved(ImageDefinition(steps=steps), files)


def _resolved(step: Step, files: list[SourceFile], resolver: "Resolver | None", names: "Resolver | None") -> ImageStep:
    message = ImageStep(
        kind=step.kind,
        args=list(step.args),
        options=dict(step.options),
        secret_ids=resolver.all_of([WantedSecret(secret) for secret in step.secrets]) if resolver is not None else [],
        force_build=step.force_build,
    )
    if step.kind == "debian_slim" and "python_version" not in message.options:
        # The service chooses: this one where it can be had there.
        message.options["near_python"] = OWN_PYTHON
    reader = _READERS.get(step.kind)
    if reader is not None:
        own = reader(step, message)
        message.files = [described(file) for file in own]
        files.extend(own)
    if step.kind == "from_name" and names is not None:
        # In a container no environment is known: the service knows the container's.
        environment, _, name = image_name(step.args[0], step.given[0] or names.environment).rpartition("/")
        asked = ImageNameRequest(name=name, environment=environment)
        message.kind = "from_id"
        message.args = [names.client.call("Images.Named", asked, ImageName).image_id]
    if step.kind == "run_function":
        (function,) = step.given
        message.options["fingerprint"] = fingerprint(function)
        if resolver is not None:
            message.function = build_spec(function, resolver)
    return message


# Readers return the files of a step, and write into its message what they read.


def _copy(step: Step, message: ImageStep) -> list[SourceFile]:
    kind, local, ignore = step.given
    if kind == "file":
        # The last part of the destination is the file's name there.
        message.options["file"] = "true"
        return [file_of("Image.add_local_file", local, os.path.basename(step.args[0]))]
    if kind == "dir":
        return files_below("Image.add_local_dir", local, matcher(ignore), with_modes=True)
    if kind == "modules":
        return [file for name in local for file in module_files("Image.add_local_python_source", name, ignore)]
    return [file for mounted in local.mounted for file in _of_mount(mounted)]


def _of_mount(mounted: Mounted) -> list[SourceFile]:
    what = "Image.copy_mount"
    if mounted.kind == "module":
        return module_files(what, mounted.local, mounted.ignore)
    below = mounted.remote.lstrip("/")
    if mounted.kind == "file":
        return [file_of(what, mounted.local, below)]
    found = files_below(what, mounted.local, matcher(mounted.ignore), with_modes=True)
    for file in found:
        file.path = f"{below}/{file.path}"
    return found


def _dockerfile(step: Step, message: ImageStep) -> list[SourceFile]:
    path, context, ignore = step.given
    message.args = [_text("Image.from_dockerfile", path)]
    return files_below("Image.from_dockerfile", context, docker_ignored(context, ignore, path), with_modes=True)


def _dockerfile_commands(step: Step, message: ImageStep) -> list[SourceFile]:
    context, named, ignore = step.given
    found: dict[str, SourceFile] = {}
    if context is not None:
        ignored = docker_ignored(context, ignore)
        below = files_below("Image.dockerfile_commands", context, ignored, with_modes=True)
        found = {file.path: file for file in below}
    for name, local in named:
        relative = name.lstrip("/")
        found[relative] = file_of("Image.dockerfile_commands", local, relative)
    return list(found.values())


def _requirements(step: Step, message: ImageStep) -> list[SourceFile]:
    what = f"Image.{'pip_install_from_requirements' if step.kind == 'pip_requirements' else step.kind}"
    lines: list[str] = []
    constraints: list[str] = []
    for path in step.given:
        read_requirements(what, Path(path), lines, constraints)
    if lines:
        message.options["requirements"] = "\n".join(lines)
    elif not step.args:
        raise InvalidError(f"{what}: {step.given[0]} lists nothing to install")
    if constraints:
        message.options["constraints"] = "\n".join(constraints)
    return []


def _pyproject(step: Step, message: ImageStep) -> list[SourceFile]:
    path, extras = step.given
    what = "Image.pip_install_from_pyproject"
    project = _toml(what, path).get("project", {})
    if "dependencies" not in project:
        dynamic = "; they are dynamic there" if "dependencies" in project.get("dynamic", ()) else ""
        raise InvalidError(f"{what}: {path} has no [project] dependencies{dynamic}")
    packages = list(project["dependencies"])
    optional = project.get("optional-dependencies", {})
    for extra in extras:
        if extra not in optional:
            raise InvalidError(f"{what}: {path} has no extra {extra!r}; it has {', '.join(optional) or 'none'}")
        packages += optional[extra]
    # What is installed counts, not which file said so.
    message.kind, message.args = "pip_install", packages
    return []


def _uv_sync(step: Step, message: ImageStep) -> list[SourceFile]:
    (folder,) = step.given
    found = [file_of("Image.uv_sync", os.path.join(folder, "pyproject.toml"))]
    lock = os.path.join(folder, "uv.lock")
    if os.path.exists(lock):
        found.append(file_of("Image.uv_sync", lock))
    elif message.options.get("frozen") != "false":
        raise InvalidError(f"Image.uv_sync: {folder} has no uv.lock; run `uv lock` there, or give frozen=False")
    return found


def _poetry(step: Step, message: ImageStep) -> list[SourceFile]:
    project, lock, ignore_lock = step.given
    what = "Image.poetry_install_from_file"
    found = [file_of(what, project, "pyproject.toml")]
    if ignore_lock:
        return found
    beside = lock or os.path.join(os.path.dirname(project), "poetry.lock")
    if not os.path.exists(beside):
        raise InvalidError(f"{what}: {beside} does not exist; run `poetry lock`, or give ignore_lockfile=True")
    return [*found, file_of(what, beside, "poetry.lock")]


def _environment_file(step: Step, message: ImageStep) -> list[SourceFile]:
    return [file_of(f"Image.{step.kind}", path) for path in step.given]


_READERS = {
    "copy": _copy,
    "dockerfile": _dockerfile,
    "dockerfile_commands": _dockerfile_commands,
    "pip_requirements": _requirements,
    "pip_pyproject": _pyproject,
    "uv_pip_install": _requirements,
    "uv_sync": _uv_sync,
    "poetry_install": _poetry,
    "conda_update": _environment_file,
    "micromamba_install": _environment_file,
}


def _text(what: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidError(f"{what}: {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{what}: {path} can't be read: {error}") from None


def _toml(what: str, path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(what, path))
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"{what}: {path} is not TOML: {error}") from None
