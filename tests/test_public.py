"""What users call: tracebacks end at their line, warnings point at it, misspelt names are recognised."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import traceback
import warnings
from functools import cached_property

import pytest

import batchwright as bw
from batchwright.errors import Infeasible, PoorWarning, warn
from batchwright.plans.plan import Plan
from batchwright.public import public

MODULES = [name for name in bw.__all__ if inspect.ismodule(getattr(bw, name))]


def functions():
    """Every public function and method that is written in this package, by name."""
    for home, names in [("bw", bw.__all__), *((f"bw.{name}", getattr(bw, name).__all__) for name in MODULES)]:
        owner = bw if home == "bw" else getattr(bw, home[3:])
        for name in names:
            value = getattr(owner, name)
            if inspect.isclass(value):
                for base in reversed(inspect.getmro(value)):
                    yield from methods(base, f"{home}.{name}")
            elif inspect.isfunction(value):
                yield f"{home}.{name}", value
    for plan in every(Plan):
        yield from methods(plan, plan.__name__)


def every(kind):
    return {kind, *(found for one in kind.__subclasses__() for found in every(one))}


def methods(kind, home):
    for name, member in vars(kind).items():
        function = member.__func__ if isinstance(member, (classmethod, staticmethod)) else member
        if isinstance(function, cached_property):
            assert name.startswith("_") or hasattr(function, "_is_public"), (kind, name)
            continue
        function = function.fget if isinstance(function, property) else function
        written = inspect.isfunction(function) and function.__module__.startswith("batchwright")
        if written and (not name.startswith("_") or name == "__init__"):
            yield f"{home}.{name}", function


FUNCTIONS = dict(functions())


def test_every_public_function_ends_its_tracebacks_at_the_line_of_the_user():
    assert len(FUNCTIONS) > 200
    assert [name for name, function in FUNCTIONS.items() if not hasattr(function, "_is_public")] == []


def files_of(error):
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


REFUSED = {
    "builder": lambda: bw.balanced([0, 1], 0),
    "deep in a builder": lambda: bw.balanced([0, None], 2),
    "target": lambda: bw.targets.power("much"),
    "class": lambda: bw.Groups([0], [0, 0], [0], sample_count="x"),
    "class method": lambda: bw.Groups.from_sizes({}),
    "method of a plan": lambda: bw.shuffled(10, 2).epoch_length("x"),
    "property of a plan": lambda: bw.balanced([0, 1], 2, target=lambda counts, epoch: [0.5, 0.5]).sampled_prior,
    "sampler": lambda: bw.shuffled(10, 2).sampler(rank=3, world_size=2),
    "state": lambda: bw.shuffled(10, 2).sampler().load_state_dict({"version": 99}),
    "loader": lambda: bw.shuffled(10, 2).loader(range(9)),
    "stream": lambda: bw.online.balanced(range(9), key=len, batch_size=0),
    "recipe": lambda: bw.from_recipe({}),
    "column": lambda: bw.Column("x", 3),
    "cost": lambda: bw.costs.transformer(0),
    "split": lambda: bw.split([0, 1], {"a": 2.0}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_traceback_ends_at_the_line_of_the_user(name):
    with pytest.raises((Infeasible, TypeError)) as caught:
        REFUSED[name]()
    assert isinstance(caught.value, Infeasible), caught.value
    assert files_of(caught.value)[-1] == __file__
    assert not [file for file in files_of(caught.value) if "batchwright" in file and "tests" not in file]


def test_a_function_of_the_user_within_a_call_stays_in_the_traceback():
    def shares(counts, epoch):
        return bw.Groups.from_sizes({})

    with pytest.raises(Infeasible) as caught:
        bw.balanced([0, 1], 2, target=shares)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (frames[-1].name, frames[-1].filename) == ("shares", __file__)


def test_other_errors_keep_their_traceback():
    def broken(counts, epoch):
        raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        bw.balanced([0, 1], 2, target=broken)
    assert len(files_of(caught.value)) > 3


def test_a_printed_traceback_has_two_lines_of_code():
    code = "import batchwright as bw\nbw.balanced([0, 1], batch_size=0)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines()[1:] if not line.startswith("    ")]  # what 3.13 shows of `-c`
    assert told == [
        '  File "<string>", line 2, in <module>',
        "batchwright.errors.Infeasible: batch_size is 0, the least is 1; pass batch_size=1 or more.",
    ]


def test_public_functions_pickle_and_keep_their_signature():
    for name, function in FUNCTIONS.items():
        if "." not in function.__qualname__:
            assert pickle.loads(pickle.dumps(function)) is function, name
    assert list(inspect.signature(bw.balanced).parameters)[:2] == ["labels", "batch_size"]


POOR = {
    "balanced": lambda: bw.balanced([0, 0, 1], 6),
    "weighted": lambda: bw.weighted([1.0, 9.0], 8),
    "shuffled": lambda: bw.shuffled(3, 8),
    "sequential": lambda: bw.sequential(3, 8),
    "ordered": lambda: bw.ordered([0, 1], 8),
    "mixed": lambda: bw.mixed({"a": 1, "b": 9}, 6, target="uniform"),
    "raked": lambda: bw.raked({"k": [0, 0, 0, 1]}, {"k": "uniform"}, 8),
    "multilabel": lambda: bw.multilabel([["a"], ["a"], ["a", "b"]], 8, target={"a": 0.1, "b": 0.9}),
    "hierarchical": lambda: bw.hierarchical([[0, 0, 1, 1]], [2, 4]),
    "rotating": lambda: bw.rotating([0, 0, 1, 1], 1, per_class=4),
    "groups": lambda: bw.Groups.from_labels([*range(40)]),
    "a loader": lambda: bw.shuffled(3, 8).loader(range(3), num_workers=0),
    "budgeted in balance": lambda: bw.budgeted([1, 2, 3], 9, order=bw.balanced([0, 0, 1], 6)),
    "online": lambda: bw.online.mixed({"a": range(9), "b": range(9)}, target={"a": 0.999, "b": 0.001}, batch_size=2),
}


@pytest.mark.parametrize("name", POOR)
def test_a_warning_points_at_the_line_of_the_user(name):
    with warnings.catch_warnings(record=True) as poor:
        warnings.simplefilter("always", PoorWarning)
        POOR[name]()
    assert [warning.filename for warning in poor if warning.filename != __file__] == []


def test_a_warning_through_the_standard_library_points_at_the_line_of_the_user():
    space = {"warn": warn, "cached_property": cached_property, "__name__": "batchwright.somewhere"}
    exec("class Late:\n    @cached_property\n    def value(self):\n        warn('late')\n", space)
    with pytest.warns(PoorWarning) as poor:
        space["Late"]().value  # noqa: B018  # reading it is what warns
    assert poor[0].filename == __file__


SPELT = {
    "attribute": (lambda: bw.balancd, "has no attribute 'balancd'; did you mean 'balanced'?"),
    "argument of a builder": (lambda: bw.balanced([0, 1], batch_sizes=2), "'batch_sizes'; did you mean 'batch_size'?"),
    "argument of a loader": (lambda: bw.shuffled(4, 2).loader(range(4), num_worker=1), "did you mean 'num_workers'?"),
    "argument of a sampler": (lambda: bw.shuffled(4, 2).sampler(worldsize=1), "did you mean 'world_size'?"),
    "argument of a class": (lambda: bw.Composition(bw.shuffled(4, 2), namse=1), "unexpected keyword argument 'namse'"),
    "torch's word": (lambda: bw.shuffled(4, 2).sampler(rank=0, num_replicas=2), "did you mean 'world_size'?"),
    "target": (lambda: bw.balanced([0, 1], 2, target="unifrom"), "(did you mean 'uniform'?)"),
    "draw": (lambda: bw.shuffled(4, 2, draw="exat"), "(did you mean 'exact'?)"),
    "solver": (lambda: bw.packed([1, 2], 3, solver="fats"), "(did you mean 'fast'?)"),
    "group": (lambda: bw.balanced(["cat", "dog"], 2).groups.samples("cta"), "(did you mean 'cat'?)"),
    "plan of a recipe": (lambda: bw.from_recipe({"batchwright": 1, "plan": "balance"}), "(did you mean 'balanced'?)"),
}


@pytest.mark.parametrize("name", SPELT)
def test_a_misspelt_name_is_recognised(name):
    call, message = SPELT[name]
    with pytest.raises((AttributeError, TypeError, Infeasible)) as caught:
        call()
    assert message in str(caught.value)


def test_an_unrelated_name_is_not_explained():
    with pytest.raises(AttributeError, match=r"no attribute 'zzz'$"):
        bw.zzz  # noqa: B018  # reading it is what raises
    with pytest.raises(TypeError, match=r"'zzz'$"):
        bw.balanced([0, 1], zzz=2)


def test_completion_shows_what_is_public_and_nothing_else():
    for module in (bw, *(getattr(bw, name) for name in MODULES)):
        shown = [name for name in dir(module) if not name.startswith("_")]
        assert shown == sorted(name for name in module.__all__ if not name.startswith("_")), module


ANY_TEXT = {"target", "others", "name", "title", "path", "called", "task", "field", "key"}


def test_help_shows_the_words_that_an_argument_takes():
    unnamed = []
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            word = isinstance(parameter.default, str) and parameter.default and parameter.name not in ANY_TEXT
            if word and "Literal" not in str(parameter):
                unnamed.append(f"{name}({parameter})")
    assert unnamed == []
    assert "draw: Literal['exact', 'random'] = 'exact'" in str(inspect.signature(bw.shuffled))


def test_a_function_of_others_is_left_alone():
    assert public(len) is len


OF_RANKS = {
    "audit of a fixed plan": (lambda: bw.shuffled(64, 2).audit(world_size=4), "audit"),
    "audit of tasks": (lambda: bw.alternating({"a": bw.shuffled(8, 2), "b": bw.shuffled(8, 2)}).audit(rank=0), "audit"),
    "audit of a hybrid plan": (lambda: bw.hybrid([3, 4], ranks=2, tokens_per_rank=8).audit(world_size=2), "audit"),
    "audit of a sampler": (lambda: bw.shuffled(64, 2).sampler().audit(world_size=4), "audit"),
    "audit of a plan by lengths": (lambda: bw.grouped([1, 2, 3, 4], 1).audit(world_size=4), "step_size"),
    "audit of an evaluation": (lambda: bw.evaluation(8, 2).audit(accumulate=2), "step_size"),
    "summary of a plan by lengths": (lambda: bw.grouped([1, 2, 3, 4], 1).summary(world_size=4), "step_size"),
}


@pytest.mark.parametrize("name", OF_RANKS)
def test_a_number_of_ranks_where_none_is_taken_is_told_where_it_goes(name):
    call, told = OF_RANKS[name]
    way_out = {
        "audit": r"; plan\.sampler\(rank=\.\.\., world_size=\.\.\.\)\.audit\(\) measures the batches of a rank$",
        "step_size": r"; pass step_size=, which is world_size \* accumulate$",
    }[told]
    with pytest.raises(TypeError, match=way_out):
        call()


def test_the_ways_with_a_number_of_ranks_work():
    assert bw.shuffled(64, 2).sampler(rank=1, world_size=4).audit().kept
    assert bw.grouped([1, 2, 3, 4], 1).audit(step_size=4).kept
