"""The last layer of every image: the runner, and the SDK below the user's own packages."""

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from wherry_service.errors import Unready

# In the container the SDK speaks frames: what only a client outside needs stays out.
_LEFT_OUT = {"wherry": {"cli"}, "wherry_proto": {"v1", "codec.py", "hot_codec.py"}}
_PLACES = {
    "wherry_runner": "runner",
    "wherry": "sdk",
    "wherry_proto": "sdk",
    "cloudpickle": "sdk",
    "tblib": "sdk",
    "tenacity": "sdk",
}

# Byte code without docstrings and columns: a container's memory and start have one sixth less of it. Of the SDK nothing
# else stays, which is most of the layer; the runner is started by its files' names, so its sources do.
_COMPILE = """
import sys, compileall, importlib.util, pathlib
if sys.version_info < (3, 10):
    sys.exit('Wherry needs Python 3.10 or newer in the image, it has ' + sys.version.split()[0])
if not compileall.compile_dir('/wherry', quiet=1, legacy=True, optimize=2):
    sys.exit('Wherry could not be compiled by the Python of the image')
for source in pathlib.Path('/wherry/sdk').rglob('*.py'):
    source.unlink()
for source in pathlib.Path('/wherry/runner').rglob('*.py'):
    cached = pathlib.Path(importlib.util.cache_from_source(source, optimization=''))
    cached.parent.mkdir(exist_ok=True)
    source.with_suffix('.pyc').rename(cached)
"""
# Isolated: a file of the user's in the working directory must not stand in for one of Python's own.
_COMMAND = ["python3", "-I", "-X", "no_debug_ranges", "-c", _COMPILE]


class RunnerLayer:
    """The files of the layer and their hash, which names the layer."""

    def __init__(self) -> None:
        self._files = sorted(_files())
        digest = hashlib.sha256(repr(_COMMAND).encode())
        for target, path in self._files:
            digest.update(f"{target}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        self.hash = digest.hexdigest()[:12]

    def write_to(self, directory: Path) -> None:
        """Write the files below `directory`, as the build context of `dockerfile`."""
        for target, path in self._files:
            copy = directory / "wherry" / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            copy.chmod(0o644)

    @staticmethod
    def dockerfile(base: str, labels: dict[str, str]) -> str:
        """Return the layer's Dockerfile: byte-compiled by the image's own Python, the image's user untouched."""
        label = " ".join(f'{name}="{value}"' for name, value in labels.items())
        return (
            f"FROM {base} AS compiled\nUSER 0:0\nCOPY wherry /wherry\n"
            f"RUN {json.dumps(_COMMAND)}\n"
            f"FROM {base}\nCOPY --from=compiled /wherry /wherry\nLABEL {label}\n"
        )


def _files() -> Iterator[tuple[str, Path]]:
    for package, place in _PLACES.items():
        # Found, not imported: the service knows nothing of the SDK and the runner but where they are.
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise Unready(f"this installation of Wherry lacks the package {package}: install it again")
        root = Path(next(iter(spec.submodule_search_locations)))
        for path in root.rglob("*.py"):
            relative = path.relative_to(root)
            if relative.parts[0] not in _LEFT_OUT.get(package, set()):
                yield f"{place}/{package}/{relative}", path
