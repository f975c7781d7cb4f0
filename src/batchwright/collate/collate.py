"""`Collate`: samples in, one batch out, each field as it was declared."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import default_collate
from torch.utils.data._utils.collate import (
    collate_float_fn,
    collate_int_fn,
    collate_numpy_array_fn,
    collate_tensor_fn,
    default_collate_fn_map,
)

from ..errors import Infeasible
from .batch import Batch
from .column import Column
from .fields import Aside, Context, Field, ScalarField, StackField
from .identity import Identity, Known
from .memory import settle
from .packs import PackRules, Room, Shape
from .structure import Structure, Tree, structure_of
from .values import Extension, Opaque, Stacked, Value

if TYPE_CHECKING:
    from ..plans.plan import Plan
    from .pack_collate import PackCollate

__all__ = ["Collate"]

Spec = Field | Mapping[str, Any] | Sequence[Any]

# What default_collate does with these, done without casting or dropping anything.
_INSTEAD_OF: dict[Any, Field] = {
    collate_tensor_fn: StackField(),
    collate_numpy_array_fn: StackField(),
    collate_int_fn: ScalarField(),
    collate_float_fn: ScalarField(),
}


class Collate:
    """A collate function for `torch.utils.data.DataLoader` that joins each field as it was declared, once.

    Fields that are not declared follow torch's `default_collate` and its extension table; a ragged one among them is
    refused with the line that declares it. Samples may be mappings, tuples, named tuples, dataclasses or PyTorch
    Geometric `Data`, nested as they like: a nested container is declared by a mapping or sequence of declarations.

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
        self.fields = {**_by_name(fields or {}), **named}
        self._leaves = dict(_declared(self.fields, ""))
        self.also: dict[str, tuple[str, str]] = {}
        for name, field in self._leaves.items():
            self._check(name, field)
            for key, what in field.also:
                if key in self.also or key in self.fields:
                    raise Infeasible(f"the batch would have two keys {key!r}", f"rename it in `also` of {name!r}")
                self.also[key] = (name, what)
        self.asides = frozenset(name for name, field in self._leaves.items() if isinstance(field, Aside))
        self.known: dict[str, Known] = {}

    def _check(self, name: str, field: Field) -> None:
        parent = name.rpartition(".")[0]
        for target in field.after:
            full = f"{parent}.{target}" if parent and f"{parent}.{target}" in self._leaves else target
            if full in self._leaves and self._leaves[full].after:
                raise Infeasible(
                    f"field {name!r} is shifted by {target!r}, which is itself shifted",
                    "shift by the field whose rows are indexed",
                )
        if isinstance(field, Aside) and parent:
            raise Infeasible(f"field {name!r} is aside within {parent!r}", "declare fields of the sample itself aside")

    def __call__(self, samples: Sequence[Any]) -> Batch:
        """Collate `samples`: one batch."""
        root, labels, _ = self.gathered(samples)
        return Batch(root, also=self.also, asides=self.asides, labels=labels)

    def gathered(self, samples: Sequence[Any]) -> tuple[Tree, dict[str, Value], Callable[[int], str]]:
        """The collated fields, the labels that came beside the samples, and what to call sample i in a message."""
        if not len(samples):
            raise Infeasible("there are 0 samples in the batch", "leave empty batches out of the batch sampler")
        samples, labels = Identity.separated(samples, self.known)
        run = _Run(labels)
        structure = structure_of(samples[0])
        if structure is None:
            raise Infeasible(
                f"{run.called(0)} is a {type(samples[0]).__name__}, which has no fields",
                "let the dataset return a mapping, a tuple or a dataclass",
            )
        run.name_by(samples, structure, self.asides)
        root = run.container(samples, structure, self.fields, "")
        run.finish()
        return root, labels, run.called

    def knowing(self, **known: Known) -> Collate:
        """The same, with what is known of samples by their ids put into the side channel of each batch.

        Args:
            known: functions from sample ids (int64, N) to N values, an array or a list; `batch.aside.columns` has the
                values by the functions' names. They run in the workers, where they are sent once.

        Raises:
            Infeasible: when collating, if samples have no ids: wrap their dataset in `bw.identified`.

        Example:
            >>> import batchwright as bw
            >>> collate = bw.Collate().knowing(half=lambda ids: ids // 2)
            >>> dataset = bw.identified([{"x": 0.1}, {"x": 0.2}, {"x": 0.3}])
            >>> collate([dataset[2], dataset[1]]).aside.columns["half"]
            tensor([1, 0])
        """
        knowing = copy.copy(self)
        knowing.known = {**self.known, **known}
        return knowing

    def with_plan(self, plan: Plan, *, clip: float | None = None) -> Collate:
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
        align: int = 1,
        room: Room = "nothing",
        seams: Sequence[str] = (),
        shape: Shape = "row",
        along: Sequence[str] | None = None,
        also: Mapping[str, str] | None = None,
    ) -> PackCollate:
        """A collate function for packs: lists of samples, as packed plans yield them; a plain list is one pack.

        Fields ragged along dim 0 are laid end to end; every other field is collated over all samples of all packs.

        Args:
            capacity: what a pack may hold at most.
            align: each sample is filled up to a multiple of this.
            room: what becomes of the room left in a pack: `"nothing"`, `"dummy"` (filled, as one segment of its own),
                `"extend"` (filled, as part of the last sample's segment).
            seams: fields whose first element of each sample becomes the field's pad value: labels that are predicted
                from the element before must not be predicted from another sample's.
            shape: what the model sees: `"row"` (1 x all), `"packs"` (packs x capacity) or `"flat"`.
            along: the fields that are packed; by default every one declared `bw.ragged()` along dim 0.
            also: further keys of the batch: `"positions"`, `"segments"`, `"cu_seqlens"`, `"offsets"`, `"lengths"`,
                `"max_length"`, `"mask"` (True at real elements), `"causal_mask"`, `"full_mask"` (dense, of attention),
                `"causal_blocks"`, `"full_blocks"` (flex attention's). `bw.attention` has sets ready for use.

        Example:
            >>> import torch, batchwright as bw
            >>> declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
            >>> collate = declared.packs(seams=["labels"], also={"position_ids": "positions"})
            >>> batch = collate([{"input_ids": ids, "labels": ids} for ids in ([5, 6, 7], [8, 9])])
            >>> batch["input_ids"], batch["labels"], batch["position_ids"]
            (tensor([[5, 6, 7, 8, 9]]), tensor([[-100,    6,    7, -100,    9]]), tensor([[0, 1, 2, 0, 1]]))
        """
        from .pack_collate import PackCollate

        rules = PackRules(capacity=capacity, align=align, room=room, seams=tuple(seams), shape=shape)
        return PackCollate(self, rules, along=along, also=also or {})

    def __repr__(self) -> str:
        return f"Collate({', '.join(f'{name}={field!r}' for name, field in self.fields.items())})"


class _Run:
    """The collating of one batch: what its fields share, and which of them wait for others."""

    def __init__(self, labels: Mapping[str, Value]) -> None:
        self.context = Context()
        self.waiting: list[tuple[dict[str, Value], str, Field, Column]] = []
        self.ids: Value | None = labels.get("sample_id")

    def name_by(self, samples: Sequence[Any], structure: Structure, asides: frozenset[str]) -> None:
        """Let messages call samples by the id that they carry."""
        if self.ids is None and "sample_id" in asides and "sample_id" in structure.keys:
            self.ids = Opaque(self._parts(samples, structure, "sample_id", "sample_id"))

    def called(self, number: int) -> str:
        """What sample `number` is called in a message."""
        if self.ids is None:
            return f"sample {number} of the batch"
        return f"sample {self.ids.sample(number)!r} (number {number} of the batch)"

    def container(self, samples: Sequence[Any], structure: Structure, spec: Mapping[str, Any], prefix: str) -> Tree:
        """Collate containers part by part, in the order of their parts."""
        samples = structure.opened(samples)
        names = structure.names
        self._alike(samples, structure, names, spec, prefix)
        children: dict[str, Value] = {}
        for key, name in zip(structure.keys, names, strict=True):
            full = prefix + name
            values = self._parts(samples, structure, key, full)
            declared = spec.get(name)
            column = Column(full, values, self.called)
            if isinstance(declared, Field) and declared.after:
                children[name] = Opaque([])  # its place; `finish` fills it
                self.waiting.append((children, name, declared, column))
                continue
            children[name] = self._leaf(column, declared)
            self.context.done[full] = children[name]
        return Tree(structure, children)

    def finish(self) -> None:
        """Collate the fields that index others, now that those are there."""
        for children, name, declared, column in self.waiting:
            children[name] = declared.gather(column, self.context)
            self.context.done[column.name] = children[name]
        self.waiting.clear()  # columns know this run by its `called`: leave no cycle that would keep their tensors

    def _leaf(self, column: Column, declared: Spec | None) -> Value:
        if isinstance(declared, Field):
            return declared.gather(column, self.context)
        first = column.values[0]
        registered = _registered(first)
        if declared is None and registered in _INSTEAD_OF:
            return _INSTEAD_OF[registered].gather(column, self.context)
        structure = structure_of(first) if registered is None else None
        if structure is not None:
            return self.container(column.values, structure, _by_name(declared or {}), f"{column.name}.")
        if declared is not None:
            raise Infeasible(
                f"field {column.name!r} of {self.called(0)} is a {type(first).__name__}, declared as a container",
                f"declare one field: {column.name} = bw.stack()",
            )
        return _joined_by_torch(column)

    def _parts(self, samples: Sequence[Any], structure: Structure, key: Any, full: str) -> list[Any]:
        try:
            return structure.column(samples, key)
        except (KeyError, IndexError, AttributeError, TypeError):
            pass
        number = next(n for n, sample in enumerate(samples) if not _has(structure, sample, key))
        raise Infeasible(
            f"field {full!r} is missing in {self.called(number)} (a {type(samples[number]).__name__}); "
            f"{self.called(0)} has {', '.join(structure.names)}",
            "give every sample the same fields",
        )

    def _alike(
        self,
        samples: Sequence[Any],
        structure: Structure,
        names: Sequence[str],
        spec: Mapping[str, Any],
        prefix: str,
    ) -> None:
        """Refuse containers without parts, or with other parts than the first's or the declaration's."""
        if not structure.keys:
            raise Infeasible(
                f"{self.called(0)} has no fields{f' in {prefix[:-1]!r}' if prefix else ''}",
                "leave empty samples out",
            )
        absent = [name for name in spec if name not in names]
        if absent:
            raise Infeasible(
                f"field {prefix + absent[0]!r} is missing in {self.called(0)}, which has {', '.join(structure.names)}",
                "give every sample the declared fields, or do not declare it",
            )
        if structure.reads == "attribute":
            return
        try:
            if sum(map(len, samples)) == len(samples) * len(structure.keys):  # that none lacks a part, _parts finds out
                return
            number = next(n for n, sample in enumerate(samples) if len(sample) != len(samples[0]))
        except TypeError:
            number = next(n for n, sample in enumerate(samples) if not hasattr(sample, "__len__"))
        other = structure_of(samples[number])
        found = type(samples[number]).__name__ if other is None else (", ".join(other.names) or "none")
        raise Infeasible(
            f"{self.called(number)} has the fields {found}{f' in {prefix[:-1]!r}' if prefix else ''}, "
            f"{self.called(0)} has {', '.join(structure.names)}",
            f"declare it: {prefix[:-1].rpartition('.')[2]} = bw.ragged()"
            if structure.kind is list
            else "give every sample the same fields",
        )


def _has(structure: Structure, sample: Any, key: Any) -> bool:
    try:
        structure.column([sample], key)
    except (KeyError, IndexError, AttributeError, TypeError):
        return False
    return True


def _registered(value: Any) -> Any:
    """The function of `default_collate`'s extension table for this value, found as torch finds it; None if it has none."""
    if type(value) in default_collate_fn_map:
        return default_collate_fn_map[type(value)]
    return next((function for kind, function in default_collate_fn_map.items() if isinstance(value, kind)), None)


def _joined_by_torch(column: Column) -> Value:
    try:
        joined = default_collate(list(column.values))
    except (TypeError, RuntimeError) as error:
        raise Infeasible(
            f"field {column.name!r} of {column.called(0)} is a {type(column.values[0]).__name__}, which "
            f"default_collate refuses ({str(error).splitlines()[0]})",
            f"declare it: {column.name} = bw.opaque()",
        ) from None
    if isinstance(joined, Tensor):
        return Stacked(settle(joined))
    return Opaque(joined) if isinstance(joined, list) else Extension(joined)


def _by_name(fields: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(fields, Mapping):
        return dict(fields)
    return {str(number): field for number, field in enumerate(fields) if field is not None}


def _declared(fields: Mapping[str, Any], prefix: str) -> list[tuple[str, Field]]:
    found: list[tuple[str, Field]] = []
    for name, field in fields.items():
        if isinstance(field, Field):
            found.append((prefix + name, field))
        elif isinstance(field, (Mapping, list, tuple)):
            found += _declared(_by_name(field), f"{prefix}{name}.")
        else:
            raise Infeasible(
                f"{prefix + name} is declared as {field!r}, which is no field",
                f"declare it: {name} = bw.stack()",
            )
    return found
