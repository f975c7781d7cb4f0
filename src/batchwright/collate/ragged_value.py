"""`Ragged`: a field whose samples differ in length, in every form that a model may need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from typing_extensions import override

from ..errors import Infeasible, check_integer, shown
from . import memory
from .axes import Lengths, asked_dims, elements, layouts, matched, ragged_layouts
from .concatenate import concatenated, nest, unnest, unpack, values_at
from .descriptions import WithLengths
from .layout import Layout
from .padding import Padding, pad, pad_grid, unpad, unpad_grid
from .values import Fill, Transfer

__all__ = ["Form", "Ragged"]

Form = Literal["list", "padded", "packed", "jagged"]
Result = TypeVar("Result")


class Ragged(WithLengths):
    """N samples that differ in length along one dimension or several, kept once, available in any form.

    Each form is computed at first use and kept; all are differentiable and exact, for every dtype. Index fields
    (`shift_by`) have indices within their own sample in the list, padded and jagged forms. In the packed form, they
    have indices into the packed form of the field that they point into, so an index can be used across samples.

    Build one with `Ragged.from_list`, `from_packed`, `from_padded` or `from_jagged`, or let `Collate` do it.

    Example:
        >>> words = Ragged.from_list([torch.tensor([5, 6, 7]), torch.tensor([8])])
        >>> words.packed, words.offsets
        (tensor([5, 6, 7, 8]), tensor([0, 3, 4]))
        >>> words.padded
        tensor([[5, 6, 7],
                [8, 0, 0]])
        >>> Ragged.from_padded(words.padded, words.lengths).list
        (tensor([5, 6, 7]), tensor([8]))
    """

    # As most are that `Collate` makes: these are not written for each, which halves the time to make one.
    _held: str = "padded"
    shift: tuple[Layout, ...] = ()
    dims: tuple[int, ...] = (0,)
    form: Form = "padded"

    def __init__(
        self,
        held: str,
        source: Any,
        *,
        axes: tuple[Layout, ...],
        dims: tuple[int, ...],
        form: Form = "packed",
        padding: Padding | None = None,
        shift: tuple[Layout, ...] = (),
        layout: Layout | None = None,
    ) -> None:
        self._held = held
        self._known: dict[str, Any] = {held: source}
        self._axes = axes
        self.shift = shift
        self._layout = elements(axes) if layout is None else layout
        self.dims = dims
        self.form = form
        self.padding = padding or Padding()

    @classmethod
    def _of_rows(cls, rows: Tensor, layout: Layout, padding: Padding) -> Ragged:
        """Samples padded along dim 0, as `Collate` makes most: in half the time that the constructor takes."""
        made = cls.__new__(cls)
        made._known, made._axes, made._layout, made.padding = {"padded": rows}, (layout,), layout, padding
        return made

    @classmethod
    def from_list(
        cls, pieces: Sequence[Tensor], *, dim: int | tuple[int, ...] = 0, padding: Padding | None = None
    ) -> Ragged:
        """From N tensors that may differ in length along `dim` (one dimension of a sample, or several)."""
        dims, axes = ragged_layouts(pieces, dim)
        return cls("list", tuple(pieces), axes=axes, dims=dims, form="list", padding=padding)

    @classmethod
    def from_packed(
        cls,
        values: Tensor,
        lengths: Lengths | tuple[Lengths, ...],
        *,
        dim: int | tuple[int, ...] = 0,
        padding: Padding | None = None,
    ) -> Ragged:
        """From samples that lie end to end along the first of `dim`; for several ragged axes a tuple of lengths each."""
        axes = layouts(lengths)
        dims = matched(asked_dims(dim, values.ndim + len(axes) - 1), axes)
        return cls("local", values, axes=axes, dims=dims, padding=padding)._filled(values)

    @classmethod
    def from_padded(
        cls,
        values: Tensor,
        lengths: Lengths | tuple[Lengths, ...],
        *,
        dim: int | tuple[int, ...] = 0,
        padding: Padding | None = None,
    ) -> Ragged:
        """From an N x ... tensor and the true lengths of its samples; `padding.side` says where the padding is."""
        axes = layouts(lengths)
        dims = matched(asked_dims(dim, values.ndim - 1), axes)
        for d, axis in zip(dims, axes, strict=True):
            if len(axis) != len(values) or axis.max_length > values.shape[d + 1]:
                raise Infeasible(
                    f"{len(axis)} lengths of up to {axis.max_length} do not fit a padded shape {tuple(values.shape)}",
                    "pass one length a sample, none longer than the padded dimension",
                )
        return cls("padded", values, axes=axes, dims=dims, form="padded", padding=padding)

    @classmethod
    def from_jagged(
        cls,
        nested: Tensor,
        lengths: tuple[Lengths, ...] | None = None,
        *,
        dim: int | tuple[int, ...] | None = None,
    ) -> Ragged:
        """From a `torch.nested` tensor of jagged layout, ragged along the dimension that it is itself.

        For several ragged axes, flattened into that one: `dim` names them, and `lengths` holds those along each.
        """
        values, own, place = unnest(nested)
        axes = (own,) if lengths is None else layouts(lengths)
        dims = matched(asked_dims(place if dim is None else dim, values.ndim + len(axes) - 1), axes)
        if dims[0] != place or elements(axes) != own:
            raise Infeasible(
                f"the nested tensor is ragged along dim {place} with the lengths {shown(own.counts)}, asked for is "
                f"dim {dims[0]} with {shown(elements(axes).counts)}",
                f"leave dim and lengths out, or name several dimensions of which {place} is the first",
            )
        return cls("local", values, axes=axes, dims=dims, form="jagged")._filled(values)

    def _filled(self, values: Tensor) -> Ragged:
        """Check that the lengths are those of the packed `values`."""
        held = values.shape[self.dims[0]]
        if held != self._layout.total:
            raise Infeasible(
                f"the packed dimension holds {held} elements, the lengths sum to {self._layout.total}",
                "pass the lengths that belong to these values",
            )
        return self

    @property
    def list(self) -> tuple[Tensor, ...]:
        """The samples, one tensor each; views of the packed form, if that is what is kept."""
        return self._once("list", self._make_list)

    @property
    def packed(self) -> Tensor:
        """The samples, concatenated; several ragged axes are flattened into one, row by row. Index fields are shifted."""
        return self._once("packed", self._make_packed)

    @property
    @override
    def padded(self) -> Tensor:
        """N x ...: every sample padded with `padding.value` to a common length."""
        return self._once("padded", self._make_padded)

    @property
    def jagged(self) -> Tensor:
        """A `torch.nested` tensor over the packed memory; fields of equal lengths share its offsets."""
        return self._once("jagged", self._make_jagged)

    def sequence(self) -> PackedSequence:
        """The time-major form that torch's recurrent modules take (they restore the order of samples themselves)."""
        if self.dims != (0,):
            raise Infeasible(
                f"a PackedSequence is ragged along dim 0, and this field is ragged along {self.dims}",
                "make the sequence of a field declared bw.ragged(), whose samples differ in length along dim 0",
            )
        if self._layout.min_length == 0:
            raise Infeasible(
                "a PackedSequence has lengths of 1 or more, and this field's shortest length is 0",
                "leave empty samples out",
            )
        # `pack_padded_sequence` reads samples from the left edge.
        right = self.padded if self.padding.side == "right" else Ragged.from_list(self.list).padded
        lengths = torch.tensor(self._layout.counts, device="cpu")
        return pack_padded_sequence(right, lengths, batch_first=True, enforce_sorted=False)

    def _once(self, name: str, make: Callable[[], Result]) -> Result:
        known: Result | None = self._known.get(name)
        if known is not None:
            return known
        made = memory.lasting(make)
        # A form that was made without gradients is not kept: a later caller may need its graph.
        if torch.is_grad_enabled() or not self._requires_grad():
            self._known[name] = made
        return made

    def _requires_grad(self) -> bool:
        source = self._known[self._held]
        return any(piece.requires_grad for piece in (source if self._held == "list" else (source,)))

    def local(self) -> Tensor:
        """The packed form before any shift."""
        return self._once("local", self._make_local)

    def _make_local(self) -> Tensor:
        if self._held == "packed":
            packed: Tensor = self._known["packed"]
            return packed - self.addend() if self.shift else packed
        return concatenated(self.list, self.dims)

    def _make_packed(self) -> Tensor:
        if not self.shift:
            return self.local()
        if self._held == "list" and "local" not in self._known:
            return self._make_local().add_(self.addend())  # in place: the memory is new, and indices have no gradient
        return self.local() + self.addend()

    def addend(self) -> Tensor:
        """What the packed form adds to each index: the number of elements of the other field in earlier samples."""
        return self.spread([target.starts[:-1] for target in self.shift]).to(self._tensor.dtype)

    def spread(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Numbers of the samples, a row for each field that is pointed into, repeated along the packed form."""
        repeated = [self.layout.repeated(row) for row in rows]
        spread = repeated[0] if len(repeated) == 1 else torch.stack(repeated)
        trailing = self._tensor_ndim() - 1 - self.dims[0]
        return spread.reshape(*spread.shape, *[1] * trailing) if trailing else spread

    def _make_list(self) -> tuple[Tensor, ...]:
        counts = [axis.counts for axis in self._axes]
        if self._held == "padded":
            if len(self.dims) == 1:
                pieces = unpad(self._known["padded"], counts[0], dim=self.dims[0], side=self.padding.side)
                return tuple(pieces)
            return unpad_grid(self._known["padded"], counts, dims=self.dims, side=self.padding.side)
        return unpack(self.local(), self._layout, counts, self.dims)

    def _make_padded(self) -> Tensor:
        extents = self.padding.extents([axis.max_length for axis in self._axes])
        value, side = self.padding.value, self.padding.side
        if len(self.dims) == 1:
            return pad(self.list, self._layout, dim=self.dims[0], length=extents[0], value=value, side=side)
        return pad_grid(self.list, dims=self.dims, extents=extents, value=value, side=side)

    def _make_jagged(self) -> Tensor:
        return nest(self.local(), self.layout, self.dims[0])

    @property
    def device(self) -> torch.device:
        """The device of the field."""
        return self._tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of every form."""
        return self._tensor.dtype

    @property
    @override
    def layout(self) -> Layout:
        """How the packed dimension is divided among the samples."""
        layout, device = self._layout, self._tensor.device
        return layout if layout.device == device else layout.on(device)

    @property
    @override
    def axes(self) -> tuple[Layout, ...]:
        """The lengths along each ragged axis; `layout` has their products."""
        return tuple(axis.on(self.device) for axis in self._axes)

    @property
    @override
    def model(self) -> Any:
        known = self._known.get(self.form)
        return getattr(self, self.form) if known is None else known

    @override
    def replaced(self, model: Any) -> Ragged | None:
        """See `Value`; only with the same lengths."""
        if self.form == "list":
            same = isinstance(model, (list, tuple)) and [_shape(one) for one in model] == [*map(_shape, self.list)]
            return self._with("list", tuple(model)) if same else None
        if not isinstance(model, Tensor) or model.is_nested is not (self.form == "jagged"):
            return None
        if self.form == "jagged":
            values = None if torch.compiler.is_compiling() else values_at(model, self._layout, self.dims[0])
            return None if values is None else self._with("local", values)
        before: Tensor = self.model
        places = {d + 1 for d in self.dims} | {0} if self.form == "padded" else {self.dims[0]}
        if max(places) >= model.ndim or any(model.shape[place] != before.shape[place] for place in places):
            return None
        return self._with(self.form, model)

    @property
    @override
    def fill(self) -> Fill:
        if self.form != "padded":
            return Fill(self._layout.total, 0)
        places = len(self._layout)
        for d in self.dims:
            places *= self.padded.shape[d + 1]
        return Fill(self._layout.total, places - self._layout.total)

    def __len__(self) -> int:
        return len(self._layout)

    @override
    def sample(self, number: int) -> Tensor:
        return self.list[check_integer(number, "number")]

    @override
    def transferred(self, transfer: Transfer) -> Ragged:
        source = self._known[self._held]
        if self._held == "list":
            return self._with(self._held, tuple(transfer(piece) for piece in source))
        return self._with(self._held, transfer(source))

    @override
    def select(self, numbers: Sequence[int]) -> Ragged:
        axes = tuple(axis.select(numbers) for axis in self._axes)
        pieces = tuple(self.list[number] for number in numbers)
        shift = tuple(target.select(numbers) for target in self.shift)
        chosen = Ragged("list", pieces, axes=axes, dims=self.dims, form=self.form, padding=self.padding, shift=shift)
        return chosen.settle()

    def settle(self) -> Ragged:
        """Keep only the form that the model sees; call it right after the field was made.

        The batch is then as small as possible when a worker sends it.
        """
        held = "local" if self.form == "jagged" else self.form
        known = self._known.get(held)
        if known is None and held == "packed" and self.shift and self._held == "local":
            known = self._known["local"].add_(self.addend())  # in place: the memory is new
        source = getattr(self, f"_make_{held}")() if known is None else known
        self._held, self._known = held, {held: source}
        return self

    def _with(self, held: str, source: Any) -> Ragged:
        return Ragged(
            held,
            source,
            axes=self._axes,
            dims=self.dims,
            form=self.form,
            padding=self.padding,
            shift=self.shift,
            layout=self._layout,
        )

    @property
    def _tensor(self) -> Tensor:
        source = self._known[self._held]
        first: Tensor = source[0] if self._held == "list" else source
        return first

    def _tensor_ndim(self) -> int:
        """The number of dimensions of the packed form."""
        more = {"list": 1 - len(self.dims), "padded": -len(self.dims)}
        return self._tensor.ndim + more.get(self._held, 0)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": {self._held: self._known[self._held]}}

    def __repr__(self) -> str:
        return (
            f"Ragged({len(self)} samples of up to {tuple(axis.max_length for axis in self._axes)}, dims {self.dims}, "
            f"{self._tensor.dtype}, form {self.form!r})"
        )


def _shape(value: Any) -> torch.Size | None:
    return value.shape if isinstance(value, Tensor) else None
