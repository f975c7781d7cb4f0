"""How each field of a sample is to be collated: frozen declarations that validate themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, listed, one_of, shown, whole
from . import memory
from .arguments import further_keys, menu_lengths, names, whole_numbers
from .axes import normal_dims
from .column import Column, shared
from .descriptions import DESCRIPTIONS
from .indices import ADDED, elements_of, refuse_outside, refuse_overflow, refuse_unfit
from .layout import Layout, Side
from .memory import settle
from .padding import Padding
from .ragged_value import Form, Ragged
from .values import Opaque, Scalars, Stacked, Value

__all__ = ["Aside", "Context", "Field", "OpaqueField", "RaggedField", "ScalarField", "StackField"]
__all__ += ["aside", "opaque", "ragged", "scalar", "stack"]


class Context:
    """What the fields of one batch share: the layouts already seen, and the fields already collated, by full name."""

    def __init__(self) -> None:
        self.layouts: dict[tuple[int, ...], Layout] = {}
        self.done: dict[str, Value] = {}

    def layout(self, counts: tuple[int, ...]) -> Layout:
        """One layout for equal lengths, so that their jagged tensors share offsets and can be combined."""
        layout = self.layouts.get(counts)
        if layout is None:
            layout = self.layouts[counts] = Layout(counts)
        return layout

    def beside(self, name: str, target: str) -> Value:
        """The field `target` beside the field `name`, or the one of that full name."""
        parent, _, _ = name.rpartition(".")
        for full in (f"{parent}.{target}" if parent else target, target):
            if full in self.done:
                return self.done[full]
        raise Infeasible(
            f"field {shown(name)} is shifted by {shown(target)}, and the batch has only {listed(sorted(self.done))}",
            "name a field that every sample has",
        )


class Field(ABC):
    """A declaration of one field: how N values become one."""

    also: tuple[tuple[str, str], ...] = ()
    """Further keys of the batch, and what of this field each holds."""

    @property
    def offers(self) -> tuple[str, ...]:
        """What `also` may ask for."""
        return ()

    @property
    def after(self) -> tuple[str, ...]:
        """The fields that must be collated before this one."""
        return ()

    @abstractmethod
    def gather(self, column: Column, context: Context) -> Value:
        """Collate one column."""


@dataclass(frozen=True)
class StackField(Field):
    """See `stack`."""

    @override
    def gather(self, column: Column, context: Context) -> Stacked:
        tensors = column.tensors()
        if tensors[0].layout is not torch.strided:
            column.refuse_unlike(tensors)
        try:
            return Stacked(memory.stack(tensors))
        except (RuntimeError, TypeError) as error:
            column.refuse_unlike(tensors)
            _refuse_unequal(column, tensors)
            column.refuse_subclass(tensors, error)
            raise


_INDICES = ("index", "indices", "face", "edge")
"""Words in the names of fields that usually hold indices."""


def _refuse_unequal(column: Column, tensors: Sequence[Tensor]) -> None:
    """Refuse tensors of several shapes."""
    way_out = column.fitting(tensors)
    for number, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            wanted = "equal shapes unless it is declared ragged"
            if tensor.dtype in ADDED and any(word in column.path[-1] for word in _INDICES):
                wanted += " (with shift_by='x' too, if it holds indices into a field x)"
            raise column.mismatch(tensors, number, wanted, way_out)


@dataclass(frozen=True)
class ScalarField(Field):
    """See `scalar`."""

    @override
    def gather(self, column: Column, context: Context) -> Value:
        numbers = settle(column.numbers())
        return Scalars(numbers) if isinstance(column.values[0], (bool, int, float, complex)) else Stacked(numbers)


_SCALAR = ScalarField()


@dataclass(frozen=True)
class OpaqueField(Field):
    """See `opaque`."""

    @override
    def gather(self, column: Column, context: Context) -> Opaque:
        return Opaque(list(column.values))


@dataclass(frozen=True)
class Aside(Field):
    """See `aside`."""

    @override
    def gather(self, column: Column, context: Context) -> Value:
        if all(isinstance(value, (bool, int, float, np.number)) or _is_number(value) for value in column.values):
            return _SCALAR.gather(column, context)
        return Opaque(list(column.values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (Tensor, np.ndarray)) and not value.ndim


@dataclass(frozen=True)
class RaggedField(Field):
    """See `ragged`."""

    dim: int | tuple[int, ...]
    form: Form
    padding: Padding
    shift_by: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    pads: bool = True
    """Whether a pad value was given."""
    truncate_to: int | None = None

    def __post_init__(self) -> None:
        one_of(self.form, "form", get_args(Form))
        if self.shift_by and not isinstance(self.dim, int):
            raise Infeasible(
                f"an index field is ragged along one dimension, dim is {shown(self.dim)}", "pass dim=0 or dim=-1"
            )
        axes = 1 if isinstance(self.dim, int) else len(self.dim)
        for entry in self.padding.menu:
            if (len(entry) if isinstance(entry, tuple) else 1) != axes:
                raise Infeasible(
                    f"menu has {entry} and dim is {shown(self.dim)}",
                    "give each entry of menu one length for each ragged dimension",
                )
        if self.truncate_to is None:
            return
        if not isinstance(self.dim, int):
            raise Infeasible(
                f"truncate_to cuts along one dimension, dim is {shown(self.dim)}",
                "cut the samples in the dataset instead",
            )
        whole(self.truncate_to, "truncate_to", least=1)

    @property
    @override
    def offers(self) -> tuple[str, ...]:
        return DESCRIPTIONS

    @property
    @override
    def after(self) -> tuple[str, ...]:
        return self.shift_by

    @override
    def gather(self, column: Column, context: Context) -> Ragged:
        if self.truncate_to is not None and isinstance(self.dim, int):
            column = self._truncated(column, self.dim, self.truncate_to)
        shift = self._shift(column, context) if self.shift_by else ()
        return self.shifted(column, context, shift, self.shift_by)

    def shifted(self, column: Column, context: Context, shift: tuple[Layout, ...], within: tuple[str, ...]) -> Ragged:
        """The field moved by `shift`; where the fields that it indexes have names, `within` them."""
        flat = column.flat_numbers() if self.dim in (0, -1) else None
        source: Any
        if flat is None:
            held, source, dims, axes = "list", *self._pieces(column, context)
        else:
            held, source, dims, axes = "local", settle(flat[0]), (0,), (context.layout(tuple(flat[1])),)
        gathered = Ragged(held, source, axes=axes, dims=dims, form=self.form, padding=self.padding, shift=shift)
        try:
            if shift:
                refuse_unfit(column, gathered, shift)
            if within:
                refuse_outside(column, gathered, shift, within)
            elif shift:
                refuse_overflow(column, gathered, shift)
            return _settled(column, gathered)
        except (RuntimeError, TypeError) as error:
            tensors = column.tensors()
            column.refuse_unlike(tensors)
            column.refuse_subclass(tensors, error)
            raise

    def _shift(self, column: Column, context: Context) -> tuple[Layout, ...]:
        targets = [(name, context.beside(column.name, name)) for name in self.shift_by]
        return tuple([elements_of(column, name, target, context.layout) for name, target in targets])

    def _truncated(self, column: Column, dim: int, most: int) -> Column:
        """The column with the first `most` elements of every sample; what has no such dimension is refused later on."""
        if dim == 0 and all(type(value) is list for value in column.values):
            if max(map(len, column.values)) <= most:
                return column
            return replace(column, values=[value[:most] for value in column.values])
        cut = [
            _shortened(tensor, dim, most, alone=self.form == "list")
            if tensor.layout is torch.strided
            and not tensor.is_nested
            and -tensor.ndim <= dim < tensor.ndim
            and tensor.shape[dim] > most
            else tensor
            for tensor in column.tensors()
        ]
        return replace(column, values=cut)

    def _pieces(
        self, column: Column, context: Context
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...], tuple[Layout, ...]]:
        """The samples' tensors, alike but for their lengths; the dimensions that those are along; and the lengths."""
        tensors = column.tensors()
        if tensors[0].layout is not torch.strided:
            column.refuse_unlike(tensors)
        sizes = column.sizes(tensors)
        if not sizes:
            raise Infeasible(
                f"{column.at(0)} has shape (), with no dimension to be ragged along",
                column.declared("bw.scalar()"),
            )
        try:
            dims = normal_dims(self.dim, len(sizes))
        except Infeasible as error:
            raise column.of(0, error) from None
        for dim, lengths in enumerate(sizes):
            if dim not in dims and shared(lengths) is None:
                ragged = tuple(d for d, lengths in enumerate(sizes) if d in dims or shared(lengths) is None)
                raise column.mismatch(
                    tensors,
                    next(number for number, length in enumerate(lengths) if length != lengths[0]),
                    f"equal sizes except along dim {dims[0] if len(dims) == 1 else dims}",
                    column.declared(f"bw.ragged(dim={ragged})"),
                )
        return tuple(tensors), dims, tuple([context.layout(sizes[dim]) for dim in dims])


def _shortened(tensor: Tensor, dim: int, most: int, *, alone: bool) -> Tensor:
    """The first `most` elements; of what travels alone, without the rest of its memory."""
    short = tensor.narrow(dim, 0, most)
    return short.clone() if alone else short


def _settled(column: Column, gathered: Ragged) -> Ragged:
    """The field in the form that the model sees; what its padding refuses is told of the longest sample."""
    try:
        return gathered.settle()
    except Infeasible as error:
        raise column.of(gathered.layout.counts.index(gathered.max_length), error) from None


def stack() -> StackField:
    """Samples of equal shape and dtype along a new first dimension.

    Example:
        >>> import torch, batchwright as bw
        >>> bw.Collate(image=bw.stack())([{"image": torch.zeros(3, 2, 2)}, {"image": torch.ones(3, 2, 2)}])["image"].shape
        torch.Size([2, 3, 2, 2])
    """
    return StackField()


def ragged(
    dim: int | Sequence[int] = 0,
    *,
    pad: float | complex | bool | None = None,
    form: Form | None = None,
    side: Side = "right",
    multiple: int = 1,
    menu: Sequence[int] | Sequence[Sequence[int]] = (),
    shift_by: str | Sequence[str] = (),
    truncate_to: int | None = None,
    also: Mapping[str, str] | None = None,
) -> RaggedField:
    """Samples that differ in length along `dim`, one dimension of a sample or several.

    Args:
        dim: the ragged dimension(s) of a sample.
        pad: what padding holds, a number that the field's dtype has (a floating dtype: that it has one near). Given, the
            model sees the padded form unless `form` says otherwise.
        form: what the batch, as a mapping, shows: `"packed"` (the default without `pad`), `"padded"`, `"jagged"` or
            `"list"`. Every form stays available as `batch.fields[name].packed` and so on.
        side: the side that is padded, `"right"` or `"left"`.
        multiple: padded lengths are rounded up to a multiple of this; those of a menu must be multiples of it.
        menu: the only padded lengths that may occur (for several dimensions: tuples); the smallest that fits is taken.
        shift_by: the field that this one's values index. In the packed form each sample's indices are moved on by the
            elements of earlier samples, and back again on `unbatch`. Several names: one for each row of dim 0.
        truncate_to: longer samples are cut to their first elements, so many along `dim`; `unbatch` gives them as cut. None
            cuts nothing, and `plan.truncate_to` is what a plan by lengths counts on.
        also: further keys of the batch and what they hold: `"mask"`, `"lengths"`, `"first"`, `"offsets"`,
            `"cu_seqlens"`, `"max_length"`, `"segments"` or `"positions"`.

    Raises:
        Infeasible: when built, if these do not fit each other; when collating, if samples differ elsewhere than along
            `dim`, or an index points outside its own sample.

    Example:
        >>> import torch, batchwright as bw
        >>> collate = bw.Collate(ids=bw.ragged(pad=0, also={"attention_mask": "mask"}))
        >>> batch = collate([{"ids": torch.tensor([7, 8, 9])}, {"ids": torch.tensor([5])}])
        >>> batch["ids"]
        tensor([[7, 8, 9],
                [5, 0, 0]])
        >>> batch["attention_mask"]
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    return RaggedField(
        dim=whole_numbers(dim, "dim"),
        form=("packed" if pad is None else "padded") if form is None else form,
        padding=Padding(
            value=0 if pad is None else pad,
            side=side,
            multiple=multiple,
            menu=menu_lengths(menu),
        ),
        shift_by=names(shift_by),
        also=further_keys(also),
        pads=pad is not None,
        truncate_to=truncate_to,
    )


def scalar() -> ScalarField:
    """One number a sample, as one vector: of Python's numbers bool, int64, float64 or complex128, of others their dtype.

    Example:
        >>> import batchwright as bw
        >>> bw.Collate(label=bw.scalar())([{"label": 3}, {"label": 4}])["label"]
        tensor([3, 4])
    """
    return ScalarField()


def opaque() -> OpaqueField:
    """Anything at all, one a sample, left alone in a list.

    Example:
        >>> import batchwright as bw
        >>> bw.Collate(path=bw.opaque())([{"path": "a.png"}, {"path": "b.png"}])["path"]
        ['a.png', 'b.png']
    """
    return OpaqueField()


def aside() -> Aside:
    """A field for the side channel: found in `batch.aside`, never among the batch's keys (`batch.data`, the whole, has it).

    Example:
        >>> import batchwright as bw
        >>> batch = bw.Collate(sample_id=bw.aside(), label=bw.scalar())([{"sample_id": 17, "label": 3}])
        >>> list(batch), batch.aside.sample_ids
        (['label'], tensor([17]))
    """
    return Aside()
