"""An index of a dataset is opened only if the functions that read it do the same as those that it was made with."""

from __future__ import annotations

import functools
import json
import operator
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

import batchwright as bw
from batchwright.indexes import datasets as reading

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")


class Rows:
    def __init__(self):
        self.read = 0

    def __len__(self):
        return 12

    def __getitem__(self, sample):
        self.read += 1
        return {"category": sample % 3, "quality": sample % 2}

    def category(self, sample):
        return sample["category"]


def category(sample):
    return sample["category"]


def quality(sample):
    return sample["quality"] + 5


def passed_on(function):
    @functools.wraps(function)
    def called(sample):
        return function(sample)

    return called


def with_default(added):
    def read(sample, more=added):
        return sample["category"] + more

    return read


def with_keyword(added):
    def read(sample, *, more=added):
        return sample["category"] + more

    return read


def with_cell(added):
    return lambda sample: sample["category"] + added


def with_cell_of(function):
    return lambda sample: function(sample)


class Adder:
    def __init__(self, added):
        self.added = added

    def __call__(self, sample):
        return sample["category"] + self.added

    def read(self, sample):
        return self(sample)


class Slots:
    __slots__ = ("added",)

    def __init__(self, added):
        self.added = added

    def __call__(self, sample):
        return sample["category"] + self.added


def of_class(added):
    class Constant:
        more = added

        def __call__(self, sample):
            return sample["category"] + self.more

    return Constant()


def inherited(function):
    class Reader:
        def __call__(self, sample):
            return self.read(sample)

        def read(self, sample):
            return function(sample)

    return type("Reads", (Reader,), {})()


def of_table(table):
    return functools.partial(lambda table, sample: int(table[sample["category"]]), table)


def tagged(tag):
    def read(sample):
        return sample["category"] + read.tag

    read.tag = tag
    return read


def recursive(added):
    def read(sample, depth=2):
        return sample["category"] + added if depth == 0 else read(sample, depth - 1)

    return read


def by_name(name):
    return operator.methodcaller("get", name)


PAIRS = {
    "itemgetter": (operator.itemgetter("category"), operator.itemgetter("quality")),
    "methodcaller": (by_name("category"), by_name("quality")),
    "partial of another": (functools.partial(category), functools.partial(quality)),
    "keywords of partial": tuple(functools.partial(with_keyword(0), more=more) for more in (1, 2)),
    "arguments of partial": tuple(functools.partial(operator.getitem, {name: 1}) for name in ("category", "quality")),
    "default": (with_default(1), with_default(5)),
    "keyword-only default": (with_keyword(1), with_keyword(5)),
    "a cell": (with_cell(1), with_cell(5)),
    "a function in a cell": (with_cell_of(category), with_cell_of(quality)),
    "decorated": (passed_on(category), passed_on(quality)),
    "cached": (with_cell_of(functools.lru_cache(category)), with_cell_of(functools.lru_cache(quality))),
    "state of an object": (Adder(1), Adder(5)),
    "slots of an object": (Slots(1), Slots(5)),
    "bound method": (Adder(1).read, Adder(5).read),
    "attribute of the class": (of_class(1), of_class(5)),
    "method of a base": (inherited(category), inherited(quality)),
    "array": (of_table(np.arange(3)), of_table(np.arange(3) * 2)),
    "tensor": (of_table(torch.arange(3)), of_table(torch.arange(3) * 2)),
    "module": (torch.nn.Linear(1, 1).get_parameter, torch.nn.Linear(1, 2).get_parameter),
    "attribute of a function": (tagged(1), tagged(5)),
    "recursive": (recursive(1), recursive(5)),
    "constants": (lambda sample: sample["category"] in {1, 2}, lambda sample: sample["category"] in {0}),
    "method of a mapping": ({0: 1, 1: 2}.get, {0: 1, 1: 3}.get),
    "types": (with_cell(1), with_cell(1.0)),
}


def reads(function, path):
    """Whether the samples were read for an index at this path."""
    rows = Rows()
    try:
        bw.index(rows, path=path, label=function)
    except (bw.Infeasible, RuntimeError):  # every sample raised: such functions are here for their state alone
        assert rows.read
    return rows.read > 0


RAISING = ("arguments of partial", "module", "method of a mapping", "cached")


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in RAISING])
def test_an_index_of_other_functions_is_made_again(tmp_path, name):
    first, second = PAIRS[name]
    assert reads(first, tmp_path / "made")
    assert not reads(first, tmp_path / "made")
    assert reads(second, tmp_path / "made")
    other = bw.index(Rows(), path=tmp_path / "other", label=second)
    opened = bw.index(Rows(), path=tmp_path / "made", label=second)
    assert opened.groups().names == other.groups().names


@pytest.mark.parametrize("name", RAISING)
def test_functions_of_another_state_have_another_fingerprint(name):
    first, second = PAIRS[name]
    stamps = [reading.DatasetSource(Rows(), {"label": each}).source() for each in (first, first, second)]
    assert stamps[0] == stamps[1] != stamps[2]


def test_a_method_of_the_dataset_itself_is_compared_by_its_code(tmp_path):
    rows = Rows()
    rows.lock = threading.Lock()  # no part of what the method does is compared
    bw.index(rows, path=tmp_path / "made", label=rows.category)
    again = Rows()
    bw.index(again, path=tmp_path / "made", label=again.category)
    assert again.read == 0


def test_what_cannot_be_compared_is_read_again_with_a_warning(tmp_path):
    for _ in range(2):
        with pytest.warns(bw.PoorWarning, match=r"label holds a value of type .*lock, .* made again whenever") as told:
            assert reads(
                with_cell_of(functools.partial(lambda lock, s: s["quality"], threading.Lock())), tmp_path / "made"
            )
        assert told[0].filename == __file__
    assert os.listdir(tmp_path) == ["made"]


PROGRAM = """
import functools, json, pathlib, re, sys
import numpy, torch
sys.path.insert(0, sys.argv[1])
from tests.indexes import test_functions as here
from batchwright.indexes.datasets import DatasetSource
names = [name for name in here.PAIRS if name != "module"]
functions = {f"{name} {place}": here.PAIRS[name][place] for name in names for place in (0, 1)}
functions["set"] = lambda sample: sample in {"a", "b", "c", "d"}
functions["values"] = functools.partial(print, pathlib.Path("a"), re.compile("a"), {"a", "b", "c"}, {"x": (1, None)})
source = lambda function: DatasetSource(here.Rows(), {"label": function}).source()
print(json.dumps({name: source(each).files[0].stamp for name, each in functions.items()}))
"""


def test_fingerprints_are_the_same_in_every_process():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = [sys.executable, "-c", PROGRAM, root]
    first, second = (
        json.loads(subprocess.check_output(program, env={**os.environ, "PYTHONHASHSEED": seed})) for seed in ("1", "2")
    )
    assert first == second
    assert all(first[f"{name} 0"] != first[f"{name} 1"] for name in PAIRS if name != "module")
