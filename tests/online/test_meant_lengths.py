"""A length that counts entries, or is a list, is refused where it is read, and the way out is one that works."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pytest
import torch

from batchwright import Infeasible, PoorWarning, online


class Pair(NamedTuple):
    text: list
    label: int


ROWS = {
    "rows": [{"id": n, "label": n % 2, "input_ids": [0] * (1 + n % 9)} for n in range(40)],
    "tensors": [{"label": n % 2, "pixels": torch.zeros(1 + n % 9, 2)} for n in range(40)],
    "named tuples": [Pair([0] * (1 + n % 9), n % 2) for n in range(40)],
}


def label(row):
    return row["label"] if isinstance(row, dict) else row.label


STREAMS = {
    "packed": (lambda rows, measure: online.packed(rows, length=measure, capacity=20, buffer=20), "length"),
    "budgeted": (lambda rows, measure: online.budgeted(rows, length=measure, max_tokens=20, buffer=20), "length"),
    "balanced": (lambda rows, measure: online.balanced(rows, key=label, unit=measure, batch_size=4, buffer=20), "unit"),
    "mixed": (lambda rows, measure: online.mixed({"a": rows, "b": rows}, unit=measure, batch_size=4), "unit"),
    "in bytes": (
        lambda rows, measure: online.balanced(rows, key=label, buffer_bytes=999, size=measure, batch_size=4, buffer=20),
        "size",
    ),
}


def way_out(refusal, argument):
    """The measure that a refusal says to pass."""
    return eval(re.search(rf"pass {argument}=(lambda sample: [^;,]*?\))(\.$|, or)", str(refusal))[1])


@pytest.mark.parametrize("kind", sorted(STREAMS))
@pytest.mark.parametrize("rows", sorted(ROWS))
def test_len_of_entries_is_refused_and_the_way_out_works(kind, rows):
    make, argument = STREAMS[kind]
    with pytest.raises(Infeasible, match=rf"{argument}=len gives ., the number of entries of a sample") as refusal:
        list(make(ROWS[rows], len))
    assert list(make(ROWS[rows], way_out(refusal.value, argument)))


@pytest.mark.parametrize("kind", sorted(set(STREAMS) - {"in bytes"}))
def test_an_entry_that_has_a_length_is_no_number_and_the_way_out_works(kind):
    make, argument = STREAMS[kind]
    with pytest.raises(Infeasible, match=r"its entry 'input_ids' is of type list of length ., not a number") as refusal:
        list(make(ROWS["rows"], "input_ids"))
    assert list(make(ROWS["rows"], way_out(refusal.value, argument)))


def test_len_of_texts_and_lists_and_entries_of_one_number_are_lengths():
    assert sorted(online.budgeted(["aa", "b"], length=len, max_tokens=4)) == [["aa", "b"]]
    for value in (3, 3.0, np.int64(3), np.array(3), np.array([3]), torch.tensor(3), torch.tensor([3])):
        assert len(list(online.packed([{"n": value}] * 4, length="n", capacity=6))) == 2


def test_a_sample_that_is_too_long_says_what_would_hold_it():
    rows = [{"n": 3}, {"n": 20.5}]
    for make, limit in ((online.packed, "capacity"), (online.budgeted, "max_tokens")):
        with pytest.raises(
            Infeasible, match=rf"its length is 20.5 and {limit} is 9; pass {limit}=21 or more \(in the uni"
        ):
            list(make(rows, length="n", **{limit: 9}))
        assert sum(map(len, make(rows, length="n", **{limit: 21}))) == 2


def test_a_source_of_which_every_sample_is_skipped_is_said():
    stream = online.packed(ROWS["rows"], length="input_ids", capacity=20, on_error="skip")
    with pytest.warns(
        PoorWarning, match=r"all 40 samples of source 'source' were skipped; of the first, its entry 'input_"
    ):
        assert list(stream) == []
