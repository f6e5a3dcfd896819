"""What becomes of an app's functions when others are published in their place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from wherry_proto.messages import FunctionChange, FunctionChangeKind
from wherry_service.apps.endpoints import Endpoint
from wherry_service.apps.plans import revision_of
from wherry_service.store.apps import FunctionRecord


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
) -> Change:
    """Compare what is to be with what is."""
    records = [*bases, *variants]
    kinds: dict[str, int] = {}
    for record in records:
        before = known.get(record.function_id)
        if before is None:
            kinds[record.function_id] = FunctionChangeKind.ADDED
        elif before.spec == record.spec and before.live == record.live:
            continue
        elif revision_of(before.spec) == revision_of(record.spec):
            kinds[record.function_id] = FunctionChangeKind.TUNED
        else:
            kinds[record.function_id] = FunctionChangeKind.REPLACED
    wanted = {record.function_id for record in records}
    removed = [record for function_id, record in known.items() if function_id not in wanted]
    return Change(bases, records, claims, kinds, removed)
