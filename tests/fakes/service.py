"""A service inside the test's process, for the SDK: it runs functions in threads, and misbehaves when told to."""

import copy
import pickle
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any

from wherry import exception
from wherry_proto.messages import (
    AppInfo,
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AppStopRequest,
    AppStopResponse,
    BlobAdoptRequest,
    BlobChunk,
    BlobInfo,
    BlobMissingRequest,
    BlobMissingResponse,
    CallKind,
    CallStart,
    CallState,
    Failure,
    FailureKind,
    Format,
    FunctionBindRequest,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionSpec,
    FunctionStats,
    FunctionUpdateRequest,
    ImageEvent,
    ImageName,
    ImageNameRequest,
    ImagePublishRequest,
    Input,
    LogLine,
    LogLines,
    Message,
    Output,
    Payload,
    ServerInfo,
    SessionDown,
    SessionUp,
    SourceInfo,
    SourceTree,
    Welcome,
    Yield,
)

FAKE_ID = "0" * 25


class FakeService:
    """Implements the SDK's `Transport`. Functions are those that were published, found by `functions[name]`."""

    def __init__(self, functions: dict[str, Callable[..., Any]] | None = None) -> None:
        self.functions = functions or {}
        self.specs: dict[str, FunctionSpec] = {}
        # Of the app that was opened last.
        self.environment = "main"
        self.sources: list[SourceTree] = []
        self.uploads: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.streams: list[FakeStream] = []
        self.requests: list[tuple[str, Message]] = []
        self.messages: list[SessionUp] = []
        self.offered: list[str] = []
        self.executed: list[str] = []
        self.cancelled: list[str] = []
        self.variants: dict[tuple[str, bytes, tuple[str, ...]], str] = {}
        self.taken: list[str] = []
        self.kept: dict[str, Output] = {}
        # What each reading of logs gets, chunk by chunk.
        self.logs: list[list[list[LogLine] | Exception]] = []
        # Switches
        self.deliver_twice = False
        self.reverse = False
        self.hold = threading.Event()
        self.hold.set()
        self.down = False
        self.handover_dir = ""
        # Called when a blob is asked for, before it is given.
        self.before_blob: Callable[[], object] = lambda: None
        self.image_error = ""
        self.engine_away = False
        # By environment and name.
        self.image_names: dict[tuple[str, str], str] = {}
        self.app_stopped = AppStopResponse()
        self._calls: dict[str, CallStart] = {}
        self._answered: dict[str, list[SessionDown]] = {}
        self._held: list[Input] = []
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)

    # Transport

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        if self.down:
            raise exception.ConnectionError("the fake is down")
        self.requests.append((method, request))
        answer: Message = getattr(self, "_" + method.replace(".", "_").lower())(request)
        return answer

    def stream(self, method: str, request: Any) -> Iterator[Message]:
        self.requests.append((method, copy.copy(request)))
        if method == "Logs.Read":
            for lines in self.logs.pop(0):
                if isinstance(lines, Exception):
                    raise lines
                yield LogLines(lines=lines)
        if method == "Blobs.Get":
            self.before_blob()
            yield BlobChunk(data=self.blobs[request.blob_id])
        if method == "Images.Ensure":
            for index, _ in enumerate(request.images):
                yield ImageEvent(index=index, log="building")
                if self.image_error:
                    yield ImageEvent(index=index, error=self.image_error, engine_away=self.engine_away)
                else:
                    yield ImageEvent(index=index, image_id=f"im-{index}", built=True, seconds=1.0)

    def upload(self, method: str, requests: Iterable[Any]) -> Message:
        chunks = list(requests)
        blob_id = chunks[0].blob_id
        data = b"".join(chunk.data for chunk in chunks)
        (self.uploads if blob_id.startswith("sha256:") else self.blobs)[blob_id] = data
        return BlobInfo(blob_id=blob_id, size=len(data))

    def session(self, outgoing: Iterable[SessionUp]) -> "FakeStream":
        if self.down:
            raise exception.ConnectionError("the fake is down")
        stream = FakeStream(self, iter(outgoing))
        self.streams.append(stream)
        return stream

    def close(self) -> None:
        """Nothing is open."""

    def become_child(self) -> None:
        """Nothing is open."""

    # What tests do

    def break_connection(self) -> None:
        """End the session as a killed service would."""
        self.streams[-1].put(exception.ConnectionError("the fake broke the connection"))

    def forget(self) -> None:
        """Lose all that a service keeps in memory."""
        with self._lock:
            self._calls.clear()
            self._answered.clear()
            self._held.clear()

    def release(self) -> None:
        """Run what was held back."""
        self.hold.set()
        with self._lock:
            held, self._held = self._held, []
        self._run_all(list(reversed(held)) if self.reverse else held)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 10) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, seconds), "the client did not do what was awaited"

    # Methods

    def _server_info(self, request: Message) -> ServerInfo:
        return ServerInfo(handover_dir=self.handover_dir, pid=1)

    def _apps_open(self, request: AppOpenRequest) -> AppInfo:
        self.environment = request.environment
        return AppInfo(app_id="ap-1", name=request.name, environment=request.environment)

    def _apps_publish(self, request: AppPublishRequest) -> AppPublishResponse:
        infos = []
        for number, spec in enumerate(request.functions):
            function_id = f"fu-{FAKE_ID}{number}"
            self.specs[function_id] = spec
            infos.append(self._info(function_id))
        return AppPublishResponse(functions=infos)

    def _apps_stop(self, request: AppStopRequest) -> AppStopResponse:
        return self.app_stopped

    def _images_publish(self, request: ImagePublishRequest) -> ImageName:
        self.image_names[request.environment, request.name] = request.image_id
        return ImageName(name=request.name, environment=request.environment, image_id=request.image_id)

    def _images_named(self, request: ImageNameRequest) -> ImageName:
        key = request.environment, request.name
        if key not in self.image_names:
            raise exception.NotFoundError(f"no image is named {request.name!r}")
        return ImageName(name=request.name, environment=request.environment, image_id=self.image_names[key])

    def _blobs_missing(self, request: BlobMissingRequest) -> BlobMissingResponse:
        return BlobMissingResponse(blob_ids=[item for item in request.blob_ids if item not in self.uploads])

    def _blobs_putsource(self, request: SourceTree) -> SourceInfo:
        self.sources.append(request)
        return SourceInfo(source_id="so-1")

    def _blobs_adopt(self, request: BlobAdoptRequest) -> BlobInfo:
        return BlobInfo(blob_id=request.blob_id)

    def _functions_lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        for function_id, spec in self.specs.items():
            if request.function_id == function_id or request.name == spec.name:
                return self._info(function_id)
        raise exception.NotFoundError("no such function")

    def _functions_bind(self, request: FunctionBindRequest) -> FunctionInfo:
        if request.parameters is None and not request.fields:
            return self._info(request.function_id)
        key = (request.function_id, request.parameters.data if request.parameters else b"", tuple(request.fields))
        function_id = self.variants.setdefault(key, f"fu-{FAKE_ID[:-1]}V{len(self.variants) % 10}")
        spec = copy.copy(self.specs[request.function_id])
        spec.parameters = request.parameters
        self.specs[function_id] = spec
        return self._info(function_id)

    def _functions_update(self, request: FunctionUpdateRequest) -> FunctionInfo:
        return self._info(request.function_id)

    def _info(self, function_id: str) -> FunctionInfo:
        spec = self.specs[function_id]
        return FunctionInfo(
            function_id=function_id,
            name=spec.name,
            app_id="ap-1",
            environment=self.environment,
            is_generator=spec.is_generator,
            methods=spec.methods,
        )

    def _functions_stats(self, request: Message) -> FunctionStats:
        return FunctionStats(backlog=1, num_active_containers=2, num_total_containers=3)

    # The session

    def answered(self, input_id: str) -> list[SessionDown]:
        """Return what was sent of an input."""
        return self._answered[input_id]

    def received(self, stream: "FakeStream", message: SessionUp) -> None:
        with self.changed:
            self.messages.append(message)
            self.taken += message.taken
            for start in message.calls:
                self._calls.setdefault(start.call_id, start)
            self.cancelled += [item.call_id for item in message.cancels]
            fresh: list[Input] = []
            for item in message.inputs:
                self.offered.append(item.input_id)
                if item.input_id in self._answered:
                    for answer in self._answered[item.input_id]:
                        self.send(answer)
                elif item.call_id in self._calls and item not in self._held:
                    fresh.append(item)
            if not self.hold.is_set():
                self._held += fresh
                fresh = []
            for watch in message.watches:
                known = self.kept.get(watch.call_id)
                if known is not None:
                    self.send(SessionDown(outputs=[known]))
                state = CallState(call_id=watch.call_id, known=known is not None or watch.call_id in self._calls)
                self.send(SessionDown(states=[state]))
            self.changed.notify_all()
        self._run_all(list(reversed(fresh)) if self.reverse else fresh)

    def _run_all(self, items: list[Input]) -> None:
        for item in items:
            answers = self._run(item)
            with self.changed:
                self._answered[item.input_id] = answers
                self.executed.append(item.input_id)
                self.changed.notify_all()
            for answer in answers:
                for _ in range(2 if self.deliver_twice else 1):
                    self.send(answer)

    def send(self, message: SessionDown) -> None:
        if self.streams:
            self.streams[-1].put(message)

    def _run(self, item: Input) -> list[SessionDown]:
        start = self._calls[item.call_id]
        assert item.payload is not None
        output = Output(input_id=item.input_id, call_id=item.call_id, index=item.index)
        answers: list[SessionDown] = []
        try:
            args, kwargs = pickle.loads(item.payload.data or self._handed_over(item.payload))
            value = self._target(self.specs[start.function_id], item.method)(*args, **kwargs)
            if isinstance(value, GeneratorType):
                for index, part in enumerate(value):
                    part_value = Yield(
                        input_id=item.input_id,
                        call_id=item.call_id,
                        index=index,
                        payload=payload(part),
                        input_index=item.index,
                    )
                    answers.append(SessionDown(yields=[part_value]))
                    output.num_yields = index + 1
            else:
                output.payload = payload(value)
        except BaseException as error:  # a function may raise anything; it becomes a failure  # noqa: BLE001
            output.num_yields = len(answers)
            output.failure = failure_of(error)
        answers.append(SessionDown(outputs=[output]))
        if start.kind == CallKind.SPAWN:
            self.kept[item.call_id] = output
            return [SessionDown(accepted=[item.input_id])]
        return answers

    def _target(self, spec: FunctionSpec, method: str) -> Callable[..., Any]:
        """Return the function of that name; of a class, whose plain form is there, a method of a new object."""
        found: Any = self.functions[spec.name]
        if not method:
            return found  # type: ignore[no-any-return]
        args, kwargs = pickle.loads(spec.parameters.data) if spec.parameters is not None else ((), {})
        return found(*args, **kwargs)[method]  # type: ignore[no-any-return]

    def _handed_over(self, given: Payload) -> bytes:
        if self.handover_dir:
            with open(f"{self.handover_dir}/{given.blob_id}", "rb") as file:
                return file.read()
        return self.blobs[given.blob_id]


class FakeStream:
    """One session stream of the fake."""

    def __init__(self, service: FakeService, requests: Iterator[SessionUp]) -> None:
        self._service = service
        self._requests = requests
        self._down: queue.SimpleQueue[SessionDown | Exception | None] = queue.SimpleQueue()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def put(self, message: SessionDown | Exception | None) -> None:
        self._down.put(message)

    def cancel(self) -> None:
        self.put(None)

    def abandon(self) -> None:
        """Nothing is open."""

    def __iter__(self) -> Iterator[SessionDown]:
        while (message := self._down.get()) is not None:
            if isinstance(message, Exception):
                self._ended = True
                raise message
            yield message

    def _read(self) -> None:
        for message in self._requests:
            if self._ended:
                return
            if message.hello is not None:
                self.put(SessionDown(welcome=Welcome(protocol=1, version="0", instance_id="x", inline_limit=1 << 20)))
            self._service.received(self, message)
        self.put(None)


def payload(value: Any) -> Payload:
    data = pickle.dumps(value)
    return Payload(format=Format.PICKLE, data=data, size=len(data))


def failure_of(error: BaseException) -> Failure:
    return Failure(
        kind=FailureKind.EXCEPTION,
        type_name=f"{type(error).__module__}.{type(error).__qualname__}",
        message=str(error),
        exception=payload((error, None)),
        container_id=f"co-{FAKE_ID}0",
    )
