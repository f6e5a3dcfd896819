"""Help texts: commands in groups and never cut, words for what an option takes, examples."""

import functools
from typing import Any

from wherry.cli._examples import EXAMPLES

# Lines of examples, for a group of commands.
_OF_A_GROUP = 3
_SECTIONS = {
    "Run": ("run", "serve", "deploy", "shell", "init"),
    "Look": (
        "ps", "top", "logs", "app", "function", "call", "container", "sandbox", "schedule", "open", "dashboard",
        "doctor", "audit",
    ),
    "Data": ("image", "secret", "dict", "queue", "volume", "nfs"),
    "Settings": ("server", "system", "environment", "config", "profile", "token"),
}  # fmt: skip
# What an option or an argument takes, by its name, where the command itself does not say.
_METAVARS = {
    "add_local": "LOCAL[:REMOTE]",
    "add_python": "VERSION",
    "app": "APP",
    "after": "KEY",
    "call": "CALL",
    "calls": "CALL",
    "certificate": "FILE",
    "config": "FILE",
    "container": "CONTAINER",
    "containers": "CONTAINER",
    "count": "N",
    "cpu": "CORES",
    "days": "DAYS",
    "environment": "NAME",
    "environments": "NAME",
    "file": "FILE",
    "first": "N",
    "from_dotenv": "FILE",
    "from_json": "FILE",
    "function": "FUNCTION",
    "gpu": "GPU",
    "image": "IMAGE",
    "image_id": "IMAGE",
    "key": "KEY",
    "limit": "N",
    "lines": "N",
    "local": "LOCAL",
    "max_containers": "N",
    "memory": "MIB",
    "min_containers": "N",
    "buffer_containers": "N",
    "name": "NAME",
    "new_name": "NEW_NAME",
    "partition": "NAME",
    "path": "PATH",
    "paths": "PATH",
    "ref": "REF",
    "registry_secret": "NAME",
    "remote": "REMOTE",
    "sandbox": "SANDBOX",
    "sandboxes": "SANDBOX",
    "scaledown_window": "SECONDS",
    "scopes": "SCOPE",
    "search": "TEXT",
    "secrets": "NAME",
    "since": "WHEN",
    "strategy": "STRATEGY",
    "stream": "STREAM",
    "tag": "TEXT",
    "tail": "N",
    "timeout": "SECONDS",
    "token_id": "TOKEN",
    "token_secret": "SECRET",
    "ttl": "SECONDS",
    "until": "WHEN",
    "url": "URL",
    "user": "USER",
    "value": "VALUE",
    "values": "VALUE",
    "variables": "NAME=VALUE",
    "version": "VERSION",
    "volumes": "NAME[:PATH]",
    "workdir": "PATH",
    "write_result": "FILE",
}
_BY_TYPE = {"integer": "N", "int": "N", "int range": "N", "integer range": "N", "path": "FILE"}


def dress(cli: Any) -> None:
    """Give the whole command line its help texts."""
    _dress(cli, ())


def _dress(command: Any, words: tuple[str, ...]) -> None:
    for param in command.params:
        if not getattr(param, "is_flag", False) and param.metavar is None:
            # A command of a user's function has words of its own.
            choices = "|".join(map(str, getattr(param.type, "choices", ())))
            word = _METAVARS.get(param.name) or _BY_TYPE.get(param.type.name, param.name.upper())
            param.metavar = choices or word
        if param.param_type_name == "argument":
            param.make_metavar = functools.partial(_argument, param)
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        examples = EXAMPLES.get(" ".join(words), ())
    else:
        command.format_commands = functools.partial(_write_commands, command, _SECTIONS if not words else {})
        for name, one in subcommands.items():
            _dress(one, (*words, name))
        head = " ".join(words)
        below = [lines[0] for path, lines in EXAMPLES.items() if head and path.startswith(f"{head} ")]
        examples = tuple(below[:_OF_A_GROUP]) if head else ("run hello.py", "deploy shop.py", "app logs shop -f")
    if examples:
        command.format_epilog = functools.partial(_write_examples, examples)


def _write_examples(examples: tuple[str, ...], ctx: Any, formatter: Any) -> None:
    with formatter.section("Examples"):
        # The mark keeps the lines as they are.
        formatter.write_text("\n".join(("\b", *(f"wherry {line}" for line in examples))))


def _argument(param: Any, ctx: Any = None, usage: bool = False) -> str:
    """Return an argument's word: in brackets where it may be left out, with dots where there may be more."""
    word = param.metavar or ""
    if usage and not param.required and not word.startswith("["):
        word = f"[{word}]"
    return f"{word}..." if param.nargs != 1 else word


def _write_commands(group: Any, sections: dict[str, tuple[str, ...]], ctx: Any, formatter: Any) -> None:
    """Write a group's commands, each with all of its first sentence."""
    shown = {name: one for name in group.list_commands(ctx) if not (one := group.get_command(ctx, name)).hidden}
    named = {name for names in sections.values() for name in names}
    rest = [name for name in shown if name not in named]
    width = max(map(len, shown), default=0)
    for title, names in (*sections.items(), ("More" if sections else "Commands", rest)):
        rows = [(name.ljust(width), shown[name].get_short_help_str(1000)) for name in names if name in shown]
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


def usage_of(cli: Any, words: list[str]) -> str:
    """Return how the command that a line begins with is used, and where more is told."""
    command, path = cli, ["wherry"]
    while words and (one := getattr(command, "commands", {}).get(words[0])) is not None:
        command, path, words = one, [*path, words[0]], words[1:]
    context = command.context_class(command, info_name=" ".join(path), resilient_parsing=True)
    return f"{command.get_usage(context)}\nTry '{' '.join(path)} -h' for help.\n"
