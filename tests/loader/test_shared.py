"""SharedList: a list in every way that reads, in one block for all processes."""

from __future__ import annotations

import gc
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

import batchwright as bw

from .. import processes

VALUES = st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.text(), st.floats(allow_nan=False)), st.binary())


@given(items=st.lists(VALUES), index=st.integers(-30, 30), cut=st.slices(20))
def test_reads_like_a_list(items, index, cut):
    shared = bw.SharedList(items)
    assert list(shared) == items
    assert shared == items
    assert shared[cut] == items[cut]
    assert len(shared) == len(items)
    if -len(items) <= index < len(items):
        assert shared[index] == items[index]
    else:
        with pytest.raises(IndexError):
            shared[index]


class Named(Dataset):
    def __init__(self, names):
        self.names = names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return len(self.names[index])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_it(context):
    names = bw.SharedList("x" * i for i in range(40))
    loader = DataLoader(
        Named(names), batch_sampler=bw.shuffled(40, 8).sampler(), num_workers=1, multiprocessing_context=context
    )
    assert sorted(length for batch in loader for length in batch.tolist()) == list(range(40))


def test_an_item_is_ones_own():
    shared = bw.SharedList([{"boxes": [1, 2]}])
    shared[0]["boxes"].append(3)
    assert shared[0] == {"boxes": [1, 2]}


COUNT = 200_000


def private_megabytes_of_a_reader(rank, world_size, shared):
    """What a forked process adds to its memory by reading every item once."""
    import os

    names = [f"images/train/{i:09}.jpg" for i in range(COUNT)]
    if shared:
        names = bw.SharedList(names)
    gc.collect()
    reads, writes = os.pipe()
    if os.fork() == 0:
        before = _private_kilobytes()
        total = sum(len(name) for name in names)
        os.write(writes, pickle.dumps((total, _private_kilobytes() - before)))
        os._exit(0)
    os.wait()
    total, kilobytes = pickle.loads(os.read(reads, 1000))
    assert total == COUNT * 26
    return kilobytes / 1024


def _private_kilobytes():
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is counted as Linux tells it")
def test_a_forked_reader_of_a_list_copies_it_and_of_this_does_not():
    (copied,) = processes.run(private_megabytes_of_a_reader, 1, False)
    (shared,) = processes.run(private_megabytes_of_a_reader, 1, True)
    assert copied > 10
    assert shared < copied / 5
