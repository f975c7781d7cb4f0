from __future__ import annotations

import math
import sys
import tracemalloc
from collections import Counter, deque
from itertools import islice
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, PoorWarning, online

from ..examples import examples
from .adversaries import ADVERSARIES, bursts, heavy_tailed, shuffled

costly_waiting = pytest.mark.filterwarnings(
    "ignore:waiting gave|group .* slots due to it|group .* was asked to be|samples repeat within:batchwright.PoorWarning"
)

MODES = ["wait", "repeat", "redistribute"]
label = itemgetter(1)


@st.composite
def cases(draw):
    adversary = draw(st.sampled_from(ADVERSARIES))
    groups = draw(st.integers(2, 9))
    samples = adversary(draw(st.integers(50, 1500)), groups, draw(st.integers(0, 99)))
    arguments = {
        "batch_size": draw(st.integers(1, 24)),
        "buffer": draw(st.integers(max(48, 8 * groups), 300)),  # two of the largest batches, as repeating needs
        "when_short": draw(st.sampled_from(MODES)),
        "max_deficit": draw(st.integers(0, 9)),
        "target": draw(st.sampled_from(["uniform", "natural", 0.5])),
        "seed": draw(st.integers(0, 2**63)),
    }
    return samples, arguments


@costly_waiting
@given(cases())
@examples(80)
def test_every_sample_is_accounted_for_and_memory_is_bounded(case):
    samples, arguments = case
    stream = online.balanced(samples, key=1, **arguments)
    delivered: set[tuple[int, int]] = set()
    for batch in stream:
        assert len(batch) == arguments["batch_size"]
        assert list(map(label, batch)) == list(batch.groups)
        repeats = set(batch.repeats)
        for position, sample in enumerate(batch):
            assert sample in delivered or position not in repeats or sample[0] < stream.report().read
            if position not in repeats:
                assert sample not in delivered
                delivered.add(sample)
        report = stream.report()
        assert report.read == report.delivered - report.repeated + report.dropped + report.skipped + report.buffered
        assert report.buffered <= arguments["buffer"]
        assert sum(report.deficit.values()) == 0
        assert max(report.deficit.values(), default=0) <= arguments["max_deficit"]
        assert arguments["when_short"] == "repeat" or not repeats
    assert delivered <= set(samples)
    assert len(delivered) == stream.report().delivered - stream.report().repeated


@costly_waiting
def test_a_batch_holds_floor_or_ceil_of_its_quotas_while_the_buffer_allows():
    met: Counter[str] = Counter()

    @given(cases(), st.lists(st.integers(1, 20), min_size=2, max_size=5))
    @examples(160)  # fewer would not show how often the quotas are met
    def law(case, weights):
        samples, arguments = case
        total = sum(weights)
        shares = {group: weight / total for group, weight in enumerate(weights)}
        labels = [*shares, *(group % len(weights) for _, group in samples)]  # a group that never came would be refused
        samples = list(enumerate(labels))
        arguments |= {"target": shares, "buffer": arguments["buffer"] + 60}
        stream = online.balanced(samples, key=1, **arguments)
        quota = {group: arguments["batch_size"] * share for group, share in shares.items()}
        settled, totals = True, Counter()
        for step, batch in enumerate(stream, 1):
            counts = Counter(batch.groups)
            totals.update(counts)
            deficit = stream.report().deficit
            met["batches"] += 1
            if settled and not batch.redistributed:
                met["quotas"] += 1
                for group, exact in quota.items():
                    assert math.floor(exact + 1e-9) <= counts[group] <= math.ceil(exact - 1e-9)
            settled = not deficit
            if not stream.report().written_off:
                met["totals"] += 1
                for group, exact in quota.items():
                    assert abs(totals[group] + deficit.get(group, 0) - step * exact) < 3

    law()
    assert met["quotas"] >= met["batches"] / 3 > 100
    assert met["totals"] >= met["batches"] / 3


def test_the_drift_of_many_groups_stays_small():
    stream = online.balanced(shuffled(300_000, 300, 1), key=1, batch_size=64, buffer=30_000)
    totals: Counter[int] = Counter()
    for step, batch in enumerate(islice(stream, 2000), 1):
        totals.update(batch.groups)
        if step % 50 == 0:
            deficit = stream.report().deficit
            assert all(abs(totals[g] + deficit.get(g, 0) - step * 64 / 300) < 4 for g in range(300))


@costly_waiting
def test_what_a_group_was_owed_is_paid_back_when_it_comes():
    samples = [(n, 0) for n in range(400)] + [(n, n % 4 != 0) for n in range(400, 2000)]
    stream = online.balanced(samples, key=1, batch_size=8, target={0: 0.5, 1: 0.5}, buffer=100,
                             when_short="redistribute", max_deficit=20)  # fmt: skip
    most, totals = 0, Counter()
    for batch in stream:
        totals.update(batch.groups)
        most = max(most, stream.report().deficit.get(1, 0))
        if most and not stream.report().deficit:
            break
    assert most == 20
    assert stream.report().deficit == {}
    assert totals[0] - totals[1] == 2 * stream.report().written_off


def test_waiting_that_costs_most_of_the_stream_says_what_it_costs():
    """Exact shares allow for as many samples as the rarest group has, over its share; waiting gives these."""
    samples = heavy_tailed(60_000, 50, 1)
    rarest = min(Counter(map(label, samples)).values())
    stream = online.balanced(samples, key=1, batch_size=50, buffer=2000, name="clicks")
    with pytest.warns(
        PoorWarning, match=r"waiting gave [\d,]+ of the [\d,]+ samples read from source 'clicks'"
    ) as caught:
        delivered = sum(map(len, stream))
    assert len(caught) == 1
    assert 0.9 * rarest * 50 < delivered < len(samples) / 10


@pytest.mark.parametrize(
    ("samples", "arguments", "said"),
    [
        ([0, 1] + [0] * 9000, {}, r"waiting gave 0 of the 9,002 .* group 1 fills 50.00% of every batch and was 1 of these"),
        ([0, 1] * 100, {"rank": 0, "world_size": 2, "target": {0: 0.5, 1: 0.5}},
         r"waiting gave 0 of the 100 samples read from source 'source' for reader 0 of 2: group 1 .* was 0 of these"),
        ([0, 1, 0], {}, "source 'source' ended after 3 samples and gave no batch of 8; pass a smaller batch_size"),
        ([0, 1, 0], {"when_short": "redistribute"}, "ended after 3 samples and gave no batch of 8"),
        ([0] * 100, {"when_short": "redistribute", "target": {0: 0, 1: 1}}, "ended after 100 samples and gave no batch"),
    ],
)  # fmt: skip
def test_a_pass_that_gives_nothing_says_why(samples, arguments, said):
    stream = online.balanced(samples, key=int, batch_size=8, **arguments)
    with pytest.warns(PoorWarning, match=said) as caught:
        assert list(stream) == []
    assert len(caught) == 1


def test_a_group_that_has_a_share_and_never_comes_is_refused_if_nothing_was_given():
    target = {"cat": 0.4, "dog": 0.4, "Bird": 0.2}
    stream = online.balanced(["cat", "dog"] * 2000, key=str, batch_size=8, target=target)
    with pytest.raises(
        Infeasible, match=r"group 'Bird' was given 20.00% .* after 4,000 samples .* came are \['cat', 'dog'\]"
    ):
        list(stream)
    way_out = online.balanced(["cat", "dog"] * 2000, key=str, batch_size=8, target=target, when_short="redistribute")
    with pytest.warns(PoorWarning, match="group 'Bird' has 0 of the 799 slots due to it, 0.00% of what was given for"):
        assert len(list(way_out)) == 500
    with pytest.warns(PoorWarning, match="source 'source' has 0 samples; see whether its path") as told:
        assert list(online.balanced([], key=str, batch_size=8, target=target)) == []
    assert told[0].filename == __file__


def test_repeats_are_uniform_over_what_was_seen():
    rare, counts, drawn = 60, Counter(), 0
    samples = [(n, 1) for n in range(rare)] + [(n, 0) for n in range(1000)]
    for seed in range(150):
        stream = online.balanced(samples, key=1, batch_size=10, target={0: 0.5, 1: 0.5}, buffer=100,
                                 when_short="repeat", seed=seed)  # fmt: skip
        repeated = [batch[at][0] for batch in stream for at in batch.repeats if batch.groups[at] == 1]
        drawn += len(set(repeated))
        counts.update(set(repeated))  # a pool holds each sample of the group with the same chance
    expected = drawn / rare
    assert set(counts) == set(range(rare))
    assert (
        sum((count - expected) ** 2 / expected for count in counts.values()) < 98
    )  # chi-square, 59 degrees: p = 0.001


def test_repeats_within_bytes_favour_no_size():
    """What is remembered of a group goes by its largest sample, or small ones would stay longer."""
    rare, counts = 60, Counter()
    samples = [(n, 1, 1 + 9 * (n % 2)) for n in range(rare)] + [(n, 0, 1) for n in range(600)]
    for seed in range(150):
        stream = online.balanced(samples, key=1, batch_size=10, target={0: 0.5, 1: 0.5}, buffer=100, buffer_bytes=600,
                                 size=2, when_short="repeat", seed=seed)  # fmt: skip
        repeated = {batch[at][0] for batch in stream for at in batch.repeats if batch.groups[at] == 1}
        counts.update(number % 2 for number in repeated)
    assert abs(counts[0] - counts[1]) < 4 * sum(counts.values()) ** 0.5


def test_a_new_group_gets_its_share_as_soon_as_it_comes():
    samples = [(n, 0) for n in range(5000)] + [(n, n % 2) for n in range(5000)]
    stream = online.balanced(samples, key=1, batch_size=10, buffer=100)
    first = next(step for step, batch in enumerate(stream) if 1 in batch.groups)
    batches = list(islice(stream, first, first + 20))
    assert all(Counter(batch.groups)[1] == 5 for batch in batches[2:])


def test_what_cannot_be_is_refused_with_ordinal_and_source():
    good = [(n, n % 2) for n in range(50)]
    with pytest.raises(Infeasible, match="sample 50 of source 'train': key raised ZeroDivisionError"):
        list(online.balanced([*good, (50, 0)], key=lambda s: 1 // (50 - s[0]), batch_size=4, buffer=100, name="train"))
    with pytest.raises(Infeasible, match="sample 50 of source 'train': key gives nan"):
        list(online.balanced([*good, (50, math.nan)], key=1, batch_size=4, buffer=100, name="train"))
    with pytest.raises(Infeasible, match="sample 50 of source 'train': key raised StopIteration"):
        list(online.balanced([*good, ()], key=lambda s: next(iter(s)) % 2, batch_size=4, buffer=100, name="train"))
    with pytest.raises(Infeasible, match="sample 50 of source 'train': key gives a list, which cannot be hashed"):
        list(online.balanced([*good, (50, [])], key=1, batch_size=4, buffer=100, name="train"))
    with pytest.raises(Infeasible, match="sample 50 of source 'train': group 7 is not among the 2 groups"):
        list(online.balanced([*good, (50, 7)], key=1, batch_size=4, target={0: 0.5, 1: 0.5}, buffer=100, name="train"))
    with pytest.raises(Infeasible, match="the share of 'a' is nan, not a finite number"):
        online.balanced(good, key=1, batch_size=4, target={"a": math.nan, "b": 1})
    with pytest.raises(
        Infeasible, match=r"82 groups were seen and a buffer of 100 samples has room for 79; pass buffer=656"
    ):
        list(online.balanced(range(200), key=int, batch_size=4, buffer=100))
    with pytest.raises(Infeasible, match="batch_size is 0, the least is 1"):
        online.balanced(good, key=1, batch_size=0)
    with pytest.raises(Infeasible, match="cannot be iterated"):
        online.balanced(7, key=1, batch_size=4)


def test_broken_samples_are_skipped_and_counted():
    broken = {3, 17, 40}
    samples = [(n, math.nan if n in broken else n % 2) for n in range(60)]
    stream = online.balanced(samples, key=1, batch_size=6, buffer=200, on_error="skip")
    seen = {sample[0] for batch in stream for sample in batch}
    assert seen.isdisjoint(broken)
    assert stream.report().skipped == 3
    texts = ["a", "", "", "b", "a", ""]
    stream = online.balanced(texts, key=lambda text: next(iter(text)), batch_size=1, buffer=20, on_error="skip")
    assert sorted(text for batch in stream for text in batch) == ["a", "b"]
    assert stream.report().skipped == 3


def test_a_source_that_breaks_keeps_its_error_and_says_where():
    def source():
        yield from range(30)
        raise OSError("disk gone")

    class Once:
        def __iter__(self):
            return source()

    for on_error in ("raise", "skip"):
        with pytest.raises(OSError, match="disk gone") as caught:
            list(online.balanced(Once(), key=lambda n: n % 2, batch_size=4, buffer=50, on_error=on_error, name="shard"))
        assert caught.value.__notes__ == ["while reading sample 30 of source 'shard'"]


def test_an_iterator_that_recovers_is_read_on():
    class Flaky:
        def __init__(self):
            self.number = -1

        def __iter__(self):
            return self

        def __next__(self):
            self.number += 1
            if self.number >= 100:
                raise StopIteration
            if self.number % 10 == 5:
                raise OSError("timeout")
            return self.number

    stream = online.balanced(Flaky(), key=lambda n: n % 2, batch_size=6, buffer=50, on_error="skip")
    seen = [n for batch in stream for n in batch]
    assert stream.report().skipped == 10
    assert not any(n % 10 == 5 for n in seen)


@costly_waiting
@given(st.integers(0, 99), st.integers(100, 400), st.sampled_from(MODES), st.booleans())
@examples(40)
def test_memory_may_be_bounded_in_bytes(seed, limit, mode, fetchable):
    weighed = [(number, group, 1 + number * 37 % 50) for number, group in bursts(600, 5, seed)]

    def stream():
        source = weighed if fetchable else online.Strided(weighed)  # the largest sample is 50; repeating takes halves
        return online.balanced(
            source, key=1, batch_size=5, buffer=100, buffer_bytes=limit, size=2, when_short=mode, batches=True
        )

    whole, first, delivered = [], stream(), set()
    for number, batch in enumerate(first):
        fresh = [sample for at, sample in enumerate(batch) if at not in batch.repeats]
        assert delivered.isdisjoint(fresh)
        delivered.update(fresh)
        held = first._run.composer.held()[0]
        assert sum((item[1] if fetchable else item)[2] for item in held) <= limit
        report = first.report()
        assert report.read == report.delivered - report.repeated + report.dropped + report.buffered
        whole.append(batch)
        if number == 7:
            state = first.state_dict()
    if len(whole) > 8:
        second = stream()
        second.load_state_dict(state)
        assert list(second) == whole[8:]


def test_a_sample_larger_than_the_buffer_is_refused():
    samples = [(0, 10), (1, 10), (0, 99)]
    with pytest.raises(Infeasible, match="sample 2 of source 'clips': its size is 99 and buffer_bytes is 50"):
        list(online.balanced(samples, key=0, batch_size=2, buffer_bytes=50, size=1, name="clips"))
    stream = online.balanced(samples, key=0, batch_size=2, buffer_bytes=50, size=1, on_error="skip")
    assert list(stream) in ([[(0, 10), (1, 10)]], [[(1, 10), (0, 10)]])
    assert stream.report().skipped == 1
    with pytest.raises(Infeasible, match="buffer_bytes is given and size is not; pass both or neither"):
        online.balanced(samples, key=0, batch_size=2, buffer_bytes=50)


@pytest.mark.parametrize("mode", MODES)
def test_5000_groups_take_no_more_work_a_sample_than_50(mode):
    """Counted in Python calls, which unlike a clock are the same on a busy machine; 20 places for each group."""

    def calls(groups):
        samples = shuffled(200_000, groups, 1)
        stream = online.balanced(samples, key=label, batch_size=64, buffer=20 * groups, when_short=mode)
        counter = 0

        def count(frame, event, argument):
            nonlocal counter
            counter += event == "call"

        iterator = iter(stream)
        next(iterator)
        before = stream.report().read
        sys.setprofile(count)
        try:
            for _ in islice(iterator, 400):
                pass
        finally:
            sys.setprofile(None)
        return counter / (stream.report().read - before)

    assert calls(5000) < calls(50) + 1  # shortages differ a little; work that grew with groups would be thousands


def test_memory_is_flat_however_long_the_stream():
    stream = online.balanced((n % 1000 for n in range(400_000)), key=lambda n: n % 100, batch_size=64, buffer=2000)
    iterator = iter(stream)
    deque(islice(iterator, 1000), maxlen=0)
    tracemalloc.start()
    deque(islice(iterator, 500), maxlen=0)
    before, _ = tracemalloc.get_traced_memory()
    deque(islice(iterator, 4000), maxlen=0)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after < before + 100_000
    assert peak < before + 1_000_000


def test_natural_shares_may_be_given():
    samples = shuffled(5000, 4, 3)
    natural = {0: 0.7, 1: 0.1, 2: 0.1, 3: 0.1}
    stream = online.balanced(samples, key=1, batch_size=10, target="natural", natural=natural, buffer=200)
    assert all(Counter(batch.groups)[0] == 7 for batch in islice(stream, 50))


def test_a_share_of_zero_drops_a_group():
    samples = shuffled(3000, 3, 5)
    stream = online.balanced(samples, key=1, batch_size=10, target={0: 0.5, 1: 0.5, 2: 0}, buffer=100)
    assert all(2 not in batch.groups for batch in stream)
    report = stream.report()
    assert report.dropped >= report.seen[2] > 900


def test_an_endless_source_is_read_only_as_far_as_needed():
    read = 0

    class Endless:
        def __iter__(self):
            nonlocal read
            while True:
                yield read
                read += 1

    stream = online.balanced(Endless(), key=lambda n: n % 7, batch_size=14, buffer=140)
    for batch in islice(stream, 100):
        assert set(Counter(batch.groups).values()) == {2}
    assert read < 140 + 100 * 14 + 14
