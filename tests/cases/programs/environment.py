"""Variables that a process reads only as it starts work in env= and in secrets."""

import sys

import wherry

COMMANDS = {"start": "wherry run -q {file}"}
EXPECTED = {"start": (0, "True True\n/opt/lib True\n")}
app = wherry.App("case-environment")


@app.function(env={"PYTHONPATH": "/opt/lib", "PYTHONHASHSEED": "0"}, single_use_containers=True)
def by_env() -> tuple[int, bool]:
    return hash("a"), "/opt/lib" in sys.path


@app.function(secrets=[wherry.Secret.from_dict({"PYTHONPATH": "/opt/lib"})])
def by_secret() -> tuple[str, bool]:
    import wherry_runner

    # Behind the two places of the source.
    return sys.path[2], sys.path[-1] == "/wherry/sdk" and wherry_runner is not None


@app.local_entrypoint()
def main() -> None:
    (one, there), (other, _) = by_env.remote(), by_env.remote()
    print(one == other, there)
    print(*by_secret.remote())
