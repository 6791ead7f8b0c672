"""Message tables -> the classes cyclonedds wants, which is imported only when a class is asked for.

Notation of a table: 'name type' separated by commas; type is `b` (byte), `bool`, `string`, f32, u16 ..., or a struct of
the same table; `[n]` makes an array and `[]` a sequence. There is no 8-bit integer on purpose: with it, cyclonedds 11
announces a type that ends every cyclonedds 0.10 process that discovers it with a segmentation fault, perhaps the
robot's own; `byte` gives the very type information of the vendor's C++ headers.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from teleopd.robots.link import LinkUnavailable
from teleopd.robots.links.dds import idl_api, idl_go, idl_hg, idl_ours

MODULES = MappingProxyType({"hg": idl_hg, "go": idl_go, "api": idl_api, "ours": idl_ours})
_FIELD = re.compile(r"(\w+) (\w+)(\[(\d*)\])?")
_PRIMITIVE = MappingProxyType({
    "b": "byte", "f32": "float32", "u16": "uint16", "i16": "int16", "u32": "uint32", "i32": "int32", "i64": "int64",
})  # fmt: skip
_ZERO: MappingProxyType[str, type] = MappingProxyType({"bool": bool, "string": str, "f32": float})


def require_cyclonedds() -> None:
    """
    Raises:
        LinkUnavailable: cyclonedds is not installed; says what to install.
    """
    try:
        import cyclonedds.idl  # noqa: F401
    except ImportError as error:
        raise LinkUnavailable(f"the dds link needs cyclonedds ({error}): pip install 'teleopd[unitree]'") from None


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message as its table says it."""

    name: str
    kind: str
    count: int | None
    """None for a single value, 0 for a sequence, else the length of the array."""


def fields_of(family: str, name: str) -> tuple[Field, ...]:
    """Fields of a struct in wire order; `family` is 'hg', 'go' or 'api'.

    Raises:
        KeyError: no such family or struct.
        ValueError: the table is not in the notation.
    """
    found = []
    for part in MODULES[family].TABLES[name].split(", "):
        match = _FIELD.fullmatch(part)
        if match is None:
            raise ValueError(f"'{part}' in {family} {name} is not 'name type', 'name type[n]' or 'name type[]'")
        count = None if match[3] is None else int(match[4] or 0)
        found.append(Field(match[1], match[2], count))
    return tuple(found)


@functools.cache
def message(family: str, name: str) -> Any:
    """The cyclonedds class (an IdlStruct dataclass) of a struct, with the vendor's name on the wire.

    Raises:
        LinkUnavailable: cyclonedds is not installed.
        KeyError: no such family, struct or type.
    """
    require_cyclonedds()
    from cyclonedds.idl import annotations, make_idl_struct

    kinds = {field.name: _kind(family, field) for field in fields_of(family, name)}
    made = make_idl_struct(name, f"{MODULES[family].MODULE}.{name}", kinds, dataclassify=False)
    return dataclass(annotations.final(annotations.autoid("sequential")(made)))


def _kind(family: str, field: Field) -> Any:
    from cyclonedds.idl import types

    if field.kind in MODULES[family].TABLES:
        kind: Any = message(family, field.kind)
    elif field.kind in ("bool", "string"):
        kind = bool if field.kind == "bool" else str
    else:
        kind = getattr(types, _PRIMITIVE[field.kind])
    if field.count is None:
        return kind
    return types.sequence[kind] if field.count == 0 else types.array[kind, field.count]


def zero(family: str, name: str) -> Any:
    """A message in which every number is 0, every text and sequence empty."""
    values: dict[str, Any] = {}
    for field in fields_of(family, name):
        if field.kind in MODULES[family].TABLES:
            one = functools.partial(zero, family, field.kind)
        else:
            one = functools.partial(_ZERO.get(field.kind, int))
        values[field.name] = one() if field.count is None else [one() for _ in range(field.count)]
    return message(family, name)(**values)
