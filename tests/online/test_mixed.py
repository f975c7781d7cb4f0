from __future__ import annotations

import copy
from collections import Counter
from fractions import Fraction
from itertools import count, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online, targets

pytestmark = pytest.mark.filterwarnings("ignore:source .* has 0 samples:batchwright.PoorWarning")

weights = st.lists(st.integers(1, 40), min_size=1, max_size=12)


class Counting:
    """An endless stream of (name, number)."""

    def __init__(self, name):
        self.name_given = name

    def __iter__(self):
        return ((self.name_given, number) for number in count())


def shares(values):
    return {str(stream): Fraction(value, sum(values)) for stream, value in enumerate(values)}


@given(weights)
def test_after_any_number_of_samples_each_stream_is_within_one_of_its_share(values):
    target = shares(values)
    stream = online.mixed({name: Counting(name) for name in target}, target=target, batch_size=1)
    counts: Counter[str] = Counter()
    for total, [(name, number)] in enumerate(islice(stream, 300), 1):
        assert number == counts[name]
        counts[name] += 1
        assert all(abs(counts[name] - total * share) < 1 for name, share in target.items())


@given(weights, st.lists(st.integers(1, 50), min_size=12, max_size=12), st.randoms(use_true_random=False))
def test_shares_of_units_are_off_by_the_largest_samples_at_most(values, largest, chance):
    """Above by the largest sample of the source itself, below by its share of those of the others, as the page says."""
    target = shares(values)
    most = dict(zip(target, largest, strict=False))

    def source(name):
        return ((name, chance.randint(1, most[name])) for _ in count())

    stream = online.mixed({name: source(name) for name in target}, target=target, unit=1, batch_size=1)
    had: Counter[str] = Counter()
    for [(name, units)] in islice(stream, 200):
        had[name] += units
        for one, share in target.items():
            above = had[one] - share * had.total()
            others = sum(most.values()) - most[one]
            assert -share * others - Fraction(1, 10**6) <= above <= (1 - share) * most[one] + Fraction(1, 10**6)


@given(weights, st.integers(1, 30))
def test_units_are_shared_within_one_sample_a_stream(values, spread):
    target = shares(values)
    stream = online.mixed(
        {name: Counting(name) for name in target},
        target=target,
        unit=lambda sample: 1 + sample[1] * 7919 % spread,
        batch_size=1,
    )
    units: Counter[str] = Counter()
    for [(name, number)] in islice(stream, 150):
        units[name] += 1 + number * 7919 % spread
        total = sum(units.values())
        assert all(units[name] - total * share <= spread for name, share in target.items())
        assert all(total * share - units[name] <= len(target) * spread for name, share in target.items())


def test_what_happens_at_the_end_of_one():
    sources = {"long": [("long", n) for n in range(30)], "short": [("short", n) for n in range(6)]}
    stop = [sample for batch in online.mixed(sources, batch_size=4) for sample in batch]
    assert Counter(name for name, _ in stop) in (Counter(long=6, short=6), Counter(long=7, short=6))
    go_on = [sample for batch in online.mixed(sources, batch_size=4, at_end="continue") for sample in batch]
    assert sorted(go_on) == sorted(sources["long"] + sources["short"])
    again = list(islice(online.mixed(sources, batch_size=4, at_end="restart"), 50))
    assert all(Counter(name for name, _ in batch) == Counter(long=2, short=2) for batch in again)
    seen = Counter(sample for batch in again for sample in batch)
    assert {seen["short", n] for n in range(6)} <= {16, 17}
    assert {seen["long", n] for n in range(30)} <= {3, 4}


@pytest.mark.parametrize("unit", [None, abs])
@pytest.mark.parametrize("at_end", ["stop", "continue"])
def test_a_source_without_a_share_is_not_read(unit, at_end):
    """Not before a schedule gives it one, either."""
    sources = {"a": range(1, 7), "b": range(100, 106)}
    only = online.mixed(sources, target={"a": 1, "b": 0}, batch_size=4, unit=unit, at_end=at_end)
    assert list(only) == [[1, 2, 3, 4], [5, 6]]
    later = targets.schedule({"a": 1, "b": 0}, {"a": 0, "b": 1}, epochs=2)
    stream = online.mixed(sources, target=later, batch_size=4, unit=unit, at_end=at_end)
    first, second, third = list(stream), list(stream), list(stream)
    assert first == [[1, 2, 3, 4], [5, 6]]
    assert {name for batch in second for name in batch.groups} == {"a", "b"}
    assert third == [[100, 101, 102, 103], [104, 105]]


@pytest.mark.parametrize(
    "target",
    [
        *(
            "natural",
            "sqrt",
            0,
            0.5,
            targets.power(0.5),
            targets.temperature(2),
            targets.capped(1),
            lambda n: n / n.sum(),
        ),
        targets.schedule("uniform", "natural", epochs=3),
    ],
)
def test_targets_that_depend_on_the_sizes_of_streams_are_refused(target):
    with pytest.raises(Infeasible, match="the sizes of streams are not known"):
        online.mixed({"a": [1], "b": [2]}, target=target)


def test_targets_that_do_not_depend_on_them_are_followed():
    uneven = {"a": 0.75, "b": 0.25}
    for target in (
        1,
        targets.power(0),
        [0.5, 0.5],
        lambda n: n * 0 + 0.5,
        targets.schedule("uniform", uneven, epochs=3),
    ):
        (batch,) = islice(online.mixed({"a": Counting("a"), "b": Counting("b")}, target=target, batch_size=8), 1)
        assert Counter(name for name, _ in batch) == {"a": 4, "b": 4}


def test_a_source_that_has_nothing_to_restart_is_refused():
    with pytest.raises(Infeasible, match="source 'none' gave this reader 0 samples and is to restart"):
        list(islice(online.mixed({"some": [1], "none": []}, batch_size=2, at_end="restart"), 3))
    with pytest.raises(Infeasible, match="sources has 0 entries"):
        online.mixed({})
    with pytest.raises(Infeasible, match="sample 1 of source 'a': its unit is 0, and must be above 0"):
        list(online.mixed({"a": [1, 0]}, unit=int, batch_size=1))


class Passes:
    """Counts how often it is read."""

    def __init__(self, samples):
        self.samples, self.passes = samples, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.samples)


@given(st.lists(st.sampled_from([0, -1, float("nan"), None]), max_size=3), st.sampled_from(["restart", "all_seen"]))
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_a_source_without_a_sound_sample_restarts_once_and_is_refused(units, at_end):
    broken = Passes([(0, unit) for unit in units])

    def mixture(at_end):
        return online.mixed({"a": broken, "b": [(1, 1)] * 9}, unit=1, on_error="skip", at_end=at_end, batch_size=2)

    said = f"source 'a' gave this reader {len(units)} samples{', all skipped,' if units else ''} and is to restart"
    with pytest.raises(Infeasible, match=said):
        list(islice(mixture(at_end), 5))
    assert broken.passes <= 2
    assert sum(map(len, mixture("continue"))) == 9


def test_a_reader_to_which_nothing_of_a_source_was_dealt_restarts_it():
    def mixture(rank=0, world_size=1):
        sources = {"a": [("a", n) for n in range(4)], "b": [("b", n) for n in range(40)]}
        return online.mixed(sources, at_end="restart", batch_size=2, steps=15, rank=rank, world_size=world_size)

    for stop in range(1, 5):
        one, given = mixture(), []
        given += islice(one, stop)
        for rank in range(2):
            other = mixture(rank, 2)
            other.load_state_dict(one.state_dict())
            given += other
        counts = Counter(sample for batch in given for sample in batch if sample[0] == "a")
        assert max(counts.values()) - min(counts.values()) <= 2


@given(
    st.sampled_from(["stop", "continue", "restart"]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 60),
    st.integers(1, 5),
)
def test_going_on_from_a_state_is_never_having_stopped(at_end, by_unit, nested, stop, every):
    def stream():
        long = [(n, n % 3) for n in range(90)]
        sources = {
            "a": online.balanced(long, key=1, batch_size=3, buffer=40, batches=False) if nested else long,
            "b": online.Sharded([0, 20, 40], lambda start: ((n, 5) for n in range(start, start + 20))),
        }
        unit = (lambda sample: 1 + sample[1]) if by_unit else None
        return online.mixed(sources, target={"a": 0.7, "b": 0.3}, unit=unit, batch_size=None, at_end=at_end)

    first = stream()
    iterator = iter(first)
    head, state = [], None
    for number, sample in enumerate(islice(iterator, stop), 1):
        head.append(sample)
        if number % every == 0:
            state = first.state_dict()
    state = copy.deepcopy(first.state_dict())
    second = stream()
    second.load_state_dict(state)
    assert list(islice(second, 200)) == list(islice(iterator, 200))


def test_streams_nest():
    """Two balanced streams, mixed three to one, packed: each layer keeps its promise."""
    cats = online.balanced([(n, n % 2, 3) for n in range(4000)], key=1, batch_size=4, buffer=50, batches=False)
    dogs = online.balanced([(n, n % 5, 4) for n in range(4000)], key=1, batch_size=5, buffer=50, batches=False)
    mixture = online.mixed({"cats": cats, "dogs": dogs}, target={"cats": 0.75, "dogs": 0.25})
    for batch in islice(online.packed(mixture, length=2, capacity=32, buffer=400), 50):
        assert sum(sample[2] for sample in batch) <= 32
    with pytest.raises(Infeasible, match="gives batches; pass batches=False"):
        list(online.packed(online.balanced([(1, 2)], key=1, batch_size=1), length=1, capacity=3))
