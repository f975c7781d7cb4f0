"""Plans from recipes. A recipe can name only what stands in the tables here: nothing is executed or unpickled."""

from __future__ import annotations

import inspect
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np

from . import targets
from .errors import Infeasible, check_integer, did_you_mean, listed, shown
from .files import Column
from .files.paths import suffix_kind
from .groups import Groups
from .index_files import read_index
from .micro_batches import MOST_RANKS
from .orders import Shards
from .plans.alternating import alternating
from .plans.balanced import balanced, shuffled, weighted
from .plans.bucketed import bucketed
from .plans.budgeted import budgeted
from .plans.evaluation import evaluation
from .plans.grouped import grouped
from .plans.hierarchical import hierarchical
from .plans.hybrid import hybrid
from .plans.in_turn import ordered, sequential
from .plans.mixed import mixed
from .plans.multilabel import multilabel
from .plans.packed import packed
from .plans.plan import RECIPE_VERSION, Plan
from .plans.raked import raked
from .plans.rotating import rotating
from .readings import reading, reading_file

__all__ = ["PLANS", "RecipeRun", "from_recipe", "read_recipe", "run_of"]

MOST_BYTES = 1 << 22
_DEEPEST = 20  # objects and lists within each other

PLANS: dict[str, Callable[..., Plan]] = {
    plan.__name__: plan
    for plan in (
        alternating, balanced, bucketed, budgeted, evaluation, grouped, hierarchical, hybrid, mixed, multilabel, ordered,
        packed, raked, rotating, sequential, shuffled, weighted,
    )
}  # fmt: skip
_TARGETS: dict[str, Callable[..., Any]] = {
    target.__name__: target
    for target in (
        targets.blend, targets.capped, targets.effective_number, targets.explicit, targets.in_units, targets.moving,
        targets.natural, targets.power, targets.repeat_factor, targets.schedule, targets.stages, targets.temperature,
        targets.uniform,
    )
}  # fmt: skip
_GROUPS: dict[str, Callable[..., Any]] = {"combine": Groups.combine}
_SHARDS: dict[str, Callable[..., Any]] = {"Shards": Shards}
_KEYS = frozenset({"batchwright", "plan", "arguments", "stepped", "fingerprint", "run"})


@dataclass(frozen=True)
class RecipeRun:
    """The ranks and the accumulation of a run, as a recipe may name them.

    Attributes:
        world_size: the number of ranks.
        accumulate: micro-batches of a rank in a step.
    """

    world_size: int = 1
    accumulate: int = 1

    @property
    def step_size(self) -> int:
        """Micro-batches in a step."""
        return self.world_size * self.accumulate


def from_recipe(recipe: Any, *, root: str | os.PathLike[str] | None = None, check: bool = True) -> Plan:
    """Make the plan of a recipe.

    Use it to make the plan of an earlier run again, here or on another machine. The columns that the recipe names are read
    and compared with their fingerprints, and so is the plan.

    Args:
        recipe: the path of a JSON or TOML file, or what `plan.to_recipe()` returned.
        root: the folder that paths in the recipe begin at; the folder of the file if left out, and the working directory for
            a dictionary.
        check: whether to refuse data, and a plan, whose fingerprint is not that of the recipe.

    Raises:
        Infeasible: the file is no recipe, or names something unknown; a data file is missing or has other values; the plan
            has another fingerprint.

    Example:
        >>> import batchwright as bw
        >>> bw.from_recipe({"batchwright": 1, "plan": "shuffled", "arguments": {"samples": 10, "batch_size": 4}})[0].size
        4
    """
    held, beside = _read(recipe)
    run_of(held)
    home = Path(root) if root is not None else beside.parent if beside is not None else Path()
    indexed = None if beside is None or held["plan"] != "balanced" else read_index(beside, held["arguments"], home)
    plan = _ArgumentReader(home, check, indexed).plan(held)
    wanted = held.get("fingerprint", plan.fingerprint)
    if check and wanted != plan.fingerprint:
        raise Infeasible(
            f"the plan has the fingerprint {plan.fingerprint}, the recipe says {shown(wanted)}",
            "undo the change of the recipe or of the data, or pass check=False for the plan as it is now",
        )
    return plan


def read_recipe(recipe: Any) -> dict[str, Any]:
    """A recipe as a dictionary, checked for its form: its version, the names of its parts, its size.

    Raises:
        Infeasible: it is no recipe of this version.
    """
    return _read(recipe)[0]


def run_of(recipe: Mapping[str, Any]) -> RecipeRun:
    """The ranks and the accumulation that a recipe names; one rank if it names none.

    Raises:
        Infeasible: they are no whole numbers of 1 or more.
    """
    run = recipe.get("run", {})
    if not isinstance(run, Mapping) or set(run) - {"world_size", "accumulate"}:
        raise Infeasible(f"the recipe's run is {shown(run)}", 'write {"world_size": 8, "accumulate": 1}')
    return RecipeRun(
        **{name: check_integer(value, f"run.{name}", least=1, most=MOST_RANKS) for name, value in run.items()}
    )


def _read(recipe: Any) -> tuple[dict[str, Any], Path | None]:
    """A recipe as a dictionary, and the path of its file."""
    path = None
    if isinstance(recipe, (str, os.PathLike)):
        path = Path(recipe)
        recipe = _parsed(path)
    if not isinstance(recipe, Mapping) or "batchwright" not in recipe:
        raise Infeasible(
            f"this is no recipe: {shown(recipe)}", "pass what plan.to_recipe() gave, or a file that holds it"
        )
    version = recipe["batchwright"]
    if type(version) is not int or version != RECIPE_VERSION:
        raise Infeasible(
            f"the recipe is of version {shown(version)}, this batchwright reads version {RECIPE_VERSION}",
            "write the recipe again with this version of batchwright",
        )
    unknown = sorted(map(str, set(recipe) - _KEYS))
    if unknown:
        raise Infeasible(f"the recipe has the unknown key {shown(unknown[0])}", f"use {listed(sorted(_KEYS))}")
    if not isinstance(recipe.get("plan"), str):
        raise Infeasible(
            f"the recipe's plan is {shown(recipe.get('plan'))}", f"write one of {', '.join(sorted(PLANS))}"
        )
    return {"arguments": {}, **recipe}, path


def _parsed(path: Path) -> Any:
    with reading(str(path), "the recipe", "pass the path of a JSON or TOML file"):
        there = path.is_file()  # a path that is too long for the system raises
    if not there:
        raise Infeasible(f"there is no recipe {shown(str(path))}", "pass the path of a JSON or TOML file")
    kind = suffix_kind(path.name)
    if kind:
        raise Infeasible(
            f"{shown(str(path))} is a data file ({kind}), not a recipe",
            "pass the JSON or TOML file that plan.to_recipe() or batchwright plan --save was written to",
        )
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Infeasible(
            f"{shown(str(path))} has {size} bytes, a recipe has {MOST_BYTES} at most", "keep data in files, as columns"
        )
    with reading_file(path, "write it as JSON or TOML", (ValueError, RecursionError)):
        text = path.read_text(encoding="utf-8-sig")  # some editors mark UTF-8 at its start
        if path.suffix.lower() == ".toml":
            return tomllib.loads(text)
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        raise ValueError(f"a key stands twice among {listed(name for name, _ in pairs)}")
    return held


def _refuse_constant(written: str) -> Any:
    raise ValueError(f"{written} is no number")


class _ArgumentReader:
    """Turns the values of a recipe into arguments.

    Args:
        home: the folder that paths begin at.
        check: whether to compare columns with their fingerprints.
        indexed: a column that need not be read, since an index holds its values; None if there is no index.
    """

    def __init__(self, home: Path, check: bool, indexed: Column | None) -> None:
        self.home, self.check = home, check
        self.columns = {} if indexed is None else {(indexed.path, indexed.name): indexed}

    def called(
        self, table: Mapping[str, Callable[..., Any]], what: str, name: Any, arguments: Any, depth: int = 0
    ) -> Any:
        """What the function of this name returns for these arguments."""
        if not isinstance(name, str) or name not in table:
            raise Infeasible(
                f"the recipe names the {what} {shown(name)}",
                f"write one of {', '.join(sorted(table))}{did_you_mean(name, table)}",
            )
        if not isinstance(arguments, Mapping):
            raise Infeasible(f"the arguments of {name} are {shown(arguments)}", "write them by name")
        function = table[name]
        known = inspect.signature(function).parameters
        unknown = [argument for argument in arguments if argument not in known]
        if unknown:
            raise Infeasible(
                f"{name} has no argument {shown(unknown[0])}",
                f"use {', '.join(known)}{did_you_mean(unknown[0], known)}",
            )
        missing = [key for key, each in known.items() if each.default is each.empty and key not in arguments]
        if missing:
            raise Infeasible(f"{name} needs the argument {shown(missing[0])}", "write it too")
        values = {key: self.value(part, depth + 1) for key, part in arguments.items()}
        variadic = [key for key, each in known.items() if each.kind is each.VAR_POSITIONAL]
        return function(*values[variadic[0]]) if variadic else function(**values)

    def plan(self, written: Mapping[str, Any], depth: int = 0) -> Plan:
        """The plan of a recipe, or of an argument of one, in the steps that it names."""
        made = self.called(PLANS, "plan", written["plan"], written.get("arguments", {}), depth)
        if "stepped" in written:
            made = made.stepped(check_integer(written["stepped"], "stepped", least=1))
        return cast(Plan, made)

    def value(self, written: Any, depth: int) -> Any:
        """The argument that a JSON value stands for."""
        if depth > _DEEPEST:
            raise Infeasible(f"the recipe is more than {_DEEPEST} levels deep", "keep data in files, as columns")
        if isinstance(written, (bool, int, float, str)):
            return written
        if isinstance(written, list):
            return [self.value(part, depth + 1) for part in written]
        if isinstance(written, Mapping):
            for key, read in _KINDS.items():
                if key in written:
                    return read(self, written, depth)
        raise Infeasible(
            f"the recipe holds {shown(written)}",
            f"write a number, text, a list, or an object with {listed(_KINDS)}",
        )

    def _map(self, written: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        _only(written, {"map"})
        pairs = written["map"]
        if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
            raise Infeasible(
                f"a map of the recipe is {shown(pairs)}", 'write pairs: {"map": [["cat", 0.5], ["dog", 0.5]]}'
            )
        try:
            found = {self.value(name, depth + 1): self.value(part, depth + 1) for name, part in pairs}
        except TypeError:
            raise Infeasible(f"a name in {shown(pairs)} is a list", 'write {"tuple": [...]}') from None
        if len(found) < len(pairs):
            raise Infeasible(f"a name stands twice in {shown(pairs)}", "write every name once")
        return found

    def _tuple(self, written: Mapping[str, Any], depth: int) -> tuple[Any, ...]:
        _only(written, {"tuple"})
        return tuple(self._list(written["tuple"], depth))

    def _array(self, written: Mapping[str, Any], depth: int) -> np.ndarray:
        _only(written, {"array"})
        try:
            return np.array(self._list(written["array"], depth))
        except ValueError:
            raise Infeasible(
                f"an array of the recipe is {shown(written['array'])}", "write rows of one length"
            ) from None

    def _list(self, written: Any, depth: int) -> list[Any]:
        if not isinstance(written, list):
            raise Infeasible(f"the recipe holds {shown(written)} where a list is needed", "write a list")
        return [self.value(part, depth + 1) for part in written]

    def _fraction(self, written: Mapping[str, Any], depth: int) -> Fraction:
        _only(written, {"fraction"})
        parts = written["fraction"]
        if not isinstance(parts, list) or len(parts) != 2:
            raise Infeasible(f"a fraction of the recipe is {shown(parts)}", 'write {"fraction": [1, 3]}')
        return Fraction(check_integer(parts[0], "the numerator"), check_integer(parts[1], "the denominator", least=1))

    def _plan(self, written: Mapping[str, Any], depth: int) -> Any:
        _only(written, {"plan", "arguments", "stepped"})
        return self.plan(written, depth)

    def _target(self, written: Mapping[str, Any], depth: int) -> Any:
        _only(written, {"target", "arguments"})
        return self.called(_TARGETS, "target", written["target"], written.get("arguments", {}), depth)

    def _groups(self, written: Mapping[str, Any], depth: int) -> Any:
        _only(written, {"groups", "arguments"})
        return self.called(_GROUPS, "groups", written["groups"], written.get("arguments", {}), depth)

    def _shards(self, written: Mapping[str, Any], depth: int) -> Any:
        _only(written, {"shards", "arguments"})
        return self.called(_SHARDS, "shards", written["shards"], written.get("arguments", {}), depth)

    def _column(self, written: Mapping[str, Any], depth: int) -> Column:
        _only(written, {"column", "in", "count", "digest"})
        name, path = written["column"], written.get("in")
        if not isinstance(name, str) or not isinstance(path, str):
            raise Infeasible(
                f"a column of the recipe is {shown(dict(written))}", 'write {"column": "label", "in": "train.csv"}'
            )
        column = Column(path if "://" in path else str(self.home / path), name)
        column = self.columns.setdefault((column.path, name), column)
        if not self.check:
            return column
        count, digest = written.get("count", len(column)), written.get("digest", column.digest)
        if count != len(column) or digest != column.digest:
            raise Infeasible(
                f"the data changed: column {shown(name)} of {shown(path)} has {len(column)} values with the fingerprint "
                f"{column.digest}, the recipe says {shown(count)} with {shown(digest)}",
                "restore the file, or make the plan and its recipe again of the data as they are now",
            )
        return column


def _only(written: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(map(str, set(written) - known))
    if unknown:
        raise Infeasible(
            f"the recipe has the unknown key {shown(unknown[0])} in {shown(dict(written))}",
            f"use {listed(sorted(known))}",
        )


_KINDS: dict[str, Callable[[_ArgumentReader, Mapping[str, Any], int], Any]] = {
    "array": _ArgumentReader._array,
    "column": _ArgumentReader._column,
    "fraction": _ArgumentReader._fraction,
    "groups": _ArgumentReader._groups,
    "map": _ArgumentReader._map,
    "plan": _ArgumentReader._plan,
    "shards": _ArgumentReader._shards,
    "target": _ArgumentReader._target,
    "tuple": _ArgumentReader._tuple,
}
