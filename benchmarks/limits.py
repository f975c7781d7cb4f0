"""What a measured figure may be at most or must be at least, said beside it; a run that misses one fails."""

from __future__ import annotations

import sys


class Limits:
    """Figures beside their limits.

    A figure that is a ratio beside a peer is called "ours / PEER: of what" or "PEER / ours: of what"; `all.py` tells by that
    who is ahead. No two figures of a run have one name.

    Example:
        >>> limits = Limits()
        >>> limits.at_most("ours / theirs", 0.5, 0.6)
        ours / theirs                                                       0.5  at most 0.6      kept
        >>> limits.end()
    """

    def __init__(self) -> None:
        self._missed: list[str] = []

    def at_most(self, what: str, value: float, limit: float) -> None:
        """Say whether a figure that should be small is."""
        self._say(what, value, f"at most {limit:g}", value <= limit)

    def at_least(self, what: str, value: float, limit: float) -> None:
        """Say whether a figure that should be large is."""
        self._say(what, value, f"at least {limit:g}", value >= limit)

    def beside(self, what: str, ratio: float) -> None:
        """Say a ratio that has no limit: `what` is "ours / PEER: of what", or "PEER / ours: of what"."""
        print(f"{what:<60} {ratio:>10.6g}  no limit", flush=True)

    def end(self) -> None:
        """Fail where a limit was missed, naming which."""
        if self._missed:
            sys.exit(f"missed: {'; '.join(self._missed)}")

    def _say(self, what: str, value: float, limit: str, kept: bool) -> None:
        print(f"{what:<60} {value:>10.6g}  {limit:<16} {'kept' if kept else 'MISSED'}", flush=True)
        if not kept:
            self._missed.append(f"{what} is {value:.6g}, {limit}")
