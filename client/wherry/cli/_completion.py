"""What TAB offers: names and ids of what there is, files, and what a file has.

A key is no command: nothing is started for it, nothing of the user's is imported, and no error is shown.
"""

import ast
import glob
import os
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from wherry._calling.records import full_name
from wherry._connection.client import default_client
from wherry._connection.profiles import Profiles, profiles_path
from wherry_proto import views
from wherry_proto.messages import (
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    ContainerListRequest,
    ContainerListResponse,
    EnvironmentListRequest,
    EnvironmentListResponse,
    ImageListRequest,
    ImageListResponse,
    ImageNamesRequest,
    ImageNamesResponse,
    Message,
    ObjectListRequest,
    ObjectListResponse,
    RecordListRequest,
    RecordListResponse,
    SandboxListRequest,
    SandboxListResponse,
    ScheduleListRequest,
    ScheduleListResponse,
    SecretListRequest,
    SecretListResponse,
    TokenListRequest,
    TokenListResponse,
)

_WITHIN_S = 2.0
# Who asks a service for more of it looks the name up in a list.
_MOST_APPS = 20
# The latest ones.
_MOST_CALLS = 50
# Decorators of what can be named behind a file's "::".
_CLASSES = frozenset(("cls", "server"))
_FUNCTIONS = frozenset(("function",))
_RUNS = frozenset(("function", "local_entrypoint"))
_METHODS = frozenset(
    ("method", "fastapi_endpoint", "web_endpoint", "asgi_app", "wsgi_app", "web_server", "batched", "concurrent")
)


class Hint(NamedTuple):
    """One word that TAB offers; the names are those that shells' scripts read."""

    value: str
    help: str = ""
    type: str = "plain"


Hints = Iterator[Hint]


def complete(cli: Any) -> None:
    """Have every argument and option of the whole command line offer what it may be."""
    _complete(cli, ())


def _complete(command: Any, words: tuple[str, ...]) -> None:
    for name, one in getattr(command, "commands", {}).items():
        _complete(one, (*words, name))
    for param in command.params:
        offers = _BY_PLACE.get((words[:1], param.name)) or _BY_NAME.get(param.name)
        if offers is not None and not getattr(param, "is_flag", False):
            param.shell_complete = _completer(offers)


def _completer(offers: Callable[[str, str], Hints]) -> Callable[[Any, str], list[Hint]]:
    def shell_complete(context: Any, incomplete: str) -> list[Hint]:
        environment = str(context.params.get("environment") or "")
        try:
            found = {hint.value: hint for hint in offers(environment, incomplete) if hint.value.startswith(incomplete)}
        except Exception:  # noqa: BLE001 - whatever goes wrong, a key shows no traceback
            return []
        cut = os.environ.get(_CUT, "")
        return [hint._replace(value=hint.value.removeprefix(cut)) for hint in found.values()]

    return shell_complete


# bash takes a colon for the end of a word: what it gives is put together, and what it has already is left out.

_CUT = "_WHERRY_COMPLETED"


def join_words(variables: MutableMapping[str, str]) -> None:
    """Have bash's `file.py`, `::` and `name` be one word again, in the variables of a process that completes."""
    if variables.get("_WHERRY_COMPLETE") != "complete_bash":
        return
    words: list[str] = []
    place, number = 0, int(variables.get("COMP_CWORD", "0"))
    text = variables.get("COMP_WORDS", "")
    for index, word in enumerate(text.split("\n" if "\n" in text else " ")):
        goes_on = bool(words) and (word.startswith(":") or words[-1].endswith(":"))
        words[-1:] = [words[-1] + word] if goes_on else [*words[-1:], word]
        if index <= number:
            place = len(words) - 1
    if words and ":" in words[place]:
        variables[_CUT] = words[place][: words[place].rindex(":") + 1]
    variables["COMP_WORDS"] = "\n".join(words)
    variables["COMP_CWORD"] = str(place)


# What the service has


def _ask(method: str, request: Message) -> Any:
    return default_client().transport.call(method, request, _WITHIN_S)


def _here(environment: str) -> str:
    return environment or default_client().environment


def _apps(environment: str, incomplete: str) -> Hints:
    by_id = incomplete.startswith("ap")
    request = AppListRequest(environment=_here(environment), include_stopped=by_id)
    for app in cast("AppListResponse", _ask("Apps.List", request)).apps:
        yield Hint(app.name)
        if by_id:
            yield Hint(app.app_id, app.name)


def _functions(environment: str, incomplete: str) -> Hints:
    apps = cast("AppListResponse", _ask("Apps.List", AppListRequest(environment=_here(environment)))).apps
    named = [app for app in apps if f"{app.name}/".startswith(incomplete) or incomplete.startswith(f"{app.name}/")]
    for app in [*named, *(app for app in apps if app not in named and incomplete.startswith("fu"))][:_MOST_APPS]:
        shown = cast("AppShowResponse", _ask("Apps.Show", AppShowRequest(app_id=app.app_id)))
        for status in shown.functions:
            if status.function is not None:
                name = f"{app.name}/{status.function.name}"
                yield Hint(name)
                if incomplete.startswith("fu"):
                    yield Hint(status.function.function_id, name)


def _apps_and_functions(environment: str, incomplete: str) -> Hints:
    return _functions(environment, incomplete) if "/" in incomplete else _apps(environment, incomplete)


def _function_names(environment: str, incomplete: str) -> Hints:
    for hint in _functions(environment, ""):
        yield Hint(hint.value.partition("/")[2])


def _schedules(environment: str, incomplete: str) -> Hints:
    request = ScheduleListRequest(environment=_here(environment))
    for info in cast("ScheduleListResponse", _ask("Schedules.List", request)).schedules:
        yield Hint(f"{info.app_name}/{info.function_name}")


def _containers(environment: str, incomplete: str) -> Hints:
    request = ContainerListRequest(environment=_here(environment))
    for info in cast("ContainerListResponse", _ask("Containers.List", request)).containers:
        yield Hint(info.container_id, f"{info.app_name}: {info.function_name}")


def _sandboxes(environment: str, incomplete: str) -> Hints:
    request = SandboxListRequest(environment=_here(environment))
    for info in cast("SandboxListResponse", _ask("Sandboxes.List", request)).sandboxes:
        if info.name:
            yield Hint(info.name)
        if incomplete.startswith("sb") or not info.name:
            yield Hint(info.sandbox_id, info.name or "sandbox")


def _ids_of_running(environment: str, incomplete: str) -> Hints:
    yield from _containers(environment, incomplete)
    yield from _sandboxes(environment, "sb-")


def _images(environment: str, incomplete: str) -> Hints:
    for image in cast("ImageListResponse", _ask("Images.List", ImageListRequest())).images:
        yield Hint(image.image_id, image.summary)


def _image_names(environment: str, incomplete: str) -> Hints:
    request = ImageNamesRequest(environment=_here(environment))
    for one in cast("ImageNamesResponse", _ask("Images.Names", request)).names:
        yield Hint(one.name)


def _secrets(environment: str, incomplete: str) -> Hints:
    request = SecretListRequest(environment=_here(environment))
    for info in cast("SecretListResponse", _ask("Secrets.List", request)).secrets:
        yield Hint(info.name)


def _objects(service: str) -> Callable[[str, str], Hints]:
    def offers(environment: str, incomplete: str) -> Hints:
        request = ObjectListRequest(environment=_here(environment))
        for info in cast("ObjectListResponse", _ask(f"{service}.List", request)).objects:
            yield Hint(info.name)

    return offers


def _environments(environment: str, incomplete: str) -> Hints:
    found = cast("EnvironmentListResponse", _ask("Environments.List", EnvironmentListRequest()))
    for info in found.environments:
        yield Hint(info.name)


def _tokens(environment: str, incomplete: str) -> Hints:
    for token in cast("TokenListResponse", _ask("Tokens.List", TokenListRequest())).tokens:
        yield Hint(token.token_id, token.name)


def _calls(environment: str, incomplete: str) -> Hints:
    request = RecordListRequest(environment=_here(environment), limit=_MOST_CALLS)
    for record in cast("RecordListResponse", _ask("Records.List", request)).records:
        what = f"{record.app_name}/{full_name(record)}: {views.RECORD_STATES.get(record.state, '')}"
        yield Hint(record.call_id if incomplete.startswith("fc") else record.input_id, what)


# What this machine has


def _profiles(environment: str, incomplete: str) -> Hints:
    return (Hint(name) for name in Profiles(profiles_path()).by_name)


def _words(*words: str) -> Callable[[str, str], Hints]:
    return lambda environment, incomplete: (Hint(word) for word in words)


def _paths(environment: str, incomplete: str) -> Hints:
    for path in sorted(glob.glob(glob.escape(os.path.expanduser(incomplete)) + "*")):
        yield Hint(path + "/" if os.path.isdir(path) else path, type="file")


def _files(incomplete: str) -> Hints:
    return (hint for hint in _paths("", incomplete) if hint.value.endswith(("/", ".py")))


def _refs(names: Callable[[ast.Module], Iterator[str]]) -> Callable[[str, str], Hints]:
    """Offer files and, behind "::", what they have; they are read, not run."""

    def offers(environment: str, incomplete: str) -> Hints:
        place, colons, _ = incomplete.partition("::")
        if not colons:
            yield from _files(incomplete)
        if place.endswith(".py") and Path(place).is_file():
            for name in names(ast.parse(Path(place).read_bytes())):
                yield Hint(f"{place}::{name}")

    return offers


def runnable(module: ast.Module) -> Iterator[str]:
    """Yield the names of functions, entrypoints and methods of classes that a file decorates."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _decorated(node, _RUNS):
            yield node.name
        if isinstance(node, ast.ClassDef) and _decorated(node, _CLASSES):
            for method in node.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and _decorated(method, _METHODS):
                    yield f"{node.name}.{method.name}"


def apps_in(module: ast.Module) -> Iterator[str]:
    """Yield the variables of a file that are given an app."""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _name(node.value) in ("App", "Stub"):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _in_containers(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.ClassDef) and _decorated(node, _CLASSES):
            yield node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _decorated(node, _FUNCTIONS):
            yield node.name


def _decorated(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, names: frozenset[str]) -> bool:
    return any(_name(decorator) in names for decorator in node.decorator_list)


def _name(node: ast.expr) -> str:
    """Return "function" for `app.function(…)`, `app.function` and `function`."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _shell(environment: str, incomplete: str) -> Hints:
    yield from _refs(_in_containers)(environment, incomplete)
    if "::" not in incomplete:
        yield from _ids_of_running(environment, incomplete)
    if incomplete.startswith("im"):
        yield from _images(environment, incomplete)


def _image_refs(environment: str, incomplete: str) -> Hints:
    yield from _refs(_in_containers)(environment, incomplete)
    if incomplete.startswith("im"):
        yield from _images(environment, incomplete)


# By the first word of a command, where the name alone does not say.
_BY_PLACE: dict[tuple[tuple[str, ...], str], Callable[[str, str], Hints]] = {
    (("run",), "ref"): _refs(runnable),
    (("serve",), "ref"): _refs(apps_in),
    (("deploy",), "ref"): _refs(apps_in),
    (("shell",), "ref"): _shell,
    (("image",), "ref"): _image_refs,
    (("image",), "name"): _image_names,
    (("app",), "function"): _function_names,
    (("open",), "name"): _apps_and_functions,
    (("schedule",), "function"): _schedules,
    (("secret",), "name"): _secrets,
    (("dict",), "name"): _objects("Dicts"),
    (("queue",), "name"): _objects("Queues"),
    (("volume",), "name"): _objects("Volumes"),
    (("nfs",), "name"): _objects("NetworkFileSystems"),
    (("environment",), "name"): _environments,
    (("config",), "key"): _words("environment", "server_url", "token_id", "token_secret"),
    (("profile",), "name"): _profiles,
    (("volume",), "local"): _paths,
    (("nfs",), "local"): _paths,
}
_BY_NAME: dict[str, Callable[[str, str], Hints]] = {
    "add_local": _paths,
    "app": _apps,
    "apps": _apps,
    "call": _calls,
    "calls": _calls,
    "certificate": _paths,
    "config": _paths,
    "container": _containers,
    "containers": _containers,
    "environment": _environments,
    "environments": _environments,
    "file": _paths,
    "from_dotenv": _paths,
    "from_json": _paths,
    "function": _functions,
    "image_id": _images,
    "kinds": _words(*views.CALL_KINDS.values()),
    "profile": _profiles,
    "registry_secret": _secrets,
    "sandbox": _sandboxes,
    "sandboxes": _sandboxes,
    "scopes": _words("admin", "deploy", "invoke", "metrics"),
    "secrets": _secrets,
    "states": _words(*views.RECORD_STATES.values()),
    "strategy": _words("rolling", "recreate"),
    "stream": _words("stdout", "stderr", "system"),
    "token_id": _tokens,
    "volumes": _objects("Volumes"),
    "write_result": _paths,
}
