"""Relations of DuckDB as labels, weights and lengths: one column is read, as from any other table."""

from __future__ import annotations

import numpy as np
import pytest

import batchwright as bw

duckdb = pytest.importorskip("duckdb")

LABELS, LENGTHS = list("abacba") * 10, [3, 1, 4, 1, 5, 9] * 10


@pytest.fixture
def relation():
    with duckdb.connect() as connection:
        connection.execute("create table samples (label varchar, length integer, weight double)")
        rows = [(label, length, length / 2) for label, length in zip(LABELS, LENGTHS, strict=True)]
        connection.executemany("insert into samples values (?, ?, ?)", rows)
        yield connection.table("samples")


def test_labels_are_the_column_called_label(relation):
    assert bw.Groups.from_labels(relation).digest == bw.Groups.from_labels(LABELS).digest


def test_one_column_gives_weights_and_lengths_in_the_order_of_the_samples(relation):
    of_relation = bw.weighted(relation.select("weight"), 4, seed=1)
    of_list = bw.weighted([length / 2 for length in LENGTHS], 4, seed=1)
    assert of_relation.fingerprint == of_list.fingerprint
    of_relation = bw.budgeted(relation.select("length"), 10, window="epoch", seed=1)
    of_list = bw.budgeted(LENGTHS, 10, window="epoch", seed=1)
    assert all(map(np.array_equal, of_relation.epoch(0), of_list.epoch(0)))


def test_a_query_is_run_when_it_is_read(relation):
    long = relation.filter("length > 1").select("label")
    groups = bw.Groups.from_labels(long)
    assert dict(zip(groups.names, groups.sizes.tolist(), strict=True)) == {"a": 30, "b": 10}


def test_several_columns_are_no_weights(relation):
    with pytest.raises(
        bw.Infeasible, match=r"holds the columns .*'label', 'length', 'weight'.*such as weights\.select"
    ):
        bw.weighted(relation, 4)
