"""The reference page of the configuration, generated from the pydantic models."""

import re
import typing
from types import NoneType, UnionType

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from learnalign.config import Config

_BOUNDS = {Gt: ("above", "gt"), Ge: ("at least", "ge"), Lt: ("below", "lt"), Le: ("at most", "le")}


def configuration_page() -> str:
    """Write every option with its type, its default and what it is for."""
    parts = [
        "# Options",
        "Every option by its dotted name, with its type and its default, generated from the "
        "models in `learnalign.config`. How to set options, and which setting overrides which, is "
        "in [the guide](../guides/configuration.md).",
    ]
    for name, field in Config.model_fields.items():
        section = field.annotation
        assert isinstance(section, type)
        assert issubclass(section, BaseModel)
        about = " ".join((section.__doc__ or "").split())
        rows = [_row(name, option, about) for option, about in section.model_fields.items()]
        table = ["| option | type | default | meaning |", "| --- | --- | --- | --- |", *rows]
        parts += [f"## {name}", _escaped(about), "\n".join(table)]
    return "\n\n".join(parts) + "\n"


def _row(section: str, name: str, field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "" if default is None or default in ("", (), {}) else f"`{_written(default)}`"
    kind = _kind(field.annotation, field.metadata)
    about = _escaped(" ".join((field.description or "").split()))
    return f"| `{section}.{name}` | {kind} | {shown} | {about} |"


def _written(value: object) -> str:
    """Write a default as YAML has it.

    Example:
        >>> _written(True), _written((0.2, 0.8)), _written("auto")
        ('true', '[0.2, 0.8]', 'auto')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _kind(annotation: object, metadata: typing.Sequence[object] = ()) -> str:
    """Name a type in plain words.

    Example:
        >>> _kind(tuple[str, ...]), _kind(int | None, [Gt(0)])
        ('list of text', 'whole number above 0')
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0], [*arguments[1:], *metadata])
    if origin in (typing.Union, UnionType):
        kinds = [_kind(part) for part in arguments if part is not NoneType]
        kinds = list(dict.fromkeys(kinds))
        return " or ".join([*kinds[:-1], kinds[-1] + _bounds(metadata)])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        if Ellipsis in arguments:
            return f"list of {_kind(arguments[0])}"
        return f"{len(arguments)} times {_kind(arguments[0])}"
    if origin is dict:
        return "mapping"
    names = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    name = getattr(annotation, "__name__", str(annotation))
    return names.get(name, "path") + _bounds(metadata)


def _bounds(metadata: typing.Sequence[object]) -> str:
    flat: list[object] = []
    for entry in metadata:
        flat += entry.metadata if isinstance(entry, FieldInfo) else [entry]
    bounds = [
        f"{words} {re.sub(r'[.]0$', '', str(getattr(bound, name)))}"
        for bound in flat
        for kind, (words, name) in _BOUNDS.items()
        if isinstance(bound, kind)
    ]
    return f" {' and '.join(bounds)}" if bounds else ""


def _escaped(text: str) -> str:
    for sign in ("\\", "*", "[", "_", "|"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")
