"""What a loader checks before it yields anything: its data set, its arguments, and how many workers fit."""

from __future__ import annotations

import inspect
import multiprocessing
import os
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ..base_plan import BasePlan
from ..errors import Infeasible, check_integer, did_you_mean, said, shown, typed
from ..groups import Groups
from ..labels import class_names, known_labels
from ..readings import reading

__all__ = [
    "check_dataset",
    "check_named_of_torch",
    "check_on_error",
    "check_options",
    "fitting_workers",
    "starts_python",
]

_COMPARED = 1 << 16  # labels that are compared, evenly spaced: a data set in another order differs at most of them
_MOST_WORKERS = 8  # more seldom help one process, and each costs memory

# the arguments of `plan.loader` itself, with which a misspelt name is compared
_OWN = (
    "accumulate", "check_data", "collate", "compare_ranks", "device", "dims", "fetch", "max_errors", "mesh", "on_error",
    "rank", "seeded", "world_size",
)  # fmt: skip
_OTHER_LENGTH = "make the plan from this data set, or pass the part of the data set that it was made from"
_OTHER_LABELS = "make the plan from the labels of this data set, in its order, or pass check_data=False"
_NO_PIECES = (
    "pass plan.pieces(dataset, cut=[...]), with the data set that the plan was made from, and the names of what is cut"
)
_DECIDED = {
    "batch_size": "the plan decides what is in a batch",
    "shuffle": "the plan decides the order",
    "sampler": "the loader makes the plan's sampler itself",
    "batch_sampler": "the loader makes the plan's sampler itself",
    "drop_last": "a plan has no incomplete batch that could be dropped",
}


def check_options(options: Mapping[str, Any], collate: Any, device: Any) -> None:
    """Refuse arguments that mean nothing, or that the plan has decided.

    Raises:
        Infeasible: one of them was given.
    """
    check_named_of_torch(options, collate, "plan.loader", _OWN)
    if device is not None:
        try:
            torch.device(device)
        except (RuntimeError, TypeError, ValueError) as error:
            raise Infeasible(
                f"device is {shown(device)}: {said(error)}", 'pass a torch.device or its name, as "cuda:0"'
            ) from None
    for name, why in _DECIDED.items():
        if name in options:
            raise Infeasible(f"{name}={shown(options[name])} was given to plan.loader, but {why}", f"leave {name} out")


def check_named_of_torch(options: Mapping[str, Any], collate: Any, caller: str, own: Sequence[str]) -> None:
    """Refuse options that `DataLoader` does not have, and a collate function that is none.

    Args:
        options: what was passed beside the arguments of the caller.
        collate: what makes a batch; None for the default.
        caller: what they were passed to, for messages.
        own: the caller's arguments, with which a misspelt name is compared.

    Raises:
        Infeasible: there is no such option, or `collate` cannot be called.
    """
    if collate is not None and not callable(collate):
        raise Infeasible(f"collate is {shown(collate)}, which cannot be called", "pass a function of a list of samples")
    known = inspect.signature(DataLoader.__init__).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise Infeasible(
            f"{caller} has no argument {shown(unknown[0])}",
            f"pass its own arguments, or those of torch.utils.data.DataLoader{did_you_mean(unknown[0], [*own, *known])}",
        )


def check_dataset(plan: BasePlan, dataset: Any) -> None:
    """Refuse a data set that is not the one the plan was made for, as far as length and labels show.

    Raises:
        Infeasible: the data set has another length, no length, or other labels than the plan, where the plan's groups are
            made of such labels.
    """
    if isinstance(dataset, DataLoader):
        raise Infeasible("plan.loader was given a DataLoader", "pass the data set itself")
    if isinstance(dataset, type):
        raise Infeasible(f"the data set is the class {dataset.__name__}", f"pass an object: {dataset.__name__}(...)")
    if isinstance(dataset, (str, bytes, os.PathLike)):
        raise Infeasible(f"the data set is {shown(dataset)}", "pass the data set itself, whose items are samples")
    if isinstance(dataset, Mapping) or hasattr(dataset, "iloc"):
        raise Infeasible(
            f"the data set is {typed(dataset)}, whose items are columns, not samples",
            "pass its rows, as a list or a Dataset of them",
        )
    if isinstance(dataset, IterableDataset):
        raise Infeasible(
            f"{type(dataset).__name__} is an IterableDataset, whose samples have no numbers",
            "pass a map-style data set, or balance the stream with batchwright.online",
        )
    if not hasattr(dataset, "__getitem__") or not isinstance(dataset, Sized):
        raise Infeasible(
            f"the data set is {typed(dataset)}, which has no length or no items",
            "pass an object with __getitem__ and __len__",
        )
    count = plan.groups.sample_count
    if plan.named:  # it is asked for pairs of a task and a number, and may count as it likes
        return
    with reading(dataset, "the data set", "pass an object with __getitem__ and __len__"):
        length = len(dataset)
    if length != count:
        fact, way_out = f"the data set has {length} samples, the plan was made for {count}", _OTHER_LENGTH
        if plan.splits:
            fact, way_out = f"the data set has {length} samples, the plan yields {count} pieces of samples", _NO_PIECES
        raise Infeasible(fact, way_out)
    _check_labels(plan, dataset)


def check_on_error(plan: BasePlan, on_error: str) -> None:
    """Refuse to continue past samples that raise where samples have no groups, or each must come exactly once.

    Raises:
        Infeasible: the plan yields pairs of a task and a number, or is for evaluation, and `on_error` is not "refuse".
    """
    if on_error == "refuse":
        return
    if plan.whole_epochs:
        raise Infeasible(
            f"on_error is {shown(on_error)}, and an epoch of {plan!r} has every sample exactly once: none may be left out "
            "or stand for another",
            "leave on_error out; to leave samples out, make the plan for the others alone, numbers=[...], as "
            "bw.evaluation(len(numbers), ...), and pass torch.utils.data.Subset(dataset, numbers)",
        )
    if plan.named:
        raise Infeasible(
            f"on_error is {shown(on_error)}, and the plan yields pairs of a task and a number",
            'build the plan with named=False, or pass on_error="refuse"',
        )


def _check_labels(plan: BasePlan, dataset: Any) -> None:
    try:
        labels = known_labels(dataset)
    except Infeasible:  # labels that cannot be read say nothing about the plan's
        return
    if labels is None:
        return
    groups = plan.groups
    number_of = groups.number_of
    compared = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _COMPARED)).astype(np.int64))
    found = held = labels[compared].tolist()
    if not set(found) <= set(number_of):  # one may be by the names of classes, the other by their numbers
        names = {label: name for name, label in class_names(dataset).items()} or groups.aliases
        found = [names.get(label, label) for label in found]
    if not set(found) <= set(number_of) or (len(compared) == len(labels) and set(found) != set(number_of)):
        _check_renamed(groups, labels, held, compared)
        return
    theirs, ours = np.array([number_of[label] for label in found]), groups.group_of(compared)
    differing = np.flatnonzero(theirs != ours)
    if not differing.size:
        return
    sample = int(compared[differing[0]])
    fact = (
        f"sample {sample} is labelled {shown(held[differing[0]])} in the data set and "
        f"{shown(groups.names[int(ours[differing[0]])]) if ours[differing[0]] < groups.group_count else 'in no group'} "
        f"in the plan; {differing.size} of {compared.size} labels that were compared differ"
    )
    raise Infeasible(fact, _OTHER_LABELS)


def _check_renamed(groups: Groups, labels: np.ndarray, held: Sequence[Hashable], compared: np.ndarray) -> None:
    """Compare labels whose names are not the plan's, if they can be its groups by other names.

    They are taken for the groups if both have the same sizes; groups that are all of one size are too often something else.
    """
    if len(set(held)) > groups.group_count or groups.group_count < 2:
        return
    sizes = sorted(Counter(labels.tolist()).values())
    if sizes[0] == sizes[-1] or sizes != sorted(groups.sizes.tolist()):
        return
    numbers, first = groups.group_of(compared).tolist(), dict[Hashable, int]()
    for place, label in enumerate(held):
        before = first.setdefault(label, place)
        if numbers[place] != numbers[before]:
            raise Infeasible(
                f"samples {compared[before]} and {compared[place]} are both labelled {shown(label)} in the data set, and "
                f"are in the groups {shown(groups.names[numbers[before]])} and {shown(groups.names[numbers[place]])} of the "
                f"plan; both have {groups.group_count} classes of the same sizes, from {sizes[0]} to {sizes[-1]} samples, "
                "so they are in another order",
                _OTHER_LABELS,
            )


def fitting_workers(dataset: Any, num_workers: int | None) -> int:
    """How many worker processes read the data set.

    If left out: none for tensors in memory, which are read faster than they are sent, and where processes are not forked,
    since scripts without a main guard fail there; else the CPUs this process may use, shared among the processes of this
    machine, at most 8.
    """
    if num_workers is not None:
        return check_integer(num_workers, "num_workers", least=0)
    if isinstance(dataset, TensorDataset) or starts_python(None):
        return 0
    here = os.environ.get("LOCAL_WORLD_SIZE", "1")  # torchrun says how many processes share this machine
    # macOS does not say which CPUs a process may use
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    usable = cpus // max(1, int(here) if here.isdecimal() else 1)
    return min(_MOST_WORKERS, usable if usable > 1 else 0)


def starts_python(context: Any) -> bool:
    """Whether a worker process starts a new Python interpreter, and is not a fork of this process.

    Args:
        context: `DataLoader`'s `multiprocessing_context`; None for the default one.
    """
    if not isinstance(context, str):
        context = (multiprocessing if context is None else context).get_start_method()
    return bool(context != "fork")
