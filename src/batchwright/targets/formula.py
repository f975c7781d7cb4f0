"""Targets from batch recipes, as in process manufacturing: fixed lines, lines by strength, compensating lines, fillers."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..errors import Infeasible, check_number, exactly, shown, typed
from ..inputs.values import no_label
from ..readings import as_list
from .explicit import explicit
from .target import Number, Target, fraction

__all__ = ["Active", "Compensating", "Filler", "Fixed", "Line", "formula", "quantities"]


@dataclass(frozen=True)
class Fixed:
    """A line with a fixed quantity.

    Args:
        name: the group.
        estimated: samples of it in a batch.
    """

    name: Hashable
    estimated: Number

    def __post_init__(self) -> None:
        _settle(self, "estimated")


@dataclass(frozen=True)
class Active:
    """A line whose quantity follows a measured strength: estimated * target_strength / strength.

    Strength is the useful content of a sample of the group, such as its rate of useful tokens or positive labels.

    Args:
        name: the group; or several lots by name, with the part of the line that each of them delivers (they sum to 1).
        estimated: samples in a batch at the planned strength.
        target_strength: the planned strength.
        strength: the measured strength; by lot if there are several.
    """

    name: Hashable | Mapping[Hashable, Number]
    estimated: Number
    target_strength: Number
    strength: Number | Mapping[Hashable, Number]

    def __post_init__(self) -> None:
        _settle(self, "estimated", "target_strength")
        lots = self.lots
        if self.target_strength <= 0:
            raise Infeasible(f"line {shown(self.name)} has target strength {exactly(self.target_strength)}", _POSITIVE)
        delivered = sum((part for part, _ in lots.values()), Fraction(0))
        if abs(delivered - 1) >= 1e-6:
            raise Infeasible(
                f"the lots of line {shown(self.name)} deliver {exactly(delivered)} of it in all",
                "give parts that sum to 1",
            )
        for lot, (_, strength) in lots.items():
            if strength <= 0:
                raise Infeasible(f"lot {shown(lot)} has strength {exactly(strength)}", _POSITIVE)

    @property
    def lots(self) -> dict[Hashable, tuple[Fraction, Fraction]]:
        """By lot its part of the line and its strength."""
        if not isinstance(self.name, Mapping):
            if isinstance(self.strength, Mapping):
                raise Infeasible(
                    f"line {shown(self.name)} has a strength for each of {len(self.strength)} lots and names none of them",
                    "pass one strength, or name={lot: its part of the line}",
                )
            return {self.name: (Fraction(1), _number(self.strength, f"strength of line {shown(self.name)}"))}
        strengths = self.strength if isinstance(self.strength, Mapping) else dict.fromkeys(self.name, self.strength)
        if set(strengths) != set(self.name):
            raise Infeasible(f"lots {shown(list(self.name))} have strengths for {shown(list(strengths))}", _EACH)
        return {
            lot: (
                _number(part, f"the part of lot {shown(lot)}"),
                _number(strengths[lot], f"strength of lot {shown(lot)}"),
            )
            for lot, part in self.name.items()
        }


@dataclass(frozen=True)
class Compensating:
    """A line that compensates for the active ones: estimated - factor * (balanced active - estimated active).

    Args:
        name: the group.
        estimated: samples of it in a batch if the active lines are as estimated.
        factor: the samples it loses for each additional sample of the active lines.
    """

    name: Hashable
    estimated: Number
    factor: Number = 1

    def __post_init__(self) -> None:
        _settle(self, "estimated", "factor")


@dataclass(frozen=True)
class Filler:
    """A line that takes the rest of the batch; several fillers divide it in proportion to their estimates.

    Args:
        name: the group.
        estimated: the samples expected to remain.
    """

    name: Hashable
    estimated: Number = 1

    def __post_init__(self) -> None:
        _settle(self, "estimated")


Line = Fixed | Active | Compensating | Filler

_POSITIVE = "pass strengths above 0"
_EACH = "give each lot its strength"


def _settle(line: Line, *quantities: str) -> None:
    """Check that these quantities of a new line are finite, and store them as plain numbers."""
    why = None if isinstance(line.name, Mapping) and isinstance(line, Active) else no_label(line.name)
    if why is not None:
        raise Infeasible(f"the name of a line is {why}", "pass the label of a group")
    for name in quantities:
        object.__setattr__(line, name, check_number(getattr(line, name), f"{name} of line {shown(line.name)}"))


def quantities(lines: Sequence[Line], size: Number) -> dict[Hashable, Fraction]:
    """The quantity of every line, or of every lot of it: exact fractions that sum to `size`.

    Raises:
        Infeasible: a quantity is below 0 or above the size, a name is repeated, or there is a rest and no filler.

    Example:
        >>> lines = [Fixed("A", 20), Active("B", 30, 30, 35), Compensating("C", 10, factor=1.10), Filler("D", 40)]
        >>> {name: round(float(quantity), 6) for name, quantity in quantities(lines, 100).items()}
        {'A': 20.0, 'B': 25.714286, 'C': 14.714286, 'D': 39.571429}
    """
    total_size = _number(size, "the size")
    if total_size <= 0:
        raise Infeasible(f"the size is {exactly(total_size)}", "pass a size above 0")
    if not isinstance(lines, Iterable) or isinstance(lines, (str, bytes, Mapping)):
        raise Infeasible(f"lines is {typed(lines)}", "pass a list of Fixed, Active, Compensating or Filler lines")
    lines = as_list(lines, "lines")
    found: dict[Hashable, Fraction] = {}
    surplus = Fraction(0)

    def put(name: Hashable, quantity: Fraction) -> None:
        if name in found:
            raise Infeasible(f"line {shown(name)} is given twice", "give each name one line")
        if not 0 <= quantity <= total_size:
            raise Infeasible(
                f"line {shown(name)} comes out at {exactly(quantity)}, the size is {exactly(total_size)}",
                "change the estimates, the factor or the size so that it lies between 0 and the size",
            )
        found[name] = quantity

    for line in lines:  # two loops: compensating lines need the surplus of all active ones
        if not isinstance(line, Line):
            raise Infeasible(f"a line is {shown(line)}", "pass Fixed, Active, Compensating or Filler lines")
        if isinstance(line, Active):
            estimated = fraction(line.estimated)
            for lot, (part, strength) in line.lots.items():
                put(lot, estimated * part * fraction(line.target_strength) / strength)
                surplus += found[lot] - estimated * part
        else:
            put(line.name, fraction(line.estimated) if isinstance(line, Fixed) else Fraction(0))
    for line in lines:
        if isinstance(line, Compensating):
            del found[line.name]
            put(line.name, fraction(line.estimated) - fraction(line.factor) * surplus)
    fillers = [line for line in lines if isinstance(line, Filler)]
    # Fillers stand in `found` with 0 so far, which keeps the order of the lines.
    left = total_size - sum(found.values())
    if fillers:
        expected = sum(fraction(line.estimated) for line in fillers)
        if expected <= 0:
            raise Infeasible(f"the fillers' estimates sum to {exactly(expected)}", "estimate one of them above 0")
        for line in fillers:
            del found[line.name]
            put(line.name, left * fraction(line.estimated) / expected)
    elif left:
        raise Infeasible(
            f"the lines come to {exactly(total_size - left)}, the size is {exactly(total_size)}, and no line is a filler",
            "add a Filler line, or make the others fit",
        )
    return {name: found[name] for line in lines for name in _names(line)}


def formula(lines: Sequence[Line], size: Number) -> Target:
    """A target from a recipe: fixed quantities, quantities by measured strength, compensating ones, and a filler.

    Args:
        lines: `Fixed`, `Active`, `Compensating` and `Filler` lines, each naming a group; every group has one.
        size: the sum of the quantities, in samples of a batch or any other unit; a share is a quantity divided by it.

    Raises:
        Infeasible: as `quantities`.

    Example:
        >>> lines = [Fixed("rare", 8), Active("web", 16, target_strength=0.5, strength=0.25), Filler("books", 40)]
        >>> formula(lines, 64).shares([100, 900, 500], names=["rare", "web", "books"]).tolist()
        [0.125, 0.5, 0.375]
    """
    found = quantities(lines, size)
    total = sum(found.values())
    shares = {name: quantity / total for name, quantity in found.items()}
    # The text has nine digits, for people; the shares themselves stay exact fractions.
    written = ", ".join(f"{name!r}: {float(share):.9g}" for name, share in shares.items())
    exact = explicit(shares)
    return Target(exact.formula, exact.arguments, f"formula({{{written}}})")


def _number(value: Any, called: str) -> Fraction:
    return fraction(check_number(value, called))


def _names(line: Line) -> list[Hashable]:
    return list(line.lots) if isinstance(line, Active) else [line.name]
