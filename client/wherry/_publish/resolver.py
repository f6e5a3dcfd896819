"""Brings up what is wanted, in one order and each thing once, whoever wants it.

Each kind of thing is a class of `Want` beside what it knows: images, source, files, secrets, an app's own objects,
volumes, buckets. The resolver knows none of them: it is handed wants, and asks them by their stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from wherry._connection.client import Client

T = TypeVar("T")


class Want(Generic[T]):
    """One thing that is to be there; T is what the service is told of it. Two of the same class and key are one."""

    # Of the class: those of a lower stage are brought up first.
    STAGE = 0

    __slots__ = ("_key",)

    def __init__(self, *key: object) -> None:
        self._key = key

    def bring_up(self, resolver: Resolver) -> T:
        """Make it, send it or look for it. Raises what the kind of thing raises: NotFoundError, InvalidError."""
        raise NotImplementedError

    @classmethod
    def bring_up_all(cls, resolver: Resolver, wants: Sequence[Self]) -> list[T]:
        """Bring up all that are wanted at once, in their order."""
        return [want.bring_up(resolver) for want in wants]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._key == self._key

    def __hash__(self) -> int:
        return hash((type(self), self._key))


class Resolver:
    """What is wanted at one place: for one app, or none, in one environment ("": the client's)."""

    def __init__(self, client: Client, *, app_id: str = "", environment: str = "", creates: bool = True) -> None:
        self.client = client
        self.app_id = app_id
        self.environment = environment
        # Otherwise no volume or object is made: it is only a question.
        self.creates = creates
        self._answers: dict[Want[Any], Any] = {}

    def resolve(self, wants: Iterable[Want[Any]]) -> None:
        """Bring up what is not there yet, stage by stage."""
        missing = [want for want in dict.fromkeys(wants) if want not in self._answers]
        for kind in sorted({type(want) for want in missing}, key=lambda kind: kind.STAGE):
            own = [want for want in missing if type(want) is kind]
            self._answers.update(zip(own, kind.bring_up_all(self, own), strict=True))

    def note(self, want: Want[T], answer: T) -> None:
        """Take a thing as brought up: what it is known as is known already."""
        self._answers[want] = answer

    def __getitem__(self, want: Want[T]) -> T:
        answer: T = self._answers[want]
        return answer

    def all_of(self, wants: Sequence[Want[T]]) -> list[T]:
        """Return what the service is told of these things, brought up where they are not yet."""
        self.resolve(wants)
        return [self[want] for want in wants]

    def for_builds(self) -> Resolver:
        """Return one for what image builds need: in the same environment, of no app, and made where it is missing."""
        return Resolver(self.client, environment=self.environment or self.client.environment)
