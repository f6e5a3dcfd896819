"""The app deployed anew under load, with another version in its functions, now and then."""

import os
import subprocess
import sys

from chaos.client import Client

BETWEEN_S = 25.0
FIRST_VERSION = 1


def run(client: Client) -> None:
    """Deploy until told to stop."""
    version = max([FIRST_VERSION, *(int(one.asked["version"]) for one in client.before if one.what == "deploy")])
    while not client.stopping:
        client.idle(BETWEEN_S)
        if client.stopping:
            return
        version += 1
        with client.asking("deploy", version=version) as answer:
            command = [sys.executable, "-m", "wherry.cli.main", "deploy", "--quiet", "chaos.functions"]
            environment = {**os.environ, "CHAOS_VERSION": str(version)}
            said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if said.returncode != 0:
                raise RuntimeError(f"wherry deploy ended with code {said.returncode}: {said.stdout}{said.stderr}")
        client.rest(answer)
