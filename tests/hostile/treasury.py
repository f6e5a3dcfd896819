"""The app of another environment that attackers are after. Each of its secrets has PROD in it."""

import wherry

app = wherry.App("treasury", image=wherry.Image.debian_slim())
volume = wherry.Volume.from_name("strongroom", create_if_missing=True, environment_name="prod")


@app.function(
    volumes={"/v": volume}, secrets=[wherry.Secret.from_dict({"KEY": "PROD-KEY"})], min_containers=1, max_containers=2
)
def count(seconds: float) -> str:
    import time

    with open("/v/ledger", "a") as file:
        file.write("PROD-LEDGER\n")
    time.sleep(seconds)
    return "PROD-RESULT"
