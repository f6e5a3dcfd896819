"""Images as the SDK sees them: how the service is asked for them, and what only they have."""

import importlib
import sys
from pathlib import Path

import pytest

from tests.fakes.service import FakeService
from wherry import Image, Mount
from wherry._connection.client import Client
from wherry._define import imports
from wherry._publish.image_files import resolve
from wherry._publish.images import ensure_images
from wherry.exception import DeprecationError, InvalidError


def test_images_are_asked_for_in_one_request(client: Client, service: FakeService) -> None:
    five = [Image.debian_slim().pip_install("six").env({"NUMBER": str(number)}) for number in range(5)]
    before = len(service.requests)
    # One of them twice: it is asked for once.
    assert ensure_images(client, [*five, five[0]]) == ["im-0", "im-1", "im-2", "im-3", "im-4", "im-0"]
    assert [method for method, _ in service.requests[before:]] == ["Images.Ensure"]


def test_modules_that_only_the_image_has_are_passed_over_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reached = []
    with Image.debian_slim().imports():
        importlib.import_module("only_the_image_has_this")
        reached.append("past")
    with pytest.warns(DeprecationError, match=r"Image\.run_inside"):
        older = Image.debian_slim().run_inside()
    with older:
        importlib.import_module("only_the_image_has_this")
        reached.append("past")
    assert reached == []
    # Another error of a module that is there is one everywhere.
    (tmp_path / "broken_module_of_a_test.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError), Image.debian_slim().imports():
        importlib.import_module("broken_module_of_a_test")
    assert "broken_module_of_a_test" not in sys.modules
    monkeypatch.setattr(imports, "is_local", lambda: False)
    with pytest.raises(ModuleNotFoundError), Image.debian_slim().imports():
        importlib.import_module("only_the_image_has_this")


def test_a_mount_is_copied_with_the_paths_it_gives(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_text("a")
    (tmp_path / "left.log").write_text("")
    mount = Mount.from_local_dir(tmp_path, condition=lambda path: not path.endswith(".log"), remote_path="/given/here")
    mount = mount.add_local_file(tmp_path / "deep" / "a", "/one")
    (_, step) = resolve(Image.debian_slim().copy_mount(mount, "/srv"), None).definition.steps
    assert [file.path for file in step.files] == ["given/here/deep/a", "one"]
    with pytest.raises(InvalidError, match=r"it takes a wherry\.Mount"):
        Image.debian_slim().copy_mount(str(tmp_path))


def test_a_file_of_requirements_that_is_no_use_is_told_with_its_method(tmp_path: Path) -> None:
    image = Image.debian_slim().pip_install_from_requirements(tmp_path / "none.txt")
    with pytest.raises(InvalidError, match=r"^Image\.pip_install_from_requirements: .*none\.txt does not exist$"):
        resolve(image, None)
    (tmp_path / "none.txt").write_text("# nothing\n")
    with pytest.raises(
        InvalidError, match=r"^Image\.pip_install_from_requirements: .*none\.txt lists nothing to install$"
    ):
        resolve(image, None)
