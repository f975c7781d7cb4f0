"""How far every task of a run has come, as one whole number where that is all a position can carry."""

from __future__ import annotations

from typing import NamedTuple

from ..orders.turns import Turns

__all__ = ["Standing"]

_BITS = 64
_BIAS = 1 << 63


class Standing(NamedTuple):
    """Whose turn it is, and how many micro-batches every task has had.

    Attributes:
        turn: the number of the turn that comes; below 0 where an epoch is said to have begun before the run did.
        had: micro-batches each task has had by then.
    """

    turn: int
    had: tuple[int, ...]

    def after(self, further: int, run: int, turns: Turns) -> Standing:
        """After `further` turns of `run` micro-batches each (before, if below 0)."""
        now, then = turns.counts(self.turn), turns.counts(self.turn + further)
        had = (had + run * (b - a) for had, a, b in zip(self.had, now, then, strict=True))
        return Standing(self.turn + further, tuple(had))

    def broken_off(self, part: int, turns: Turns) -> Standing:
        """After `part` micro-batches of a turn that is not taken up again."""
        task, _ = turns.at(self.turn)
        had = list(self.had)
        had[task] += part
        return Standing(self.turn + 1, tuple(had))

    def encoded(self, *, always: Standing) -> int:
        """One whole number: twice the turn where the run `always` stood like this, else all of it."""
        if self == always:
            return 2 * self.turn
        number = self.turn + _BIAS
        for had in self.had:
            number = (number << _BITS) | (had + _BIAS)
        return 2 * number + 1

    @staticmethod
    def bits(tasks: int) -> int:
        """How many bits the half of an odd `encoded` number has at most."""
        return _BITS * (tasks + 1)

    @classmethod
    def decoded(cls, number: int, tasks: int) -> Standing:
        """The inverse of `encoded`, for an odd number."""
        number //= 2
        had = []
        for _ in range(tasks):
            had.append((number & ((1 << _BITS) - 1)) - _BIAS)
            number >>= _BITS
        return cls(number - _BIAS, tuple(reversed(had)))
