"""The sampler between loaders and trainers: what they do to it, one habit a test."""

from __future__ import annotations

import contextlib
import json
import pickle
import sys
import weakref
from functools import cache
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

import batchwright as bw

from . import laws

UNEVEN = pytest.mark.filterwarnings("ignore:the run goes on in steps:batchwright.PoorWarning")  # in another world
PLAN = bw.shuffled(103, batch_size=4, seed=3)  # 26 micro-batches an epoch


def ranks(world, **options):
    return [PLAN.sampler(rank=rank, world_size=world, **options) for rank in range(world)]


def flat(lists):
    return [index for samples in lists for index in samples]


@given(steps=st.integers(0, 26), workers_ahead=st.integers(0, 26))
def test_a_loader_that_drew_ahead_does_not_move_the_state_at_a_step(steps, workers_ahead):
    ahead, here = PLAN.sampler(), PLAN.sampler()
    drawn = iter(ahead)
    for _ in range(min(26, steps + workers_ahead)):
        next(drawn)
    here.load_state_dict(ahead.state_at(steps, epoch=0))
    assert list(here) == (list(PLAN.sampler())[steps:] if steps < 26 else [b.tolist() for b in PLAN.epoch(1)])


def test_the_epoch_being_yielded_is_the_epoch_of_state_at_even_when_all_of_it_was_drawn():
    sampler = PLAN.sampler()
    list(sampler)
    assert sampler.state_at(5)["epoch"] == 0
    assert sampler.state_dict()["epoch"] == 1


def test_an_iterator_that_nothing_was_drawn_from_has_had_no_epoch():
    sampler = PLAN.sampler()
    for _ in range(3):
        iter(sampler)
    assert (sampler.epoch, sampler.state_dict()["consumed"]) == (0, 0)
    assert next(iter(sampler)) == PLAN[0].tolist()
    assert next(iter(sampler)) == PLAN.epoch(1)[0].tolist()


def test_breaking_off_begins_the_next_epoch_and_set_epoch_begins_any():
    sampler = PLAN.sampler()
    next(iter(sampler))
    assert sampler.epoch == 1
    sampler.set_epoch(0)
    assert (sampler.epoch, sampler.batches_done) == (0, 0)
    sampler.seek(7, epoch=2)
    sampler.set_epoch(2)
    assert (sampler.epoch, sampler.batches_done) == (2, 7)
    assert list(sampler) == [batch.tolist() for batch in PLAN.epoch(2)][7:]


@pytest.mark.parametrize(("fetch", "count"), [("micro", 1), ("step", 3), (6, 6)])
def test_a_fetch_is_that_many_consecutive_micro_batches(fetch, count):
    together = ranks(2, accumulate=3, fetch=fetch)
    apart = [flat(sampler) for sampler in ranks(2, accumulate=6)]
    assert [flat(sampler) for sampler in together] == [whole[: len(together[0]) * count * 4] for whole in apart]
    assert {len(samples) for sampler in together for samples in sampler} == {count * 4}


@given(
    world=st.integers(1, 4),
    accumulate=st.integers(1, 3),
    other_world=st.integers(1, 4),
    other_accumulate=st.integers(1, 3),
    data=st.data(),
)
def test_going_on_elsewhere_keeps_ranks_level_and_the_order_whole(
    world, accumulate, other_world, other_accumulate, data
):
    before = PLAN.sampler(rank=0, world_size=world, accumulate=accumulate)
    step = data.draw(st.integers(0, len(before) - 1))
    state = before.state_at(step, epoch=0)
    after = ranks(other_world, accumulate=other_accumulate)
    for sampler in after:
        sampler.load_state_dict(state)
    given_out = [list(sampler) for sampler in after]
    assert len({len(lists) for lists in given_out}) == 1
    in_turn = [samples for step_lists in zip(*given_out, strict=True) for samples in step_lists]
    assert in_turn == [PLAN[step * world + i].tolist() for i in range(len(in_turn))]
    assert len(in_turn) >= PLAN.epoch_length() - step * world


def test_a_state_is_small_json():
    sampler = PLAN.sampler(rank=0, world_size=64, accumulate=8)
    sampler.seek(3, epoch=10**8)
    assert len(json.dumps(sampler.state_dict())) < 1200


@UNEVEN
@pytest.mark.filterwarnings("ignore:the shards are divided among:batchwright.PoorWarning")
@pytest.mark.parametrize("kind", sorted(set(laws.EVERY_PLAN) - {"moved"}))  # whose state holds the shares that were set
def test_a_state_of_any_plan_is_small_after_any_worlds(kind):
    plan = laws.EVERY_PLAN[kind](7)
    state = {}
    for world, accumulate in [(1, 1), (2, 2), (4, 1), (1, 1), (3, 2), (1, 3)]:
        sampler = plan.sampler(rank=0, world_size=world, accumulate=accumulate)
        sampler.load_state_dict(state)
        next(iter(sampler))
        state = sampler.state_dict()
        assert len(json.dumps(state)) < 1200


def test_a_half_read_sampler_can_be_pickled_and_goes_on_from_where_it_was():
    sampler = PLAN.sampler(rank=0, world_size=2)
    sampler.seek(5)
    assert list(pickle.loads(pickle.dumps(sampler))) == list(sampler)


def test_a_trainer_may_pass_a_distributed_sampler():
    given_rank = DistributedSampler(range(10), num_replicas=3, rank=2)
    sampler = bw.BatchSampler(PLAN, sampler=given_rank)
    assert (sampler.rank, sampler.world_size) == (2, 3)


def test_trainers_find_what_they_look_for_and_nothing_that_lets_them_rebuild_it():
    sampler = PLAN.sampler()
    assert sampler.sampler is sampler
    assert not any(hasattr(sampler, name) for name in ("batch_size", "drop_last", "generator"))
    assert DataLoader(range(103), batch_sampler=sampler).batch_size is None


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"rank": 2, "world_size": 2}, "rank 2 is outside a world of 2"),
        ({"rank": 0}, "rank is 0 and world_size is None"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"fetch": 0}, "fetch is 0"),
        ({"fetch": "all"}, "fetch is 'all'"),
    ],
)
def test_what_cannot_be_is_refused(arguments, fact):
    with pytest.raises(bw.Infeasible, match=fact):
        PLAN.sampler(**arguments)


def test_another_plans_state_is_refused():
    other = bw.shuffled(103, batch_size=4, seed=4).sampler()
    with pytest.raises(bw.Infeasible, match="the state is of plan"):
        other.load_state_dict(PLAN.sampler().state_dict())
    with pytest.raises(bw.Infeasible, match="has version 1, this is version 2"):
        other.load_state_dict({**PLAN.sampler().state_dict(), "version": 1})
    with pytest.raises(bw.Infeasible, match="batch 27 of an epoch of 26 batches"):
        PLAN.sampler().seek(27)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_look_at_the_first_batch_is_an_epoch_unless_the_epoch_is_set_again(workers):
    sampler = PLAN.sampler()
    loader = DataLoader(range(103), batch_sampler=sampler, collate_fn=list, num_workers=workers)
    assert next(iter(loader)) == PLAN[0].tolist()
    assert next(iter(loader)) == PLAN.epoch(1)[0].tolist()
    sampler.set_epoch(0)
    assert list(loader) == [batch.tolist() for batch in PLAN.epoch(0)]
    assert list(loader) == [batch.tolist() for batch in PLAN.epoch(1)]


@pytest.mark.parametrize(
    "move",
    [
        lambda sampler: sampler.set_epoch(4),
        lambda sampler: sampler.seek(7, epoch=0),
        lambda sampler: sampler.load_state_dict(PLAN.sampler().state_at(3)),
    ],
)
def test_a_place_that_a_running_iterator_would_pass_over_is_refused_and_a_new_iterator_begins_there(move):
    """Workers draw when `iter` of their loader is called: what is set between that and the loop comes too late."""
    sampler = PLAN.sampler()
    loader = DataLoader(range(103), batch_sampler=sampler, collate_fn=list, num_workers=2)
    batches = iter(loader)
    move(sampler)
    place = sampler.epoch, sampler.batches_done
    with pytest.raises(bw.Infeasible, match="before iter\\(loader\\)"):
        list(batches)
    assert (sampler.epoch, sampler.batches_done) == place
    assert list(loader) == [batch.tolist() for batch in PLAN.epoch(place[0])][place[1] :]


def test_an_epoch_named_again_after_its_workers_have_begun_changes_nothing():
    sampler = PLAN.sampler()
    sampler.seek(7, epoch=2)
    batches = iter(DataLoader(range(103), batch_sampler=sampler, collate_fn=list, num_workers=2))
    sampler.set_epoch(2)
    assert list(batches) == [batch.tolist() for batch in PLAN.epoch(2)][7:]
    assert sampler.epoch == 3


@UNEVEN
@pytest.mark.parametrize(
    "kind", ["shuffled", "tasks", "tasks by step", "budgeted", "balanced and packed", "bucketed", "shuffled evaluation"]
)
def test_an_epoch_that_was_begun_in_another_world_can_be_had_again_whole_and_not_from_where_it_never_was(kind):
    plan = laws.EVERY_PLAN[kind](7)
    sampler = plan.sampler()
    for state in (plan.sampler(rank=0, world_size=4, accumulate=2).state_at(1, epoch=0), sampler.state_at(5, epoch=0)):
        sampler = plan.sampler(rank=0, world_size=1, accumulate=3)
        sampler.load_state_dict(state)
        begun = sampler.batches_done
        rest = list(sampler)
        assert len(rest) == len(sampler) - begun
        for step in range(1, begun):
            with contextlib.suppress(
                bw.Infeasible
            ):  # what came before in the other world; else it is a list of this one
                sampler.seek(step, epoch=0)
                assert len(list(sampler)) == len(sampler) - step
        sampler.set_epoch(0)
        assert (sampler.epoch, sampler.batches_done) == (0, 0)
        assert len(list(sampler)) == len(sampler)
        assert sampler.epoch == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_state_saved_in_a_loop_whose_workers_read_ahead_is_warned_of(workers):
    """`state_at` is not; nor is a state saved without workers or after the epoch."""
    sampler = PLAN.sampler()
    for step, _ in enumerate(DataLoader(range(103), batch_sampler=sampler, num_workers=workers), 1):
        if step == 3:
            ahead = sampler.run.consumed - step
            with pytest.warns(
                bw.PoorWarning, match=f"have read {ahead} batches that the loop has not seen.*plan.loader"
            ):
                sampler.state_dict()
            assert sampler.state_at(3)["consumed"] == 3
    sampler.state_dict()
    for _ in DataLoader(range(103), batch_sampler=sampler):
        sampler.state_dict()


@given(
    sizes=st.lists(st.integers(1, 80), min_size=1, max_size=12),
    batch_size=st.integers(1, 40),
    length=st.integers(1, 30),
    moving=st.booleans(),
    calls=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.booleans()), min_size=1, max_size=6),
)
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_short_epochs_are_those_of_the_plan_in_whatever_order_they_are_taken(sizes, batch_size, length, moving, calls):
    """Short epochs that follow each other are computed together; here samplers of several ranks take them, or parts."""
    target = bw.targets.schedule("natural", "uniform", epochs=3) if moving else "uniform"
    plan = bw.balanced(bw.Groups.from_sizes(dict(enumerate(sizes))), batch_size, target=target, epoch=length)
    expected = pickle.loads(pickle.dumps(plan)).order  # it computes what it is asked for, and nothing ahead
    samplers = {world: plan.sampler(rank=0, world_size=world) for world in (1, 2, 3)}
    for repeats, world, broken_off in calls:
        sampler = samplers[world]
        for _ in range(repeats):
            first = sampler.epoch * plan.epoch_length(world)
            taken = list(islice(sampler, 1 + len(sampler) // 2 if broken_off else None))
            numbers = first + world * np.arange(len(taken))
            assert taken == [expected.batches_at(numbers[k : k + 1])[0].tolist() for k in range(len(taken))]


LENGTHS = [5 + number * 37 % 90 for number in range(400)]
KINDS = {
    "balanced": lambda: bw.balanced([0] * 300 + [1] * 40, 8),
    "moving": lambda: bw.balanced([0] * 300 + [1] * 40, 8, target=bw.targets.moving("uniform")),
    "budgeted": lambda: bw.budgeted(LENGTHS, 800, window=8),
    "of an order": lambda: bw.packed(LENGTHS, 800, order=bw.shuffled(400, 4), window=8),
    "evaluation": lambda: bw.evaluation(103, 4),
    "of tasks": lambda: bw.alternating({"a": bw.shuffled(90, 4), "b": bw.shuffled(60, 6)}, unit="step"),
}


@pytest.mark.parametrize("options", [{}, {"rank": 1, "world_size": 2, "accumulate": 3, "fetch": 2}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_epoch_after_an_ended_one_is_found_in_the_short_way_as_in_the_long_one(kind, options):
    sampler = KINDS[kind]().sampler(**options)

    def short_way():
        return None if sampler._queue is None else sampler._queue.following(sampler._present().step_size)

    for epoch in range(4):
        assert short_way() == (sampler.next_start() if epoch else None)
        if epoch == 2 and kind == "moving":
            sampler.retarget({0: 0.3, 1: 0.7})
            assert short_way() is None
        assert list(islice(sampler, len(sampler) - 1))
        assert short_way() is None  # it has not ended
        sampler.seek(len(sampler) - 1, epoch=epoch)
        assert short_way() is None
        assert len(list(sampler)) == 1
    assert sampler._queue.following(sampler._present().step_size * 5) is None
    sampler.load_state_dict(sampler.state_dict())
    assert short_way() is None


def functions_called(call):
    """How many functions of this package a call runs: what it costs where nothing of them is in the processor's caches."""
    called = []

    def seen(frame, event, _):
        if event == "call" and frame.f_globals.get("__name__", "").startswith("batchwright"):
            called.append(frame.f_code.co_qualname)

    sys.setprofile(seen)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(called)


@pytest.mark.parametrize("options", [{}, {"rank": 1, "world_size": 2, "accumulate": 2, "fetch": 2}], ids=str)
def test_a_batch_takes_no_function_and_the_beginning_of_an_epoch_few(options):
    sampler = PLAN.sampler(**options)
    list(sampler), list(sampler)
    iterator = iter(sampler)
    assert functions_called(lambda: next(iterator)) <= 24
    for _ in range(len(sampler) - 1):
        assert functions_called(lambda: next(iterator)) == 0
    assert functions_called(lambda: next(iterator, None)) <= 2


@cache
def built(kind):
    return pickle.dumps(KINDS[kind]())


class Driven:
    """A sampler with two loops over it; `asked` has it asked for its run after every call."""

    def __init__(self, kind, options, *, asked):
        plan = pickle.loads(built(kind))  # one of its own, that has planned nothing
        self.sampler, self.asked = plan.sampler(**options), asked
        self.loops = [iter(self.sampler), iter(self.sampler)]

    def do(self, move):
        sampler, answer = self.sampler, None
        try:
            match move:
                case 0 | 1:
                    answer = next(self.loops[move], None), self.loops[move].state_dict()
                case "begin":
                    self.loops[0] = iter(sampler)
                case "seek":
                    sampler.seek(len(sampler) // 2, epoch=1)
                case "epoch":
                    sampler.set_epoch(sampler.epoch)
                case "load":
                    sampler.load_state_dict(sampler.state_dict())
                case "copy":
                    self.sampler = pickle.loads(pickle.dumps(sampler))
                    self.loops = [iter(self.sampler), iter(self.sampler)]
                case "shares":
                    answer = sampler.retarget({0: 0.3, 1: 0.7} if sampler.batches_done % 2 else "uniform")
        except bw.Infeasible as error:
            answer = str(error)
        if self.asked:
            self.sampler.run = self.sampler.run  # every `next` then asks the sampler
        return answer, self.sampler.state_dict(), self.sampler.epoch, self.sampler.batches_done


@pytest.mark.parametrize("options", [{}, {"rank": 1, "world_size": 2, "accumulate": 3, "fetch": 2}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")
def test_batches_that_are_handed_over_together_count_one_by_one(kind, options, data):
    moves = [0, 0, 0, 0, 1, 1, "begin", "seek", "epoch", "load", "copy", *["shares"] * (kind == "moving")]
    together, singly = (Driven(kind, options, asked=asked) for asked in (False, True))
    for move in data.draw(st.lists(st.sampled_from(moves), min_size=1, max_size=50)):
        assert together.do(move) == singly.do(move)


def test_an_iterator_keeps_no_frame_of_the_loop_alive():
    class Marked:
        pass

    def loop():
        mark, batches = Marked(), iter(PLAN.sampler())
        next(batches)
        return weakref.ref(mark), batches

    mark, batches = loop()
    assert mark() is None
    assert next(batches)
