"""Every table goes to pandas, polars and Arrow, and is shown in a notebook."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.exported import Table, html_table

from . import laws

PLAN = bw.balanced(["cat"] * 90 + ["dog"] * 10, 4)
VALUES = st.one_of(
    *(st.lists(one, min_size=0, max_size=60) for one in (st.integers(-(2**60), 2**60), st.text(), st.booleans())),
    st.lists(st.integers(-9, 9) | st.text() | st.tuples(st.integers(), st.text())),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=60),
)


@given(values=VALUES)
def test_a_table_goes_to_every_library_with_the_same_values(values):
    table = Table({"value": values})
    held = table.columns()["value"]
    assert held == values or held == [None if value is None else str(value) for value in values]
    assert table.to_arrow().to_pydict() == {"value": held}
    assert table.to_polars().to_dict(as_series=False) == {"value": held}
    assert [None if pd.isna(one) else one for one in table.to_pandas()["value"]] == held
    assert len(str(table).split("\n")) == min(len(values), 20) + 1 + (len(values) > 20)
    assert html_table(table.columns()).count("<tr>") == min(len(values), 20) + 1 + (len(values) > 20)


@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
@pytest.mark.parametrize("kind", laws.EVERY_PLAN)
def test_summary_and_audit_of_every_plan_are_tables(kind):
    plan = laws.EVERY_PLAN[kind](0)
    summary, audit = plan.summary(), plan.audit()
    for table in (summary, audit):
        frame = table.to_pandas()
        assert len(frame) == len(table.to_arrow()) == len(pl.DataFrame(table))
        assert pa.table(table).column_names == list(frame.columns)
        assert table._repr_html_().count("<table>") == 1
    assert [*audit.to_pandas()["guarantee"]] == [finding.guarantee for finding in audit.findings]
    assert "\n" not in repr(plan)


def test_the_table_of_a_summary_has_its_groups_and_that_of_lengths_its_numbers():
    assert PLAN.summary().to_pandas().to_dict("list")["size"] == [90, 10]
    by_lengths = bw.budgeted(np.arange(1, 99), 400, order=bw.balanced(np.arange(98) % 2, 1), window=2)
    numbers = by_lengths.summary().to_pandas().set_index("number")["value"]
    assert numbers["padding"] == by_lengths.summary().padding
    assert by_lengths.summary().delivered["name"] == [line.name for line in by_lengths.summary().sources]


def test_names_that_are_markup_are_shown_as_they_are():
    summary = bw.balanced(bw.Groups.from_sizes({"<b>": 5, "&": 3}), 2).summary()
    assert '<td style="text-align:left">&lt;b&gt;</td>' in summary._repr_html_()


def test_every_object_that_users_hold_is_shown_in_one_line():
    loader = PLAN.loader(range(100), num_workers=0)
    shown = [repr(one) for one in (PLAN, PLAN.sampler(), loader, next(loader.epochs(1)), PLAN.report(), PLAN.groups)]
    shown += [repr(bw.Column("train.csv", "label")), repr(PLAN.epoch(0))]
    for text in shown:
        assert re.fullmatch(r".{1,400}", text), text
