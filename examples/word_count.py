"""The most frequent words of Python's own manual, counted by topic in containers: `starmap` over real text.

wherry run examples/word_count.py --top 15
"""

import re
from collections import Counter

import wherry

app = wherry.App("word-count", image=wherry.Image.debian_slim())

# Words that say nothing of a text.
COMMON = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "for",
        "from",
        "has",
        "if",
        "in",
        "is",
        "it",
        "its",
        "not",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "with",
    ]
)


@app.function(max_containers=4)
def count(topic: str, text: str) -> tuple[str, Counter[str]]:
    """Count the words of one text."""
    return topic, Counter(word for word in re.findall(r"[a-z]{2,}", text.lower()) if word not in COMMON)


@app.local_entrypoint()
def main(top: int = 10) -> None:
    """Print the most frequent words of all, and of the longest topic."""
    from pydoc_data.topics import topics  # noqa: PLC0415 - start-up cost: the manual's reference part, which every Python brings along

    words: Counter[str] = Counter()
    longest, of_longest = "", Counter[str]()
    for topic, counted in count.starmap(topics.items(), order_outputs=False):
        words += counted
        if counted.total() > of_longest.total():
            longest, of_longest = topic, counted
    print(f"{len(topics)} topics, {words.total():,} words, {len(words):,} of them different")
    print(f"{'in all':>22}    in {longest!r}")
    for (word, number), (word2, number2) in zip(words.most_common(top), of_longest.most_common(top), strict=False):
        print(f"{number:>8,}  {word:<12}  {number2:>4,}  {word2}")
