"""Ids, settings, payloads, the public names, and what importing costs."""

import io
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import wherry
import wherry.functions
from wherry._base.ids import check_id, id_sequence, new_id
from wherry._connection import pickling
from wherry._connection.settings import Settings
from wherry.exception import DeserializationError, InvalidError


def test_ids_are_ordered_ulids() -> None:
    made = [new_id("in") for _ in range(100)]
    assert len(set(made)) == 100
    assert check_id(made[0], "in", "input") == made[0]
    sequence = id_sequence("in")
    first = [next(sequence) for _ in range(3000)]
    assert first == sorted(first)
    assert len(set(first)) == 3000
    assert all(len(item) == 29 for item in first)


def test_settings(tmp_path: Path) -> None:
    settings = Settings.from_environment({"WHERRY_STATE_DIR": str(tmp_path)})
    assert settings.socket == tmp_path / "local.sock"
    assert settings.is_default_server
    assert settings.environment == "main"
    assert Settings.from_environment({"XDG_STATE_HOME": "/x"}).state_dir == Path("/x/wherry")
    configured = Settings.from_environment({"WHERRY_SERVER_URL": "unix:///run/w.sock", "WHERRY_ENVIRONMENT": "dev"})
    assert configured.socket == Path("/run/w.sock")
    assert not configured.is_default_server
    assert configured.environment == "dev"
    for url in ("ftp://x", "unix://relative", "nonsense"):
        with pytest.raises(InvalidError, match="unix:///"):
            Settings.from_environment({"WHERRY_SERVER_URL": url})


class Local:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Local)

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("by_reference", [True, False])
@pytest.mark.parametrize("value", [((1, "a", None), {"k": [b"x", {"y": 2.5}]}), ((Local(),), {}), ((), {})])
def test_payload_round_trip(value: Any, by_reference: bool) -> None:
    assert pickling.loads(pickling.dumps(value, by_reference)) == value
    file = io.BytesIO()
    pickling.dump(value, file, by_reference)
    file.seek(0)
    assert pickling.load(file) == value


def test_lambdas_travel_by_value() -> None:
    assert pickling.loads(pickling.dumps(lambda: 5, True))() == 5
    file = io.BytesIO()
    pickling.dump(lambda: 5, file, True)
    file.seek(0)
    assert pickling.load(file)() == 5


def test_missing_module_is_named() -> None:
    with pytest.raises(DeserializationError, match="not_installed_here"):
        pickling.loads(b"cnot_installed_here\nX\n.")


def test_large_is_told_before_pickling() -> None:
    assert pickling.is_large(((b"x" * (2 << 20),), {}))
    assert pickling.is_large(((), {"k": bytearray(2 << 20)}))
    assert not pickling.is_large(((1, "x" * 1000, threading), {"k": 2.0}))


def test_public_names_agree() -> None:
    for name in wherry.__all__:
        assert getattr(wherry, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wherry.nonsense
    assert wherry.functions.Function is wherry.Function


def test_exceptions_are_as_documented() -> None:
    tree = wherry.exception.__doc__ or ""
    for name, value in vars(wherry.exception).items():
        if isinstance(value, type) and not name.startswith("_"):
            assert name in tree


def test_file_errors_of_sandboxes_are_the_builtin_ones_too() -> None:
    error = wherry.exception.SandboxFilesystemNotFoundError(2, "No such file or directory", "/x")
    assert isinstance(error, wherry.exception.SandboxFilesystemError)
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename) == (2, "/x")
    told = wherry.exception.SandboxFilesystemIsADirectoryError("/tmp is a directory")
    assert str(told) == "/tmp is a directory"
    assert isinstance(told, IsADirectoryError)


def test_simulated_preemption_interrupts_and_then_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(
        "threading.Timer", lambda delay, kill, given: started.append((delay, given[1])) or SimpleNamespace(start=int)
    )
    wherry.exception.simulate_preemption(2)
    assert started == [(2.0, signal.SIGINT), (32.0, signal.SIGKILL)]


def test_outside_a_container() -> None:
    assert wherry.is_local()
    assert wherry.current_input_id() is None
    assert wherry.current_function_call_id() is None


HEAVY = ["asyncio", "grpc", "typer", "rich", "click", "dataclasses", "inspect", "typing", "logging", "google.protobuf"]


# What a container runs of a module that has a function.
DEFINES = """
app = wherry.App(image=wherry.Image.debian_slim())

@app.function(max_containers=1, min_containers=0)
def f(): ...
"""


@pytest.mark.parametrize(("statements", "heavy"), [("", HEAVY), (DEFINES, [*HEAVY, "importlib", "warnings"])])
def test_import_loads_nothing_heavy(statements: str, heavy: list[str]) -> None:
    code = f"import sys; import wherry\n{statements}\nfound = [m for m in {heavy!r} if m in sys.modules]\n"
    code += "import json; print(json.dumps(found))"
    # -S: what site-packages' .pth files import is not ours.
    paths = [str(Path(wherry.__file__).parents[1])]
    script = f"import sys; sys.path[:0] = {paths!r}; " + code
    loaded = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True).stdout
    assert json.loads(loaded) == []


def test_import_is_fast() -> None:
    def cost(statement: str) -> float:
        code = f"import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
        runs = [
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(5)
        ]
        return min(float(run.stdout) for run in runs)

    # Beside one of those that it does without, on the same machine at the same time.
    assert cost("import wherry") < cost("import asyncio")


def test_in_a_container_the_service_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    class Context:
        in_container = True
        input_id: Any = type("Var", (), {"get": staticmethod(lambda default=None: "in-1")})
        call_id: Any = type("Var", (), {"get": staticmethod(lambda default=None: "fc-1")})

    monkeypatch.setitem(sys.modules, "wherry_runner.context", Context)  # type: ignore[arg-type]
    assert not wherry.is_local()
    assert (wherry.current_input_id(), wherry.current_function_call_id()) == ("in-1", "fc-1")
    with pytest.raises(wherry.exception.ExecutionError, match="inside a container"):
        wherry.App("x").run().__enter__()


def test_types_of_the_script_are_the_readers_own_where_it_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_script.py").write_text("")

    def script(name: str) -> Any:
        module = ModuleType(name)
        module.__file__ = str(tmp_path / "own_script.py")
        exec("import enum\nclass Color(enum.Enum): RED = 1\nclass Point: color = Color.RED\n", vars(module))
        return module

    main, other = script("__main__"), script("own_script")
    monkeypatch.setitem(sys.modules, "__main__", main)
    data = pickling.dumps([main.Point(), main.Color.RED, main.Point], False)
    file = io.BytesIO()
    pickling.dump({"large": main.Point()}, file, False)
    # Here, in a container of the script's own, and in a process that has never heard of it.
    for reader in (main, other, None):
        with monkeypatch.context() as there:
            if reader is not main:
                there.setitem(sys.modules, "__main__", ModuleType("__main__"))
            if reader is other:
                there.setitem(sys.modules, "own_script", other)
            point, red, cls = pickling.loads(data)
            file.seek(0)
            assert isinstance(pickling.load(file)["large"], cls)
        assert type(point) is cls
        assert point.color is red
        if reader is not None:
            assert (cls, red) == (reader.Point, reader.Color.RED)
