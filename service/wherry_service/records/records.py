"""The records of all functions in memory, within a bound, and who hears of inputs that have ended."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from wherry_service.records.functions import FunctionRecords
from wherry_service.records.rows import Attempt, PlainRow, Subject
from wherry_service.records.settings import RecordSettings

# Inputs that have ended, of all functions.
MAX_ALL = 100_000
# So many are dropped at once, the oldest of the function that has most.
DROP = 1000
# Functions that have records; those without news for longest are forgotten.
MAX_FUNCTIONS = 5000
# Inputs whose errors and earlier attempts are kept, and attempts of one of them.
MAX_STORIES = 20_000
MAX_ATTEMPTS = 20

Describe = Callable[[str], Subject | None]
"""From a function's id to what it is called; None if it is not served (any more)."""


class Listener(Protocol):
    """Who hears of inputs that have ended, on the event loop: it must be quick."""

    def ended(self, subject: Subject, rows: Sequence[PlainRow]) -> None:
        """Hear that inputs of a function have ended; `rows.Row._make` names what each row has."""


class Story:
    """What is known of an input beside its row: only of one that failed, or was tried again."""

    __slots__ = ("attempts", "error")

    def __init__(self) -> None:
        self.error = ""
        # Before the last one.
        self.attempts: list[Attempt] = []


class CallRecords:
    """What became of inputs. Told by `calls/recorder.py`, asked by the api."""

    def __init__(self, settings: RecordSettings, describe: Describe) -> None:
        self.settings = settings
        self._describe = describe
        self._functions: dict[str, FunctionRecords] = {}
        self._count = 0
        # By functions and inputs' ids, since clients choose these and may choose the same. The oldest first.
        self._stories: dict[tuple[str, str], Story] = {}
        self._listeners: list[Listener] = []
        # Has who tells say what it has gathered.
        self.settle: Callable[[], None] = lambda: None

    # Telling

    def function(self, function_id: str, app_id: str = "", name: str = "") -> FunctionRecords:
        """Return the records of a function, which there are from now on; what it is called if nobody knows more."""
        known = self._functions.get(function_id)
        if known is None:
            subject = self._describe(function_id) or Subject("", app_id, "", function_id, name)
            if len(self._functions) >= MAX_FUNCTIONS:
                self._forget(min(self._functions.values(), key=lambda one: one.last_ms))
            known = self._functions[function_id] = FunctionRecords(subject, self.settings.keep)
        elif not known.subject.environment:
            self._name(known.subject)
        return known

    def _name(self, subject: Subject) -> None:
        """Give a function its names, if they are known by now: its containers start before its app is deployed."""
        found = self._describe(subject.function_id)
        if found is not None:
            subject.environment, subject.app_id = found.environment, found.app_id
            subject.app_name, subject.function_name = found.app_name, found.function_name

    def add(self, function: FunctionRecords, rows: Sequence[PlainRow], now_ms: int) -> None:
        """Keep inputs of a function that have ended, and tell those who hear of it."""
        ended = function.ended
        before = len(ended)
        ended.extend(rows)
        self._count += len(ended) - before
        function.last_ms = now_ms
        if self._count > MAX_ALL:
            self._drop()
        for listener in self._listeners:
            listener.ended(function.subject, rows)

    def story(self, function_id: str, input_id: str) -> Story:
        """Return what a function's input has beside its row, to be added to."""
        known = self._stories.get((function_id, input_id))
        if known is None:
            if len(self._stories) >= MAX_STORIES:
                del self._stories[next(iter(self._stories))]
            known = self._stories[function_id, input_id] = Story()
        return known

    def hear(self, listener: Listener) -> None:
        """Have a listener told of all inputs that end from now on."""
        self._listeners.append(listener)

    # Asking

    def __len__(self) -> int:
        self.settle()
        return self._count

    def __iter__(self) -> Iterator[FunctionRecords]:
        self.settle()
        found = list(self._functions.values())
        for one in found:
            if not one.subject.environment:
                self._name(one.subject)
        return iter(found)

    def get(self, function_id: str) -> FunctionRecords | None:
        """Return the records of a function, if it has any."""
        self.settle()
        return self._functions.get(function_id)

    def meant(self, environment: str, app: str, function: str) -> list[FunctionRecords]:
        """Return the records of functions by the names or ids of app and function; "": of any."""
        self.settle()
        return [one for one in self if one.subject.is_meant(environment, app, function)]

    def known_story(self, function_id: str, input_id: str) -> Story | None:
        """Return what a function's input has beside its row, if it has that."""
        return self._stories.get((function_id, input_id))

    def beside(self, function_id: str, input_id: str) -> tuple[str, Sequence[Attempt]]:
        """Return the error of a function's input and its attempts before the last one."""
        story = self._stories.get((function_id, input_id))
        return (story.error, list(story.attempts)) if story is not None else ("", ())

    def with_error(self, part: str) -> set[tuple[str, str]]:
        """Return the functions and inputs in whose error this is, in whatever case."""
        return {key for key, story in self._stories.items() if part in story.error.lower()}

    # Environments

    async def environment_changed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now, or is gone: then so are the records of its functions."""
        of_it = [one for one in self if one.subject.environment == name]
        for one in of_it:
            if new_name:
                one.subject.environment = new_name
            else:
                self._forget(one)

    # Bounds

    def _drop(self) -> None:
        largest = max(self._functions.values(), key=lambda one: len(one.ended))
        for _ in range(min(DROP, len(largest.ended))):
            largest.ended.popleft()
            self._count -= 1

    def _forget(self, function: FunctionRecords) -> None:
        del self._functions[function.subject.function_id]
        self._count -= len(function.ended)
