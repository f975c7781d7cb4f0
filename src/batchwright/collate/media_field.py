"""Media fields: no, one or many items in each sample, and all items of the batch in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, shown
from .arguments import further_keys
from .column import FieldValues
from .fields import Context, Field, StackField
from .layout import Layout
from .values import Fill, Transfer, Value

__all__ = ["Media", "MediaField", "media"]


_COUNTED = {"counts": "lengths", "offsets": "offsets", "segments": "segments"}


@dataclass(frozen=True)
class Media(Value):
    """The items of all samples, and the number of items of each sample.

    Args:
        items: the items, collated as one field; None if no sample has any.
        counts: the number of items of each sample.
        kinds: the form of the items in each sample, so that samples get it back: `"none"`, `"one"` or `"many"`.
    """

    items: Value | None
    counts: Layout
    kinds: tuple[str, ...]

    @property
    @override
    def model(self) -> Any:
        return None if self.items is None else self.items.model

    def __len__(self) -> int:
        return len(self.kinds)

    @override
    def sample(self, number: int) -> Any:
        if self.kinds[number] == "none":
            return None
        start = self.counts.starts[number]
        own = [self._item(start + n) for n in range(self.counts.counts[number])]
        return own[0] if self.kinds[number] == "one" else own

    def _item(self, number: int) -> Any:
        if self.items is None:
            raise IndexError(number)
        return self.items.sample(number)

    @override
    def transferred(self, transfer: Transfer) -> Media:
        return Media(self.items and self.items.transferred(transfer), self.counts, self.kinds)

    @override
    def select(self, numbers: Sequence[int]) -> Media:
        starts = self.counts.starts
        wanted = [n for number in numbers for n in range(starts[number], starts[number + 1])]
        items = self.items.select(wanted) if self.items is not None and wanted else None
        return Media(items, self.counts.select(numbers), tuple(self.kinds[number] for number in numbers))

    @override
    def also(self, what: str) -> Any:
        layout = self.counts
        if isinstance(self.model, Tensor):
            layout = layout.on(self.model.device)
        if what in _COUNTED:
            return getattr(layout, _COUNTED[what])
        return None if self.items is None else self.items.also(what)

    @property
    @override
    def fill(self) -> Fill | None:
        return None if self.items is None else self.items.fill


@dataclass(frozen=True)
class MediaField(Field):
    """See `media`."""

    item: Field
    also: tuple[tuple[str, str], ...] = ()

    @property
    @override
    def offers(self) -> tuple[str, ...]:
        return (*_COUNTED, *self.item.offers)

    @override
    def gather(self, column: FieldValues, context: Context) -> Media:
        kinds, per_sample = [], []
        for value in column.values:
            many = isinstance(value, (list, tuple))
            kinds.append("none" if value is None else "many" if many else "one")
            per_sample.append([] if value is None else list(value) if many else [value])
        counts = context.layout(tuple(map(len, per_sample)))
        owners = [number for number, items in enumerate(per_sample) for _ in items]
        together = list(chain.from_iterable(per_sample))
        joined = FieldValues(column.path, together, lambda n: column.called(owners[n]), within="bw.media({})")
        items = self.item.gather(joined, context) if owners else None
        return Media(items, counts, tuple(kinds))


def media(item: Field | None = None, *, also: dict[str, str] | None = None) -> MediaField:
    """Declare a field with no, one or many items in each sample: `None`, an item, or a list of items.

    The items of all samples become one field, which the model gets (None if no sample has an item).

    Args:
        item: how items are collated: `bw.stack()` (the default), `bw.resized(...)`, `bw.ragged(...)`.
        also: further keys of the batch: `"counts"` (items a sample), `"offsets"`, `"segments"` (the sample of each
            item), or what `item` offers.

    Example:
        >>> import torch, batchwright as bw
        >>> collate = bw.Collate(images=bw.media(also={"image_counts": "counts"}))
        >>> one, two = torch.zeros(3, 4, 4), torch.ones(3, 4, 4)
        >>> batch = collate([{"images": [one, two]}, {"images": None}, {"images": one}])
        >>> batch["images"].shape, batch["image_counts"]
        (torch.Size([3, 3, 4, 4]), tensor([2, 0, 1]))
    """
    item = StackField() if item is None else item
    if not isinstance(item, Field) or item.after or isinstance(item, MediaField):
        raise Infeasible(
            f"items of a media field are declared as {shown(item)}; an item is declared as a field that neither holds "
            "media nor is shifted by another",
            "declare items as bw.stack() or bw.resized(...)",
        )
    if item.also:
        raise Infeasible(
            f"the items of a media field have also={shown(dict(item.also))} of their own",
            f"ask the media field for it: bw.media(..., also={shown(dict(item.also))})",
        )
    return MediaField(item, further_keys(also))
