"""Volumes that Docker's own driver mounts: by its bind options, as it does with those of NFS."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.elsewhere import elsewhere
from tests.waiting import wait_until

PROGRAM = """
import io, os, wherry
volume = wherry.Volume.from_name("shared", create_if_missing=True)
app = wherry.App("driven")

@app.function(volumes={"/all": volume}, serialized=True)
def write(name: str, text: str) -> list[str]:
    with open(f"/all/{name}", "w") as file:
        file.write(text)
    return sorted(os.listdir("/all"))

@app.function(volumes={"/part": volume.with_mount_options(sub_path="deep/er")}, serialized=True)
def part() -> None:
    pass

@app.function(volumes={"/whole": volume.read_only()}, serialized=True)
def read(name: str) -> tuple[str, str]:
    try:
        open("/whole/new", "w")
    except OSError as error:
        return open(f"/whole/{name}").read(), error.strerror
    return "", ""

with volume.batch_upload() as batch:
    batch.put_file(io.BytesIO(b"from here"), "/deep/er/sent")
with app.run():
    print(write.remote("one", "inside"), read.remote("deep/er/sent"))
    try:
        part.remote()
    except wherry.Error as error:
        print("mount the whole volume" in str(error))
print(b"".join(volume.read_file("one")))
"""


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout


def test_containers_have_volumes_by_a_driver_and_the_service_has_the_same_files(tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    exported.mkdir()
    options = {"type": "none", "o": "bind", "device": f"{exported}/{{volume}}"}
    with elsewhere(
        WHERRY_VOLUMES_DRIVER="local", WHERRY_VOLUMES_OPTIONS=json.dumps(options), WHERRY_VOLUMES_DIR=str(exported)
    ) as host:
        said = host.program(PROGRAM).splitlines()
        assert said == ["['deep', 'one'] ('from here', 'Read-only file system')", "True", "b'inside'"]
        (volume_id,) = [path.name for path in exported.iterdir() if path.name.startswith("vo-")]

        def made() -> list[str]:
            return docker("volume", "ls", "--quiet", "--filter", f"label=wherry.volume={volume_id}").split()

        names = made()
        assert len(names) == 1, "one for the whole; a part is refused"
        (shown,) = json.loads(docker("volume", "inspect", names[0]))
        assert (shown["Driver"], shown["Options"]["type"]) == ("local", "none")
        assert host.wherry("volume", "delete", "shared", "--yes").returncode == 0
        wait_until(lambda: made() == [], "Docker's volumes are gone with it")


def test_a_driver_that_does_not_take_its_options_is_the_calls_error(tmp_path: Path) -> None:
    options = json.dumps({"type": "none", "o": "bind", "device": f"{tmp_path}/nowhere/{{volume}}"})
    with elsewhere(
        WHERRY_VOLUMES_DRIVER="local", WHERRY_VOLUMES_OPTIONS=options, WHERRY_VOLUMES_DIR=str(tmp_path / "v")
    ) as host:
        with pytest.raises(AssertionError, match=r"volumes\.driver is 'local': compare volumes\.options"):
            host.program(PROGRAM)
        host.wherry("volume", "delete", "shared", "--yes")
