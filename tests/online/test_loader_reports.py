"""A loader of a stream counts what reached its loop, over all its workers; rare groups that repeat are said."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from batchwright import Infeasible, PoorWarning, online

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # workers print them
]

KINDS = {number: "rare" if number in (177, 310) else "some" if number % 20 == 0 else "most" for number in range(400)}


def balance(**more):
    return online.balanced(
        list(KINDS), **{"key": KINDS.get, "batch_size": 8, "buffer": 80, "when_short": "repeat"} | more
    )


STREAMS = {
    "repeating": balance,
    "redistributing": lambda: balance(when_short="redistribute"),
    "of many groups": lambda: balance(key=lambda number: number % 23),
    "packed": lambda: online.packed(list(KINDS), length=lambda number: 1 + number % 9, capacity=30, buffer=40),
    "mixed": lambda: online.mixed({"a": list(KINDS), "b": list(KINDS)}, batch_size=5),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_report_counts_what_reached_the_loop(kind, workers):
    loader = STREAMS[kind]().loader(num_workers=workers)
    assert loader.summary().report is None
    with pytest.raises(Infeasible, match="no batch of this loader has reached the loop yet; ask after the first batch"):
        loader.report()
    given, groups, repeats, late = 0, Counter(), 0, 23 if kind == "of many groups" and workers else 0
    for batch in loader:
        given, repeats = given + len(batch), repeats + len(batch.repeats)
        groups.update(batch.groups)
        report = loader.report()
        assert given - 2 * late <= report.delivered <= given
        if not late:
            assert ({name: had for name, had in report.had.items() if had}, report.repeated) == (groups, repeats)
    report = loader.report()
    assert report.delivered == given
    assert {name: had for name, had in report.had.items() if had} == groups
    assert report.repeated == repeats
    if kind != "mixed":
        assert sum(report.repeats.values()) == repeats
        assert report.read == len(KINDS)
        assert report.read == report.delivered - repeats + report.dropped + report.skipped + report.buffered
    printed = str(loader.summary())
    assert f"{given:,} delivered" in printed
    assert loader.summary().report == report


def test_counts_go_on_with_a_state_and_begin_anew_with_an_epoch():
    loader = balance().loader(num_workers=2)
    for _, _batch in zip(range(7), loader, strict=False):
        state = loader.state_dict()
    again = balance().loader(num_workers=1)
    again.load_state_dict(state)
    with pytest.raises(Infeasible, match="no batch of this loader"):
        again.report()
    given = 7 * 8 + sum(map(len, again))
    assert (again.report().delivered, again.report().read) == (given, len(KINDS))
    next(iter(again))
    assert again.report().delivered <= 8


def test_without_collate_a_batch_keeps_what_is_known_of_it():
    for workers in (0, 1):
        for batch in online.packed([3] * 20, length=int, capacity=6, packs=2).loader(num_workers=workers):
            assert list(batch.packs) == [2] * (len(batch) // 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_summary_says_what_the_target_is_how_often_samples_came_and_which_group_came_late(workers):
    loader = balance().loader(num_workers=workers)
    came = Counter(number for batch in loader for number in batch)
    lines = {line.name: line for line in loader.summary().groups}
    assert {line.wanted_share for line in lines.values()} == {1 / 3}
    assert lines["rare"].passes == pytest.approx((came[177] + came[310]) / 2)
    assert lines["some"].passes == pytest.approx(
        np.mean([count for number, count in came.items() if KINDS[number] == "some"]), rel=0.2
    )
    assert any("samples were given before the first of group 'rare' came" in note for note in loader.summary().notes)


def test_the_samples_given_before_a_late_group_came():
    stream, given, first = balance(when_short="redistribute"), 0, None
    for batch in stream:
        if first is None and "rare" in stream.report().seen:
            first = given
        given += len(batch)
    assert 0 < stream.report().before["rare"] <= first + 8
    named = balance(when_short="redistribute", target={"rare": 0.2, "some": 0.3, "most": 0.5})
    list(named)
    assert stream.report().before["rare"] <= named.report().before["rare"] + 64


@pytest.mark.filterwarnings("always:samples repeat within:batchwright.PoorWarning")
def test_a_group_with_fewer_samples_than_a_batch_takes_is_warned_of_once():
    with pytest.warns(
        PoorWarning, match="samples repeat within a batch: 4 of every 12 are of group 'rare', and [12] of the"
    ) as (caught):
        list(balance(batch_size=12))
    assert len([1 for one in caught if "samples repeat" in str(one.message)]) == 1
    shards = online.Sharded([0, 1], lambda kind: range(100) if kind else range(-2, 0), groups=["few", "many"])
    with pytest.warns(
        PoorWarning, match="4 of every 8 are of group 'few', and 2 of the .* each given about 50 times so far"
    ):
        list(online.balanced(shards, key=lambda n: "few" if n < 0 else "many", batch_size=8, when_short="repeat"))


def test_summaries_and_errors_call_a_source_by_the_same_name():
    for more, name in (({}, "shards"), ({"name": "train"}, "train")):
        stream = online.packed(online.Sharded([0], lambda shard: [3, 9, 99]), length=int, capacity=10, **more)
        assert f"from {name!r}" in str(stream.summary())
        with pytest.raises(Infeasible, match=f"sample 2 of source '{name}'"):
            list(stream)
