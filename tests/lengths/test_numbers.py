"""Columns that are kept in few bytes read as if they had been widened as a whole."""

from __future__ import annotations

import pickle

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from batchwright.kernels import array_types
from batchwright.lengths import length_strata
from batchwright.lengths.identity import fields_as_text
from batchwright.lengths.length_strata import LengthStrata
from batchwright.lengths.numbers import NumberRows, Numbers
from batchwright.lengths.same_size_cutter import GroupCutter
from batchwright.lengths.sort_keys import Keys

WHOLE = st.sampled_from([0, 1, 5, 255, 256, 65_535, 65_536, 2**20, 2**32 - 1, 2**32, 2**53])
FLOATS = st.one_of(WHOLE.map(float), st.floats(0, 1e300), st.just(-0.0), st.sampled_from([0.5, 1e-320]))


def columns():
    """Columns as users have them: integers and floats of several widths."""
    whole = st.lists(WHOLE, min_size=1, max_size=40).flatmap(
        lambda held: st.sampled_from(
            [d for d in (np.uint8, np.uint16, np.uint32, np.int64) if max(held) <= np.iinfo(d).max]
        ).map(lambda dtype: np.array(held, dtype))
    )
    floats = st.lists(FLOATS, min_size=1, max_size=40).map(lambda held: np.array(held, float))
    narrow = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 2.0**100, width=32))
    return st.one_of(whole, floats, narrow)


@pytest.fixture(autouse=True, scope="module")
def _blocks_of_seven():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_types, "BLOCK", 7)
        yield


@given(columns())
def test_what_is_read_is_the_column_bit_for_bit(values):
    wide = values.astype(np.float64)
    held = Numbers.of(values)
    assert held[:].tobytes() == wide.tobytes()
    assert pickle.loads(pickle.dumps(held))[:].tobytes() == wide.tobytes()
    assert b"".join(part.tobytes() for _, part in held.blocks()) == wide.tobytes()
    assert (held.min(), held.max(), held.argmin()) == (wide.min(), wide.max(), wide.argmin())
    assert held.distinct().tolist() == np.unique(wide).tolist()
    assert held.mapped(lambda part: part * 3 + 0.25)[:].tolist() == (wide * 3 + 0.25).tolist()


@given(st.lists(WHOLE, min_size=1, max_size=40), st.sampled_from([np.int64, np.float64]))
def test_integers_take_as_few_bytes_as_hold_the_largest(values, dtype):
    held = Numbers.of(np.array(values, dtype), dtype)
    assert held[:].tolist() == values
    assert held[:].dtype == dtype
    most = max(values)
    assert held.held.itemsize <= (1 if most < 2**8 else 2 if most < 2**16 else 4 if most < 2**32 else 8)


def test_later_changes_of_an_array_change_nothing_and_a_file_is_not_copied(tmp_path):
    values = np.arange(20, dtype=np.uint32)
    held = Numbers.of(values)
    np.save(tmp_path / "lengths.npy", values)
    values[:] = 0
    assert held[:].tolist() == list(range(20))
    for mode in "rc":
        mapped = np.load(tmp_path / "lengths.npy", mmap_mode=mode)
        assert np.shares_memory(Numbers.of(np.asarray(mapped)).held, mapped)
    written = np.load(tmp_path / "lengths.npy", mmap_mode="r+")
    assert not np.shares_memory(Numbers.of(written).held, written)


@given(columns(), st.sampled_from([None, lambda values: values // 4]))
def test_keys_are_ranks_among_the_distinct_sizes(values, size_of):
    sizes = values.astype(float) if size_of is None else size_of(values.astype(float))
    distinct = np.unique(sizes)[::-1].tolist()
    keys = Keys(Numbers.of(values), size_of)
    assert keys[:].tolist() == [distinct.index(size) for size in sizes.tolist()]
    assert keys[np.array([0, -1])].tolist() == [keys[:][0], keys[:][-1]]


@given(columns(), st.integers(1, 3))
def test_rows_and_identities_are_those_of_arrays(values, count):
    values = np.tile(values, 1 + 10 // values.size)
    table = np.stack([values.astype(float) + column for column in range(count)], axis=1)
    rows = NumberRows.of(table)
    assert rows[:].tobytes() == table.tobytes()
    assert rows.shape == table.shape
    assert [rows[3].tolist(), rows[[2, 0]].tolist()] == [table[3].tolist(), table[[2, 0]].tolist()]
    assert rows.max().tolist() == table.max(axis=0).tolist()
    over = rows.any_row(lambda part: part > table.mean())
    assert over.tolist() == (table > table.mean()).any(axis=1).tolist()
    whole = {
        name: fields_as_text(GroupCutter(held, 2))["lengths"]
        for name, held in {"narrow": Numbers.of(values), "wide": Numbers(values.astype(np.float64))}.items()
    }
    assert whole["narrow"] == whole["wide"]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=60), st.data(), st.integers(0, 99))
def test_strata_of_more_items_than_4_bytes_number_are_the_same(keys, data, seed):
    keys = np.array(keys)
    skipped = np.array(sorted(data.draw(st.sets(st.integers(0, keys.size - 1), max_size=keys.size - 1))), np.int64)
    narrow = LengthStrata.of(keys.size, skipped, keys, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(length_strata, "_NARROW", 1)
        wide = LengthStrata.of(keys.size, skipped, keys, seed)
    assert [narrow.descending.dtype, wide.descending.dtype] == [np.uint32, np.int64]
    assert narrow.descending.tolist() == wide.descending.tolist()
    assert narrow.starts.tolist() == wide.starts.tolist()
    assert sorted(narrow.descending.tolist()) == sorted(set(range(keys.size)) - set(skipped.tolist()))
    assert keys[narrow.one_of_each_length].tolist() == np.unique(keys[narrow.descending]).tolist()
    for window in range(3):
        assert narrow.items_of_window(4, window, 3).tolist() == wide.items_of_window(4, window, 3).tolist()
