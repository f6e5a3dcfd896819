"""What becomes of an app's functions when others are published in their place."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from wherry_proto import codec
from wherry_proto.messages import FunctionBindRequest, FunctionChange, FunctionChangeKind
from wherry_service.apps.app import App
from wherry_service.apps.endpoints import Endpoint
from wherry_service.apps.plans import revision_of
from wherry_service.apps.variants import variant_of
from wherry_service.errors import InvalidRequest
from wherry_service.store.apps import FunctionRecord

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Change:
    """The functions an app is to have, and how they differ from those it has."""

    # In the order in which they were given.
    bases: Sequence[FunctionRecord]
    # With their variants.
    records: Sequence[FunctionRecord]
    claims: Sequence[Endpoint]
    # A FunctionChangeKind by function id, for those that are not as they were.
    kinds: Mapping[str, int]
    removed: Sequence[FunctionRecord]

    def described(self) -> list[FunctionChange]:
        """Return what differs for people: by name, without variants."""
        found = [
            FunctionChange(name=base.name, kind=self.kinds[base.function_id])
            for base in self.bases
            if base.function_id in self.kinds
        ]
        gone = [record.name for record in self.removed if not record.base_id]
        return found + [FunctionChange(name=name, kind=FunctionChangeKind.REMOVED) for name in gone]


def change_of(
    known: Mapping[str, FunctionRecord],
    bases: Sequence[FunctionRecord],
    variants: Sequence[FunctionRecord],
    claims: Sequence[Endpoint],
    fresh: bool = False,
) -> Change:
    """Compare what is to be with what is. `fresh`: what is as it was is replaced, too."""
    records = [*bases, *variants]
    kinds: dict[str, int] = {}
    for record in records:
        before = known.get(record.function_id)
        if before is None:
            kinds[record.function_id] = FunctionChangeKind.ADDED
        elif fresh:
            kinds[record.function_id] = FunctionChangeKind.REPLACED
        elif before.spec == record.spec and before.live == record.live:
            continue
        elif revision_of(before.spec) == revision_of(record.spec):
            kinds[record.function_id] = FunctionChangeKind.TUNED
        else:
            kinds[record.function_id] = FunctionChangeKind.REPLACED
    wanted = {record.function_id for record in records}
    removed = [record for function_id, record in known.items() if function_id not in wanted]
    return Change(bases, records, claims, kinds, removed)


def followed(
    app: App, bases: Sequence[FunctionRecord], check: Callable[[FunctionRecord], object]
) -> Sequence[FunctionRecord]:
    """Return the app's variants as they are of these functions; those go that can't be any more, as `check` says.

    What is kept as it was in an earlier version stays so.
    """
    found = [record for record in app.functions.values() if record.version]
    by_id = {base.function_id: base for base in (*bases, *found)}
    for record in app.functions.values():
        base = by_id.get(record.base_id)
        if record.version or base is None or bool(base.spec.methods) != bool(record.spec.methods):
            continue
        try:
            spec = variant_of(base.spec, codec.deserialize(FunctionBindRequest, record.bind))
            variant = dataclasses.replace(record, name=base.name, spec=spec, live=b"")
            check(variant)
        except InvalidRequest as error:
            log.warning("%s: a variant of %r ends with this version: %s", app, base.name, error)
            continue
        found.append(variant)
    return found
