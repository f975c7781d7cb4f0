"""What looks like weights, lengths, costs or a count: read rightly, or refused in words."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from pyarrow.dataset import dataset as arrow_dataset
from torch.utils.data import TensorDataset

import batchwright as bw

from .odd_inputs import Colour, objects

NUMBERS = {
    "decimals": [decimal.Decimal("0.5"), 1, 2],
    "fractions": [fractions.Fraction(1, 2), 1, 2],
    "tensors": [torch.tensor(0.5), torch.tensor(1), torch.tensor(2)],
    "object array": objects(0.5, np.int8(1), torch.tensor(2)),
    "Float64": pd.Series([0.5, 1, 2], dtype="Float64"),
    "arrow": pa.array([0.5, 1, 2]),
    "long double": np.array([0.5, 1, 2], np.longdouble),
    "float16": np.array([0.5, 1, 2], np.float16),
    "frame of one column": pd.DataFrame({"w": [0.5, 1, 2]}),
    "lazy frame of one column": pl.LazyFrame({"w": [0.5, 1, 2]}),
    "column selected from a lazy frame": pl.LazyFrame({"x": [9, 9, 9], "w": [0.5, 1, 2]}).select("w"),
    "arrow dataset of one column": arrow_dataset(pa.table({"w": [0.5, 1, 2]})),
    "gradient": torch.tensor([0.5, 1, 2], requires_grad=True),
}


NO_NUMBERS = {
    "durations": (np.array([1, 2], "m8[s]"), "holds values of type timedelta64"),
    "durations of Python": ([dt.timedelta(1)], "at sample 0 is datetime.timedelta"),
    "durations of pandas": (pd.Series(pd.to_timedelta([1, 2], "s")), "holds values of type timedelta64"),
    "days": (np.array(["2020-01-01"], "M8[D]"), "holds values of type datetime64"),
    "digits": (["1", "2"], "at sample 0 is '1', of type str"),
    "digits of numpy": (np.array(["1", "2"]), "holds values of type <U1"),
    "digits among numbers": ([1, "2"], "at sample 1 is '2', of type str"),
    "complex": (np.array([1j]), "holds values of type complex128"),
    "members of an enum": ([Colour.RED], "at sample 0 is <Colour.RED: 1>"),
    "nothing among numbers": ([1, None], "has no value at sample 1"),
    "masked": ([1, np.ma.masked], "has no value at sample 1"),
    "beyond floats": ([1, 10**400], "at sample 1 is a number of 1329 bits, which float64 does not hold"),
    "beyond float64": (np.array([1, np.longdouble("1e4000")]), "at sample 1 is inf"),
    "set": ({1, 2}, "this has no order"),
    "generator": ((n for n in [1, 2]), "read only once"),
    "dataset": (TensorDataset(torch.ones(2)), "is of type TensorDataset"),
    "lazy frame": (pl.LazyFrame({"a": [1], "b": [1]}), r"holds the columns \['a', 'b'\], one is needed"),
    "arrow dataset": (arrow_dataset(pa.table({"a": [1], "b": [1]})), r"one is needed; pass .*\.to_table\(columns="),
    "nothing": (None, "is None, one value a sample"),
}


@pytest.mark.filterwarnings("ignore:samples repeat within a batch:batchwright.PoorWarning")
@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_are_read_from_whatever_holds_them(case):
    assert bw.weighted(NUMBERS[case], 7).shares().tolist() == [1 / 7, 2 / 7, 4 / 7]
    assert bw.budgeted(NUMBERS[case], 7).epoch(0)[0].size == 3


@pytest.mark.parametrize("case", NO_NUMBERS)
@pytest.mark.parametrize("role", ["weights", "lengths", "costs"])
def test_what_are_no_numbers_is_refused_by_its_role(case, role):
    given, said = NO_NUMBERS[case]
    builders = {
        "weights": lambda: bw.weighted(given, 2),
        "lengths": lambda: bw.budgeted(given, 10),
        "costs": lambda: bw.targets.in_units("natural", given),
    }
    with pytest.raises(bw.Infeasible, match=said) as caught:
        builders[role]()
    assert caught.value.fact.startswith({"weights": "weights", "lengths": "lengths", "costs": "lengths"}[role])


COUNTS = {
    "batch_size": lambda: bw.grouped([1, 2], 2**70),
    "max_samples": lambda: bw.budgeted([1, 2], 10, max_samples=2**70),
    "round_count": lambda: bw.budgeted([1, 2], 10, round_count=2**70),
    "round_length": lambda: bw.budgeted([1, 2], 10, round_length=2**70),
    "parts": lambda: bw.partition([1, 2], 2**70),
    "world_size": lambda: bw.shuffled(4, 2).sampler(rank=0, world_size=2**70),
    "accumulate": lambda: bw.shuffled(4, 2).sampler(accumulate=2**70),
    "per": lambda: bw.hierarchical([[0, 1]], [2**70, 1]),
    "sample_count": lambda: bw.Groups.singletons(2**70),
    "the sizes": lambda: bw.mixed({"a": 2**60, "b": 2**61}, 4),
}


@pytest.mark.parametrize("argument", COUNTS)
def test_a_count_beyond_64_bits_is_refused_by_its_name(argument):
    with pytest.raises(bw.Infeasible, match=rf"^{argument}(\[0\])? .*the most is"):
        COUNTS[argument]()


def test_products_and_sums_do_not_wrap_around():
    with pytest.raises(bw.Infeasible, match="a batch would have 18446744073709551616 samples, the most is"):
        bw.hierarchical([[0, 1]], [2**32, 2**32])
    with pytest.raises(bw.Infeasible, match="the product of the sides of a bucket is above"):
        bw.bucketed([(1e300, 1e300)] * 4, 2, buckets=1)
    with pytest.raises(bw.Infeasible, match="the costs sum to more than"):
        bw.partition([1e308] * 4, 2)
    with pytest.raises(bw.Infeasible, match="the lengths of group 0 sum to more than"):
        bw.balanced([0, 0, 1], 1, target=bw.targets.in_units("natural", [1e308] * 3))
    assert sorted(bw.weighted([1e308] * 3, 3)[0].tolist()) == [0, 1, 2]
    assert sorted(bw.weighted(np.full(3, 65504, np.float16), 3)[0].tolist()) == [0, 1, 2]
    assert sorted(bw.weighted(np.full(3, 2**64 - 1, np.uint64), 3)[0].tolist()) == [0, 1, 2]
    composition = bw.Composition(bw.balanced([0, 1] * 9, 2).sampler(), lengths=[2**63 - 1] * 18)
    assert composition.measured(0, 2, epoch=0)["padding"] == 0
