"""Shards of which each has one group: exact shares in every batch, without a buffer."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwright import Infeasible, PoorWarning, online

from ..examples import examples

SHARES = {"cat": 0.5, "dog": 0.3, "owl": 0.2}


def samples_of(shard):
    group, start, count = shard
    return iter([(group, start + n) for n in range(count)])


def source(counts, **more):
    shards = [
        (group, start, min(40, count - start)) for group, count in counts.items() for start in range(0, count, 40)
    ]
    return online.Sharded(shards, samples_of, groups=[shard[0] for shard in shards], **more)


def stream(counts, **more):
    return online.balanced(source(counts), **{"key": 0, "batch_size": 10, "target": SHARES, "buffer": 30} | more)


@given(
    st.lists(st.integers(60, 200), min_size=3, max_size=3),
    st.sampled_from(["wait", "repeat", "redistribute"]),
    st.integers(1, 13),
    st.integers(0, 20),
)
@examples(40)
@pytest.mark.filterwarnings("ignore:group .* due to it|samples repeat within:batchwright.PoorWarning")
def test_shares_are_exact_in_every_batch(sizes, when_short, batch_size, stop):
    counts = dict(zip(SHARES, sizes, strict=True))
    made = stream(counts, batch_size=batch_size, when_short=when_short)
    seen, batches = Counter(), []
    for batch in made:
        assert list(batch.groups) == [group for group, _ in batch]
        for group, share in SHARES.items():
            if not batch.redistributed:
                assert math.floor(share * batch_size) <= batch.groups.count(group) <= math.ceil(share * batch_size)
        fresh = [sample for at, sample in enumerate(batch) if at not in batch.repeats]
        assert not seen.keys() & fresh
        seen.update(fresh)
        report = made.report()
        assert report.read == report.delivered - report.repeated + report.skipped + report.buffered
        batches.append(batch)
    every = [(group, n) for group, count in counts.items() for n in range(count)]
    if when_short == "wait":
        assert min(counts[group] - Counter(group for group, _ in seen)[group] for group in counts) < batch_size
    else:
        assert len(every) - len(seen) < batch_size
    first, again = (stream(counts, batch_size=batch_size, when_short=when_short) for _ in range(2))
    head = list(islice(first, stop))
    if len(head) == stop < len(batches):
        again.load_state_dict(first.state_dict())
        assert head + list(again) == batches


def test_an_audit_of_them_is_kept():
    found = stream(dict.fromkeys(SHARES, 300)).audit()
    assert found.kept
    assert found.batches > 50
    assert {finding.guarantee for finding in found.findings} >= {
        "G1 size",
        "G2 quota",
        "G3 drift",
        "G7 pure",
        "deficit",
    }


def test_several_readers_have_each_sample_once_and_exact_shares():
    counts = dict.fromkeys(SHARES, 400)
    given = Counter()
    for rank in range(3):
        for batch in stream(counts, rank=rank, world_size=3):
            assert Counter(batch.groups) == {"cat": 5, "dog": 3, "owl": 2}
            given.update(batch)
    assert set(given.values()) == {1}


class Failing:
    """Iterates over samples of a group; at the places `broken` it raises, and goes on after that."""

    def __init__(self, group, count, broken):
        self.group, self.count, self.broken, self.next = group, count, broken, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.next += 1
        if self.next - 1 in self.broken:
            raise OSError("disk gone")
        if self.next > self.count:
            raise StopIteration
        return self.group, self.next - 1


@given(st.integers(1, 9), st.sets(st.integers(0, 8).filter(lambda n: n % 2 == 0)), st.integers(0, 3))
@example(4, {0, 2}, 0)
@example(4, {0}, 1)
@examples(40)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_a_group_repeats_until_all_were_read_however_many_failures_were_skipped(count, broken, without_label):
    """Readings that fail and samples that are no cats, as long as one is sound; if none is, dogs have the slots of cats."""
    broken = {n for n in broken if n < count - 1}  # an error at the end of a source is none that it goes on after
    sound = [n for n in range(count) if n not in broken][without_label:]

    def key(sample):
        return None if sample[0] == "cat" and sample[1] not in sound else sample[0]

    source = online.Sharded(
        [("cat", count), ("dog", 12)],
        lambda shard: Failing(*shard, broken if shard[0] == "cat" else ()),
        groups=["cat", "dog"],
    )
    made = online.balanced(source, key=key, batch_size=2, when_short="repeat", on_error="skip")
    batches = list(made)
    assert len(batches) == (12 if sound else 6)
    for number, batch in enumerate(batches):
        if not sound:
            assert list(batch) == [("dog", 2 * number), ("dog", 2 * number + 1)]
            assert batch.redistributed == {"cat": 1}
            continue
        assert sorted(batch) == [("cat", sound[number % len(sound)]), ("dog", number)]
        assert len(batch.repeats) == (number >= len(sound))
    report = made.report()
    assert report.read == report.delivered - report.repeated + report.skipped + report.buffered


def test_a_reader_to_which_nothing_of_a_group_was_dealt_repeats_it():
    def reader(rank, world_size):
        return online.balanced(source({"cat": 4, "dog": 40}), key=0, batch_size=2, when_short="repeat", rank=rank,
                               world_size=world_size)  # fmt: skip

    one = reader(0, 1)
    given = list(islice(one, 3))
    both = [reader(rank, 2) for rank in range(2)]
    for other in both:
        other.load_state_dict(one.state_dict())
        given += other
    assert len({sample for batch in given for sample in batch}) == 44
    assert len(given) >= 40


@given(
    st.lists(st.tuples(st.sampled_from(sorted(SHARES)), st.integers(3, 40)), min_size=2, max_size=9),
    st.sampled_from(["wait", "repeat", "redistribute"]),
    st.lists(st.sampled_from([1, 2, 5, None]), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(2, 9),
)
@example([("cat", 4), ("cat", 30), ("dog", 34), ("dog", 31)], "redistribute", [None, 1], 1, 8)
@example([("cat", 3), ("cat", 30), ("dog", 34), ("dog", 31)], "repeat", [None, 1], 1, 8)
@examples(60)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # of small sources
def test_nothing_is_lost_where_some_readers_had_ended_when_what_is_left_was_dealt(
    shards, when_short, stops, readers, size
):
    """What a reader has of a last batch that is not full goes to others, which know all counts."""
    every = {(group, number, n) for number, (group, count) in enumerate(shards) for n in range(count)}

    def reader(rank, world_size):
        parts = online.Sharded(
            [(group, number, count) for number, (group, count) in enumerate(shards)],
            lambda part: [(*part[:2], n) for n in range(part[2])],
            groups=[group for group, _ in shards],
        )
        shared = {"key": 0, "batch_size": size, "when_short": when_short, "buffer": 2 * size}
        return online.balanced(parts, rank=rank, world_size=world_size, **shared)

    def fresh(batches):
        return [sample for batch in batches for at, sample in enumerate(batch) if at not in batch.repeats]

    old, given, going = [reader(rank, len(stops)) for rank in range(len(stops))], [], False
    for rank, (one, stop) in enumerate(zip(old, stops, strict=True)):
        whole = len(list(reader(rank, len(stops))))
        given += fresh(islice(one, stop))
        going |= stop is not None and stop < whole
    if not going:  # at the end of an epoch what is left makes no batch
        return
    states = [json.loads(json.dumps(one.state_dict())) for one in old]
    new = [reader(rank, readers) for rank in range(readers)]
    for one in new:
        one.load_state_dict(states)
        given += fresh(one)
    assert max(Counter(given).values()) == 1
    reports = [one.report() for one in new]
    assert sum(report.delivered - report.repeated for report in reports) == len(given)
    assert sum(report.read for report in reports) == len(given) + sum(report.buffered for report in reports)
    if when_short != "wait":  # else a reader ends where a group ends
        assert len(given) + sum(report.buffered for report in reports) == len(every)
    assert all(report.buffered < size for report in reports)


def test_what_is_far_from_its_share_is_warned_of():
    with pytest.warns(PoorWarning, match="group 'owl' has 20 of the .* slots due to it"):
        list(stream({"cat": 600, "dog": 600, "owl": 20}, when_short="redistribute"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"target": {"cat": 1}}, "group 'dog' is not among the 1 groups"),
        ({"target": SHARES | {"cat": 0.4, "cow": 0.1}}, "group 'cow' was given 10.00% .* and no shard is of it"),
        ({"target": "natural"}, "the sizes of the groups of shards are not known; pass natural="),
        (
            {"key": 1},
            r"sample 0 of source 'shards' \(group 'dog'\): its key is 0, and its shard was said to be of group",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments, said):
    with pytest.raises(Infeasible, match=said):
        list(stream(dict.fromkeys(SHARES, 50), **arguments))
    with pytest.raises(Infeasible, match="has 2 shards and 1 groups; pass the group of each shard"):
        online.Sharded([1, 2], range, groups=["a"])


def test_natural_shares_may_be_given():
    made = stream(dict.fromkeys(SHARES, 100), target="natural", natural=SHARES)
    assert Counter(next(iter(made)).groups) == {"cat": 5, "dog": 3, "owl": 2}


@pytest.mark.parametrize("rank", range(2))
def test_a_pass_that_waits_and_gives_nothing_says_so(rank):
    """The second of two readers has nothing of the only dog."""
    waiting = stream({"cat": 60, "dog": 1}, target={"cat": 0.5, "dog": 0.5}, rank=rank, world_size=2)
    said = rf"source 'shards' ended after \d samples for reader {rank} of 2 and gave no batch of 10; pass a smaller"
    with pytest.warns(PoorWarning, match=said):
        assert list(waiting) == []


def test_a_reader_that_has_nothing_of_a_group_to_repeat_gives_its_slots_away_and_says_so():
    target = {"cat": 0.5, "dog": 0.5}
    repeating = stream({"cat": 60, "dog": 1}, target=target, when_short="repeat", rank=1, world_size=2)
    with pytest.warns(PoorWarning, match=r"group 'dog' has 0 of the 10 slots due to it.*: 0 of the 20 samples read"):
        batches = list(repeating)
    assert [batch.redistributed for batch in batches] == [{"dog": 5}] * 2
    assert max(Counter(sample for batch in batches for sample in batch).values()) == 1
    assert repeating.report().seen == {"cat": 20, "dog": 0}


@pytest.mark.parametrize("group", [None, float("nan"), ["a"], np.zeros(2)])
def test_what_is_no_label_is_refused_when_the_groups_are_given(group, tmp_path):
    said = "'.*': groups names .*; pass the group of each {} by its label, as key gives it"
    with pytest.raises(Infeasible, match=said.format("shard")):
        online.Sharded([1, 2], range, groups=["a", group])
    (tmp_path / "a.jsonl").write_text("{}")
    with pytest.raises(Infeasible, match=said.format("file")):
        online.jsonl(tmp_path, groups=[group])
