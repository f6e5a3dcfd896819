"""What functions are called, for who knows no apps."""

from wherry_service.apps.register import AppRegister
from wherry_service.errors import NotFound
from wherry_service.records.rows import Subject


class FunctionNames:
    """Names functions of running apps, from when those are known on."""

    def __init__(self) -> None:
        self._register: AppRegister | None = None

    def begin(self, register: AppRegister) -> None:
        """Look functions up here from now on."""
        self._register = register

    def subject(self, function_id: str) -> Subject | None:
        """Return what a function is called; None if no running app has it."""
        if self._register is None:
            return None
        try:
            app, function = self._register.find(function_id)
        except NotFound:
            return None
        record = app.record
        return Subject(record.environment, record.app_id, record.name, function_id, function.name)

    def version(self, function_id: str) -> int:
        """Return the version of a function's app, 0 where it is not deployed or does not run."""
        if self._register is None:
            return 0
        try:
            deployment = self._register.find(function_id)[0].deployment
        except NotFound:
            return 0
        return deployment.version if deployment is not None else 0
