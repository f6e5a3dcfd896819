"""What is known of the function of an input that failed: whose it is, in which version it ran, and who hears of it."""

from collections.abc import Iterable, Sequence

from wherry_proto.messages import FunctionSpec
from wherry_service.apps.app import App
from wherry_service.apps.plans import webs_of
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.failures import Around, Facts, Failures
from wherry_service.calls.journal import Journal
from wherry_service.errors import InvalidRequest, NotFound, near
from wherry_service.logs.masks import Masks
from wherry_service.store.apps import FunctionRecord


class FailedOnes:
    """Looks at running apps for `calls.failures`."""

    def __init__(self, register: AppRegister) -> None:
        self._register = register

    def look(self, item: Input, revision: str) -> Facts | None:
        """Return what is known of an input's function; None where it is gone."""
        try:
            app, record = self._register.find(item.call.function_id)
        except NotFound:
            return None
        told_id, problem = self._told(app, record)
        return Facts(
            app.record.app_id,
            app.record.name,
            app.record.environment,
            record.name,
            _version(app, record, revision),
            told_id,
            problem,
        )

    def _told(self, app: App, record: FunctionRecord) -> tuple[str, str]:
        """Return the id of the function that hears of it, or why none does."""
        wanted = record.spec.on_failure
        if wanted is None:
            return "", ""
        try:
            # Another app is looked for in the same environment only: who may deploy here may not call elsewhere.
            other = self._register.named(wanted.app_name, app.record.environment) if wanted.app_name else app
            found = next((one for one in other.bases if one.name == wanted.function_name), None)
            if found is None:
                names = [one.name for one in other.bases]
                raise NotFound(f"{other} has no function {wanted.function_name!r}{near(wanted.function_name, names)}")
            check_told(found.spec)
        except (NotFound, InvalidRequest) as error:
            return "", str(error)
        return found.function_id, ""


def begin_failures(
    failures: Failures, register: AppRegister, journal: Journal, dispatcher: Dispatcher, masks: Masks
) -> None:
    """Have failed inputs kept, now that apps are known."""

    def mask(app_id: str, text: str) -> str:
        return masks.masker(app_id).text(text)

    def run(items: Sequence[Input]) -> None:
        journal.restore(items)
        dispatcher.submit(items)

    failures.begin(Around(FailedOnes(register).look, mask, run))


def check_failure_handlers(specs: Iterable[FunctionSpec]) -> None:
    """Raise `InvalidRequest` where a function's `on_failure` names none of its app that can hear of failures."""
    by_name = {spec.name: spec for spec in specs}
    for spec in by_name.values():
        wanted = spec.on_failure
        if wanted is None:
            continue
        if len(wanted.app_name) > 64 or not 1 <= len(wanted.function_name) <= 256:
            raise InvalidRequest(f"function {spec.name!r}: on_failure names no function")
        if wanted.app_name:
            continue
        found = by_name.get(wanted.function_name)
        if found is None:
            raise InvalidRequest(
                f"function {spec.name!r}: on_failure names {wanted.function_name!r}, which its app does not have"
                f"{near(wanted.function_name, list(by_name))}"
            )
        if found is spec:
            raise InvalidRequest(f"function {spec.name!r}: on_failure names the function itself")
        check_told(found)


def check_told(spec: FunctionSpec) -> None:
    """Raise `InvalidRequest` for a function that can't be called with what failed."""
    if spec.methods or spec.is_generator or webs_of(spec) or (spec.pool is not None and spec.pool.max_batch_size):
        raise InvalidRequest(
            f"on_failure names {spec.name!r}, which is a class, a generator, a web endpoint or batched: name a plain "
            "function that takes one argument"
        )


def _version(app: App, record: FunctionRecord, revision: str) -> int:
    base = app.functions.get(record.base_id)
    if fixed := record.version or (base.version if base is not None else 0):
        return fixed
    known = app.served.get((record.function_id, revision)) if revision else None
    return known if known is not None else app.deployment.version if app.deployment is not None else 0
