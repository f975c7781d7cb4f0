"""`PackCollate`: a collate function that joins samples to packs; made by `Collate.packs`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, cast

import numpy as np

from ..errors import Infeasible, did_you_mean, shown, typed
from .arguments import by_name, field_names
from .batch import Batch
from .declaration_text import declaration
from .declared import Declared
from .fields import Field
from .identity import Identity, Known
from .layout import Layout
from .memory import settle
from .packs import OFFERS, Packed, PackRules, laid_out, pointed_into
from .plan_columns import PlanOfGroups, plan_columns
from .ragged_field import RaggedField
from .ragged_value import Ragged
from .structure import Tree, structure_of
from .values import Scalars, Value

__all__ = ["PackCollate", "PlanOfPacks"]

_MASKS = ("attention_mask", "decoder_attention_mask")
"""Names by which models take the mask of attention: of packs, it is made by `also`, and never comes with the samples."""


class PackFinder(Protocol):
    """Finds where the packs of a micro-batch start, from its samples in order."""

    @property
    def capacity(self) -> int | None:
        """The capacity of a pack, if there is only one."""

    def __call__(self, samples: np.ndarray, /) -> np.ndarray:
        """Where each pack starts, and where the last ends, int64 (packs + 1)."""


class PlanOfPacks(Protocol):
    """What this module needs of a plan; `collate` is below `plans` and must not import it."""

    @property
    def pack_borders(self) -> PackFinder:
        """From samples to their packs."""


class PackCollate:
    """See `Collate.packs`."""

    def __init__(
        self,
        collate: Declared,
        rules: PackRules,
        *,
        borders: PackFinder | None,
        along: str | Sequence[str] | None,
        also: Mapping[str, str] | None,
    ) -> None:
        declared = collate.fields
        _refuse_masks([name for name in declared if name not in collate.asides])
        self.along = _packable(declared, rules, along)
        self.rules = rules
        also = {} if also is None else also
        self.also = dict(also) if isinstance(also, Mapping) else also
        self._declared = copy.copy(collate)
        self._declared.known = {}
        self.borders = borders
        # With padding between them, samples are copied once, into their packs.
        form = "list" if rules.fills else "packed"
        fields = {name: replace(declared[name], form=form) for name in self.along}
        _refuse_other_numbers_of_packs(collate)
        self._collate = type(collate)({**declared, **fields}).knowing(**collate.known)
        # In place: its frames have the same dictionary.
        self._collate.also.update(_described(self.along[0], also, self._collate))
        self._indices = [
            (path, targets)
            for path, targets in _index_fields(declared, ())
            if rules.fills and not set(self.along).isdisjoint(targets)
        ]

    def __call__(self, packs: Sequence[Any]) -> Batch:
        """Collate packs, which are lists of samples; a list of samples is divided into packs."""
        if not isinstance(packs, (list, tuple)):
            raise Infeasible(
                f"a list of packs or of samples is needed, this is {typed(packs)}",
                "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
            )
        if not len(packs):
            raise Infeasible("there are 0 packs in the batch", "leave empty batches out of the batch sampler")
        samples, sizes = _taken_apart(packs)
        self.check_fields(samples[0])
        root, labels, run = self._collate.gathered(samples)
        ragged: dict[str, Ragged] = {name: cast(Ragged, root.children[name]) for name in self.along}
        if sizes is None:
            lengths = ragged[self.along[0]].layout.counts
            sizes = self.rules.cut(lengths) if self.borders is None else _planned(self.borders, labels)
        if "pack" in labels:
            raise Infeasible(
                "'pack' comes with the dataset and is also the number of each sample's pack",
                "give it another name in bw.identified",
            )
        packed = laid_out(ragged, sizes, self.rules, run.called)
        for path, targets in self._indices:
            _point(root, path, targets, packed)
        root = replace(root, children={**root.children, **packed})
        return Batch._of(root, self._collate.also, self._collate.asides, {**labels, "pack": _numbers(sizes)})

    def check_fields(self, sample: Any) -> None:
        """Refuse a sample that brings a mask of attention of its own, if that is not declared aside."""
        structure = structure_of(sample.sample if isinstance(sample, Identity) else sample)
        if structure is not None:
            _refuse_masks([name for name in _MASKS if name in structure.keys and name not in self._collate.asides])

    @property
    def fields(self) -> dict[str, Any]:
        """The declarations, as in `Collate`."""
        return self._declared.fields

    def described(self, also: Mapping[str, str], rules: PackRules) -> PackCollate:
        """A copy with other rules and other further keys, without the plan."""
        return PackCollate(self._declared, rules, borders=None, along=self.along, also=also)

    def knowing(self, **known: Known) -> Self:
        """See `Collate.knowing`."""
        packs = copy.copy(self)
        packs._collate = self._collate.knowing(**known)
        _refuse_other_numbers_of_packs(packs._collate)
        return packs

    def with_plan(self, plan: PlanOfGroups, *, clip: float | None = None) -> Self:
        """See `Collate.with_plan`."""
        return self.knowing(**plan_columns(plan, clip))

    def __repr__(self) -> str:
        return f"{self._collate!r}.packs(along={self.along}, {self.rules!r})"


def _refuse_other_numbers_of_packs(collate: Declared) -> None:
    if "pack" in collate.asides or "pack" in collate.known:
        raise Infeasible("'pack' is looked up or declared aside, and is the number of each sample's pack", "rename it")


def _refuse_masks(names: Sequence[str]) -> None:
    """Refuse masks of attention among the names of fields: that of each sample alone lets those of a pack see each other."""
    for name in _MASKS:
        if name in names:
            raise Infeasible(
                f"{name!r} of the samples is each one's own, and in a pack does not keep them apart",
                f"{declaration([name], 'bw.aside()')}, or leave it out of the samples; what keeps them apart are keys of "
                "packs(also=...), such as bw.attention.HUGGING_FACE",
            )


def _packable(declared: Mapping[str, Any], rules: PackRules, along: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names of the fields that are packed: those in `along`, or all that can be packed.

    Raises:
        Infeasible: there are none, one of them cannot be packed, or one of `seams` has no pad value.
    """
    packable = [
        name
        for name, field in declared.items()
        if isinstance(field, RaggedField) and field.dim == 0 and not field.shift_by
    ]
    names = tuple(packable) if along is None else field_names(along, "along")
    for argument, asked in (("along", names), ("seams", rules.seams)):
        stray = [name for name in asked if name not in packable]
        if stray or not names:
            raise Infeasible(
                f"packs are made of fields that are ragged along dim 0: "
                f"{shown(packable) if packable else 'none is declared'}; {argument}={shown(stray or list(names))}",
                declaration([stray[0]], "bw.ragged()") + did_you_mean(stray[0], packable)
                if stray
                else "declare one as bw.ragged()",
            )
    apart = [name for name in rules.seams if name not in names]
    if apart:
        raise Infeasible(
            f"field {shown(apart[0])} is masked at the seams and is none of the packed fields {shown(list(names))}",
            "name it in along too, or leave it out of seams",
        )
    maskless = [name for name in rules.seams if not declared[name].pads]
    if maskless:
        raise Infeasible(
            f"field {shown(maskless[0])} is masked at the seams and was given no pad value to mask it with",
            declaration([maskless[0]], "bw.ragged(pad=-100)"),
        )
    for name in names:
        if declared[name].also:
            raise Infeasible(
                f"field {shown(name)} is packed and has also={shown(dict(declared[name].also))} of its own",
                f"leave it out of the declaration; collate.packs(also=...) offers {', '.join(OFFERS)}",
            )
    return names


def _described(lead: str, also: Mapping[str, str], collate: Declared) -> dict[str, tuple[str, str]]:
    """The further keys of the batch, each with the description of field `lead` that it shows."""
    if not isinstance(also, Mapping):
        raise Infeasible(
            f"also is {shown(also)}", 'pass what each further key holds: also={"position_ids": "positions"}'
        )
    for key, what in also.items():
        if not isinstance(what, str) or what not in OFFERS:
            raise Infeasible(
                f"packs have no {shown(what)} to show as {shown(key)}", f"ask for one of {', '.join(OFFERS)}"
            )
        if (key in collate.fields and key not in collate.asides) or key in collate.also:
            raise Infeasible(
                f"the batch would have two keys {shown(key)}, of a declared field and of collate.packs(also=...)",
                "rename the one in also, or take the field out of the samples and their declaration",
            )
    return {key: (lead, what) for key, what in also.items()}


def _taken_apart(packs: Sequence[Any]) -> tuple[Sequence[Any], list[int] | None]:
    """The samples of all packs, and the size of each pack; None for the sizes if the batch does not have them."""
    told = getattr(packs, "packs", ())  # batches of streams have it
    if told:
        if sum(told) != len(packs):
            raise Infeasible(
                f"the batch has {len(packs)} samples, and by its own account its packs hold {sum(told)}",
                "leave the lists of a stream as they are, or pass packs as lists of samples",
            )
        return packs, list(told)
    if not isinstance(packs[0], list):
        return packs, None
    odd = next((number for number, pack in enumerate(packs) if not isinstance(pack, list)), None)
    if odd is not None:
        raise Infeasible(
            f"pack 0 is a list and pack {odd} is {typed(packs[odd])}", "pass all packs as lists of samples"
        )
    sizes = [len(pack) for pack in packs]
    if not all(sizes):
        raise Infeasible(f"pack {sizes.index(0)} has 0 samples", "leave empty packs out of the plan")
    return [sample for pack in packs for sample in pack], sizes


def _planned(borders: PackFinder, labels: Mapping[str, Value]) -> list[int]:
    """The size of each pack, from the plan."""
    ids = labels.get("sample_id")
    if not isinstance(ids, Scalars):
        raise Infeasible(
            "a plan knows packs by the numbers of their samples, and these samples have none",
            "wrap the dataset in bw.identified(dataset), or pass packs as a number and the capacity",
        )
    sizes: list[int] = np.diff(borders(ids.held.numpy())).tolist()
    return sizes


def _index_fields(fields: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The paths of the declared index fields, and the fields that each indexes."""
    found = []
    for name, field in fields.items():
        if isinstance(field, RaggedField) and field.shift_by:
            found.append(((*path, name), field.shift_by))
        elif not isinstance(field, Field):
            found += _index_fields(by_name(field), (*path, name))
    return found


def _point(root: Tree, path: tuple[str, ...], targets: tuple[str, ...], packed: Mapping[str, Packed]) -> None:
    """Change an index field so that it points into the packed fields; a field of the same container takes precedence."""
    container = root
    for part in path[:-1]:
        container = cast(Tree, container.children[part])
    nearer = container.leaves() if len(path) > 1 else {}
    places = [packed[name].plot.places if name in packed and name not in nearer else None for name in targets]
    indices = cast(Ragged, container.children[path[-1]])
    container.children[path[-1]] = pointed_into(indices, places, ".".join(path))


def _numbers(sizes: Sequence[int]) -> Scalars:
    """The pack of each sample."""
    return Scalars(settle(Layout(sizes).segments))
