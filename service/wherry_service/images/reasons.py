"""Why an image is built: what of its definition differs from the nearest one that was built before."""

from collections.abc import Sequence
from dataclasses import dataclass

from wherry_proto.messages import ImageDefinition, ImageState, ImageStep, SourceFile
from wherry_service.images.definition import canonical, step_summary
from wherry_service.store.images import ImageRecord

_MOST_NAMES = 4


def reason(definition: ImageDefinition, own: ImageRecord | None, others: Sequence[ImageRecord]) -> str:
    """Return what goes after "because", or "" where nothing like it was built before.

    `own` is what is known of this very image; of `others` those that were used last come first.
    """
    for number, step in enumerate(definition.steps, 1):
        if step.force_build:
            return f"step {number}, {step_summary(step)}, is forced"
    if own is not None:
        return _again(own)
    # The earliest of equals: it was used last.
    nearest = max((_Likeness.of(definition, other.definition) for other in others), default=None)
    return nearest.difference(definition) if nearest is not None and nearest.is_near else ""


def _again(own: ImageRecord) -> str:
    if own.state == ImageState.PRUNED:
        return "it was pruned"
    if own.state == ImageState.BUILT:
        return "the engine has it no more"
    if own.state == ImageState.STOPPED:
        return "its last build was stopped"
    return "its last build did not end well"


@dataclass(frozen=True, slots=True)
class _Likeness:
    """How far two definitions are the same."""

    # Steps that are the same, from the first on, and from the last on.
    before: int
    after: int
    # What the steps at which they part have in common: packages, files.
    shared: int
    other: ImageDefinition

    @classmethod
    def of(cls, one: ImageDefinition, other: ImageDefinition) -> "_Likeness":
        mine, theirs = [canonical(step) for step in one.steps], [canonical(step) for step in other.steps]
        before = _same(mine, theirs)
        after = min(_same(mine[::-1], theirs[::-1]), len(mine) - before, len(theirs) - before)
        shared = 0
        if before < min(len(mine), len(theirs)) and one.steps[before].kind == other.steps[before].kind:
            step, old = one.steps[before], other.steps[before]
            paths = {file.path for file in step.files} & {file.path for file in old.files}
            shared = len({*step.args} & {*old.args}) + len(paths) + len(step.options.keys() & old.options.keys())
        return cls(before, after, shared, other)

    def __lt__(self, other: "_Likeness") -> bool:
        return (self.before, self.after, self.shared) < (other.before, other.after, other.shared)

    @property
    def is_near(self) -> bool:
        """Whether one may have become of the other: most chains have the base in common, which says nothing."""
        return self.before > 1 or self.before == 1 == len(self.other.steps) or bool(self.after or self.shared)

    def difference(self, definition: ImageDefinition) -> str:
        mine, theirs = definition.steps, self.other.steps
        at = self.before
        if at == len(mine):
            return f"it ends before {step_summary(theirs[at])}"
        if at == len(theirs) or len(mine) - self.after == at + 1 > len(theirs) - self.after:
            return f"step {at + 1}, {step_summary(mine[at])}, is new"
        if mine[at].kind != theirs[at].kind:
            return f"step {at + 1} is {step_summary(mine[at])}, and was {step_summary(theirs[at])}"
        return f"step {at + 1}, {mine[at].kind}, {_changed(mine[at], theirs[at])}"


def _same(mine: Sequence[object], theirs: Sequence[object]) -> int:
    return next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))


def _changed(step: ImageStep, old: ImageStep) -> str:
    mine, theirs = {*step.args}, {*old.args}
    more = [name for name in step.args if name not in theirs]
    less = [name for name in old.args if name not in mine]
    if more or less:
        has = f"has {_named(more)}" if more else ""
        had = f"has no longer {_named(less)}" if less else ""
        return " and ".join(part for part in (has, had) if part)
    files = {file.path: _content(file) for file in step.files}
    known = {file.path: _content(file) for file in old.files}
    if changed := sorted(path for path in {*files, *known} if files.get(path) != known.get(path)):
        return f"has other files: {_named(changed)}"
    names = sorted(name for name in {*step.options, *old.options} if step.options.get(name) != old.options.get(name))
    if step.kind == "run_function":
        return f"{step.args[0]} has another source, other globals or other arguments"
    return f"has another {_named(names)}" if names else "has its parts in another order"


def _content(file: SourceFile) -> tuple[object, ...]:
    return file.blob_id, file.executable, file.link, file.mode


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(" ".join(name.split())[:60] for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
