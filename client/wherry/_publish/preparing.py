"""Makes ready what an app's functions need, and describes them to the service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._base.code import has_file
from wherry._define.names import run_name
from wherry._publish.bring_up import bring_up
from wherry._publish.images import check_python
from wherry._publish.needs import alias_main, modules_of, needs_of
from wherry._publish.spec import function_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wherry._connection.client import Client
    from wherry._define.plan import Plan
    from wherry._define.recipe import Recipe
    from wherry._publish.source import SourceFile
    from wherry_proto.messages import FunctionSpec


class Prepared:
    """All that the service needs to serve an app's functions, sent but for what describes them."""

    def __init__(
        self, specs: list[FunctionSpec], files: list[SourceFile], root: Path | None, by_reference: bool
    ) -> None:
        # In the order of the plan's definitions.
        self.specs = specs
        self.files = files
        self.root = root
        # Whether values of the script's own types can be sent by reference.
        self.by_reference = by_reference


def prepared(
    plan: Plan,
    client: Client,
    app_id: str,
    environment: str,
    built: Mapping[Recipe, str] | None = None,
    creates: bool = True,
    name: str | None = None,
) -> Prepared:
    """Bring up what the functions need, and describe them.

    Images are not built where their ids are given; volumes and objects are made unless it is only a question. `name`:
    what the app is called instead of what its code says.
    """
    modules = modules_of(plan.definitions)
    alias_main()
    specs = [function_spec(definition) for definition in plan.definitions]
    written = name or plan.name
    called = run_name(written) if written else None
    for spec, definition in zip(specs, plan.definitions, strict=True):
        # What the code calls the app that defines it: this one, or one that it includes.
        own_name = plan.of(definition).name
        spec.app_name = own_name if own_name and own_name != called else ""
    brought = bring_up(
        client,
        [needs_of(plan, definition, modules) for definition in plan.definitions],
        app_id=app_id,
        environment=environment,
        built=built,
        objects=plan.objects,
        creates=creates,
    )
    for spec, ready in zip(specs, brought.ready, strict=True):
        ready.fill(spec)
        if spec.serialized is not None:
            check_python(client, spec.name, spec.image_id)
    main_is_shipped = any(module.__name__ == "__main__" and has_file(module) for module in modules)
    return Prepared(specs, brought.files, brought.root, main_is_shipped)
