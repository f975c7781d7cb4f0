"""`Collate`: samples in, one batch out, each field as it was declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from ..errors import Infeasible, typed
from .batch import Batch
from .declared import Declared
from .pack_collate import PackCollate, PlanOfPacks
from .packs import PackRules, Room, Shape
from .plan_columns import PlanOfGroups, plan_columns

__all__ = ["Collate"]


class Collate(Declared):
    """A collate function for `torch.utils.data.DataLoader` that joins each field as it was declared, once.

    Fields that are not declared follow torch's `default_collate` and its extension table; a ragged one among them is
    refused with the line that declares it. Samples may be mappings, tuples, named tuples, dataclasses or graphs of PyTorch
    Geometric, nested as they like: a nested container is declared by a mapping or sequence of declarations. Fields of graphs
    that are not declared follow the graphs' own `__cat_dim__` and `__inc__`.

    Args:
        fields: the declarations as a mapping, or, for samples that are plain tuples, as a sequence.
        named: the same by keyword.

    Raises:
        Infeasible: if samples do not fit the declarations or each other; the message names sample, field and shapes.

    Example:
        >>> import torch, batchwright as bw
        >>> collate = bw.Collate(verts=bw.ragged(), faces=bw.ragged(shift_by="verts"))
        >>> triangle = {"verts": torch.zeros(3, 3), "faces": torch.tensor([[0, 1, 2]])}
        >>> batch = collate([triangle, triangle])
        >>> batch["faces"]
        tensor([[0, 1, 2],
                [3, 4, 5]])
        >>> batch.unbatch()[1]["faces"]
        tensor([[0, 1, 2]])
    """

    def __call__(self, samples: Sequence[Any]) -> Batch:
        """Collate `samples`: one batch."""
        root, labels, _ = self.gathered(samples)
        return Batch(root, also=self.also, asides=self.asides, labels=labels)

    def with_plan(self, plan: PlanOfGroups, *, clip: float | None = None) -> Self:
        """The same, with each sample's group and loss weight, as the plan knows them, in the side channel of each batch.

        `batch.aside.groups` are the user's labels; `batch.aside.weights`, float32, are those of `bw.correct.Weights`:
        the mean of weight x loss estimates the natural mean.

        Args:
            plan: what samples the dataset, which is wrapped in `bw.identified`.
            clip: the largest weight; None clips nothing.

        Raises:
            Infeasible: the plan's target moves, so that a sample has another weight in another epoch.

        Example:
            >>> import batchwright as bw
            >>> labels = ["cat"] * 3 + ["dog"]
            >>> plan = bw.balanced(labels, batch_size=2)
            >>> dataset = bw.identified([{"x": float(n)} for n in range(4)])
            >>> batch = bw.Collate().with_plan(plan)([dataset[0], dataset[3]])
            >>> batch.aside.groups, batch.aside.weights
            (['cat', 'dog'], tensor([1.5000, 0.5000]))
        """
        return self.knowing(**plan_columns(plan, clip))

    def packs(
        self,
        *,
        capacity: int | None = None,
        packs: int | PlanOfPacks = 1,
        align: int = 1,
        room: Room = "nothing",
        seams: Sequence[str] = (),
        shape: Shape = "row",
        along: Sequence[str] | None = None,
        also: Mapping[str, str] | None = None,
    ) -> PackCollate:
        """A collate function for packs of samples.

        What it is given is a list of samples, as loaders make of the micro-batches of `bw.packed`, or a batch of
        `bw.online.packed`, which says itself how it is packed, or a list of packs: lists of samples.

        Fields ragged along dim 0 are laid end to end; every other field is collated over all samples of all packs. Indices
        into a packed field (`shift_by`) point into all its packs, flattened.

        Args:
            capacity: what a pack may hold at most; left out, that of the plan where there is one.
            packs: how a list of samples is cut into packs. A number: into so many at most, each taking what fits of the
                capacity, as `bw.packed` means it. The plan of `bw.packed` itself, if its dataset is wrapped in
                `bw.identified`: as `plan.packs` says, whatever else limits the plan's packs.
            align: each sample is filled up to a multiple of this.
            room: what becomes of the room left in a pack: `"nothing"`, `"dummy"` (filled, as one segment of its own),
                `"extend"` (filled, as part of the last sample's segment).
            seams: fields whose first element of each sample becomes the field's pad value: labels that are predicted
                from the element before must not be predicted from another sample's.
            shape: what the model sees: `"row"` (1 x all), `"packs"` (packs x capacity) or `"flat"`.
            along: the fields that are packed; by default every one declared `bw.ragged()` along dim 0.
            also: further keys of the batch: `"positions"`, `"segments"`, `"cu_seqlens"`, `"offsets"`, `"lengths"`,
                `"max_length"`, `"mask"` (True at real elements), `"causal_mask"`, `"full_mask"` (dense, of attention),
                `"causal_blocks"`, `"full_blocks"` (flex attention's). `bw.attention` has sets ready for use; with that for
                Hugging Face, models need `use_cache=False`.

        Example:
            >>> import torch, batchwright as bw
            >>> declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
            >>> collate = declared.packs(seams=["labels"], also={"position_ids": "positions"})
            >>> batch = collate([{"input_ids": ids, "labels": ids} for ids in ([5, 6, 7], [8, 9])])
            >>> batch["input_ids"], batch["labels"], batch["position_ids"]
            (tensor([[5, 6, 7, 8, 9]]), tensor([[-100,    6,    7, -100,    9]]), tensor([[0, 1, 2, 0, 1]]))
        """
        bounds = getattr(packs, "bounds", None)
        if bounds is None and hasattr(packs, "epoch_batches"):  # a plan, though not one of packs
            raise Infeasible(
                f"packs is {typed(packs)}, whose micro-batches are not made of packs",
                "pass the plan of bw.packed(...), or a number of packs and their capacity",
            )
        rules = PackRules(
            capacity=bounds.capacity if bounds is not None and capacity is None else capacity,
            packs=1 if bounds is not None else cast(int, packs),
            align=align,
            room=room,
            seams=tuple(seams),
            shape=shape,
        )
        return PackCollate(self, rules, bounds=bounds, along=along, also=also)
