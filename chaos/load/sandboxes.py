"""Sandboxes: made, given commands one after the other, ended."""

import wherry
from chaos.client import Client

COMMANDS = 6


def run(client: Client) -> None:
    """Make one after the other until told to stop."""
    while not client.stopping:
        made: list[wherry.Sandbox] = []
        with client.asking("create") as answer:
            made.append(wherry.Sandbox.create(timeout=120, block_network=True))
            answer.facts["sandbox"] = made[0].object_id
        client.rest(answer)
        for sandbox in made:
            for number in range(COMMANDS):
                if client.stopping:
                    break
                with client.asking("exec", sandbox=sandbox.object_id, number=number) as answer:
                    # A command is run once: its file says how often it was.
                    command = f"echo {number} >> /tmp/said; tail -n 1 /tmp/said; exit {number + 1}"
                    process = wherry.Sandbox.from_id(sandbox.object_id).exec("sh", "-c", command, timeout=30)
                    answer.facts["said"] = process.stdout.read()
                    answer.facts["code"] = process.wait()
                client.rest(answer)
                client.pause(0.3)
            with client.asking("terminate", sandbox=sandbox.object_id) as answer:
                sandbox.terminate()
            client.rest(answer)
