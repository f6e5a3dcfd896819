"""Help texts of all commands, what TAB offers for each, and what a wrong command line gets."""

import functools
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import exception
from wherry.cli import _completion
from wherry.cli import main as cli
from wherry.cli._examples import EXAMPLES
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    ContainerInfo,
    EnvironmentInfo,
    EnvironmentListResponse,
    FunctionInfo,
    FunctionStatus,
    ImageInfo,
    ImageListResponse,
    ImageName,
    ImageNamesResponse,
    Message,
    ObjectInfo,
    ObjectListRequest,
    ObjectListResponse,
    Record,
    RecordListResponse,
    SandboxInfo,
    SandboxListResponse,
    ScheduleInfo,
    ScheduleListResponse,
    SecretInfo,
    SecretListResponse,
    TokenInfo,
    TokenListResponse,
)
from wherry_proto.messages import ContainerListResponse as Containers

Run = Callable[..., int]
Words = tuple[str, ...]

VERBS = frozenset((
    "Build", "Cancel", "Change", "Copy", "Create", "Delete", "Deploy", "Download", "Encrypt", "End", "Go", "Kill",
    "List", "Look", "Make", "Manage", "Open", "Pause", "Print", "Pull", "Put", "Read", "Remove", "Rename",
    "Replace", "Resume", "Run", "Send", "Set", "Show", "Start", "Stop", "Store", "Take", "Undo", "Upload", "Use",
    "Write",
))  # fmt: skip


def commands(command: Any, words: Words = ()) -> Iterator[tuple[Words, Any]]:
    """Yield all commands and groups that are shown."""
    yield words, command
    for name, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            yield from commands(one, (*words, name))


@functools.cache
def whole() -> Any:
    return cli.commands()


def leaves(command: Any = None) -> list[tuple[Words, Any]]:
    return [(words, one) for words, one in commands(command or whole()) if not hasattr(one, "commands")]


@pytest.mark.parametrize("width", [60, 120])
def test_no_line_of_any_help_text_is_cut_or_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for words, _ in commands(whole()):
        with pytest.raises(SystemExit):
            whole()([*words, "-h"], prog_name="wherry")
        text = capsys.readouterr().out
        for line in text.splitlines():
            assert len(line) <= width, (words, line)
            assert not re.search(r"[a-z](\.\.\.|…)$", line), (words, line)
        assert "Examples:\n  wherry " in text, f"{' '.join(words)} has none in cli/_examples.py"
        # Words, not types of Python.
        assert not re.search(r"<\w|list\[|int range|\bTEXT TEXT", text), words


def test_commands_are_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        whole()(["-h"])
    text = capsys.readouterr().out
    titles = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert titles == ["Options", "Run", "Look", "Data", "Settings", "Examples"]


def test_each_command_has_an_example_that_can_be_read() -> None:
    missing = [" ".join(words) for words, _ in leaves() if " ".join(words) not in EXAMPLES]
    assert missing == []
    known = dict(leaves())
    for path, lines in EXAMPLES.items():
        for line in lines:
            assert line.startswith(path), line
            args = shlex.split(line)[len(path.split()) :]
            command = known[tuple(path.split())]
            # Raises where an option or an argument does not exist, or lacks.
            command.make_context(path, args, parent=whole().make_context("wherry", [path], resilient_parsing=True))


def test_each_help_text_begins_with_a_verb() -> None:
    texts = {" ".join(words): command.get_short_help_str(1000) for words, command in commands(whole()) if words}
    assert {words: text for words, text in texts.items() if text.split()[0].rstrip(".") not in VERBS} == {}


def test_each_list_has_json_and_ids_alone() -> None:
    for words, command in leaves():
        options = {option for param in command.params for option in param.opts}
        if words[-1] in ("list", "history"):
            assert {"--json", "-q", "--quiet", "--sort", "--limit"} <= options | ({"--limit"} & options), words


class Everything(FakeService):
    """A fake that has one of each."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        self.asked.append(method)
        environment = getattr(request, "environment", "")
        if environment == "gone":
            raise exception.NotFoundError("there is no such environment")
        return super().call(method, request, timeout)

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        name = "shop" if request.environment == "main" else f"shop-of-{request.environment}"
        return AppListResponse(apps=[AppInfo(app_id="ap-1", name=name)])

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        return AppShowResponse(functions=[FunctionStatus(function=FunctionInfo(function_id="fu-1", name="price"))])

    def _containers_list(self, request: Message) -> Containers:
        return Containers(containers=[ContainerInfo(container_id="co-1", app_name="shop", function_name="price")])

    def _sandboxes_list(self, request: Message) -> SandboxListResponse:
        return SandboxListResponse(sandboxes=[SandboxInfo(sandbox_id="sb-1", name="agent")])

    def _images_list(self, request: Message) -> ImageListResponse:
        return ImageListResponse(images=[ImageInfo(image_id="im-1", summary="debian_slim")])

    def _images_names(self, request: Message) -> ImageNamesResponse:
        return ImageNamesResponse(names=[ImageName(name="tools:latest")])

    def _secrets_list(self, request: Message) -> SecretListResponse:
        return SecretListResponse(secrets=[SecretInfo(name="db")])

    def _objects(self, request: ObjectListRequest) -> ObjectListResponse:
        return ObjectListResponse(objects=[ObjectInfo(name="thing")])

    _dicts_list = _queues_list = _volumes_list = _networkfilesystems_list = _objects

    def _environments_list(self, request: Message) -> EnvironmentListResponse:
        return EnvironmentListResponse(environments=[EnvironmentInfo(name="main"), EnvironmentInfo(name="prod")])

    def _tokens_list(self, request: Message) -> TokenListResponse:
        return TokenListResponse(tokens=[TokenInfo(token_id="tk-1", name="ci")])

    def _records_list(self, request: Message) -> RecordListResponse:
        return RecordListResponse(records=[Record(input_id="in-1", call_id="fc-1")])

    def _schedules_list(self, request: Message) -> ScheduleListResponse:
        return ScheduleListResponse(schedules=[ScheduleInfo(app_name="shop", function_name="nightly")])


@pytest.fixture
def service() -> Everything:
    return Everything()


@pytest.fixture
def tab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], list[str]]:
    """Return what bash gets for a line: `tab("wherry app stop ")`, a blank at its end where the next word begins."""

    def press(line: str) -> list[str]:
        # As bash splits it: a colon ends a word, and is one.
        words = [part for word in line.split(" ") for part in (re.split(r"(:+)", word) if ":" in word else [word])]
        words = [word for word in words[:-1] if word] + words[-1:]
        if len(words) > 1 and not words[-1] and words[-2].startswith(":"):
            words.pop()
        monkeypatch.setenv("_WHERRY_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        monkeypatch.setenv("_WHERRY_COMPLETED", "")
        with pytest.raises(SystemExit):
            cli.commands()([], prog_name="wherry")
        return capsys.readouterr().out.split()

    return press


PROGRAM = """
import wherry
import does_not_exist
app = wherry.App("shop")

@app.function()
def price(): ...

@app.local_entrypoint()
async def main(): ...

@app.cls()
class Model:
    @wherry.method()
    def answer(self): ...
    def helper(self): ...

def plain(): ...
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("wherry app stop ", ["shop"]),
        ("wherry app logs -e prod s", ["shop-of-prod"]),
        ("wherry app stop ap", ["ap-1"]),
        ("wherry app info x", []),
        ("wherry app logs shop --function ", ["price"]),
        ("wherry app logs shop --source st", ["stdout", "stderr"]),
        ("wherry app list --sort c", ["containers", "created"]),
        ("wherry function stats ", ["shop/price"]),
        ("wherry function info shop/p", ["shop/price"]),
        ("wherry container exec ", ["co-1"]),
        ("wherry container list --app ", ["shop"]),
        ("wherry call show ", ["in-1"]),
        ("wherry call cancel fc", ["fc-1"]),
        ("wherry call list --state re", ["retrying", "rejected"]),
        ("wherry call list --kind sp", ["spawn", "spawn_map"]),
        ("wherry call list --function shop/", ["shop/price"]),
        ("wherry function calls ", ["shop/price"]),
        ("wherry app stats ", ["shop"]),
        ("wherry sandbox terminate ", ["agent"]),
        ("wherry sandbox logs sb", ["sb-1"]),
        ("wherry image logs ", ["im-1"]),
        ("wherry image names delete ", ["tools:latest"]),
        ("wherry secret delete ", ["db"]),
        ("wherry dict get ", ["thing"]),
        ("wherry queue len t", ["thing"]),
        ("wherry volume ls ", ["thing"]),
        ("wherry nfs rm ", ["thing"]),
        ("wherry schedule pause ", ["shop/nightly"]),
        ("wherry environment delete ", ["main", "prod"]),
        ("wherry run --env p", ["prod"]),
        ("wherry token revoke ", ["tk-1"]),
        ("wherry shell co", ["co-1"]),
        ("wherry shell im", ["im-1"]),
        ("wherry shell --volume ", ["thing"]),
        ("wherry deploy shop.py --strategy ", ["rolling", "recreate"]),
        ("wherry run ", ["folder/", "shop.py"]),
        ("wherry run sh", ["shop.py"]),
        ("wherry run shop.py::", ["price", "main", "Model.answer"]),
        ("wherry run shop.py::p", ["price"]),
        ("wherry run shop.py::Model.a", ["Model.answer"]),
        ("wherry deploy shop.py::", ["app"]),
        ("wherry shell shop.py::", ["price", "Model"]),
        ("wherry app logs -e gone s", []),
    ],
)
def test_names_and_ids_are_completed(
    tab: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: list[str]
) -> None:
    (tmp_path / "shop.py").write_text(PROGRAM)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert tab(line) == words


def test_a_service_that_is_away_and_a_file_that_is_none_bring_up_nothing(
    tab: Callable[[str], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: Everything
) -> None:
    monkeypatch.chdir(tmp_path)
    service.down = True
    assert tab("wherry app stop ") == []
    (tmp_path / "broken.py").write_text("def (")
    assert tab("wherry run broken.py::") == []
    assert service.asked == ["Apps.List"]


def test_each_name_and_id_of_each_command_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_WHERRY_COMPLETE", "complete_bash")
    # What is new, or is text of the user's own.
    own = {
        "add_python", "after", "buffer_containers", "command", "count", "cpu", "days", "error", "first", "gpu", "image",
        "interval", "key", "limit", "lines", "listen", "local", "max_containers", "memory", "min_containers",
        "new_name", "partition", "path", "paths", "prefix", "registry_variables", "remote", "scaledown_window",
        "search", "since", "tag", "tail", "timeout", "token_secret", "ttl", "until", "url", "user", "value", "values",
        "variables", "version", "workdir",
    }  # fmt: skip
    named = {("run", "name"), ("serve", "name"), ("deploy", "name"), ("token", "name"), ("profile", "token_id")}
    for words, command in leaves(cli.commands()):
        for param in command.params:
            is_own = param.name in own or (words[0], param.name) in named
            if not is_own and not getattr(param, "is_flag", False) and not param.hidden and param.type.name != "choice":
                assert "shell_complete" in vars(param) or param.name == "sort", (words, param.name)


def test_bash_s_words_are_put_together_again() -> None:
    variables = {
        "_WHERRY_COMPLETE": "complete_bash",
        "COMP_WORDS": "wherry\nrun\na.py\n::\nf\n--n\n1",
        "COMP_CWORD": "4",
    }
    _completion.join_words(variables)
    assert variables["COMP_WORDS"] == "wherry\nrun\na.py::f\n--n\n1"
    assert variables["COMP_CWORD"] == "2"
    others = {"_WHERRY_COMPLETE": "complete_zsh", "COMP_WORDS": "a\n:\nb"}
    _completion.join_words(others)
    assert others["COMP_WORDS"] == "a\n:\nb"


@pytest.mark.parametrize(
    "words",
    [
        ["app", "logs", "x", "--since", "yesterday"],
        ["app", "logs", "x", "--stream", "foo"],
        ["secret", "create", "a", "b"],
        ["function", "stats", "nope"],
        ["run", "nope.py"],
        ["app", "list", "--sort", "colour"],
        ["app", "stop"],
        ["app", "list", "--limit", "-1"],
        ["sandbox", "list", "--tag", "x"],
        ["function", "autoscaler", "update", "a/b"],
    ],
)
def test_wrong_usage_exits_with_2_and_a_hint(run: Run, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run("", *words) == 2
    out, err = capsys.readouterr()
    group = next(n for n in range(len(words), 0, -1) if any(tuple(words[:n]) == path for path, _ in leaves()))
    assert err.startswith(f"Usage: wherry {' '.join(words[:group])} ")
    assert f"Try 'wherry {' '.join(words[:group])} -h' for help." in err or "for help." in err
    assert "Error: " in err or "Error" in err
    assert out == ""


def test_completion_is_not_loaded_without_a_key() -> None:
    assert "_WHERRY_COMPLETE" not in os.environ
    assert not any("shell_complete" in vars(param) for _, command in leaves() for param in command.params)
