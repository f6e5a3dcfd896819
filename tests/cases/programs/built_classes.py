"""Methods with `@build()`, as classes of 2023 and 2024 have them: what they leave is in the image of their class."""

import wherry

COMMANDS = {"run": "wherry run -q {file}", "serialized": "wherry run -q {file}::app.main --again"}
EXPECTED = {"run": (0, "made by tiny 1\nboth 2\n"), "serialized": (0, "sent\n")}

app = wherry.App("case-built-classes", secrets=[wherry.Secret.from_dict({"SIZE": "tiny"})])


@app.cls()
class Model:
    extra: int = wherry.parameter(default=1)

    @wherry.build()
    def download(self):
        import os
        from pathlib import Path

        Path("/model").mkdir()
        Path("/model/weights").write_text(f"made by {os.environ['SIZE']} {self.extra}")

    @wherry.build(timeout=60)
    @wherry.enter()
    async def load(self):
        from pathlib import Path

        place = Path("/model/count")
        if not place.exists():
            place.write_text("both")
        self.loaded = place.read_text()
        self.times = getattr(self, "times", 1) + 1

    @wherry.method()
    def weights(self):
        from pathlib import Path

        return Path("/model/weights").read_text()

    @wherry.method()
    def count(self):
        return f"{self.loaded} {self.times}"


@app.cls(serialized=True)
class Sent:
    @wherry.enter()
    @wherry.build()
    def prepare(self):
        from pathlib import Path

        Path("/sent").touch()

    @wherry.method()
    def run(self):
        from pathlib import Path

        return "sent" if Path("/sent").exists() else "lost"


@app.local_entrypoint()
def main(again: bool = False):
    if again:
        print(Sent().run.remote())
        return
    print(Model().weights.remote())
    print(Model().count.remote())
