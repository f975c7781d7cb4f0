"""How far a loader has come."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True)
class Progress:
    """How far a loader has come; `print` it.

    After a change of ranks or accumulation, an epoch has another number of batches: `batches - batches_done` are left of it,
    and `batches_done` says no longer what part is done. `epochs` never goes back.

    Attributes:
        epoch: the epoch that the loop is in; the next one if the last is finished.
        batches_done: batches of that epoch that this rank was given.
        batches: batches of an epoch of this rank.
        epochs: epochs that were given so far, with a fraction.
        new_shares_in: the batches of this rank until the shares begin that were set last; None if they have begun, or none
            were set.

    Example:
        >>> print(Progress(epoch=3, batches_done=120, batches=1000, epochs=3.12))
        epoch 3: 120 of 1000 batches (3.120 epochs in all)
        >>> print(Progress(epoch=0, batches_done=3, batches=100, epochs=0.03, new_shares_in=86))
        epoch 0: 3 of 100 batches (0.030 epochs in all), the shares that were set begin in 86 batches
    """

    epoch: int
    batches_done: int
    batches: int
    epochs: float
    new_shares_in: int | None = None

    def __str__(self) -> str:
        # No percentage: what is left of an epoch is rounded up for other ranks, so that it would jump back.
        text = f"epoch {self.epoch}: {self.batches_done} of {self.batches} batches ({self.epochs:.3f} epochs in all)"
        if self.new_shares_in is None:
            return text
        return f"{text}, the shares that were set begin in {self.new_shares_in} batches"
