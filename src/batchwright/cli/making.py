"""Plans from the options of a command, and what a command tells about columns and about several plans."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import targets
from ..columns import as_numbers
from ..errors import Infeasible, one_of
from ..files import Column
from ..groups import Groups
from ..index_files import write_deal, write_index
from ..orders import Dealt
from ..plans.balanced import balanced, shuffled, weighted
from ..plans.budgeted import budgeted
from ..plans.fixed import FixedPlan
from ..plans.packed import packed
from ..plans.plan import Plan
from ..recipes import PLANS, from_recipe

__all__ = ["compared", "described", "is_recipe", "made", "relative_to", "target_of", "write_index_of"]


def is_recipe(path: str) -> bool:
    """Whether a path is that of a recipe: JSON or TOML."""
    return path.lower().endswith((".json", ".toml"))


def target_of(text: str) -> Any:
    """A target from the command line: a name, a number, or shares such as `cat=0.5,dog=0.5`."""
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",")]
        try:
            return {_label(name): float(share) for name, _, share in pairs}
        except ValueError:
            raise Infeasible(f"the shares are {text!r}", "write them as cat=0.5,dog=0.5") from None
    try:
        return float(text)
    except ValueError:
        return text


def _label(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdigit() else text


def made(files: str, options: Mapping[str, Any]) -> Plan:
    """The plan of a recipe, or of data files with these options of `batchwright plan`."""
    given = {name: value for name, value in options.items() if value not in (None, [], ())}
    if is_recipe(files):
        if given:
            raise Infeasible(
                f"{files} says how its plan is made, and --{_option(next(iter(given)))} is given too",
                "leave the option out, or change the recipe",
            )
        return from_recipe(files)
    kind = one_of(given.pop("kind", None) or _kind_of(given), "--kind", tuple(PLANS))
    if kind not in _DATA:
        raise Infeasible(
            f"the plan {kind!r} has no options of its own here",
            "write a recipe, and pass its path: batchwright plan my.toml",
        )
    data: Any
    if kind == "balanced" and "by" in given:
        names = [*([given.pop("label")] if "label" in given else []), *given.pop("by")]
        data = Groups.combine(*(Column(files, name) for name in names))
    elif (needed := _DATA[kind]) is not None:
        if needed not in given:
            raise Infeasible(
                f"a plan {kind!r} needs --{needed}, the name of a column",
                f"pass one of {', '.join(Column.names(files))}",
            )
        data = Column(files, given.pop(needed))
    else:
        data = Column(files, given.pop("label", None) or Column.names(files)[0])
    if kind in ("budgeted", "packed", "grouped") and "label" in given:  # the samples in balance, then cut by lengths
        target = target_of(given.pop("target", "uniform"))
        given["order"] = balanced(Column(files, given.pop("label")), 1, target=target, seed=given.get("seed", 0))
    if "target" in given:
        given["target"] = target_of(given["target"])
    unknown = [name for name in given if name not in inspect.signature(PLANS[kind]).parameters]
    if unknown:
        raise Infeasible(f"a plan {kind!r} takes no --{_option(unknown[0])}", "leave it out")
    if "batch_size" not in given and kind not in ("budgeted", "packed", "evaluation"):
        raise Infeasible(f"a plan {kind!r} needs --batch-size", "pass --batch-size 64")
    return PLANS[kind](data, **given)


def _option(name: str) -> str:
    return name.replace("_", "-")


# the option that names the column of each kind; None if only the number of samples counts
_DATA: dict[str, str | None] = {
    "balanced": "label", "budgeted": "length", "evaluation": None, "grouped": "length", "packed": "length",
    "sequential": None, "shuffled": None, "weighted": "weight",
}  # fmt: skip


def _kind_of(given: Mapping[str, Any]) -> str:
    if "max_tokens" in given:
        return "budgeted"
    if "capacity" in given:
        return "packed"
    if "weight" in given:
        return "weighted"
    if "label" in given or "by" in given:
        return "balanced"
    return "grouped" if "length" in given else "shuffled"


def relative_to(written: Any, folder: Path) -> Any:
    """A recipe whose relative paths begin at `folder` instead of the working directory."""
    if isinstance(written, list):
        return [relative_to(part, folder) for part in written]
    if not isinstance(written, dict):
        return written
    if "column" in written and not os.path.isabs(written["in"]):
        return written | {"in": Path(os.path.relpath(written["in"], folder)).as_posix()}
    return {key: relative_to(part, folder) for key, part in written.items()}


def write_index_of(plan: Plan, recipe: Path, arguments: Mapping[str, Any]) -> Path:
    """Write the index of a recipe's labels beside it, and what its micro-batches are dealt from if they are simple."""
    folder = write_index(recipe, arguments, recipe.parent)
    deal = plan.order.deal if isinstance(plan, FixedPlan) and isinstance(plan.order, Dealt) else None
    if deal is not None:
        write_deal(recipe, arguments, plan.fingerprint, deal, plan.epoch_batches)
    return folder


def described(files: str, label: str | None, length: str | None, by: list[str]) -> dict[str, Any]:
    """What is in data files: counts and imbalance of labels, quantiles of lengths."""
    names = Column.names(files)
    told: dict[str, Any] = {"files": files, "columns": names}
    for name in [*([label] if label is not None else []), *by]:
        column = Column(files, name)
        told.setdefault("labels", {})[name] = _label_counts(column)
        told["samples"] = len(column)
    if length is not None:
        numbers = _lengths(files, length)
        told["samples"] = len(numbers)
        told["lengths"] = {
            "column": length,
            "total": float(numbers.sum()),
            "mean": float(numbers.mean()),
            "quantiles": {str(at): float(np.quantile(numbers, at)) for at in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)},
        }
    if "samples" not in told:
        told["samples"] = len(Column(files, names[0]))
    return told


def _lengths(files: str, name: str) -> np.ndarray:
    lengths = as_numbers(Column(files, name), called=name)
    if not lengths.size:
        raise Infeasible(f"column {name} of {files} has 0 values", "pass a file of at least one sample")
    return lengths


def _label_counts(column: Column) -> dict[str, Any]:
    labels: Any = column
    missing = 0
    if column.coded() is None and np.asarray(column).dtype.kind in "Of":
        values = np.asarray(column)
        empty = np.fromiter((value is None or value != value for value in values.tolist()), bool, values.size)
        labels, missing = values[~empty], int(empty.sum())
    groups = Groups.from_keys(labels, called="labels")
    sizes, order = groups.sizes, np.argsort(-groups.sizes, kind="stable")
    shares = sizes / sizes.sum()
    return {
        "groups": groups.group_count,
        "imbalance": float(sizes.max() / sizes.min()),
        "effective_groups": float(math.exp(-(shares * np.log(shares)).sum())),
        "counts": [[groups.names[group], int(sizes[group])] for group in order.tolist()],
        "missing": missing,
    }


def compared(
    files: str, label: str, length: str | None, batch_size: int, batches: int, seed: int
) -> list[dict[str, Any]]:
    """The same data under several plans: what is in their first micro-batches."""
    labels = Column(files, label)
    groups = Groups.from_labels(labels)
    rates = 1.0 / groups.sizes[groups.codes]
    ways: dict[str, Callable[[], Plan]] = {
        "shuffle": lambda: shuffled(len(labels), batch_size, seed=seed),
        "weighted with replacement": lambda: weighted(rates, batch_size, draw="random", seed=seed),
        "uniform": lambda: balanced(groups, batch_size, seed=seed),
        "square root": lambda: balanced(groups, batch_size, target=targets.power(0.5), seed=seed),
    }
    lengths, budget = None, 0
    if length is not None:
        lengths = _lengths(files, length)
        budget = int(max(lengths.max(), batch_size * lengths.mean()))
        ways["budgets"] = lambda: budgeted(lengths, budget, seed=seed)
        ways["packing"] = lambda: packed(lengths, max(1, budget), seed=seed)
    return [
        _measured(name, make(), groups, lengths, budget if name == "packing" else None, batches)
        for name, make in ways.items()
    ]


def _measured(
    name: str, plan: Plan, groups: Groups, lengths: np.ndarray | None, capacity: int | None, batches: int
) -> dict[str, Any]:
    """Composition of the first micro-batches of a plan; of lengths, padding and how unequal neighbours are."""
    rarest = int(groups.sizes.argmin())
    seen, missing, repeats, drawn = np.zeros(groups.sample_count, bool), 0, 0, 0
    padded = used = 0.0
    work = []
    count = min(batches, plan.epoch_length())
    for number in range(count):
        batch = plan[number]
        missing += not (groups.codes[batch] == rarest).any()
        repeats += batch.size - np.unique(batch).size
        seen[batch] = True
        drawn += batch.size
        if lengths is not None:
            long = lengths[batch]
            used += long.sum()
            padded += capacity if capacity is not None else long.max() * long.size
            work.append(float(long.sum()))
    told = {
        "plan": name,
        "micro_batches": count,
        "samples_a_batch": drawn / count,
        "missing_rarest": missing / count,
        "covered": float(seen.mean()),
        "repeats_in_a_batch": repeats / drawn,
    }
    if lengths is not None:
        told |= {"padding": float(1 - used / padded), "largest_work_over_mean": max(work) / (sum(work) / count)}
    return told
