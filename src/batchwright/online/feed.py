"""Reading a source one sample at a time: counted, measured, and with errors that say which sample of which source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Literal

from ..errors import Infeasible
from .replicas import Replica
from .sources import Source

__all__ = ["Feed", "measure_of"]

OnError = Literal["raise", "skip"]


def measure_of(what: Any, *, argument: str) -> Callable[[Any], Any]:
    """A function of a sample: as passed, or the entry of the sample that a name or number stands for."""
    if callable(what):
        return what  # type: ignore[no-any-return]
    if isinstance(what, (str, int)):
        return itemgetter(what)
    raise Infeasible(
        f"{argument} is a {type(what).__name__}",
        f"pass {argument} as a function of a sample, or as the name of an entry",
    )


class Feed:
    """One replica's samples with a measure (a key, a length) of each, and how many were taken and skipped.

    A sample that will be held is given as it is, or as (ordinal, sample) where the source can fetch it again: `unwrap`
    undoes that.
    """

    def __init__(
        self,
        source: Source,
        replica: Replica,
        epoch: int,
        *,
        measure: Callable[[Any], Any],
        argument: str,
        on_error: OnError,
        holds: bool = True,
    ) -> None:
        self.name = source.name
        self.taken = 0  # samples of this turn
        self.earlier = 0  # samples of the turns before
        self.skipped = 0
        self.ended = False
        self.pairs: Iterator[tuple[Any, Any]] = iter(())
        self._source = source
        self._replica = replica
        self._epoch = epoch
        self._measure = measure
        self._argument = argument
        self._skips = on_error == "skip"
        self._holds = holds
        self._part = "" if replica.count == 1 else f" for reader {replica.index} of {replica.count}"
        self._turn_to(0)

    def _turn_to(self, turn: int) -> None:
        self._turn = turn
        self.reader = self._source.reader(self._replica, self._epoch + turn)
        self.by_reference = self._holds and self.reader.can_fetch

    @property
    def read(self) -> int:
        """Samples read in all."""
        return self.earlier + self.taken

    def start(self) -> None:
        """Let `pairs` give (measure, sample) of every sample from the start on."""
        self.pairs = self._pairs(self.reader.open(None))

    def restart(self) -> None:
        """Begin the source's next epoch."""
        self.earlier, self.taken, self.ended = self.read, 0, False
        self._turn_to(self._turn + 1)
        self.start()

    def state(self) -> dict[str, Any]:
        """Where the reading stands."""
        return {
            "position": self.reader.position(self.taken),
            "turn": self._turn,
            "taken": self.taken,
            "earlier": self.earlier,
            "skipped": self.skipped,
            "ended": self.ended,
        }

    def resume(self, state: dict[str, Any]) -> None:
        """Let `pairs` go on from `state`."""
        self._turn_to(state["turn"])
        self.taken, self.earlier, self.skipped, self.ended = (
            state[entry] for entry in ("taken", "earlier", "skipped", "ended")
        )
        if self.by_reference or not self.ended:  # to fetch, a reader must know where it stood
            self.pairs = self._pairs(self.reader.open(state["position"]))

    def _pairs(self, iterator: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
        measure, wraps = self._measure, self.by_reference
        broken: Exception | None = None
        while not self.ended:
            try:
                for sample in iterator:
                    self.taken += 1
                    broken = None
                    try:
                        value = measure(sample)
                        hash(value)
                    except Exception as error:
                        self.reject(f"{self._argument} raised {type(error).__name__}: {error}", error)
                        continue
                    yield value, ((self.taken - 1, sample) if wraps else sample)
                self.ended = True
            except Infeasible:
                raise
            except Exception as error:
                error.add_note(f"while reading sample {self.taken:,} of source {self.name!r}{self._part}")
                if not self._skips or broken is not None:
                    raise
                broken = error
                self.skipped += 1
        if broken is not None:  # a generator that raised only pretends to have ended
            raise broken

    def reject(self, why: str, error: Exception | None = None) -> None:
        """Skip the sample read last and count it, or refuse it by its ordinal and source.

        Raises:
            Infeasible: unless `on_error="skip"`.
        """
        if not self._skips:
            raise Infeasible(
                f"sample {self.taken - 1:,} of source {self.name!r}{self._part}: {why}",
                'mend the sample, or pass on_error="skip" to leave such samples out and count them',
            ) from error
        self.skipped += 1

    def unwrap(self, items: list[Any]) -> list[Any]:
        """The samples of items as `measured` gave them."""
        return [sample for _, sample in items] if self.by_reference else items
