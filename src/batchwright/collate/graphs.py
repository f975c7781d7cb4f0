"""Collates graphs of PyTorch Geometric by their own rules (`__cat_dim__`, `__inc__`), and adds `batch` and `ptr`."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from ..errors import Infeasible, listed, said, shown, typed
from .arguments import by_name
from .column import FieldValues
from .fields import Field, StackField
from .frames import Gathering
from .indices import ADDED
from .joined import Described, How, Join, Joined
from .layout import Layout
from .ragged_field import RaggedField, ragged
from .structure import Structure, Tree, structure_of
from .values import Opaque, Value

__all__ = ["gather_graphs", "is_graph"]

_EDGES = ("edge_index", "face")
"""The attributes that have indices of nodes of their own graph only."""

_STATE = ("_mapping", "_parent", "_key")
"""Private attributes that the stores of an empty graph keep; all others belong to one sample."""

_SPARSE = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
_PLAIN = (Tensor, torch.nn.Parameter)
_LIBRARIES: dict[tuple[str, str], How] = {
    ("torch_sparse", "SparseTensor"): "sparse_tensors",
    ("torch_frame", "TensorFrame"): "frames",
}


@lru_cache(maxsize=256)
def is_graph(kind: type) -> bool:
    """Whether samples of this type have their own rules for joining, as `Data` and `HeteroData` have."""
    return all(callable(getattr(kind, name, None)) for name in ("__cat_dim__", "__inc__")) and hasattr(kind, "stores")


@dataclass(frozen=True, eq=False)
class GraphStructure:
    """Makes graphs of one type from parts.

    Args:
        template: a graph of the type without attributes.
        types: the types of nodes and edges, by the names of their parts; all other parts are attributes of the graph.
    """

    template: Any
    types: Mapping[str, Any]

    @classmethod
    def of(cls, graph: Any) -> GraphStructure:
        """The structure of this graph."""
        # Emptied, because a template is kept and pickled with the batch, and must not hold the tensors of a sample.
        template = copy.copy(graph)
        for store in template.stores:
            for name in list(store.keys()):
                del store[name]
            for name in [name for name in vars(store) if name.startswith("_") and name not in _STATE]:
                del vars(store)[name]
        return cls(template, {str(store._key): store._key for store in graph.stores if store._key is not None})

    def build(self, parts: Mapping[str, Any]) -> Any:
        """A graph with these attributes; those of a type of nodes or edges are in a dictionary."""
        return self._filled(copy.copy(self.template), parts)

    def batch(self, parts: Mapping[str, Any], count: int) -> Any:
        """A batch of torch_geometric with these attributes of `count` graphs.

        Raises:
            Infeasible: torch_geometric cannot make a batch of this type.
        """
        from torch_geometric.data import Batch

        kind = type(self.template)
        try:
            empty = kind() if issubclass(kind, Batch) else Batch(_base_cls=kind)
            made = self._filled(empty.stores_as(self.template), parts)
        except Exception as error:
            raise Infeasible(
                f"torch_geometric makes no batch of {kind.__name__} ({said(error)})",
                "take the batch as a mapping: batch['x'], or model(**batch)",
            ) from error
        made._num_graphs = count
        return made

    def _filled(self, graph: Any, parts: Mapping[str, Any]) -> Any:
        own = graph.stores[0]
        for name, part in parts.items():
            if name not in self.types:
                own[name] = part
                continue
            store = graph[self.types[name]]
            for attribute, value in part.items():
                store[attribute] = value
        return graph


class StoreStructure:
    """Makes the attributes of one type of nodes or edges from parts, as a dictionary."""

    def build(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes of one graph."""
        return dict(parts)

    def batch(self, parts: Mapping[str, Any], count: int) -> dict[str, Any]:
        """The attributes of all graphs."""
        return dict(parts)


def gather_graphs(run: Gathering, samples: Sequence[Any], spec: Mapping[str, Any], path: tuple[str, ...]) -> Tree:
    """Collate graphs of one type: as declared, or by their own rules if nothing is declared."""
    number = _first_unlike(list(map(type, samples)))
    if number is not None:
        raise Infeasible(
            f"{run.called(number)} is {typed(samples[number])}, {run.called(0)} is {typed(samples[0])}",
            "give every sample the same type",
        )
    structure = GraphStructure.of(samples[0])
    by_type = [sample.stores for sample in samples]
    if structure.types or max(map(len, by_type)) > 1:
        by_type = [{store._key: store for store in stores} for stores in by_type]
        # PyTorch Geometric keeps the attributes of a HeteroData itself in a store with the key None.
        own = [stores.pop(None, {}) for stores in by_type]
    else:
        own, by_type = [stores[0] for stores in by_type], []
    for number, stores in enumerate(by_type):
        if stores.keys() != by_type[0].keys():
            raise Infeasible(
                f"{run.called(number)} has the types {listed(stores)} of nodes and edges, {run.called(0)} has "
                f"{listed(by_type[0])}",
                "give every graph the same types; of those that it has none of, store tensors of length 0",
            )
    names = (*own[0].keys(), *structure.types)
    frame = run.frames.of(Structure(type(samples[0]), names).interned, spec, path)
    run.refuse_absent(frame)
    tree = Graphs(run, samples, own).store(structure, path, spec)
    for name, key in structure.types.items():
        inner = spec.get(name) or {}
        if isinstance(inner, Field):
            raise Infeasible(
                f"field {shown(name)} is declared as {shown(inner)}, and is a type of nodes or edges",
                f"leave {shown(name)} out of the declarations, or declare its attributes by name in a mapping",
            )
        tree.children[name] = Graphs(run, samples, [stores[key] for stores in by_type]).store(
            StoreStructure(), (*path, name), by_name(inner)
        )
    return tree


@dataclass(frozen=True, slots=True, eq=False)
class Graphs:
    """The graphs of a batch, and one store of each, whose attributes are joined.

    Args:
        run: the collating of the batch.
        graphs: graphs of one type.
        stores: one store of each graph.
    """

    run: Gathering
    graphs: Sequence[Any]
    stores: Sequence[Any]

    def store(self, structure: GraphStructure | StoreStructure, path: tuple[str, ...], spec: Mapping[str, Any]) -> Tree:
        """Join the attributes of the stores; adds `batch` and `ptr` if they have nodes."""
        held = [_attributes(store) for store in self.stores]
        names = tuple(held[0])
        if _first_unlike(list(map(tuple, held))) is None:  # in one order, as most are
            columns = list(map(list, zip(*[attributes.values() for attributes in held], strict=True)))
        else:
            self._refuse_unlike(held, path)
            columns = [[attributes[name] for attributes in held] for name in names]
        if path:
            self.run.refuse_absent(self.run.frames.of(Structure(dict, names).interned, spec, path))
        children: dict[str, Value] = {}
        for name, values in zip(names, columns, strict=True):
            column = FieldValues((*path, name), values, self.run.called)
            if name in spec:
                self._declared(children, column, name, spec[name])
            elif name == "num_nodes":
                children[name] = Joined.of(column.values, Join("sum"))
            elif name == "ptr":
                children[name] = Opaque(list(column.values))  # for a batch of batches, `ptr` is computed from all nodes
            else:
                children[name] = self._attribute(column, name)
        wanted = [name for name in ("batch", "ptr") if path or name not in self.run.frames.also]
        derived = {name: value for name, value in self._derived().items() if name in wanted} if wanted else {}
        hidden = frozenset({"ptr"} & children.keys() - spec.keys() - derived.keys())
        return Tree(structure, children, len(self.graphs), derived, hidden)

    def _derived(self) -> dict[str, Value]:
        if not getattr(self.stores[0], "can_infer_num_nodes", False) or hasattr(self.graphs[0], "from_data_list"):
            return {}
        counts = Layout([int(store.num_nodes or 0) for store in self.stores]).counts  # refuses one below 0
        layout = self.run.layout(counts)
        return {"batch": Described(layout, "segments"), "ptr": Described(layout, "offsets")}

    def _declared(self, children: dict[str, Value], column: FieldValues, key: str, declared: Any) -> None:
        if not isinstance(declared, Field):
            children[key] = self._container(column, key, by_name(declared))
            return
        if isinstance(declared, RaggedField) and not declared.shift_by and _integers(column.values[0]):
            moves = self._moves(column, key)
            moved = _first_moving(moves)
            if moved is not None:
                raise Infeasible(
                    f"{column.at(moved)} holds indices, which its graph moves by {shown(moves[moved])}, and it is "
                    "declared without shift_by, which moves none",
                    f"leave {shown(column.name)} out of the declarations, and the graphs say themselves how it is joined; "
                    "or name in shift_by the field that it indexes",
                )
        self.run.put(children, key, declared, column)

    def _attribute(self, column: FieldValues, key: str) -> Value:
        """Join one attribute as torch_geometric does for the type of the first graph's value."""
        first = column.values[0]
        if isinstance(first, Tensor):
            self._refuse_others(column, Tensor)
            return self._tensors(column, key)
        how = _LIBRARIES.get((type(first).__module__.partition(".")[0], type(first).__name__))
        if how is not None:
            self._refuse_others(column, type(first))
            return self._joined(column, Join(how, self._dim(column, key)))
        if isinstance(first, (int, float)):
            self._refuse_others(column, (int, float))
            return self._joined(column, Join("numbers", moves=self._moves(column, key)))
        if isinstance(first, Mapping) or (isinstance(first, (list, tuple)) and first and isinstance(first[0], Tensor)):
            return self._container(column, key, {})
        return Opaque(list(column.values))

    def _container(self, column: FieldValues, key: str, spec: Mapping[str, Any]) -> Tree:
        """Join a mapping of attributes, or a list of tensors, which all have the rules of the list's name."""
        structure = structure_of(column.values[0])
        if structure is None:
            raise Infeasible(
                f"{column.at(0)} is {typed(column.values[0])}, declared as a container",
                column.declared("bw.opaque()"),
            )
        self._refuse_unlike(column.values, column.path)
        children: dict[str, Value] = {}
        mapping = isinstance(column.values[0], Mapping)
        for part, name in zip(structure.keys, structure.names, strict=True):
            inner = FieldValues((*column.path, name), [value[part] for value in column.values], column.called)
            if name in spec:
                self._declared(children, inner, name, spec[name])
            else:
                children[name] = self._attribute(inner, str(part) if mapping else key)
        return Tree(structure, children, len(self.graphs))

    def _tensors(self, column: FieldValues, key: str) -> Value:
        first, dim, run = column.values[0], self._dim(column, key), self.run
        if first.layout in _SPARSE:
            return self._joined(column, Join("sparse", dim))
        moves = self._moves(column, key)
        if first.is_nested:
            return self._joined(column, Join("nested", dim, moves))
        plain = all(type(value) in _PLAIN for value in column.values)
        widened = isinstance(moves[0], Tensor) and moves[0].ndim > 0 and first.dtype is not torch.int64
        if plain and not widened and _first_moving(moves) is None:
            if dim is None or not first.ndim:
                return StackField().gather(column, run)
            return ragged(dim).gather(column, run)
        shift = self._shift(first, dim, moves) if plain else ()
        if not shift:
            return self._joined(column, Join("tensors", dim, moves))
        targets = self._indexed(len(shift)) if key in _EDGES else ()
        return ragged(dim).shifted(column, run, shift, targets)

    def _shift(self, first: Tensor, dim: Any, moves: Sequence[Any]) -> tuple[Layout, ...]:
        """One layout, or one for each row, that shifts indices as `moves`; none if torch_geometric does something else."""
        if dim is None or not first.ndim or first.dtype not in ADDED:
            return ()
        rows: list[Any] = [move.tolist() if isinstance(move, Tensor) else move for move in moves]
        counts: list[list[int]]
        if all(isinstance(row, int) for row in rows):
            counts = [rows]
        elif first.ndim == 2 and dim in (1, -1) and first.dtype is torch.int64 and _columns(rows, len(first)):
            counts = [[row[number][0] for row in rows] for number in range(len(first))]
        else:
            return ()
        if min(map(min, counts)) < 0:
            return ()
        return tuple([self.run.layout(tuple(each)) for each in counts])

    def _indexed(self, rows: int) -> tuple[str, ...]:
        """The names in messages for the nodes that edges point to."""
        key = self.stores[0]._key
        if rows == 2 and isinstance(key, tuple):
            return key[0], key[-1]
        return ("the nodes",) if rows == 1 else tuple(f"row {row}" for row in range(rows))

    def _dim(self, column: FieldValues, key: str) -> Any:
        return self._asked(column, "__cat_dim__", key, 1)[0]

    def _moves(self, column: FieldValues, key: str) -> tuple[Any, ...]:
        return self._asked(column, "__inc__", key, len(self.graphs))

    def _asked(self, column: FieldValues, what: str, key: str, count: int) -> tuple[Any, ...]:
        """Call the graphs' own rule for the attribute, for the first `count` graphs."""
        said: list[Any] = []
        try:
            # Extended one by one, so that its length says which graph raised.
            rule = getattr(type(self.graphs[0]), what)
            said.extend(map(rule, self.graphs[:count], repeat(key), column.values, self.stores))
        except Exception as error:
            error.add_note(f"{what} of {column.called(len(said))} was asked of field {shown(column.name)}")
            raise
        return tuple(said)

    def _joined(self, column: FieldValues, join: Join) -> Value:
        try:
            return Joined.of(column.values, join)
        except Exception as error:
            raise Infeasible(
                f"field {shown(column.name)}, {typed(column.values[0])} in {column.called(0)}, cannot be joined "
                f"({said(error)})",
                column.declared("bw.opaque()"),
            ) from error

    def _refuse_others(self, column: FieldValues, kinds: Any) -> None:
        for number, value in enumerate(column.values):
            if not isinstance(value, kinds):
                raise Infeasible(
                    f"{column.at(number)} is {typed(value)}, that of {column.called(0)} is {typed(column.values[0])}",
                    f"give every graph the same type, or {column.declared('bw.opaque()')}",
                )

    def _refuse_unlike(self, containers: Sequence[Any], path: tuple[str, ...]) -> None:
        """Refuse containers with other attributes than the first; torch_geometric would drop them."""
        keys = list(map(_keys, containers))
        number = _first_unlike(keys)
        if number is not None:
            place = f" in {shown('.'.join(path))}" if path else ""
            raise Infeasible(
                f"{self.run.called(number)} has the attributes {listed(keys[number])}{place}, {self.run.called(0)} has "
                f"{listed(keys[0])}",
                "give every graph the same attributes",
            )


def _first_unlike(values: list[Any]) -> int | None:
    """The number of the first value that differs from value 0; None if none does."""
    if values.count(values[0]) == len(values):
        return None
    return next(number for number, value in enumerate(values) if value != values[0])


def _attributes(store: Any) -> Mapping[str, Any]:
    """The attributes of a store, without the numbers of nodes that batches of torch_geometric keep there."""
    held: Mapping[str, Any] = getattr(store, "_mapping", store)  # not copied: it is only read
    return {name: value for name, value in held.items() if name != "_num_nodes"} if "_num_nodes" in held else held


def _keys(container: Any) -> Any:
    """The keys of the attributes; equal if they differ only in their order."""
    if isinstance(container, dict):
        return container.keys()
    if isinstance(container, Mapping):
        return dict.fromkeys(container).keys()
    return range(len(container)) if isinstance(container, (list, tuple)) else ()


def _integers(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype in ADDED


def _first_moving(moves: Sequence[Any]) -> int | None:
    """The number of the first graph that moves the indices of those after it; None if none does."""
    if set(map(type, moves)) == {int} and not any(moves):
        return None
    moving = (bool(move.any()) if isinstance(move, Tensor) else bool(move) for move in moves)
    return next((number for number, moves_any in enumerate(moving) if moves_any), None)


def _columns(rows: Sequence[Any], length: int) -> bool:
    """Whether each is a column of this length, with one number in each row."""
    return all(
        isinstance(row, list) and len(row) == length and all(isinstance(each, list) and len(each) == 1 for each in row)
        for row in rows
    )
