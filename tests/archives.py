"""Archives that tests unpack."""

import tarfile
from pathlib import Path


def unpack(tar: tarfile.TarFile, root: Path) -> None:
    """Unpack an archive; as data where this Python knows what that is (from 3.11.4 on)."""
    tar.extractall(root, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
