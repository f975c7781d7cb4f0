"""What is kept of the values that were computed last."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from batchwright.recent import Recent


@given(keys=st.lists(st.integers(), unique=True, min_size=1, max_size=20), most=st.integers(1, 5))
def test_of_new_keys_the_last_are_kept_in_order(keys, most):
    kept = Recent()
    for key in keys:
        kept.keep(key, -key, most)
    assert dict(kept) == {key: -key for key in keys[-most:]}


def test_pickles_and_copies_are_empty():
    kept = Recent({1: "one"})
    for other in (pickle.loads(pickle.dumps(kept)), copy.copy(kept), copy.deepcopy(kept)):
        assert type(other) is Recent
        assert not other
    assert kept[1] == "one"
