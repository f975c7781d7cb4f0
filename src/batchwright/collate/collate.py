"""`Collate`: a collate function that joins each field of samples as it was declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, cast

from ..errors import Infeasible, typed
from .arguments import field_names
from .batch import Batch
from .declared import Declared
from .pack_collate import PackCollate, PlanOfPacks
from .packs import PackFill, PackRules, Shape
from .plan_columns import PlanOfGroups, plan_columns

__all__ = ["Collate"]


class Collate(Declared):
    """A collate function for `torch.utils.data.DataLoader` that joins each field of samples as it was declared.

    Fields that are not declared are joined as by torch's `default_collate` and its extension table; if such a field is
    ragged, the error shows the declaration for it. Samples may be mappings, tuples, named tuples, dataclasses or graphs
    of PyTorch Geometric, with any nesting: a nested container is declared by a mapping or sequence of declarations.
    Fields of graphs that are not declared follow the graphs' own `__cat_dim__` and `__inc__`.

    Args:
        fields: the declarations as a mapping, or, for samples that are plain tuples, as a sequence.
        named: declarations by keyword.

    Raises:
        Infeasible: samples do not fit the declarations or each other; the message names sample, field and shapes.

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
        """Collate a list of samples to one batch."""
        try:
            root, labels, _ = self.gathered(samples)
        except RecursionError:
            raise Infeasible(
                "samples hold containers within containers, more than Python can go through",
                "leave such fields out, or declare them as bw.opaque()",
            ) from None
        return Batch._of(root, self.also, self.asides, labels)

    def with_plan(self, plan: PlanOfGroups, *, clip: float | None = None) -> Self:
        """A copy that adds the group and the loss weight of each sample, from a plan, to the side channel of batches.

        `batch.aside.groups` are the labels of the groups; `batch.aside.weights`, float32, are those of
        `bw.correct.Weights`: the mean of weight x loss estimates the mean loss over all samples.

        Args:
            plan: the plan of the loader, whose dataset is wrapped in `bw.identified`.
            clip: the largest weight; None means no limit.

        Raises:
            Infeasible: the target of the plan moves, so a sample has different weights in different epochs.

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
        fill: PackFill = "nothing",
        multiple: int | None = None,
        seams: str | Sequence[str] = (),
        shape: Shape = "row",
        along: str | Sequence[str] | None = None,
        also: Mapping[str, str] | None = None,
    ) -> PackCollate:
        """Make a collate function that joins samples to packs.

        It is called with a list of samples, as loaders make of the micro-batches of `bw.packed`; with a batch of
        `bw.online.packed`, which includes how it is packed; or with a list of packs, which are lists of samples.

        Fields that are ragged along dim 0 are concatenated; every other field is collated over the samples of all
        packs. Indices into a packed field (`shift_by`) point into all of its packs, flattened.

        Args:
            capacity: the most elements of a pack; if left out, the capacity of the plan, if a plan is given.
            packs: how a list of samples is divided into packs. A number: the most packs; each takes the next samples
                that fit, as in `bw.packed`. Or the plan of `bw.packed` itself, if its dataset is wrapped in
                `bw.identified`: then all limits of the plan count, as in `plan.packs`.
            align: each sample is padded to a multiple of this.
            fill: what the rest of a pack is filled with: `"nothing"`, `"dummy"` (padding, as a segment of its own),
                `"extend"` (padding, as part of the segment of the last sample).
            multiple: packs are filled up to a multiple of this and not to their capacity, as FP8 and context parallelism
                need it.
            seams: names of fields in which the first element of each sample is replaced by the field's pad value. A label
                that is predicted from the element before it must not be predicted from another sample.
            shape: the shape that the model gets: `"row"` (1 x all), `"packs"` (packs x capacity) or `"flat"` (one
                dimension, which models of Hugging Face do not take).
            along: the fields that are packed; by default all that are declared `bw.ragged()` along dim 0.
            also: further keys of the batch: `"positions"`, `"segments"`, `"seq_idx"` (the same, int32), `"cu_seqlens"`,
                `"real_cu_seqlens"` (without padding), `"offsets"`, `"lengths"`, `"max_length"`, `"mask"` (True at real
                elements), `"thd"` (this word), `"causal_mask"`, `"full_mask"` (dense, of attention), `"causal_blocks"`,
                `"full_blocks"` (for flex attention). `bw.attention` has ready sets; with the one for Hugging Face, models
                need `use_cache=False`.

        Example:
            >>> import torch, batchwright as bw
            >>> declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
            >>> collate = declared.packs(seams=["labels"], also={"position_ids": "positions"})
            >>> batch = collate([{"input_ids": ids, "labels": ids} for ids in ([5, 6, 7], [8, 9])])
            >>> batch["input_ids"], batch["labels"], batch["position_ids"]
            (tensor([[5, 6, 7, 8, 9]]), tensor([[-100,    6,    7, -100,    9]]), tensor([[0, 1, 2, 0, 1]]))
        """
        borders = getattr(packs, "pack_borders", None)
        if borders is None and hasattr(packs, "epoch_batches"):  # a plan, though not one of packs
            raise Infeasible(
                f"packs is {typed(packs)}, whose micro-batches are not made of packs",
                "pass the plan of bw.packed(...), or a number of packs and their capacity",
            )
        rules = PackRules(
            capacity=borders.capacity if borders is not None and capacity is None else capacity,
            packs=1 if borders is not None else cast(int, packs),
            align=align,
            fill=fill,
            seams=field_names(seams, "seams"),
            shape=shape,
            multiple=multiple,
        )
        return PackCollate(self, rules, borders=borders, along=along, also=also)
