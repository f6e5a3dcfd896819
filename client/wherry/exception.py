"""What Wherry raises.

Error
├── RemoteError                     something failed on the service's side
│   ├── ImageBuildError
│   └── DeploymentError
├── TimeoutError                    not the builtin
│   ├── FunctionTimeoutError
│   ├── SandboxTimeoutError
│   ├── MountUploadTimeoutError
│   └── OutputExpiredError
├── SandboxTerminatedError
├── AuthError
├── PermissionDeniedError
├── ConnectionError                 not the builtin
├── InvalidError
│   └── ConflictError
├── VersionError
├── NotFoundError
│   └── VolumeFileNotFoundError     also the builtin FileNotFoundError
├── AlreadyExistsError
│   └── VolumeFileExistsError       also the builtin FileExistsError
├── ResourceExhaustedError
├── ExecutionError
│   ├── OpenFilesError              also the builtin RuntimeError
│   └── UnraisableError             a function raised SystemExit, CancelledError, StopIteration or the like
├── SerializationError
├── DeserializationError
└── InternalError
UserCodeException                   wraps an exception that `map(return_exceptions=True)` returns
InputCancellation (BaseException)   raised in user code whose input was cancelled
DeprecationError (UserWarning)      the category of warnings about old names
"""


class Error(Exception):
    """Base of all of Wherry's own errors."""


class RemoteError(Error):
    """Something failed on the service's side."""


class ImageBuildError(RemoteError):
    """An image could not be built; the message holds the end of its log."""


class DeploymentError(RemoteError):
    """A version of an app did not start; the one before serves on. The message holds the reason."""


class TimeoutError(Error):
    """Something took longer than allowed."""


class FunctionTimeoutError(TimeoutError):
    """A function ran longer than its `timeout`."""


class SandboxTimeoutError(TimeoutError):
    """A sandbox lived longer than its `timeout`."""


class MountUploadTimeoutError(TimeoutError):
    """Local files took too long to send."""


class OutputExpiredError(TimeoutError):
    """The result of a call is no longer kept."""


class SandboxTerminatedError(Error):
    """A sandbox was ended from outside."""


class AuthError(Error):
    """The service does not know who is asking."""


class PermissionDeniedError(Error):
    """The service knows who is asking, and refuses."""


class ConnectionError(Error):
    """The service can't be reached."""


class InvalidError(Error):
    """The caller asked for something that makes no sense."""


class ConflictError(InvalidError):
    """What was asked contradicts what is there."""


class VersionError(Error):
    """Client and service do not speak the same protocol."""


class NotFoundError(Error):
    """There is no such object."""


class VolumeFileNotFoundError(NotFoundError, FileNotFoundError):
    """A volume has no such file."""


class AlreadyExistsError(Error):
    """There is such an object already."""


class VolumeFileExistsError(AlreadyExistsError, FileExistsError):
    """A volume has a file of that path already."""


class ResourceExhaustedError(Error):
    """A limit of the service is reached."""


class ExecutionError(Error):
    """An object was used in a way or at a time that does not work."""


class UnraisableError(ExecutionError):
    """A function raised what would steer this program if it were raised here as itself.

    That is SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, StopIteration, StopAsyncIteration, and
    what is derived from them. The exception is `exc`, and the cause of this one.
    """

    def __init__(self, message: str, exc: BaseException | None = None) -> None:
        super().__init__(message)
        self.exc = exc
        if exc is not None:
            self.__cause__ = exc


class OpenFilesError(ExecutionError, RuntimeError):
    """A volume can't be reloaded while files of it are open."""


class SerializationError(Error):
    """A value could not be pickled."""


class DeserializationError(Error):
    """A value could not be unpickled."""


class InternalError(Error):
    """A fault of Wherry's own."""


class UserCodeException(Exception):
    """Holds an exception of the user's code, as `map(return_exceptions=True)` returns it.

    `exc` is the exception itself.
    """

    def __init__(self, exc: BaseException) -> None:
        super().__init__(exc)
        self.exc = exc


class InputCancellation(BaseException):
    """Raised in the user's code when the input it works on is cancelled."""


class DeprecationError(UserWarning):
    """Category of the warnings about names that have a newer spelling."""
