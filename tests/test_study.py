"""The study at a small setting: every way is trained, measured and shown; results that are there are not made again."""

from __future__ import annotations

import numpy as np
import pytest
from study import balance, lengths
from study.data import functions, long_tail
from study.measures import MEASURES
from study.tables import difference


def test_every_way_is_trained_measured_and_shown(tmp_path):
    file = tmp_path / "balance.jsonl"
    values = balance.run(file, seeds=2, steps=12, kinds=("text",))
    ways = {way for _, _, way, _, _ in values}
    assert len(ways) == 9
    assert len(values) == len(ways) * len(balance.IMBALANCES) * 2 * len(MEASURES)
    assert all(len(found) == 2 and all(0 <= value <= 1 for value in found) for found in values.values())
    written = file.read_text()
    assert balance.run(file, seeds=2, steps=12, kinds=("text",)) == values
    assert file.read_text() == written
    text = "\n".join(balance.tables(values))
    assert all(f"| {way}" in text for way in ways)


@pytest.mark.long  # the study of batches by class runs in the suite
def test_batches_by_length_are_trained_and_shown(tmp_path):
    found = lengths.run(tmp_path / "lengths.jsonl", seeds=2, seconds=0.01, files=14)
    assert {name: len(each) for name, each in found.items()} == dict.fromkeys(
        ("shuffled", "grouped", "budgeted", "packed"), 2
    )
    assert all(name in "\n".join(lengths.tables(found)) for name in found)


def test_a_long_tail_has_its_imbalance_and_an_even_test_set():
    data = long_tail(functions(), 50, seed=3)
    counts = np.bincount(data.train_classes.numpy())
    assert counts[data.rank == 0] / counts[data.rank == len(counts) - 1] == pytest.approx(50, rel=0.2)
    assert set(np.bincount(data.test_classes.numpy()).tolist()) == {60}
    assert (np.diff(counts[np.argsort(data.rank)]) <= 0).all()


def test_an_interval_is_bold_where_it_is_without_zero():
    assert difference([0.52, 0.53, 0.54], [0.5, 0.5, 0.5]) == "**+3.0 ± 2.5**"
    assert difference([0.49, 0.53, 0.51], [0.5, 0.5, 0.5]) == "+1.0 ± 5.0"
