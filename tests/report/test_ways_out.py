"""Every refusal of reports, plots, steps and tables: its fact, and its way out, which is followed here and works."""

from __future__ import annotations

import sys
from unittest.mock import patch

import pytest

import batchwright as bw
from batchwright.exported import Table
from batchwright.micro_batches import LAST

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from . import small

TABLE = Table({"group": ["cat"], "size": [90]})
PLAN = small.animals()


def without(library, call):
    """A call where a library is not installed."""

    def refused():
        hidden = dict.fromkeys([library, *(name for name in sys.modules if name.startswith(f"{library}."))])
        with patch.dict(sys.modules, hidden):
            return call()

    return refused


CASES = cases(
    "refuse message way_out follow",
    {
        "no pyarrow": (
            without("pyarrow", TABLE.to_arrow),
            "an Arrow table needs pyarrow, which is not installed",
            "run pip install pyarrow",
            TABLE.to_arrow,
        ),
        "no pandas": (
            without("pandas", TABLE.to_pandas),
            "this table needs pandas, which is not installed",
            "run pip install pandas",
            TABLE.to_pandas,
        ),
        "no polars": (
            without("polars", TABLE.to_polars),
            "this table needs polars, which is not installed",
            "run pip install polars",
            TABLE.to_polars,
        ),
        "no matplotlib": (
            without("matplotlib", lambda: PLAN.plot.drift()),
            "a plot needs matplotlib, which is not installed",
            "run pip install 'batchwright[plot]'",
            lambda: PLAN.plot.drift(),
        ),
        "lengths of a plan that knows them": (
            lambda: small.corpus().report(lengths=small.LENGTHS),
            "a plan by lengths has its own lengths and costs",
            "leave lengths and costs out",
            lambda: small.corpus().report(),
        ),
        "lengths of others": (
            lambda: PLAN.report(lengths=[1, 2]),
            "there are 2 lengths, the plan yields 5000 numbers",
            "pass one for each of them",
            lambda: PLAN.report(lengths=[1] * 5000),
        ),
        "a picture without numbers": (
            lambda: PLAN.plot.cost(),
            "has no numbers of 'cost'",
            "draw one of shares, composition, presence, passes, drift; lengths and costs are arguments of plan.report",
            lambda: PLAN.report(costs=range(5000)).plot.cost(),
        ),
        "a step of too many micro-batches": (
            lambda: PLAN.at(0, world_size=2**11, accumulate=2**10),
            "a step has 2097152 micro-batches, and at most 1048576 are looked at",
            "pass a smaller world_size or accumulate",
            lambda: PLAN.at(0, world_size=2**10, accumulate=2),
        ),
        "a step past the last": (
            lambda: PLAN.at(LAST, world_size=2),
            f"step {LAST} is past the last, {(LAST + 1) // 2 - 1}",
            f"ask for 0 to {(LAST + 1) // 2 - 1}",
            lambda: PLAN.at((LAST + 1) // 2 - 1, world_size=2),
        ),
    },
)


@pytest.fixture(autouse=True)
def closed():
    import matplotlib
    from matplotlib import pyplot

    matplotlib.use("agg")
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])


def test_every_refusal_in_the_code_is_among_these():
    files = [SOURCE / "exported.py", *sorted((SOURCE / "report").glob("*.py"))]
    check_that_all_are_reached(files, 4, [CASES])


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"epoch": -1}, "epoch is -1"),
        ({"world_size": 0}, "world_size is 0"),
        ({"accumulate": 1.5}, "accumulate is 1.5"),
        ({"costs": ["a"] * 5000}, "costs"),
        ({"lengths": [float("nan")] * 5000}, "lengths"),
    ],
)
def test_arguments_that_are_wrong_are_refused(arguments, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        PLAN.report(**arguments)
