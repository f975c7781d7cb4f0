"""Makes the plan that the options of `batchwright plan` ask for: its kind, its columns, its other arguments."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any, get_args

import numpy as np

from ..errors import Infeasible, one_of
from ..files import Column
from ..groups import Groups
from ..inputs.values import FLOAT, INTEGER
from ..lengths.admission import TooLong
from ..lengths.packing import Solver
from ..plans.balanced import balanced
from ..plans.plan import Plan
from ..recipes import PLANS, from_recipe

__all__ = ["CHOICES", "KINDS", "is_recipe", "made", "target_of"]

Given = dict[str, Any]

CHOICES = {
    "draw": ("exact", "random"),
    "epoch": ("natural", "largest", "smallest"),
    "order": ("file", "shuffled", "length"),
    "solver": get_args(Solver),
    "target": ("uniform", "natural", "sqrt"),
    "too_long": get_args(TooLong),
    "unit": ("batch", "step"),
    "window": ("epoch",),
}
"""The words that options take, for the completion of a shell; the plans check them."""

_RECIPE = "write a recipe, and pass its path: batchwright plan my.toml"


def is_recipe(path: str) -> bool:
    """Whether a path is that of a recipe: JSON or TOML."""
    return path.lower().endswith((".json", ".toml"))


def target_of(text: str) -> Any:
    """A target from the command line: a name, a number, or shares, as `cat=0.5,dog=0.5` or as an object of JSON."""
    as_json = text.lstrip().startswith("{")
    if as_json or "=" in text:
        try:
            pairs = json.loads(text, object_pairs_hook=list) if as_json else _pairs(text)
            shares = dict(zip(_labels([name for name, _ in pairs]), (float(share) for _, share in pairs), strict=True))
        except (TypeError, ValueError):
            raise Infeasible(f"the shares are {text!r}", _SHARES) from None
        if len(shares) < len(pairs):
            raise Infeasible(f"a label stands twice in the shares {text!r}", "write every label once")
        return shares
    try:
        return float(text)
    except ValueError:
        return text


_SHARES = (
    "write them as cat=0.5,dog=0.5, and where a label has a comma as an object of JSON in quotes of the shell: "
    '\'{"cat, wild": 0.5, "dog": 0.5}\''
)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, share) for name, _, share in (part.rpartition("=") for part in text.split(","))]


def _labels(texts: list[str]) -> list[Any]:
    """Labels of the types that a column of these texts would have: see `Column`."""
    if all(map(INTEGER.fullmatch, texts)):
        return [int(text) for text in texts]
    return [float(text) for text in texts] if all(map(FLOAT.fullmatch, texts)) else texts


def made(files: str, options: Mapping[str, Any]) -> Plan:
    """The plan of a recipe, or of data files with these options of `batchwright plan`."""
    # What was not given is None, a flag False and a list empty.
    given = {name: value for name, value in options.items() if value is not False and value not in (None, [], ())}
    if is_recipe(files):
        if given:
            raise Infeasible(
                f"{files} says how its plan is made, and --{_option(next(iter(given)))} is given too",
                "leave the option out, or change the recipe",
            )
        return from_recipe(files)
    kind = one_of(given.pop("kind", None) or _kind_of(given), "--kind", tuple(PLANS))
    arguments = _arguments(kind, files, given)
    _check_complete(kind, arguments)
    return PLANS[kind](**arguments)


def _arguments(kind: str, files: str, given: Given) -> Given:
    """The arguments of the builder: columns in place of their names, and words and numbers in place of text."""
    if kind not in KINDS:
        raise Infeasible(f"the plan {kind!r} is made of several data sets or plans", _RECIPE)
    columns = KINDS[kind](files, given)
    for name in ("target", "window", "epoch"):
        if name in given:
            given[name] = target_of(given[name]) if name == "target" else _number_or_word(given[name])
    return columns | given


def _check_complete(kind: str, arguments: Given) -> None:
    """Refuse arguments that the builder of a kind does not take, and those of which it lacks one."""
    parameters = inspect.signature(PLANS[kind]).parameters
    unknown = [name for name in arguments if name not in parameters]
    if unknown:
        raise Infeasible(
            f"a plan {kind!r} takes no --{_option(unknown[0])}", "leave it out, or ask for another plan with --kind"
        )
    needed = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    missing = [name for name in needed if name not in arguments]
    if missing:
        name = _option(missing[0])
        raise Infeasible(f"a plan {kind!r} needs --{name}", f"pass --{name} {_NUMBERS.get(name, 4)}")


_NUMBERS = {"batch-size": 64, "max-tokens": 16384, "capacity": 4096, "ranks": 8, "tokens-per-rank": 8192}


def _option(name: str) -> str:
    return name.replace("_", "-")


def _number_or_word(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _kind_of(given: Mapping[str, Any]) -> str:
    for name, kind in _TOLD_BY.items():
        if name in given:
            return kind
    return "shuffled"


_TOLD_BY = {
    "max_tokens": "budgeted", "capacity": "packed", "tokens_per_rank": "hybrid", "weight": "weighted",
    "shape": "bucketed", "margin": "raked", "per": "hierarchical", "cohorts": "rotating",
    "indices": "ordered", "label": "balanced", "by": "balanced", "length": "grouped",
}  # fmt: skip


def _taken(files: str, given: Given, kind: str, option: str) -> Any:
    """The name or the names of columns of an option that a kind needs."""
    if option not in given:
        raise Infeasible(
            f"a plan {kind!r} needs --{option}, the name of a column", f"pass one of {', '.join(Column.names(files))}"
        )
    return given.pop(option)


def _column(files: str, given: Given, kind: str, option: str) -> Column:
    return Column(files, _taken(files, given, kind, option))


def _columns(files: str, given: Given, kind: str, option: str) -> list[Column]:
    return [Column(files, name) for name in _taken(files, given, kind, option)]


def _of(kind: str, argument: str, option: str) -> Callable[[str, Given], Given]:
    """A plan of one column."""
    return lambda files, given: {argument: _column(files, given, kind, option)}


def _balanced(files: str, given: Given) -> Given:
    if "by" not in given:
        return {"labels": _column(files, given, "balanced", "label")}
    names = [*([given.pop("label")] if "label" in given else []), *given.pop("by")]
    return {"labels": Groups.combine(*(Column(files, name) for name in names))}


def _by_length(kind: str) -> Callable[[str, Given], Given]:
    """A plan by lengths; with --label, the samples come in balance and are then cut by their lengths."""

    def arguments(files: str, given: Given) -> Given:
        found: Given = {}
        if kind == "bucketed":
            sides = _columns(files, given, kind, "shape")
            found["shapes"] = sides[0] if len(sides) == 1 else np.column_stack([np.asarray(side) for side in sides])
            if np.ndim(found["shapes"]) == 1:
                raise Infeasible(
                    f"--shape {sides[0].name} is one number a sample, and a shape has several",
                    "pass --shape once for each side; for lengths, which are padded, pass --length and --max-tokens in "
                    "place of --shape and --batch-size",
                )
        else:
            found["lengths"] = _column(files, given, kind, "length")
        if "together" in given:
            found["together"] = Column(files, given.pop("together"))
        if "label" in given:
            target = target_of(given.pop("target", "uniform"))
            labels = Column(files, given.pop("label"))
            found["order"] = balanced(labels, 1, target=target, seed=given.get("seed", 0))
        return found

    return arguments


def _count(files: str, given: Given) -> Given:
    """The number of samples, by the first column that can be read."""
    *names, last = Column.names(files)
    for name in names:
        try:
            return {"samples": len(Column(files, name))}
        except Infeasible:  # such as values of several types, which do not matter here
            continue
    return {"samples": len(Column(files, last))}


def _evaluation(files: str, given: Given) -> Given:
    """Lengths where batches are cut or ordered by them, else the number of samples."""
    by_length = {"max_tokens", "capacity"} & given.keys() or given.get("order") == "length"
    return {"samples": _column(files, given, "evaluation", "length")} if by_length else _count(files, given)


def _hierarchical(files: str, given: Given) -> Given:
    return {"levels": _columns(files, given, "hierarchical", "by")}


def _raked(files: str, given: Given) -> Given:
    """Attributes and their margins, from options such as `--margin source:web=0.5,books=0.5`."""
    if "margin" not in given:
        raise Infeasible(
            "a plan 'raked' needs --margin, a column and its shares", "pass --margin label:uniform for every column"
        )
    pairs = [text.partition(":") for text in given.pop("margin")]
    return {
        "attributes": {name: Column(files, name) for name, _, _ in pairs},
        "margins": {name: target_of(target or "natural") for name, _, target in pairs},
    }


KINDS: dict[str, Callable[[str, Given], Given]] = {
    "balanced": _balanced,
    "bucketed": _by_length("bucketed"),
    "budgeted": _by_length("budgeted"),
    "evaluation": _evaluation,
    "grouped": _by_length("grouped"),
    "hierarchical": _hierarchical,
    "multilabel": _of("multilabel", "labels", "label"),
    "ordered": _of("ordered", "indices", "indices"),
    "hybrid": _of("hybrid", "lengths", "length"),
    "packed": _by_length("packed"),
    "raked": _raked,
    "rotating": _of("rotating", "labels", "label"),
    "sequential": _count,
    "shuffled": _count,
    "weighted": _of("weighted", "weights", "weight"),
}
"""For every kind of plan that can be made of options, what takes its columns out of the options."""
