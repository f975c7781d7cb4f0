"""`Collate`: samples in, one batch out, each field as it was declared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import Infeasible, shown, typed
from .arguments import by_name
from .batch import Batch
from .fields import Aside, Field
from .identity import Identity, Known
from .packs import PackRules, Room, Shape
from .run import Frames, Run
from .structure import Tree, structure_of
from .values import Value
from .wording import declaration

if TYPE_CHECKING:
    from ..interface import BasePlan
    from ..plans.packed import PackedPlan
    from .pack_collate import PackCollate

__all__ = ["Collate"]


class Collate:
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

    def __init__(self, fields: Mapping[str, Any] | Sequence[Any] | None = None, /, **named: Any) -> None:
        if not isinstance(fields, (Mapping, list, tuple, type(None))):
            raise Infeasible(
                f"the fields are declared as {shown(fields)}, neither a mapping nor a sequence",
                "name them: bw.Collate(image=bw.stack()), or for samples that are tuples: bw.Collate([bw.stack(), ...])",
            )
        declared = by_name({} if fields is None else fields)
        twice = [name for name in named if name in declared]
        if twice:
            raise Infeasible(
                f"field {shown(twice[0])} is declared twice", "declare it once, in the mapping or by keyword"
            )
        self.fields = declared | named
        self._leaves = dict(_declared(self.fields, ()))
        self.also: dict[str, tuple[str, str]] = {}
        for name, field in self._leaves.items():
            self._check(name, field)
            for key, what in field.also:
                if not isinstance(what, str) or what not in field.offers:
                    raise Infeasible(
                        f"field {shown(name)} has no {shown(what)} to show as {shown(key)}",
                        f"ask for one of {', '.join(field.offers)}",
                    )
                if key in self.also or key in self.fields:
                    raise Infeasible(
                        f"the batch would have two keys {shown(key)}", f"rename it in `also` of {shown(name)}"
                    )
                self.also[key] = (name, what)
        self.asides = frozenset(name for name, field in self._leaves.items() if isinstance(field, Aside))
        self.known: dict[str, Known] = {}
        self._frames = Frames(self.also)

    def _check(self, name: str, field: Field) -> None:
        parent = name.rpartition(".")[0]
        for target in field.after:
            full = f"{parent}.{target}" if parent and f"{parent}.{target}" in self._leaves else target
            if full in self._leaves and self._leaves[full].after:
                raise Infeasible(
                    f"field {shown(name)} is shifted by {shown(target)}, which is itself shifted",
                    "shift by the field whose rows are indexed",
                )
        if isinstance(field, Aside) and parent:
            raise Infeasible(
                f"field {shown(name)} is aside within {shown(parent)}", "declare fields of the sample itself aside"
            )

    def __call__(self, samples: Sequence[Any]) -> Batch:
        """Collate `samples`: one batch."""
        root, labels, _ = self.gathered(samples)
        return Batch(root, also=self.also, asides=self.asides, labels=labels)

    def gathered(self, samples: Sequence[Any]) -> tuple[Tree, dict[str, Value], Callable[[int], str]]:
        """The collated fields, the labels that came beside the samples, and what to call sample i in a message."""
        if not isinstance(samples, (list, tuple)):
            raise Infeasible(
                f"a list of samples is needed, this is {typed(samples)}",
                "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
            )
        if not len(samples):
            raise Infeasible("there are 0 samples in the batch", "leave empty batches out of the batch sampler")
        try:
            return self._gathered(samples)
        except Infeasible:
            Identity.refuse_mixed(samples)
            raise
        except StopIteration as error:
            raise Infeasible(
                "a sample, or a function that collating called, raised StopIteration, which a DataLoader takes for the "
                "end of the epoch",
                "let it raise another error, or give next() a default",
            ) from error

    def _gathered(self, samples: Sequence[Any]) -> tuple[Tree, dict[str, Value], Callable[[int], str]]:
        labels: dict[str, Value] = {}
        if self.known or isinstance(samples[0], Identity):
            samples, labels = Identity.separated(samples, self.known)
        run = Run(self._frames, labels.get("sample_id"))
        registered = default_collate_fn_map.get(type(samples[0]))
        if registered is not None and isinstance(samples[0], list):
            registered(samples, collate_fn_map=default_collate_fn_map)  # a stream's batch refuses to be a sample
        structure = structure_of(samples[0])
        if structure is None:
            raise Infeasible(
                f"{run.called(0)} is {typed(samples[0])}, which has no fields",
                "let the dataset return a mapping, a tuple or a dataclass",
            )
        if "sample_id" in self.asides:
            run.name_by(samples, structure, "sample_id")
        root = run.container(samples, structure, self.fields)
        run.finish(root)
        return root, labels, run.called

    def knowing(self, **known: Known) -> Collate:
        """The same, with what is known of samples by their ids put into the side channel of each batch.

        Args:
            known: functions from sample ids (int64, N) to N values, an array, a tensor or a list; `batch.aside.columns`
                has them by the functions' names, numbers as a tensor and all else in a list. The functions run in the
                workers, where they are sent once.

        Raises:
            Infeasible: when collating, if samples have no ids: wrap their dataset in `bw.identified`.

        Example:
            >>> import batchwright as bw
            >>> collate = bw.Collate().knowing(half=lambda ids: ids // 2)
            >>> dataset = bw.identified([{"x": 0.1}, {"x": 0.2}, {"x": 0.3}])
            >>> collate([dataset[2], dataset[1]]).aside.columns["half"]
            tensor([1, 0])
        """
        for name, of in known.items():
            if not callable(of):
                raise Infeasible(
                    f"what {shown(name)} is looked up in is {typed(of)}, which is no function of sample ids",
                    "pass a function: knowing(name=lambda ids: [column[i] for i in ids.tolist()])",
                )
        knowing = copy.copy(self)
        knowing.known = {**self.known, **known}
        return knowing

    def with_plan(self, plan: BasePlan, *, clip: float | None = None) -> Collate:
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
        from ..correct.weights import Weights
        from .known import PlanKnowledge

        knowledge = PlanKnowledge(Weights(plan, clip=clip).lasting())
        return self.knowing(group=knowledge.groups, weight=knowledge.loss_weights)

    def packs(
        self,
        *,
        capacity: int | None = None,
        packs: int | PackedPlan = 1,
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
        from ..interface import BasePlan
        from ..plans.packed import PackedPlan
        from .pack_collate import PackCollate

        if isinstance(packs, BasePlan) and not isinstance(packs, PackedPlan):
            raise Infeasible(
                f"packs is {typed(packs)}, whose micro-batches are not made of packs",
                "pass the plan of bw.packed(...), or a number of packs and their capacity",
            )
        bounds = packs.bounds if isinstance(packs, PackedPlan) else None
        rules = PackRules(
            capacity=bounds.capacity if bounds is not None and capacity is None else capacity,
            packs=1 if isinstance(packs, PackedPlan) else packs,
            align=align,
            room=room,
            seams=tuple(seams),
            shape=shape,
        )
        return PackCollate(self, rules, bounds=bounds, along=along, also=also)

    def __repr__(self) -> str:
        return f"Collate({', '.join(f'{name}={field!r}' for name, field in self.fields.items())})"


def _declared(fields: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[str, Field]]:
    found: list[tuple[str, Field]] = []
    for name, field in fields.items():
        own = (*path, name)
        if not isinstance(name, str):
            raise Infeasible(f"a field's name is {shown(name)}, which is no string", f"name it {shown(str(name))}")
        if isinstance(field, Field):
            found.append((".".join(own), field))
        elif isinstance(field, (Mapping, list, tuple)):
            found += _declared(by_name(field), own)
        else:
            raise Infeasible(
                f"{shown('.'.join(own))[1:-1]} is declared as {shown(field)}, which is no field",
                declaration(own, "bw.stack()"),
            )
    return found
