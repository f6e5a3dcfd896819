"""An app that uses what a container shares with the service, as whoever it is in there."""

import os
import sys

import wherry

app = wherry.App("lodger", image=wherry.Image.debian_slim())
volume = wherry.Volume.from_name("lodgings", create_if_missing=True)


@app.function(volumes={"/v": volume}, secrets=[wherry.Secret.from_dict({"KEY": "opens"})])
def look(data: bytes) -> dict[str, object]:
    """Use all of it; a large value both ways."""
    with open("/v/uploaded", "a") as file:
        file.write(" and more")
    with open("/v/folder/made", "w") as file:
        file.write("made inside")
    os.remove("/v/unwanted")
    return {
        "user": [os.getuid(), os.getgid()],
        "users": open("/proc/self/uid_map").read().split(),
        "key": os.environ["KEY"],
        "got": len(data),
        "value": b"y" * (3 << 20),
        "container": os.environ.get("HOSTNAME", ""),
    }


@app.function()
def install() -> list[object]:
    """Put a package where `pip install` does, and import it."""
    import site

    home = os.path.expanduser("~")
    with open(f"{home}/notes", "w") as file:
        file.write("mine")
    packages = site.getusersitepackages()
    with open(f"{packages}/from_elsewhere.py", "w") as file:
        file.write("VALUE = 7\n")
    import from_elsewhere  # type: ignore[import-not-found]

    return [home, from_elsewhere.VALUE, packages in sys.path]


def step() -> None:
    """A step of a build, with a secret and the volume."""
    with open("/v/built", "w") as file:
        file.write(os.environ["KEY"])
    with open("/built", "w") as file:
        file.write("a file of the image")


@app.function(volumes={"/v": volume.with_mount_options(sub_path="folder")})
def below() -> list[str]:
    return sorted(os.listdir("/v"))
