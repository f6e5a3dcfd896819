"""A plugin for mypy: it knows what `Greeter(n=1)` takes, for classes with `@app.cls()` and `parameter()`.

In `pyproject.toml`: `[tool.mypy]` with `plugins = ["wherry.mypy"]`. Without it mypy does not see what a decorator such
as `app.cls` makes of a class. A class that derives from `wherry.Parametrized` needs no plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mypy.nodes import (
    ARG_NAMED,
    ARG_NAMED_OPT,
    Argument,
    AssignmentStmt,
    CallExpr,
    ClassDef,
    Decorator,
    Expression,
    FuncDef,
    MemberExpr,
    NameExpr,
    OverloadedFuncDef,
    Var,
)
from mypy.plugin import ClassDefContext, Plugin, SemanticAnalyzerPluginInterface
from mypy.plugins.common import add_method_to_class
from mypy.types import AnyType, NoneType, Type, TypeOfAny

_PARAMETER = "wherry._classes.parameters.parameter"
# What has its `__init__` from elsewhere.
_BASE = "wherry._classes.parametrized.Parametrized"


class WherryPlugin(Plugin):
    """Gives classes with parameters their `__init__`."""

    def get_customize_class_mro_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Return what looks at a class when its bases are known."""
        return None if fullname.startswith(("wherry.", "builtins.")) else _give_init


def plugin(version: str) -> type[Plugin]:
    """Return the plugin: mypy asks by this name."""
    return WherryPlugin


def _give_init(context: ClassDefContext) -> None:
    defn, api = context.cls, context.api
    if not any(_is_cls(decorator) for decorator in defn.decorators):
        return
    classes: list[ClassDef] = [info.defn for info in defn.info.mro] or [defn]
    if any(_has_init(each) for each in classes if each.fullname != "builtins.object"):
        return
    if any(each.fullname == _BASE for each in classes):
        return
    found: dict[str, Argument] = {}
    for each in reversed(classes):
        for name, hint, call in _parameters(each, api):
            argument = _argument(name, hint, call, api)
            if argument is not None:
                found[name] = argument
    if found:
        add_method_to_class(api, defn, "__init__", list(found.values()), NoneType())


def _is_cls(decorator: Expression) -> bool:
    """Tell whether it is `@app.cls(…)`."""
    callee = decorator.callee if isinstance(decorator, CallExpr) else None
    return isinstance(callee, MemberExpr) and callee.name == "cls"


def _has_init(defn: ClassDef) -> bool:
    functions = (FuncDef, Decorator, OverloadedFuncDef)
    return any(isinstance(each, functions) and each.name == "__init__" for each in defn.defs.body)


def _parameters(defn: ClassDef, api: SemanticAnalyzerPluginInterface) -> Iterator[tuple[str, Type | None, CallExpr]]:
    """Yield the name, the type as it is written and the call of each `name: type = parameter(…)` of a class."""
    for each in defn.defs.body:
        if isinstance(each, AssignmentStmt) and each.new_syntax and len(each.lvalues) == 1:
            target, value = each.lvalues[0], each.rvalue
            if isinstance(target, NameExpr) and isinstance(value, CallExpr) and _is_parameter(value.callee, api):
                yield target.name, each.unanalyzed_type, value


def _is_parameter(callee: Expression, api: SemanticAnalyzerPluginInterface) -> bool:
    name = _dotted(callee)
    symbol = api.lookup_qualified(name, callee, suppress_errors=True) if name else None
    return symbol is not None and symbol.fullname == _PARAMETER


def _dotted(expression: Expression) -> str:
    if isinstance(expression, NameExpr):
        return expression.name
    if isinstance(expression, MemberExpr):
        before = _dotted(expression.expr)
        return f"{before}.{expression.name}" if before else ""
    return ""


def _argument(name: str, hint: Type | None, call: CallExpr, api: SemanticAnalyzerPluginInterface) -> Argument | None:
    """Return the argument of `__init__`; None for a parameter that can't be given."""
    given = dict(zip(call.arg_names, call.args, strict=True))
    init = given.get("init")
    if isinstance(init, NameExpr) and init.name == "False":
        return None
    kind = api.anal_type(hint) if hint is not None else None
    found = kind or AnyType(TypeOfAny.unannotated)
    return Argument(Var(name, found), found, None, ARG_NAMED_OPT if "default" in given else ARG_NAMED)
