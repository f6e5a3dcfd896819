"""A definition's identity: the same steps have the same image id on any machine.

A definition is a base followed by steps:

    debian_slim          options python_version
    from_registry        args [reference]; options registry: "gcp" or "aws"; secrets: credentials
    from_id              args [image id]
    from_scratch
    dockerfile           args [text], files its context; options are build arguments
    conda, micromamba    options python_version

    add_python           args [version]
    apt_install          args packages
    pip_install          args packages; options index_url, extra_index_url, find_links, pre, extra_options
    pip_requirements     the same options, and requirements, constraints: texts
    pip_install_private  args host/owner/repo@ref; the same options, and git_user
    uv_pip_install       args packages; the options of pip_install and pip_requirements, and uv_version
    uv_sync              files pyproject.toml, uv.lock; options groups, extras, frozen, extra_options, uv_version
    poetry_install       files pyproject.toml, poetry.lock; options with, without, only, poetry_version
    conda_install, micromamba_install
                         args packages, or files [a spec]; options channels
    conda_update         files [an environment]
    run_commands         args commands
    dockerfile_commands  args lines, files their context
    run_function         args [name]; options fingerprint; function: what runs
    copy                 args [destination], files; options file: the destination is the only file's path
    env                  options are the variables
    workdir              args [path]
    entrypoint, shell, cmd
                         args words
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest
from wherry_service.store.trees import checked as checked_tree

MAX_STEPS = 200
BASES = frozenset({"debian_slim", "from_registry", "from_id", "from_scratch", "dockerfile", "conda", "micromamba"})
OTHERS = frozenset(
    (
        "add_python", "apt_install", "pip_install", "pip_requirements", "pip_install_private", "uv_pip_install",
        "uv_sync", "poetry_install", "conda_install", "micromamba_install", "conda_update", "run_commands",
        "dockerfile_commands", "run_function", "copy", "env", "workdir", "entrypoint", "shell", "cmd",
    )
)  # fmt: skip
# Of these the order of the arguments means nothing.
_UNORDERED = frozenset({"apt_install", "pip_install", "uv_pip_install", "conda_install", "micromamba_install"})
# What steps make now, and did not in earlier versions: their images, which may still be there, are others.
_MADE_OTHERWISE = {"debian_slim": "C.UTF-8"}
# In the value of a variable: the name of another. A backslash before it keeps it as it is.
REFERENCE = re.compile(r"(?<!\\)\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
# Those that run something take secrets.
_SECRETS = frozenset(
    {"from_registry", "dockerfile", "dockerfile_commands", "run_commands", "apt_install", "pip_install",
     "pip_requirements", "pip_install_private", "uv_pip_install", "uv_sync", "poetry_install", "conda_install",
     "micromamba_install", "conda_update"}
)  # fmt: skip


def image_id(definition: ImageDefinition) -> str:
    """Return "im-" and a hash of the definition; raise `InvalidRequest` if it is none."""
    check(definition)
    steps = definition.steps
    if len(steps) == 1 and steps[0].kind == "from_id":
        return steps[0].args[0]
    rows = [canonical(step) for step in steps]
    digest = hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).digest()
    return "im-" + base64.b32encode(digest).decode().lower()[:26]


def prefix(definition: ImageDefinition, length: int) -> ImageDefinition:
    """Return the definition of the first steps alone."""
    return ImageDefinition(steps=definition.steps[:length])


def is_forced(definition: ImageDefinition) -> bool:
    """Whether any step is to run even if it has run before."""
    return any(step.force_build for step in definition.steps)


def secret_ids(step: ImageStep) -> list[str]:
    """Return the secrets that a step names, or the function that it runs."""
    return [*step.secret_ids, *(step.function.secret_ids if step.function is not None else ())]


def check(definition: ImageDefinition) -> None:
    """Raise `InvalidRequest` unless the definition is a base followed by steps this service knows."""
    steps = definition.steps
    if not steps or steps[0].kind not in BASES:
        raise InvalidRequest("an image begins with debian_slim, from_registry or another from_...")
    if len(steps) > MAX_STEPS:
        raise InvalidRequest(f"an image has at most {MAX_STEPS} steps, got {len(steps)}")
    for step in steps[1:]:
        if step.kind not in OTHERS:
            raise InvalidRequest(f"this service does not know the image step {step.kind[:40]!r}")
    for step in steps:
        for text in (*step.args, *step.options, *step.options.values()):
            if "\0" in text:
                raise InvalidRequest(f"image step {step.kind}: a text contains a NUL character")
        if step.secret_ids and step.kind not in _SECRETS:
            raise InvalidRequest(f"image step {step.kind} takes no secrets")
        checked_tree(f"image step {step.kind}: the path", step.files)
    first = steps[0]
    if first.kind == "from_id" and (len(first.args) != 1 or not _is_id(first.args[0])):
        raise InvalidRequest(f"from_id: {' '.join(first.args)[:80]!r} is not the id of an image")


def summary(definition: ImageDefinition) -> str:
    """Return the steps in one line, as a person calls them."""
    return ", ".join(step_summary(step) for step in definition.steps)


def step_summary(step: ImageStep) -> str:
    """Return a step in a few words."""
    if step.kind in ("env", "dockerfile"):
        return " ".join((step.kind, *step.options)) if step.kind == "env" else step.kind
    words = " ".join((step.kind, *step.args, *([step.options["python_version"]] if _versioned(step) else [])))
    words = " ".join(words.split())
    return words if len(words) <= 60 else words[:59] + "…"


def _versioned(step: ImageStep) -> bool:
    return "python_version" in step.options


def _is_id(text: str) -> bool:
    return text.startswith("im-") and len(text) == 29 and text[3:].isalnum() and text.islower()


def canonical(step: ImageStep) -> list[object]:
    """Return all that a step's identity is made of: equal for steps that do the same."""
    args = sorted(set(step.args)) if step.kind in _UNORDERED else list(step.args)
    row: list[object] = [step.kind, args, sorted(step.options.items())]
    if step.files:
        row.append(sorted(_file(step)))
    if step.kind in _MADE_OTHERWISE:
        row.append(_MADE_OTHERWISE[step.kind])
    if step.kind == "env" and any(map(REFERENCE.search, step.options.values())):
        row.append("expanded")
    return row


def _file(step: ImageStep) -> Iterator[tuple[str, str, bool] | tuple[str, str, bool, str, int]]:
    for file in step.files:
        plain = (file.path, file.blob_id, file.executable)
        # As it has always been where there is nothing else to say.
        yield (*plain, file.link or "/", file.mode) if file.link or file.directory or file.mode else plain
