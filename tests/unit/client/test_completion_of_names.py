"""What editors offer after a dot: those that use jedi, as IPython and Jupyter do."""

import sys

import jedi
import pytest

import wherry

PROGRAM = """
import wherry

app = wherry.App("x")


@app.function()
def square(x: int) -> int:
    return x * x


@app.cls()
class Greeter:
    n: int = wherry.parameter(default=1)

    @wherry.method()
    def greet(self, name: str) -> str:
        return name

"""


def offered(expression: str) -> set[str]:
    code = PROGRAM + expression
    return {found.name for found in jedi.Script(code).complete(code.count("\n") + 1, len(expression))}


def test_after_wherry_all_that_is_public() -> None:
    assert set(wherry.__all__) - offered("wherry.") == set()


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("app", "function cls server run deploy local_entrypoint"),
        ("square", "remote map starmap for_each spawn local with_options web_url"),
        ("square.remote", "aio"),
        ("square.map", "aio"),
        ("square.spawn(1)", "get cancel object_id"),
        ("Greeter()", "greet n"),
        ("Greeter().greet", "remote map spawn local"),
        ("wherry.Function.from_name('a', 'f')", "remote map"),
        ("wherry.Function.lookup('a', 'f')", "remote map"),
        ("wherry.FunctionCall.from_id('fc-1')", "get cancel"),
        ("wherry.Cls.from_name('a', 'C')", "with_options object_id"),
        ("wherry.App.lookup('a')", "deploy stop"),
        ("wherry.Dict.from_name('a')", "get put pop keys items update"),
        ("wherry.Dict.from_name('a').get", "aio"),
        ("wherry.Dict.objects", "create delete list"),
        ("wherry.Queue.from_name('a')", "get put get_many iterate"),
        ("wherry.Sandbox.create()", "exec open stdout stdin wait terminate filesystem"),
        ("wherry.Sandbox.create().stdout", "read"),
        ("wherry.Sandbox.create().exec('a')", "stdout stderr wait poll"),
        ("wherry.Sandbox.create().exec('a').stdout", "read"),
        ("wherry.Sandbox.from_id('sb-1')", "exec terminate"),
        ("wherry.Image.debian_slim()", "pip_install apt_install run_commands env"),
        ("wherry.Image.debian_slim().pip_install('a')", "apt_install"),
        ("wherry.Secret.from_name('a')", "name"),
        ("wherry.Volume.from_name('a')", "listdir read_file commit reload"),
        ("wherry.NetworkFileSystem.from_name('a')", "listdir write_file"),
        ("wherry.Environment.from_name('a')", "apps name"),
        ("wherry.Server.from_name('a', 'S')", "get_url"),
        ("wherry.exception", "NotFoundError Error"),
        ("wherry.gpu", "T4 A100"),
        ("wherry.Image", "debian_slim from_registry"),
    ],
)
def test_after_an_object_its_members(expression: str, names: str) -> None:
    assert set(names.split()) - offered(expression + ".") == set()


@pytest.mark.parametrize("call", ["app.function(", "app.cls(", "app.server("])
def test_within_a_decorator_its_options(call: str) -> None:
    assert {"memory=", "image=", "min_containers="} - offered(call) == set()


@pytest.mark.parametrize(
    ("call", "shown"),
    [
        ("square.remote(", "remote(x: int)"),
        ("square.remote.aio(", "aio(x: int)"),
        ("square.spawn(", "spawn(x: int)"),
        ("square.local(", "square(x: int) -> int"),
        ("square.remote_gen(", "remote_gen(x: int)"),
        ("Greeter().greet.remote(", "remote(name: str)"),
        ("Greeter().greet.spawn.aio(", "aio(name: str)"),
        ("square.spawn(1).get(", "method(timeout: float | None=None, *, index: int=0)"),
        ("wherry.Volume.from_name('a').listdir(", 'method(path: str="/", *, recursive: bool=False)'),
        ("wherry.Volume.from_name('a').commit(", "method()"),
    ],
)
def test_within_a_call_the_parameters_of_the_function(call: str, shown: str) -> None:
    code = PROGRAM + call
    found = jedi.Script(code).get_signatures(code.count("\n") + 1, len(call))
    assert [one.to_string() for one in found] == [shown]


@pytest.mark.parametrize(
    ("expression", "names"), [("square.remote(1)", "bit_length"), ("Greeter().greet.remote('a')", "upper")]
)
def test_after_a_call_the_members_of_what_it_gives(expression: str, names: str) -> None:
    assert set(names.split()) - offered(expression + ".") == set()


def test_dir_has_what_is_public_and_no_tools_of_ours() -> None:
    shown = [name for name in dir(wherry) if not name.startswith("_")]
    assert set(shown) >= set(wherry.__all__) - {"__version__"}
    assert not {"Any", "TYPE_CHECKING", "annotations", "os", "sys"} & set(shown)
    assert "wherry" in sys.modules
