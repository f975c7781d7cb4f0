"""What a stream returns: batches with the group of each sample, and a report of the whole run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import Infeasible

__all__ = ["Batch", "Report"]


class Batch(list[Any]):
    """A list of samples, with how the stream composed it.

    Attributes:
        groups: the group of each sample; empty where a stream has none.
        repeats: the positions that hold a sample drawn again from what was seen of its group: one given before or, rarely,
            one that fell out of a full buffer.
        given_away: for each group that had to give slots to others in this batch, how many.
        packs: where samples were packed, how many each pack holds, in order.
    """

    groups: Sequence[Hashable] = ()
    repeats: Sequence[int] = ()
    given_away: Mapping[Hashable, int] = {}  # never written to: batches with any get their own
    packs: Sequence[int] = ()


def _no_batch_of_batches(batch: Sequence[Any], *, collate_fn_map: Any = None) -> NoReturn:
    raise Infeasible(
        f"the loader makes a batch of {len(batch)} batches, the first with {len(batch[0])} samples: a stream of batches has "
        "made them already",
        "pass batch_size=None to the loader, or let the stream give samples (batches=False; of a mixture no batch_size)",
    )


default_collate_fn_map[Batch] = _no_batch_of_batches  # as torch has it for types that its own collate should know


@dataclass(frozen=True, slots=True)
class Report:
    """Counts of what one replica's run has done so far: every sample dropped, repeated or replaced is counted.

    Attributes:
        read: samples taken from the source(s), and readings that failed and were skipped.
        delivered: samples given in batches, repeats counted each time.
        repeated: of those, drawn again.
        dropped: samples that fell out of a full buffer unused.
        skipped: broken samples and failed readings left out (`on_error="skip"`).
        given_away: slots that went to another group because theirs had no sample in the buffer.
        written_off: the part of them beyond `max_deficit`: they are not paid back.
        held: samples in memory now; when the stream has ended, the samples left over.
        deficit: the slots each group lacks now (below zero: has had beyond its plan), where not zero.
        seen: the samples read of each group.
        expected: the slots planned for each group in the batches given.
        had: the slots each group had; fewer than expected where other groups took its slots.
    """

    read: int
    delivered: int
    repeated: int = 0
    dropped: int = 0
    skipped: int = 0
    given_away: int = 0
    written_off: int = 0
    held: int = 0
    deficit: Mapping[Hashable, int] = field(default_factory=dict)
    seen: Mapping[Hashable, int] = field(default_factory=dict)
    expected: Mapping[Hashable, int] = field(default_factory=dict)
    had: Mapping[Hashable, int] = field(default_factory=dict)
