"""Parameters of classes: attributes that are set when an object is made."""

from __future__ import annotations

import sys

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry_proto.messages import ParameterSpec


class _Missing:
    def __repr__(self) -> str:
        return "<required>"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Any = _Missing()
_TYPES = {kind.__name__: kind for kind in (str, int, float, bool, bytes)}
_NONE = type(None)


class Parameter:
    """An attribute of a class that is set when an object is made of it. (reference: parameter)"""

    __slots__ = ("default", "init")

    def __init__(self, default: Any, init: bool) -> None:
        self.default = default
        self.init = init

    def __reduce__(self) -> Any:
        return Parameter, (self.default, self.init)


def parameter(*, default: Any = MISSING, init: bool = True) -> Any:
    """Declare a parameter of a class: `name: str = wherry.parameter(default="you")`.

    It is a str, int, float, bool or bytes, or None where its type says so. Without a default it must be given; with
    `init=False` it can't be. Raises InvalidError for `init=False` without a default. (reference: parameter)
    """
    if not init and default is MISSING:
        raise InvalidError("parameter(init=False) needs a default: nobody can give its value")
    return Parameter(default, init)


class Parameters:
    """What a class declares. Raises InvalidError for a type, or a default, that a parameter can't have."""

    def __init__(self, user_class: type, declared: Mapping[str, Parameter]) -> None:
        self._class = user_class.__name__
        self._declared = dict(declared)
        self._types = {own: _type_of(user_class, own) for own in declared}
        for own, item in declared.items():
            if item.default is not MISSING and not _fits(item.default, self._types[own]):
                raise InvalidError(
                    f"parameter {own!r} of class {self._class} has type {_shown(self._types[own])}: "
                    f"its default can't be {item.default!r}"
                )

    def __bool__(self) -> bool:
        return bool(self._declared)

    def __contains__(self, own: object) -> bool:
        return own in self._declared

    @property
    def required(self) -> list[str]:
        """The names of those without a default."""
        return [own for own, item in self._declared.items() if item.default is MISSING]

    def defaults(self) -> dict[str, Any]:
        """Return the defaults by name, of those that have one."""
        return {own: item.default for own, item in self._declared.items() if item.default is not MISSING}

    def options(self) -> list[tuple[str, Any, Any]]:
        """Return those that can be given, each (name, type, default or MISSING)."""
        found = []
        for own, item in self._declared.items():
            types = [kind for kind in self._types[own] if kind is not _NONE]
            hint: Any = types[0]
            for kind in [*types[1:], *([None] if _NONE in self._types[own] else [])]:
                hint = hint | kind
            if item.init:
                found.append((own, hint, item.default))
        return found

    def specs(self) -> list[ParameterSpec]:
        """Describe those that can be given for the service, which reads them from queries of requests and from JSON."""
        if not self._declared:
            return []
        import json  # noqa: PLC0415 - start-up cost: only for classes with parameters

        from wherry_proto.messages import ParameterSpec  # noqa: PLC0415 - start-up cost: as above

        return [
            ParameterSpec(
                name=own,
                types=[kind.__name__ if kind is not _NONE else "None" for kind in self._types[own]],
                default_json="" if item.default is MISSING or type(item.default) is bytes else json.dumps(item.default),
                required=item.default is MISSING,
            )
            for own, item in self._declared.items()
            if item.init
        ]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the values that differ from the defaults, by name in order; raise TypeError for what does not fit."""
        name = self._class
        offered = [own for own, item in self._declared.items() if item.init]
        if args:
            raise TypeError(f"{name}() takes its parameters by name: {', '.join(f'{own}=' for own in offered)}")
        for own in kwargs:
            if own not in offered:
                raise TypeError(f"{name}() has no parameter {own!r}; it has {', '.join(offered) or 'none'}")
        for own in self.required:
            if own not in kwargs:
                raise TypeError(f"{name}() lacks its parameter {own!r}: write {name}({own}=...)")
        found: dict[str, Any] = {}
        for own, value in sorted(kwargs.items()):
            types = self._types[own]
            if not _fits(value, types):
                raise TypeError(f"{name}({own}={value!r}): {own} must be of type {_shown(types)}")
            # Equal arguments are to be one: 1 and 1.0 for a float, a default and its being left out.
            made = float(value) if float in types and type(value) is int else value
            default = self._declared[own].default
            if type(made) is not type(default) or made != default:
                found[own] = made
        return found

    def set_on(self, made: Any, values: Mapping[str, Any]) -> None:
        """Set all parameters on an object; raise TypeError for one that has no value."""
        for own, item in self._declared.items():
            value = values.get(own, item.default)
            if value is MISSING:
                raise TypeError(f"{self._class}() lacks its parameter {own!r}")
            setattr(made, own, value)


def _type_of(user_class: type, own: str) -> tuple[type, ...]:
    """Return the types that a parameter may have, by its annotation."""
    base = next(base for base in user_class.__mro__ if own in vars(base))
    hint: Any = getattr(base, "__annotations__", {}).get(own, MISSING)
    if hint is MISSING:
        raise InvalidError(
            f"parameter {own!r} of class {base.__name__} lacks its type: write `{own}: str = wherry.parameter(...)`"
        )
    shown = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    if isinstance(hint, str):
        hint = _TYPES.get(hint) or _evaluated(hint, base)
    # `X | None`, and Optional[X] of the typing module, which stays unloaded.
    is_union = type(hint).__name__ in ("UnionType", "_UnionGenericAlias", "Union")
    found = tuple(hint.__args__) if is_union else (hint,)
    if any(kind not in (*_TYPES.values(), _NONE) for kind in found) or found == (_NONE,):
        raise InvalidError(
            f"parameter {own!r} of class {base.__name__} has type {shown}: it must be one of {', '.join(_TYPES)}; "
            "for other values give the class an __init__ instead"
        )
    return found


def _evaluated(hint: str, base: type) -> Any:
    module = sys.modules.get(base.__module__)
    try:
        # As typing.get_type_hints does, of this one annotation: others may name what only type checkers import.
        return eval(hint, dict(vars(module)) if module is not None else {})
    except Exception:  # noqa: BLE001 - the annotation is the user's; one that can't be evaluated is none of ours
        return None


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    kind = type(value)
    if kind is bool:
        return bool in types
    return isinstance(value, types) or (float in types and isinstance(value, int))


def _shown(types: tuple[type, ...]) -> str:
    return " or ".join("None" if kind is _NONE else kind.__name__ for kind in types)
