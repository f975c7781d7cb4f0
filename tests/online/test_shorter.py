"""A file that became shorter since a state was written: what is missing of what was read is refused by the file's name."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwright import Infeasible, online

from ..examples import examples

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of small sources

COUNT = 60


def one(sample):
    return 1


def pack(source, rank, readers):
    return online.packed(source, length=one, capacity=3, buffer=9, rank=rank, world_size=readers)


def of_lists(lengths):
    return online.Sharded(
        [f"{at}.bin" for at in range(3)], lambda name: [(name[0], n) for n in range(lengths[int(name[0])])]
    )


def of_iterators(lengths):
    return online.Sharded([f"{at}.bin" for at in range(3)], lambda name: iter(of_lists(lengths).read(name)))


SOURCES = {"lists": of_lists, "iterators": of_iterators}


@given(
    st.sampled_from(sorted(SOURCES)),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 10),
    st.integers(0, 2),
    st.integers(0, COUNT),
)
@examples(60)
def test_what_was_read_and_is_not_there_any_more_is_refused_and_all_else_is_read(
    kind, before, after, batches, cut, rest
):
    """Through one or more changes of readers; one of three shards is cut to `rest` samples before the last."""
    make, whole = SOURCES[kind], [COUNT] * 3
    seen, state = [], None
    for readers in before:
        streams = [pack(make(whole), rank, readers) for rank in range(readers)]
        for stream in streams:
            if state is not None:
                stream.load_state_dict(state)
            seen += [sample for batch in islice(stream, batches) for sample in batch]
        state = [stream.state_dict() for stream in streams]
    assume(len(seen) < 3 * COUNT)  # else the next epoch begins
    lengths = [rest if shard == cut else COUNT for shard in range(3)]
    told = ""
    try:
        for rank in range(after):
            seen += go_on(pack(make(lengths), rank, after), state)
    except Infeasible as refused:
        told = str(refused)
    if told:
        assert f"samples where shard '{cut}.bin' of source 'shards' has fewer now; resume with" in told
        assert rest < COUNT
    else:  # all that is there now came, before or after, and nothing twice
        assert max(Counter(seen).values()) == 1
        assert {(str(shard), number) for shard in range(3) for number in range(lengths[shard])} <= set(seen)


@pytest.mark.parametrize("after", [1, 2, 5])
def test_the_file_is_named(tmp_path, after):
    rows = [json.dumps({"id": n}) for n in range(90)]
    for at in range(3):
        (tmp_path / f"{at}.jsonl").write_text("\n".join(rows[at * 30 : at * 30 + 30]))
    states = []
    for rank in range(2):
        stream = pack(online.jsonl(tmp_path), rank, 2)
        list(islice(stream, 4))
        states.append(stream.state_dict())
    (tmp_path / "1.jsonl").write_text("\n".join(rows[30:35]))
    with pytest.raises(
        Infeasible, match=r"other data: file '1\.jsonl' has \d+ bytes, it had \d+ \(source 'jsonl'\); resume with"
    ):
        [go_on(pack(online.jsonl(tmp_path), rank, after), states) for rank in range(after)]


@pytest.mark.parametrize("before", [1, 2])
def test_a_shard_that_is_gone_is_refused(before):
    states = []
    for rank in range(before):
        stream = pack(of_lists([COUNT] * 3), rank, before)
        list(islice(stream, 2))
        states.append(stream.state_dict())
    other = pack(online.Sharded(["0.bin"], of_lists([COUNT] * 3).read), 0, 4)
    with pytest.raises(
        Infeasible, match=r"file '1.bin' is missing \(source 'shards'\), file '2.bin' is missing .*; resume with"
    ):
        go_on(other, states)


def go_on(stream, states):
    stream.load_state_dict(states)
    return [sample for batch in stream for sample in batch]
