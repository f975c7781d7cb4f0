"""The declaration of a ragged field: its lengths differ along one dimension or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import countOf
from typing import Any, get_args

import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, check_integer, one_of, shown
from . import memory
from .arguments import check_integers, further_keys, menu_lengths, names
from .axes import normal_dims
from .column import FieldValues, is_plain, shared
from .descriptions import DESCRIPTIONS
from .fields import Context, Field
from .indices import elements_of, refuse_outside, refuse_overflow, refuse_unfit
from .layout import Layout, Side
from .memory import settle
from .numbers import padded
from .padding import Padding, are_short, joined_with_padding, pad
from .ragged_value import Form, Ragged

__all__ = ["RaggedField", "ragged"]

_SIZE_OF = Tensor.numel


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
        object.__setattr__(self, "truncate_to", check_integer(self.truncate_to, "truncate_to", least=1))

    @property
    @override
    def offers(self) -> tuple[str, ...]:
        return DESCRIPTIONS

    @property
    @override
    def after(self) -> tuple[str, ...]:
        return self.shift_by

    @override
    def at_once(self, values: list[Any], context: Context) -> Ragged | None:
        if self.shift_by or self.truncate_to is not None:
            return None
        try:
            if self.form == "padded":
                return self._rows(values, context)
            joined = self._end_to_end(values)
            return None if joined is None else self._ragged(joined, context, ()).settle()
        # No menu has the length, no dtype the pad value, which may be too long for `repr`; not for numpy.
        except (Infeasible, RuntimeError, TypeError, ValueError):
            return None

    def _rows(self, values: list[Any], context: Context) -> Ragged | None:
        """Lists, or tensors that are padded at the right of dim 0, which most padded fields are; None for all others."""
        if self.dim not in (0, -1) or not memory.are_calls_plain():
            return None
        first, padding = values[0], self.padding
        if type(first) is list:
            return self._rows_of_lists(values, context) if countOf(map(type, values), list) == len(values) else None
        if padding.side != "right" or not is_plain(values):
            return None
        sizes: tuple[int, ...] = tuple(map(_SIZE_OF, values))
        dims, total = first.ndim, sum(sizes)
        short = are_short(values, total)
        if dims != 1 or not short:
            shape = first.shape
            # numpy would broadcast rows of other shapes; of short ones `torch.cat` refuses them
            if not short and any(value.ndim != dims or value.shape[1:] != shape[1:] for value in values):
                return None
        if dims != 1:
            if self.dim or not dims or not all(sizes):  # only the shapes of empty ones tell their length
                return None
            width = sizes[0] // shape[0]
            sizes = tuple([size // width for size in sizes])
        if not total:
            return None
        layout = context.layout(sizes)
        length = padding._extent(layout.max_length)
        if short and first.is_cpu:  # as `pad`, sooner
            rows = joined_with_padding(values, sizes, length, padding.value)
        else:
            rows = pad(values, layout, dim=0, length=length, value=padding.value)
        return Ragged._of_rows(rows, layout, padding)

    def _rows_of_lists(self, values: list[list[Any]], context: Context) -> Ragged | None:
        layout = context.layout(tuple(map(len, values)))
        if not layout.total:
            return None
        length = self.padding._extent(layout.max_length)
        rows = padded(values, length, self.padding.value, self.padding.side)
        return None if rows is None else Ragged._of_rows(settle(rows), layout, self.padding)

    def _end_to_end(self, values: list[Any]) -> tuple[Tensor, list[int], int] | None:
        """Dense tensors concatenated along the ragged dimension, their lengths, and the dimension.

        None if the model gets another form, or if some tensors are odd. Empty ones are: only shapes tell their length.
        """
        if self.form not in ("packed", "jagged") or not isinstance(self.dim, int) or not is_plain(values):
            return None
        dim = self.dim
        try:
            shape = values[0].shape
            sizes = list(map(_SIZE_OF, values))
            if not shape or not all(sizes):
                return None
            joined = memory.cat(values, dim)
            row = sizes[0] // shape[dim]
        except (IndexError, RuntimeError, TypeError):  # nested tensors, other shapes, other devices, subclasses
            return None
        return joined, sizes if row == 1 else [size // row for size in sizes], dim % len(shape)

    def _ragged(self, joined: tuple[Tensor, list[int], int], context: Context, shift: tuple[Layout, ...]) -> Ragged:
        tensor, counts, dim = joined
        layout = context.layout(tuple(counts))
        return Ragged(
            "local",
            tensor,
            axes=(layout,),
            dims=(dim,),
            form=self.form,
            padding=self.padding,
            shift=shift,
            layout=layout,
        )

    @override
    def gather(self, column: FieldValues, context: Context) -> Ragged:
        if self.truncate_to is not None and isinstance(self.dim, int):
            column = self._truncated(column, self.dim, self.truncate_to)
        shift = self._shift(column, context) if self.shift_by else ()
        return self.shifted(column, context, shift, self.shift_by)

    def shifted(
        self, column: FieldValues, context: Context, shift: tuple[Layout, ...], within: tuple[str, ...]
    ) -> Ragged:
        """Collate the field with indices shifted by `shift`; `within` has the names of the fields that they index."""
        # Lists of numbers become one tensor at once, which takes much less time than a tensor for each.
        flat = column.flat_numbers() if self.dim in (0, -1) else None
        joined = self._end_to_end(column.values) if flat is None else (settle(flat[0]), flat[1], 0)
        if joined is not None:
            gathered = self._ragged(joined, context, shift)
        else:
            pieces, dims, axes = self._pieces(column, context)
            gathered = Ragged("list", pieces, axes=axes, dims=dims, form=self.form, padding=self.padding, shift=shift)
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

    def _shift(self, column: FieldValues, context: Context) -> tuple[Layout, ...]:
        targets = [(name, context.beside(column.name, name)) for name in self.shift_by]
        return tuple([elements_of(column, name, target, context.layout) for name, target in targets])

    def _truncated(self, column: FieldValues, dim: int, most: int) -> FieldValues:
        """Cut every sample to its first `most` elements; samples without this dimension are refused later."""
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
        self, column: FieldValues, context: Context
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...], tuple[Layout, ...]]:
        """The tensors of the samples, their ragged dimensions, and the lengths along each."""
        tensors = column.tensors()
        if tensors[0].layout is not torch.strided:
            column.refuse_unlike(tensors)
        sizes = column.sizes(tensors)
        if not sizes:
            raise Infeasible(
                f"{column.at(0)} has shape (), with no dimension to be ragged along",
                "give it shape (1,) in the dataset, as torch.tensor([index])"
                if self.shift_by
                else column.declared("bw.scalar()"),
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
                    self._along(ragged, sizes, column),
                )
        return tuple(tensors), dims, tuple([context.layout(sizes[dim]) for dim in dims])

    def _along(self, ragged: tuple[int, ...], sizes: Sequence[tuple[int, ...]], column: FieldValues) -> str:
        """For a message, how a field is declared that is ragged along other dimensions."""
        if not self.shift_by:
            return column.declared(f"bw.ragged(dim={ragged})")
        differing = [dim for dim in ragged if shared(sizes[dim]) is None]
        if len(differing) > 1:
            return "cut or pad it in the dataset, so that one dimension differs: an index field is ragged along one"
        by = self.shift_by[0] if len(self.shift_by) == 1 else self.shift_by
        return column.declared(f"bw.ragged(dim={differing[0]}, shift_by={by!r})")


def _shortened(tensor: Tensor, dim: int, most: int, *, alone: bool) -> Tensor:
    """The first `most` elements; with `alone` as a copy, so that the rest of the memory is not sent with it."""
    short = tensor.narrow(dim, 0, most)
    return short.clone() if alone else short


def _settled(column: FieldValues, gathered: Ragged) -> Ragged:
    """The field in the form that the model gets; errors of padding name the longest sample."""
    try:
        return gathered.settle()
    except Infeasible as error:
        raise column.of(gathered.layout.counts.index(gathered.max_length), error) from None


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
    """Declare a field whose samples differ in length along one dimension or several.

    Args:
        dim: the ragged dimension or dimensions of a sample.
        pad: the value of padding, a number that the dtype of the field has (for a floating dtype, about). If given, the
            model gets the padded form, unless `form` is given too.
        form: the form that the batch, as a mapping, has: `"packed"` (the default without `pad`), `"padded"`, `"jagged"`
            or `"list"`. Every other form is available as `batch.fields[name].packed` and so on.
        side: the side that is padded, `"right"` or `"left"`.
        multiple: padded lengths are rounded up to a multiple of this; those of a menu must be multiples of it.
        menu: the padded lengths that may occur (for several dimensions: tuples); the smallest that fits is used.
        shift_by: the field that the values of this one index. In the packed form, the number of elements in earlier
            samples is added to the indices of each sample; `unbatch` subtracts it. Several names: one for each row of
            dim 0.
        truncate_to: samples with more elements along `dim` are cut to their first ones; `unbatch` returns them as cut.
            None means no limit; pass `plan.truncate_to` for a plan by lengths.
        also: further keys of the batch, with what each shows: `"mask"`, `"lengths"`, `"first"`, `"offsets"`,
            `"cu_seqlens"`, `"max_length"`, `"segments"` or `"positions"`.

    Raises:
        Infeasible: the arguments contradict each other; when collating, samples differ in other dimensions than `dim`,
            or an index points outside its own sample.

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
        dim=check_integers(dim, "dim"),
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
