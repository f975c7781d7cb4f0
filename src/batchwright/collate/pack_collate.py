"""`Collate.packs`: a collate function for two-level batches, packs of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from ..errors import Infeasible
from .batch import Batch
from .fields import Field, RaggedField
from .layout import Layout
from .memory import settle
from .packs import Packed, PackRules, laid_out, pointed_into
from .representations import Ragged
from .run import by_name
from .structure import Tree
from .values import Scalars
from .wording import declaration

if TYPE_CHECKING:
    from .collate import Collate

__all__ = ["PackCollate"]


class PackCollate:
    """See `Collate.packs`."""

    def __init__(
        self,
        collate: Collate,
        rules: PackRules,
        *,
        along: Sequence[str] | None,
        also: Mapping[str, str],
    ) -> None:
        declared = collate.fields
        fitting = [
            name
            for name, field in declared.items()
            if isinstance(field, RaggedField) and field.dim == 0 and not field.shift_by
        ]
        self._along = tuple(fitting if along is None else along)
        stray = [name for name in (*self._along, *rules.seams) if name not in fitting]
        if stray or not self._along:
            raise Infeasible(
                f"packs are made of fields that are ragged along dim 0: {fitting or 'none is declared'}; "
                f"asked for {stray or list(self._along)}",
                "declare them as bw.ragged()",
            )
        maskless = [name for name in rules.seams if not declared[name].pads]
        if maskless:
            raise Infeasible(
                f"field {maskless[0]!r} is masked at the seams and was given no pad value to mask it with",
                declaration([maskless[0]], "bw.ragged(pad=-100)"),
            )
        self._rules = rules
        self._also = {key: (self._along[0], what) for key, what in also.items()}
        form = "list" if rules.fills else "packed"  # pieces go straight into their packs
        fields = {name: replace(declared[name], form=form, also=()) for name in self._along}
        for name in self._along:
            if declared[name].also:
                raise Infeasible(
                    f"field {name!r} is packed and has also={dict(declared[name].also)} of its own",
                    "name the further keys once: collate.packs(also=...)",
                )
        self._collate = type(collate)({**declared, **fields}).knowing(**collate.known)
        self._indices = [
            (path, targets)
            for path, targets in _index_fields(declared, ())
            if rules.fills and not set(self._along).isdisjoint(targets)
        ]

    def __call__(self, packs: Sequence[Any]) -> Batch:
        """Collate packs, lists of samples; a plain list of samples is one pack."""
        if not isinstance(packs, (list, tuple)):
            raise Infeasible(
                f"collating was asked of a {type(packs).__name__}, not of a list of packs or of samples",
                "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
            )
        if not len(packs):
            raise Infeasible("there are 0 packs in the batch", "leave empty batches out of the batch sampler")
        two_level = isinstance(packs[0], list)
        rows = list(packs) if two_level else [packs]
        sizes = [len(row) for row in rows]
        if not all(sizes):
            raise Infeasible(f"pack {sizes.index(0)} has 0 samples", "leave empty packs out of the plan")
        samples = [sample for row in rows for sample in row]
        root, labels, called = self._collate.gathered(samples)
        ragged: dict[str, Ragged] = {name: cast(Ragged, root.children[name]) for name in self._along}
        packed = laid_out(ragged, sizes, self._rules, called)
        for path, targets in self._indices:
            _point(root, path, targets, packed)
        return Batch(
            replace(root, children={**root.children, **packed}),
            also={**self._collate.also, **self._also},
            asides=self._collate.asides,
            labels={**labels, "pack": _numbers(sizes)},
        )

    def __repr__(self) -> str:
        return f"{self._collate!r}.packs(along={self._along}, {self._rules!r})"


def _index_fields(fields: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Where the declared index fields are, and what they index."""
    found = []
    for name, field in fields.items():
        if isinstance(field, RaggedField) and field.shift_by:
            found.append(((*path, name), field.shift_by))
        elif not isinstance(field, Field):
            found += _index_fields(by_name(field), (*path, name))
    return found


def _point(root: Tree, path: tuple[str, ...], targets: tuple[str, ...], packed: Mapping[str, Packed]) -> None:
    """Let an index field of a batch just collated point to where the packed fields lie; others beside it come first."""
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
