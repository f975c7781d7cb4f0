"""Turns arguments of declarations into the form in which fields keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import Infeasible, check_integer, shown
from ..readings import as_list, reading

__all__ = ["by_name", "check_integers", "field_names", "further_keys", "menu_lengths", "names"]


def by_name(fields: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Declarations by the names of parts; those of a sequence are for its parts 0, 1, ..."""
    if isinstance(fields, Mapping):
        return dict(fields)
    return {str(number): field for number, field in enumerate(fields) if field is not None}


def further_keys(also: Any) -> tuple[tuple[str, str], ...]:
    """The further keys of a batch, with the description that each shows."""
    if not isinstance(also, (Mapping, type(None))):
        raise Infeasible(f"also is {shown(also)}", 'pass what each further key holds: also={"batch": "segments"}')
    return tuple((also or {}).items())


def names(fields: Any) -> tuple[str, ...]:
    """The names of fields that an index field points into: from a name, or a list of them."""
    if isinstance(fields, str):
        return (fields,)
    if not isinstance(fields, (list, tuple)) or not all(isinstance(name, str) for name in fields):
        raise Infeasible(f"shift_by is {shown(fields)}", "pass the name of the field that is indexed, or leave it out")
    return tuple(fields)


def field_names(fields: Any, called: str) -> tuple[str, ...]:
    """The names of fields in an argument: from a name, or a list of them."""
    if isinstance(fields, str):
        return (fields,)
    way_out = f"pass {called} as a list of names of fields"
    with reading(fields, called, way_out):
        found = tuple(as_list(fields, called))
    if not all(isinstance(name, str) for name in found):
        raise Infeasible(f"{called} is {shown(fields)}", way_out)
    return found


def menu_lengths(menu: Any) -> tuple[int | tuple[int, ...], ...]:
    """The padded lengths of a menu."""
    if not isinstance(menu, Iterable):
        raise Infeasible(f"menu is {shown(menu)}", "pass a list of lengths")
    return tuple(check_integers(entry, "a length of menu") for entry in as_list(menu, "menu"))


def check_integers(value: Any, called: str) -> int | tuple[int, ...]:
    """Check an integer, or a tuple of them."""
    return (
        tuple(check_integer(each, called) for each in as_list(value, called))
        if isinstance(value, Sequence)
        else check_integer(value, called)
    )
