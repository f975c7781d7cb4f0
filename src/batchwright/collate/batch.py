"""The collated batch: a mapping for the model, with every form of each field, and a side channel."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from ..errors import Infeasible, listed, shown
from ..readings import as_list, reading
from .entries import check_rows, chosen, counts_of, described, entry, equal, places, tree_of
from .graphs import GraphStructure
from .rebuilt import rebuilt, remember
from .side_channel import SideChannel
from .structure import Tree
from .values import Transfer, Value

if TYPE_CHECKING:
    from tensordict import TensorDict

__all__ = ["Batch"]


class Batch(MutableMapping[str, Any]):
    """N collated samples.

    As a mapping it has each field in the form declared for the model, so `model(**batch)` works. Entries are set and
    deleted as in a dictionary. If the samples can be told from a new value (a tensor with a row for each), samples,
    `fields` and `data` change with it. A deleted entry is hidden from the model, but samples keep it.

    - `batch.input_ids` is `batch["input_ids"]`, if `Batch` itself has no such attribute. Entries that are called like a
      method or start with an underscore are read by `batch["keys"]` only. All entries are set by `batch["keys"] = ...`.
    - `batch[3]` is sample 3, and `batch.unbatch()` all samples, in the type that they had.
    - `batch.fields[name]` has every form of a field.
    - `batch.data` is the batch in the container type of a sample (`x, y = batch.data`).
    - `batch.aside` is the side channel.

    A batch can also be made from a mapping: the length of its first tensor or list is the number of samples, and single
    numbers belong to all samples. Trainers rebuild batches so, from their `items()`. If the mapping has a tensor of the
    batch whose items were asked for last, and all its other entries have the number of rows that they had, the result is
    that batch with other entries: it keeps its samples and its side channel. Torch's pytree functions take a batch apart and
    build it again in the same way.
    """

    _root: Tree
    _also: Mapping[str, tuple[str, str]]
    _asides: Collection[str]
    _labels: Mapping[str, Value]
    _keys: dict[str, Value | tuple[str, str]]
    _shown: dict[str, Any]
    _entries: dict[str, Value]
    """What was set since: the further keys still describe what was collated."""
    # What a batch is that was just collated: it is made without these.
    _order: tuple[int, ...] | None = None
    _loss_scale: float = 1.0
    _real: int | None = None
    _edited: bool = False
    _fields: dict[str, Value] | None = None

    def __init__(
        self,
        root: Tree | Mapping[str, Any],
        *,
        also: Mapping[str, tuple[str, str]] | None = None,
        asides: frozenset[str] = frozenset(),
        labels: Mapping[str, Value] | None = None,
        order: tuple[int, ...] | None = None,
        loss_scale: float = 1.0,
        real: int | None = None,
        entries: Mapping[str, Value] | None = None,
        keys: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(root, Tree):
            same = rebuilt(root)
            if same is not None:
                self.__dict__.update(same.__dict__)
                return
            root = tree_of(root)
        if also and not all(type(entry) is tuple and len(entry) == 2 for entry in also.values()):
            raise Infeasible(
                f"also is {shown(also)}", "pass also as names with pairs of text, the field and what of it is shown"
            )
        made = self._of(
            root, also or {}, asides if isinstance(asides, frozenset) else as_list(asides, "asides"), labels or {}
        )
        entries = dict(entries or {})
        if keys is not None:
            made._keys = chosen(made._keys | entries, keys)
        self.__dict__.update(  # past `__setattr__`, which would take as long as the rest
            made.__dict__, _order=order, _loss_scale=loss_scale, _real=real, _entries=entries, _edited=keys is not None
        )

    @classmethod
    def _of(cls, root: Tree, also: Mapping[str, Any], asides: Collection[str], labels: Mapping[str, Value]) -> Self:
        """A batch that was just collated, in a third of the time that the constructor takes."""
        made, keys = cls.__new__(cls), {**root.shown, **also}
        for name in asides:
            if name not in also:
                keys.pop(name, None)
        made.__dict__.update(  # past `__setattr__`, and in one call
            _root=root, _also=also, _asides=asides, _labels=labels, _keys=keys, _entries={}, _shown={}
        )
        return made

    # ------------------------------------------------------------------ the mapping

    def __getitem__(self, key: str | int | tuple[str, ...]) -> Any:
        """A field as the model sees it, by name; or a sample, by number."""
        if type(key) is not str:
            if isinstance(key, str):  # a type of text of its own, which may compare in another way
                key = str.__str__(key)
            elif isinstance(key, tuple):  # torch_geometric's name for a type of edges
                key = str(key)
            else:
                return self._tree.sample(places([key], self.sample_count)[0])
        if key in self._shown:
            return self._shown[key]
        found = self._keys.get(key)
        if found is None:
            raise self._absent(key)
        if isinstance(found, tuple):  # not `isinstance(found, Value)`: for abstract classes, it is a call in Python
            field, what = found
            children = self._root.children
            seen = (children[field] if field in children else self.fields[field]).also(what)
            lasts = torch.is_grad_enabled() or not (torch.compiler.is_compiling() or torch.is_inference_mode_enabled())
        else:
            # Made without gradients, it may lack its graph: it is not kept.
            seen, lasts = found.model, torch.is_grad_enabled()
        if lasts:
            self._shown[key] = seen
        return seen

    @override
    def keys(self) -> KeysView[str]:
        """The names of the entries; of a dictionary, as `model(**batch)` reads them in every step."""
        return self._keys.keys()

    @override
    def items(self) -> ItemsView[str, Any]:
        """Names and values, of a dict; a Batch that is made of them is this one, see above."""
        if not torch.compiler.is_compiling():
            remember(self)
        return super().items()

    def __getattr__(self, name: str) -> Any:
        """The entry of this name; of graphs, what torch_geometric counts and gathers too: `num_graphs`, `x_dict`."""
        if name.startswith("_"):  # asked for by copy, pickle and libraries that look for protocols
            raise AttributeError(f"'Batch' object has no attribute {name!r}", name=name, obj=self)
        if name in self._keys:
            return self[name]
        if hasattr(type(self), name):  # a property that failed
            return object.__getattribute__(self, name)
        if isinstance(self._root.structure, GraphStructure) and (name.startswith("num_") or name.endswith("_dict")):
            return self.sample_count if name == "num_graphs" else getattr(self.data, name)
        raise AttributeError(
            f"{shown(name)} is no attribute of a batch, nor one of its keys {listed(self._keys)}", name=name, obj=self
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"attributes of a batch are read only; set the entry: batch[{shown(name)}] = ...", name=name, obj=self
            )
        object.__setattr__(self, name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(str.isidentifier, self._keys)})

    def __contains__(self, key: object) -> bool:
        return (str(key) if isinstance(key, tuple) else key) in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __setitem__(self, key: str | tuple[str, ...], value: Any) -> None:
        """Let the model see `value` under this name."""
        name = str(key) if isinstance(key, tuple) else key
        if not isinstance(name, str):
            raise Infeasible(
                f"an entry is set under {shown(key)}, which is no string",
                "set entries by their names: batch['weight'] = weights",
            )
        before = self._entries.get(name, self._root.children.get(name))
        own = None if before is None else before.replaced(value)
        self._keys[name] = self._entries[name] = entry(value, self.sample_count) if own is None else own
        self._edit(name)

    def __delitem__(self, key: str | tuple[str, ...]) -> None:
        """Hide an entry from the model; samples, and further keys that describe it, keep the field."""
        name = str(key) if isinstance(key, tuple) else key
        if name not in self._keys:
            raise self._absent(name)
        del self._keys[name]
        self._entries.pop(name, None)
        self._edit(name)

    def _edit(self, name: str) -> None:
        self._edited = True
        self._fields = None
        self._shown.pop(name, None)

    def _absent(self, key: Any) -> KeyError:
        return KeyError(f"{shown(key)} is none of the batch's keys {listed(self._keys)}")

    @override
    def popitem(self) -> tuple[str, Any]:
        """Remove the last entry, as a dictionary does."""
        if not self._keys:
            raise KeyError("the batch has no entries")
        name = next(reversed(self._keys))
        return name, self.pop(name)

    def copy(self) -> Self:
        """A batch with the same samples and tensors, but its own entries."""
        return self._with(self._root)

    __copy__ = copy

    def __or__(self, other: Mapping[str, Any]) -> Self:
        """A copy whose entries are updated by `other`'s."""
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self.copy()
        merged.update(other)
        return merged

    def __ror__(self, other: Mapping[str, Any]) -> Self:
        """A copy that also has the entries of `other` with other names, before its own."""
        if not isinstance(other, Mapping):
            return NotImplemented
        merged = self | {name: value for name, value in other.items() if name not in self}
        return merged._with(merged._root, keys=tuple(dict.fromkeys([*map(str, other), *self])))

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    def __eq__(self, other: object) -> bool:
        """Whether `other` is a mapping with the same names and equal values; tensors are equal in all numbers and dtype."""
        return equal(self, other) if isinstance(other, Mapping) else NotImplemented

    # ------------------------------------------------------------------ fields and samples

    @property
    def fields(self) -> Mapping[str, Value]:
        """Every field in all its forms; nested ones by their names joined with dots."""
        if self._fields is None:
            self._fields = self._tree.leaves()
        return self._fields

    @property
    def data(self) -> Any:
        """The batch in the container type of a sample."""
        return self._tree.model

    @property
    def _tree(self) -> Tree:
        """The collated fields, replaced by those that were set since, if these are of the same kind."""
        own = {
            name: set_since
            for name, set_since in self._entries.items()
            if name not in self._asides and type(set_since) is type(self._root.children.get(name))
        }
        return replace(self._root, children=self._root.children | own) if own else self._root

    @property
    def sample_count(self) -> int:
        """The number of samples, N."""
        return len(self._root)

    @property
    def aside(self) -> SideChannel:
        """The side channel, which the model does not get: ids, groups, tasks, weights, padding, loss scale."""
        columns = {name: label.model for name, label in self._labels.items()}
        columns |= {name: self._root.children[name].model for name in sorted(self._asides)}
        fills = {name: value.fill for name, value in self.fields.items()}
        return SideChannel(columns, {name: fill for name, fill in fills.items() if fill}, self._loss_scale, self._real)

    def scaled(self, loss_scale: float, *, real: int | None = None) -> Self:
        """A copy with another loss scale in its side channel, and the number of its samples that count."""
        return self._with(self._root, loss_scale=loss_scale, real=real)

    def unbatch(self) -> list[Any]:
        """The samples in the order of the batch, in the type that they had; index fields count within the sample again."""
        tree = self._tree
        return [tree.sample(number) for number in range(self.sample_count)]

    # ------------------------------------------------------------------ order

    def sorted_by(self, name: str, *, descending: bool = True) -> Self:
        """Sort the samples by their length in the ragged field `name`; equal lengths keep their order. See `restore`."""
        counts = counts_of(self.fields, name)
        return self.select(sorted(range(len(counts)), key=lambda n: -counts[n] if descending else counts[n]))

    def select(self, numbers: Iterable[int]) -> Self:
        """A batch of the samples `numbers`, at least one, in this order; samples may be left out or repeated."""
        numbers = places(numbers, self.sample_count)
        if not numbers:
            raise Infeasible("0 samples are selected", "select one or more")
        before = self._order or tuple(range(self.sample_count))
        labels = {name: label.select(numbers) for name, label in self._labels.items()}
        entries = {name: value.select(numbers) for name, value in self._entries.items() if not self._describes(name)}
        order = tuple(before[n] for n in numbers)
        return self._with(self._root.select(numbers), labels=labels, order=order, entries=entries)

    def _describes(self, name: str) -> bool:
        """Whether an entry that was set is what would be there without: a mask that was moved or copied, not changed."""
        if name in self._also:
            field, what = self._also[name]
            return equal(self.fields[field].also(what), self[name])
        return name in self._root.derived and equal(self._root.derived[name].model, self[name])

    @property
    def order(self) -> Tensor:
        """int64, N: the number that each sample had when it was collated."""
        return torch.tensor(self._order if self._order is not None else range(self.sample_count), device="cpu")

    def restore(self, outputs: Tensor | None = None) -> Any:
        """The batch in its original order; or `outputs`, a tensor with a row for each sample, in that order."""
        if sorted(self.order.tolist()) != list(range(self.sample_count)):
            raise Infeasible(
                f"samples were left out or repeated: the order is {shown(self.order.tolist())}",
                "restore the batch first and select then: batch.restore().select(numbers)",
            )
        if outputs is not None:
            check_rows(outputs, self.sample_count)
        back = torch.argsort(self.order)
        return self.select(back.tolist()) if outputs is None else outputs[back.to(outputs.device)]

    # ------------------------------------------------------------------ travel

    def to(self, device: torch.device | str | int, non_blocking: bool = False) -> Self:
        """The batch on `device`; index tensors are computed there, and the side channel is not moved."""
        with reading(device, "device", "pass a device of torch, such as 'cpu' or 'cuda:0'"):
            home = torch.device(device)
        return self._transferred(lambda tensor: tensor.to(home, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The batch in page-locked memory; `DataLoader(pin_memory=True)` calls this."""
        # Not `Tensor.pin_memory`: derived tensor types have their own method.
        return self._transferred(lambda tensor: tensor.pin_memory())

    def share_memory_(self) -> Self:
        """The batch in memory that other processes can read; tensors that are there already are not copied."""
        return self._transferred(lambda tensor: tensor.share_memory_())

    def to_tensordict(self) -> TensorDict:
        """What the model sees as a `tensordict.TensorDict`; tensordict must be installed.

        Its batch size is (N,) if every entry has a row for each of the N samples, so that it is indexed by samples; else it
        is empty. Nested dicts are nested TensorDicts; what is no tensor is held as non-tensor data. The side channel stays
        here.

        Raises:
            Infeasible: tensordict is not installed.
        """
        from .tensordicts import tensordict_of

        return tensordict_of(self, self.sample_count)

    def _transferred(self, transfer: Transfer) -> Self:
        children = {
            name: child if name in self._asides else child.transferred(transfer)
            for name, child in self._root.children.items()
        }
        derived = {name: value.transferred(transfer) for name, value in self._root.derived.items()}
        entries = {name: value.transferred(transfer) for name, value in self._entries.items()}
        return self._with(replace(self._root, children=children, derived=derived), entries=entries)

    def _with(self, root: Tree, **changed: Any) -> Self:
        kept = {
            "also": self._also,
            "asides": self._asides,
            "labels": self._labels,
            "order": self._order,
            "loss_scale": self._loss_scale,
            "real": self._real,
            "entries": self._entries,
            "keys": tuple(self._keys) if self._edited else None,
        }
        return type(self)(root, **(kept | changed))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_fields": None, "_shown": {}}

    def __repr__(self) -> str:
        entries = ", ".join(f"{name}: {described(self[name])}" for name in self)
        return f"Batch({self.sample_count} samples; {entries})"
