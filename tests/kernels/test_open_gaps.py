"""The bitmap of open gaps finds what trying every gap finds, and looks at few words."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.open_gaps import MOST_BITS, bitmap, clear_bit, least_bit, set_bit

empty = numba.njit(lambda bits: bitmap(bits))
insert = numba.njit(lambda bit, words, starts: set_bit(bit, words, starts))
remove = numba.njit(lambda bit, words, starts: clear_bit(bit, words, starts))
least = numba.njit(lambda bit, words, starts: least_bit(bit, words, starts))

SIZES = st.sampled_from([1, 63, 64, 65, 4096, 4097, 131_073, 262_145, MOST_BITS + 1])


@given(SIZES.flatmap(lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size - 1), max_size=30))))
def test_the_least_bit_is_that_of_a_sorted_list(case):
    size, bits = case
    words, starts = empty(size)
    held: set[int] = set()
    for bit in bits:
        if bit in held and bit % 2:
            remove(bit, words, starts)
            held.remove(bit)
        else:
            assert insert(bit, words, starts) == (bit in held)
            held.add(bit)
        for wanted in {0, size - 1, *bits, *(near for bit in bits for near in (bit - 1, bit + 1) if 0 <= near < size)}:
            found, looked_at = least(wanted, words, starts)
            assert found == min((other for other in held if other >= wanted), default=-1)
            assert looked_at <= 2 * (starts.size - 1)
    for bit in held:
        remove(bit, words, starts)
    assert not words.any()


@pytest.mark.parametrize(("capacity", "levels"), [(4_000, 2), (131_072, 3), (1_048_576, 4), (MOST_BITS, 4)])
def test_a_search_over_empty_gaps_looks_at_two_words_a_level_at_most(capacity, levels):
    words, starts = empty(capacity + 1)
    assert starts.size - 1 == levels
    for bit in (capacity, capacity // 2):
        insert(bit, words, starts)
        found, looked_at = least(1, words, starts)
        assert found == bit
        assert looked_at <= 2 * levels - 1
    assert np.count_nonzero(words) <= 2 * levels
