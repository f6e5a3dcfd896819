"""A class with a loaded model: it is trained once in each container, and answers for every input after that.

wherry run examples/classify.py --text "def area(r): return 3.14 * r ** 2"
"""

import math
import re
from collections import Counter

import wherry

app = wherry.App("classify", image=wherry.Image.debian_slim())


@app.cls(max_containers=1)
class Classifier:
    """Tells prose from Python by the words it has seen in each: naive Bayes."""

    smoothing: float = wherry.parameter(default=1.0)

    @wherry.enter()
    def train(self) -> None:
        """Read the container's own library: its manual is prose, its modules are Python."""
        import pathlib  # noqa: PLC0415 - start-up cost: loaded when it is needed
        import sysconfig  # noqa: PLC0415 - start-up cost: as above
        from pydoc_data.topics import topics  # noqa: PLC0415 - start-up cost: as above

        library = pathlib.Path(sysconfig.get_path("stdlib"))
        code = " ".join(path.read_text(errors="replace") for path in sorted(library.glob("[a-f]*.py")))
        self.words = {"prose": Counter(_words(" ".join(topics.values()))), "python": Counter(_words(code))}
        print("trained on", {label: f"{words.total():,} words" for label, words in self.words.items()})

    @wherry.method()
    def classify(self, text: str) -> tuple[str, float]:
        """Return the likelier label, and by how much: the logarithm of the odds."""
        scores = dict.fromkeys(self.words, 0.0)
        for label, words in self.words.items():
            total = words.total() + self.smoothing * len(words)
            for word in _words(text):
                scores[label] += math.log((words[word] + self.smoothing) / total)
        best = max(scores, key=lambda label: scores[label])
        return best, 2 * scores[best] - sum(scores.values())


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_]+|[=(){}\[\]:]", text)


@app.local_entrypoint()
def main(text: str = "") -> None:
    """Classify a text, or a few of our own."""
    texts = [text] if text else [
        "The value of the expression is then bound to the name, as the user would expect.",
        "for i in range(10): self.items.append(i)",
        "Exceptions are raised when something is wrong, and they may be caught by the caller.",
        "return {key: value for key, value in pairs if value is not None}",
    ]  # fmt: skip
    classifier = Classifier(smoothing=0.5)
    for given, (label, odds) in zip(texts, classifier.classify.map(texts), strict=True):
        print(f"{label:>7} {odds:6.1f}  {given}")
