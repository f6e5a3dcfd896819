"""Publishes an app's functions from a process of its own, so that each version of the code is loaded anew.

`python -m wherry.cli._publish REF REPORT`, with the rest in the environment (see serve.py); writes REPORT as JSON.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from wherry._connection.client import default_client
from wherry._publish.opening import opened
from wherry._publish.running import publish
from wherry.cli._common import use_environment
from wherry.cli._ref import find_app
from wherry.cli._trace import show_error
from wherry.cli._usage import UsageError
from wherry.exception import Error
from wherry.output import screen_for_stdout
from wherry_proto.messages import AppInfo

OWNER, APP, ENVIRONMENT = "WHERRY_SERVE_OWNER", "WHERRY_SERVE_APP", "WHERRY_SERVE_ENVIRONMENT"
NAME = "WHERRY_SERVE_NAME"


def main() -> None:
    """Import, open the app if it is not open, publish; exit 1 when one of these fails, its reason printed."""
    ref, report = sys.argv[1], Path(sys.argv[2])
    try:
        _publish(ref, report)
    except (UsageError, Error) as error:
        sys.exit(f"Error: {error}")
    except BaseException as error:  # noqa: BLE001 - importing runs the user's code, which may raise anything
        show_error(error)
        sys.exit(1)


def _publish(ref: str, report: Path) -> None:
    use_environment(os.environ.get(ENVIRONMENT) or None)
    plan = find_app(ref).__wherry_owner__.plan()
    client = default_client()
    client.listener.screen = screen = screen_for_stdout(quiet=False, verbose=False)
    app_id = os.environ.get(APP, "")
    name = os.environ.get(NAME) or plan.name or ""
    opening = (
        nullcontext(AppInfo(app_id=app_id))
        if app_id
        else opened(plan, client, client.environment, name, owner_id=os.environ[OWNER])
    )
    try:
        with opening as info:
            app_id = info.app_id
            files = publish(plan, client, app_id, client.environment, name or None).ready.files
    finally:
        screen.close()
    report.write_text(json.dumps({"app_id": app_id, "name": name, "files": {str(f.local): f.blob_id for f in files}}))


if __name__ == "__main__":
    main()
