"""The lines of many apps as one stream."""

import contextlib
import heapq
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator

from wherry._connection.client import Client
from wherry.cli._find import functions_in, list_of_apps
from wherry.cli._functions import function_of
from wherry.cli._logs import read_logs
from wherry.cli._usage import UsageError
from wherry.exception import ConnectionError, Error, NotFoundError
from wherry_proto.messages import AppInfo, LogLine, LogReadRequest

# Streams that one command reads.
MOST_APPS = 256
# Seconds between two looks for apps that are new.
_LOOK_S = 1.0
# Chunks that wait to be printed; whoever reads more waits.
_WAITING = 64


class AllLogs:
    """Reads what the containers of several apps printed. `chosen` picks the apps."""

    def __init__(
        self,
        client: Client,
        request: Callable[[], LogReadRequest],
        environment: str | None,
        stopped: bool,
        chosen: Callable[[AppInfo], bool],
    ) -> None:
        self._client = client
        self._request = request
        self._environment = environment
        self._stopped = stopped
        self._chosen = chosen
        # Where each app's lines have been read up to.
        self._read: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._chunks: queue.Queue[list[LogLine] | Error] = queue.Queue(_WAITING)
        self._over = threading.Event()

    def apps(self) -> list[AppInfo]:
        """Return the apps that are meant; raise UsageError where they are too many."""
        found = [app for app in list_of_apps(self._environment, self._stopped) if self._chosen(app)]
        if len(found) > MOST_APPS:
            raise UsageError(f"{len(found)} apps have logs here, and {MOST_APPS} is the most: name those you mean")
        self._names.update({app.app_id: app.name or app.app_id for app in found})
        return found

    def app_name(self, line: LogLine) -> str:
        """Return whose line it is."""
        return self._names.get(line.app_id, line.app_id)

    def kept(self) -> Iterator[list[LogLine]]:
        """Yield what is there already, of all apps in the order in which it came."""
        wanted = self._request()
        if wanted.only_new:
            return
        lines = heapq.merge(*(self._lines(app.app_id) for app in self.apps()), key=lambda line: line.position)
        if wanted.tail:
            yield list(deque(lines, wanted.tail))
            return
        for line in lines:
            yield [line]

    def _lines(self, app_id: str) -> Iterator[LogLine]:
        request = self._request()
        request.app_id, request.follow = app_id, False
        with contextlib.suppress(NotFoundError):
            for chunk in read_logs(self._client, request):
                self._read[app_id] = chunk[-1].position
                yield from chunk

    def to_come(self) -> Generator[list[LogLine], None, None]:
        """Yield lines as they come, also of apps that begin later; without end."""
        looking = threading.Thread(target=self._look, name="wherry-logs", daemon=True)
        looking.start()
        try:
            while True:
                chunk = self._chunks.get()
                if isinstance(chunk, Error):
                    raise chunk
                yield chunk
        finally:
            self._over.set()
            looking.join(_LOOK_S)

    def _look(self) -> None:
        """Follow each app there is, and look for new ones."""
        known: set[str] = set()
        first = True
        try:
            while not self._over.is_set():
                with contextlib.suppress(ConnectionError):
                    for app in self.apps():
                        if app.app_id not in known:
                            known.add(app.app_id)
                            threading.Thread(
                                target=self._follow, args=(app.app_id, first), name="wherry-logs", daemon=True
                            ).start()
                    first = False
                self._over.wait(_LOOK_S)
        except Error as error:
            self._chunks.put(error)

    def _follow(self, app_id: str, was_there: bool) -> None:
        request = self._request()
        request.app_id, request.follow, request.tail = app_id, True, 0
        request.after = self._read.get(app_id, 0)
        request.only_new = request.only_new and was_there
        try:
            for chunk in read_logs(self._client, request):
                self._chunks.put(chunk)
        except NotFoundError:
            return
        except Error as error:
            self._chunks.put(error)


class FunctionNames:
    """The names of functions by their ids, asked for when an id is new."""

    def __init__(self, environment: str | None) -> None:
        self._environment = environment
        self._names: dict[str, str] = {}
        self._asked: dict[str, float] = {}

    def of(self, line: LogLine) -> str:
        """Return the name of the function whose line it is; its id where the app has stopped, "" for none."""
        if not line.function_id or line.function_id in self._names:
            return self._names.get(line.function_id, "")
        now = time.monotonic()
        if now - self._asked.get(line.app_id, -_LOOK_S) >= _LOOK_S:
            self._asked[line.app_id] = now
            with contextlib.suppress(Error):
                self._learn(line.app_id)
        return self._names.get(line.function_id, line.function_id)

    def _learn(self, app_id: str) -> None:
        for status in functions_in(self._environment, app_id):
            known = function_of(status)
            self._names[known.function_id] = known.name


def colour_of(name: str) -> str:
    """Return the colour that a name has on a terminal: always the same."""
    return f"\x1b[{(36, 35, 34, 32, 96, 95, 94, 92)[sum(name.encode()) % 8]}m"


def apps_named(names: Iterable[str]) -> Callable[[AppInfo], bool]:
    """Return what picks apps by these names or ids; all for none."""
    wanted = set(names)
    return lambda app: not wanted or app.name in wanted or app.app_id in wanted
