"""Directories of this machine in images and in mounts: links, empty directories, permissions."""

import os
from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService
from wherry import Image, Sandbox

LOOK = "cd /c; cat link/f flink; readlink link flink absolute gone; stat -c '%n %a' key run; ls -d empty"
SEEN = "xxreal\nreal/f\nreal\nnowhere\nkey {}\nrun 755\nempty\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "real").mkdir(parents=True)
    (root / "real" / "f").write_text("x")
    (root / "empty").mkdir()
    (root / "key").write_text("secret")
    (root / "key").chmod(0o600)
    (root / "run").touch(mode=0o755)
    for name, target in {"link": "real", "flink": "real/f", "absolute": str(root / "real"), "gone": "nowhere"}.items():
        os.symlink(target, root / name)
    return root


def _seen(image: Image) -> str:
    with Sandbox.create("sh", "-c", LOOK, image=image, block_network=True, timeout=30) as sandbox:
        sandbox.wait()
        return str(sandbox.stdout.read())


@pytest.mark.parametrize("way", ["from_dockerfile", "dockerfile_commands", "add_local_dir"])
def test_a_directory_is_in_the_image_as_it_is_here(service: OwnService, base: str, tree: Path, way: str) -> None:
    match way:
        case "from_dockerfile":
            dockerfile = tree.parent / "Dockerfile"
            dockerfile.write_text(f"FROM {base}\nCOPY . /c\n")
            image = Image.from_dockerfile(dockerfile, context_dir=tree)
        case "dockerfile_commands":
            image = Image.debian_slim().dockerfile_commands("COPY . /c", context_dir=tree)
        case _:
            image = Image.debian_slim().add_local_dir(tree, "/c", copy=True)
    assert _seen(image) == SEEN.format("600")


def test_a_dockerignore_is_for_its_own_directory(service: OwnService, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "a.txt").write_text("text")
        (folder / "deep" / "b.md").write_text("text")
    (first / ".dockerignore").write_text("**/*.txt\n")
    image = (
        Image.debian_slim()
        .dockerfile_commands("COPY . /first", context_dir=first)
        .add_local_dir(second, "/second", copy=True)
    )
    with Sandbox.create(image=image, block_network=True, timeout=30) as sandbox:
        found = sandbox.exec("find", "/first", "/second", "-type", "f").stdout.read().split()
    assert sorted(found) == ["/first/.dockerignore", "/first/deep/b.md", "/second/deep/a.txt", "/second/deep/b.md"]


def test_functions_see_a_mounted_directory_as_it_is_here(service: OwnService, tree: Path) -> None:
    app = wherry.App("mounted-tree")

    def seen(command: str) -> str:
        import subprocess

        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout

    function = app.function(serialized=True, image=Image.debian_slim().add_local_dir(tree, "/c"))(seen)
    with app.run():
        assert function.remote(LOOK) == SEEN.format("644")
