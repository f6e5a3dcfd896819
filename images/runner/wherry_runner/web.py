"""Functions that answer requests: which app each is, and a loop that runs them."""

import asyncio
import sys
from _collections import deque  # type: ignore[import-not-found]  # the C type alone
from typing import Any

from wherry_runner.executor import Desk
from wherry_runner.failures import text_of
from wherry_runner.inputs import Input
from wherry_runner.loader import LoadError
from wherry_runner.payload import with_article
from wherry_runner.tasks import TasksExecutor
from wherry_runner.watch import Keeper, Watch
from wherry_runner.web_stream import WEB, Gone, WebStream

SHUTDOWN_S = 25.0
# Seconds that requests to a server get at least when its container is to end.
LEAST_GRACE_S = 5.0


class WebExecutor(TasksExecutor):
    """Runs requests as tasks. Other methods of the same class run as in any loop."""

    def __init__(self, desk: Desk, watch: Watch, keeper: Keeper, concurrency: int) -> None:
        super().__init__(desk, watch, keeper, concurrency, False)
        self._apps: dict[str, Any] = {}
        # Seconds that requests get when the container is to end; None: as many as they take.
        self._grace_s: float | None = None
        self._cut_off: set[str] = set()
        self._frames: deque[tuple[Input, dict[str, Any], bytes]] = deque()

    # Beginning and end

    def open(self, web: dict[str, dict[str, Any]], name: str) -> None:
        """Make the apps and have them start; raise what the user's code raises, or `LoadError`."""
        asyncio.set_event_loop(self.loop)
        for method, spec in web.items():
            function = self.desk.methods[method][0] if self.desk.methods is not None else self.desk.function
            self._apps[method] = app = self._make(spec, function, f"{name}.{method}" if method else name)
            self.loop.run_until_complete(app.start())

    def _make(self, spec: dict[str, Any], function: Any, name: str) -> Any:
        # Each kind imports what it needs.
        kind = spec["kind"]
        if kind == "wsgi":
            from wherry_runner.wsgi import WsgiApp  # noqa: PLC0415 - start-up cost: 2.4 ms and 0.7 MiB, only for WSGI apps

            return WsgiApp(_called(function, name))
        if kind == "server":
            from wherry_runner.web_server import ServerApp  # noqa: PLC0415 - start-up cost: 0.3 ms, only for servers of the user's own

            if (grace := spec.get("exit_grace_s")) is not None:
                # Its enter hooks have started it.
                self._grace_s = max(LEAST_GRACE_S, float(grace))
                return ServerApp(int(spec["port"]), float(spec["port_timeout_s"]), name, is_watched=True)
            function()
            return ServerApp(int(spec["port"]), float(spec["port_timeout_s"]), name)
        from wherry_runner.asgi import AsgiApp  # noqa: PLC0415 - start-up cost: 0.2 ms, not for the others

        if kind == "endpoint":
            return AsgiApp(_fastapi_app(function, spec, name), name)
        return AsgiApp(_called(function, name), name)

    def close(self) -> None:
        """Have the apps stop."""
        for app in self._apps.values():
            try:
                self.loop.run_until_complete(asyncio.wait_for(app.stop(), SHUTDOWN_S))
            except (TimeoutError, asyncio.TimeoutError):  # noqa: UP041 - in Python 3.10 they are two
                print(f"the app did not end within {SHUTDOWN_S:g} s: its container ends without it", file=sys.stderr)
            except BaseException as error:  # user code; the others are to end, too  # noqa: BLE001
                print("the app failed as it ended:", file=sys.stderr)
                _tell(error)

    def drain(self) -> None:
        """Hear that the container ends when its requests have; those of a server get a limited time. Any thread."""
        grace, self._grace_s = self._grace_s, None
        if grace is not None:
            self._in_loop(self._loop.call_later, grace, self._cut)

    def _cut(self) -> None:
        for item in list(self.desk.running.values()):
            if isinstance(item.handle, asyncio.Task) and not item.ended_by:
                self._cut_off.add(item.input_id)
                item.handle.cancel()

    # Requests

    def hear(self, item: Input, header: dict[str, Any], part: bytes) -> None:
        """Hear a frame of a request's stream; from whatever thread reads."""
        # What the keeper reads while the loop is blocked comes before what the loop then reads itself.
        self._frames.append((item, header, part))
        self._in_loop(self._hear_all)

    def _hear_all(self) -> None:
        while self._frames:
            item, header, part = self._frames.popleft()
            if item.stream is None:
                item.early.append((header, part))
            else:
                item.stream.hear(header, part)

    async def _run(self, item: Input) -> None:
        app = self._apps.get(item.method)
        if app is None:
            await super()._run(item)
            return
        desk = self.desk
        if item.format != WEB:
            desk.fail(item, TypeError("this is a web endpoint: it answers requests, not calls"))
            return
        desk.begin(item)
        timer = self._loop.call_later(desk.timeout_s, self._end, item, "timeout")
        if self._keeper.parked:
            self._keeper.nudge()
        try:
            item.stream = stream = WebStream(desk, item, self._flush_soon)
            for frame in item.early:
                stream.hear(*frame)
            data = await app.serve(stream, item)
            if item.ended_by:
                desk.fail_ended(item)
            else:
                desk.give_raw(item, WEB, data)
        except Gone:
            desk.give_raw(item, WEB, b"")
        except BaseException as error:  # SystemExit, too, is this request's failure; the loop lives on  # noqa: BLE001
            if item.ended_by:
                desk.fail_ended(item, error)
            elif item.input_id in self._cut_off:
                desk.fail(item, ConnectionAbortedError("its container ended; exit_grace_period= gives requests longer"))
            else:
                _tell(error)
                desk.fail(item, error)
        finally:
            timer.cancel()


def _tell(error: BaseException) -> None:
    """Print a traceback: who sent the request must not see it, and who runs the app must."""
    import traceback  # noqa: PLC0415 - start-up cost: only for this

    trace = error.__traceback__
    text = text_of(error)
    if error.__traceback__ is None:
        # Where no frame is the user's, ours are better than none.
        text = "".join(traceback.format_tb(trace)) + text
    print(text.rstrip(), file=sys.stderr)


def _called(function: Any, name: str) -> Any:
    app = function()
    if not callable(app):
        raise LoadError(f"{name} returned {with_article(type(app).__name__)}: it must return the app")
    return app


def _fastapi_app(function: Any, spec: dict[str, Any], name: str) -> Any:
    try:
        from fastapi import FastAPI  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - the image's own: it may have none
        from fastapi.middleware.cors import CORSMiddleware  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - as above
    except ImportError as error:
        raise LoadError(
            f"{name} is a web endpoint, which needs FastAPI, and its image lacks it ({error}): add it with "
            'image=wherry.Image.debian_slim().pip_install("fastapi"). For programs of 2023 that expect it in every '
            "image: WHERRY_IMAGE_BUILDER_VERSION=2023.12"
        ) from None
    docs: dict[str, Any] = {} if spec["docs"] else {"openapi_url": None, "docs_url": None, "redoc_url": None}
    app = FastAPI(title=name, **docs)
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"], allow_headers=["*"]
    )
    app.add_api_route("/", function, methods=[spec["method"]])
    return app
