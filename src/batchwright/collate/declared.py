"""Declarations of the fields of samples: checks them once, and gathers batches by them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch.utils.data._utils.collate import default_collate_fn_map

from ..errors import Infeasible, shown, typed, warn
from ..public import internal
from .arguments import by_name
from .declaration_text import declaration
from .fields import Aside, Field
from .frames import Frames
from .gather import BatchGathering
from .identity import Identity, Known, label_column
from .structure import Tree, structure_of
from .values import Value

__all__ = ["Declared"]


# Fields that usually hold node numbers: the dimension along which they are ragged if not 0, and how their nodes are called.
_INDICES = {
    "edge_index": ("dim=1, ", "x"),
    "face": ("dim=1, ", "pos"),
    "faces": ("", "verts"),
    "senders": ("", "nodes"),
    "receivers": ("", "nodes"),
}


class Declared:
    """Declared fields, and the gathering of samples by them: the common part of `Collate` and `PackCollate`.

    Attributes:
        fields: the declarations by name.
        also: by further key of a batch, the field and the description that it shows.
        asides: the names of fields for the side channel.
        known: by name, functions of sample ids, whose values are added to the side channel.
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
                if key in self.also or (key in self.fields and not isinstance(self.fields[key], Aside)):
                    raise Infeasible(
                        f"the batch would have two keys {shown(key)}", f"rename it in `also` of {shown(name)}"
                    )
                self.also[key] = (name, what)
        self.asides = frozenset(name for name, field in self._leaves.items() if isinstance(field, Aside))
        self.known: dict[str, Known] = {}
        self._frames = Frames(self.also)

    def _check(self, name: str, field: Field) -> None:
        parent, _, own = name.rpartition(".")
        if own in _INDICES and not field.after and getattr(field, "form", None) == "packed":
            dim, of = _INDICES[own]
            warn(
                f"field {shown(name)} holds node numbers, as its name says, and has no shift_by: in a batch, those of every "
                f'sample point to the nodes of the first; pass bw.ragged({dim}shift_by="{of}"), with the field of the nodes.'
            )
        for target in field.after:
            full = f"{parent}.{target}" if parent and f"{parent}.{target}" in self._leaves else target
            if full in self._leaves and self._leaves[full].after:
                raise Infeasible(
                    f"field {shown(name)} is shifted by {shown(target)}, which is itself shifted",
                    "shift by the field whose rows are indexed",
                )
            if getattr(field, "form", "") == "packed" and getattr(self._leaves.get(full), "form", "") == "padded":
                raise Infeasible(
                    f"the indices in {shown(name)} count the elements of {shown(target)} end to end, and the batch has that "
                    "field padded",
                    f"leave pad out of {shown(target)}: batch.fields has its padded form too; or pass form='list' for "
                    f"{shown(name)}, whose indices then stay those of each sample",
                )
        if isinstance(field, Aside) and parent:
            raise Infeasible(
                f"field {shown(name)} is aside within {shown(parent)}", "declare fields of the sample itself aside"
            )

    @internal
    def gathered(self, samples: Sequence[Any]) -> tuple[Tree, dict[str, Value], BatchGathering]:
        """Collate the fields, and labels of `bw.identified` or of a stream; also returns what names samples in messages."""
        if not isinstance(samples, (list, tuple)):
            raise Infeasible(
                f"a list of samples is needed, this is {typed(samples)}",
                "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
            )
        if not samples:
            raise Infeasible("there are 0 samples in the batch", "leave empty batches out of the batch sampler")
        labels: dict[str, Value] = {}
        given = samples
        try:
            first = samples[0]
            if self.known or isinstance(first, Identity):
                samples, labels = Identity.separated(samples, self.known)
                first = samples[0]
            if getattr(given, "groups", ()) and "group" not in labels:
                labels["group"] = _groups_beside(given)
            run = BatchGathering(self._frames, labels.get("sample_id"))
            if isinstance(first, list) and type(first) in default_collate_fn_map:  # raises for a batch of a stream
                default_collate_fn_map[type(first)](samples, collate_fn_map=default_collate_fn_map)
            structure = structure_of(first)
            if structure is None:
                raise Infeasible(
                    f"{run.called(0)} is {typed(first)}, which has no fields",
                    "let the dataset return a mapping, a tuple or a dataclass",
                )
            if "sample_id" in self.asides:
                run.name_by(samples, structure, "sample_id")
            root = run.container(samples, structure, self.fields)
            if run.waiting:
                run.finish(root)
        except Infeasible:
            Identity.refuse_mixed(given)
            raise
        except StopIteration as error:
            raise Infeasible(
                "a sample, or a function that collating called, raised StopIteration, which a DataLoader takes for the "
                "end of the epoch",
                "let it raise another error, or give next() a default",
            ) from error
        return root, labels, run

    def knowing(self, **known: Known) -> Self:
        """A copy that adds values found by sample id to the side channel of batches.

        Args:
            known: by name, functions from sample ids (int64, N) to N values: an array, a tensor or a list.
                `batch.aside.columns` has the values by these names, numbers as a tensor, others in a list. The
                functions are sent to the workers once, and run there.

        Raises:
            Infeasible: when collating, samples have no ids; wrap their dataset in `bw.identified`.

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={field!r}' for name, field in self.fields.items())})"


def _groups_beside(batch: Any) -> Value:
    """The group of each sample, which a batch of a stream has beside them."""
    if len(batch.groups) != len(batch):
        raise Infeasible(
            f"the batch has {len(batch)} samples and brings the groups of {len(batch.groups)}",
            "leave the lists of a stream as they are, or pass list(batch), which has no groups",
        )
    return label_column("group", batch.groups)


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
