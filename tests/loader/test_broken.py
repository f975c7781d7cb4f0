"""Samples that raise: refused, left out, or replaced by the next of their group."""

from __future__ import annotations

import collections
import itertools
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from .datasets import Numbers

LABELS = [0] * 40 + [1] * 12 + [2] * 8
PLAN = bw.balanced(LABELS, batch_size=6, seed=4)


class Holes(Numbers):
    """Some samples raise."""

    def __init__(self, broken: set[int]) -> None:
        super().__init__(len(LABELS))
        self.holes = broken

    def __getitem__(self, index: int) -> int:
        if index in self.holes:
            raise OSError(f"sample {index} cannot be read")
        return index


def loaded(broken, on_error, **options):
    return PLAN.loader(Holes(set(broken)), **{"num_workers": 0, "on_error": on_error, "max_errors": 60, **options})


def batches(loader, epochs=2):
    return [batch.tolist() for epoch in loader.epochs(epochs) for batch in epoch]


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
@given(st.sets(st.integers(0, 59), max_size=15).filter(lambda broken: not {*range(52, 60)} <= broken))
def test_replaced_samples_are_of_the_same_group(broken):
    if {*range(40, 52)} <= broken:
        broken = broken - {41}
    loader = loaded(broken, "replace")
    given_ones = batches(loader)
    asked = [batch.tolist() for epoch in range(2) for batch in PLAN.epoch(epoch)]
    for theirs, ours in zip(asked, given_ones, strict=True):
        for sample, instead in zip(theirs, ours, strict=True):
            assert instead not in broken
            assert LABELS[instead] == LABELS[sample]
            assert instead == sample or sample in broken
    met = broken & {sample for batch in asked for sample in batch}
    assert met <= {entry.sample for entry in loader.broken} <= broken
    for entry in loader.broken:
        assert entry.error == f"OSError: sample {entry.sample} cannot be read"


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
@given(st.sets(st.integers(0, 59), max_size=4))
def test_skipped_samples_are_left_out(broken):
    loader = loaded(broken, "skip")
    asked = [batch.tolist() for epoch in range(2) for batch in PLAN.epoch(epoch)]
    assert batches(loader) == [[sample for sample in batch if sample not in broken] for batch in asked]


@pytest.mark.filterwarnings("ignore:sample .* raised OSError", "ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("on_error", ["replace", "skip"])
def test_the_same_with_workers_and_after_a_restart(on_error):
    broken = {3, 4, 17, 44, 55}
    whole = batches(loaded(broken, on_error))
    with_workers = loaded(broken, on_error, num_workers=2)
    assert batches(with_workers) == whole
    assert [entry.sample for entry in with_workers.broken] == list(
        dict.fromkeys(entry.sample for entry in with_workers.broken)
    )
    first = loaded(broken, on_error)
    taken = [batch.tolist() for _, batch in zip(range(5), first, strict=False)]
    state = json.loads(json.dumps(first.state_dict()))
    second = loaded(broken, on_error, num_workers=1)
    second.load_state_dict(state)
    assert taken + batches(second) == whole
    assert set(state.get("broken", [])) <= set(second.state_dict().get("broken", []))


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
@given(st.sets(st.integers(0, 39), max_size=8), st.integers(1, 9))
def test_the_state_at_a_step_is_what_the_loop_saves_there(broken, step):
    loader = loaded(broken, "replace")
    for _ in itertools.islice(loader, step):
        pass
    assert loader.state_at(step) == loader.state_dict()


@pytest.mark.filterwarnings("ignore:sample .* raised")
def test_a_sample_that_was_broken_is_not_tried_again_after_a_restart():
    first = loaded({3, 4}, "replace")
    batches(first, 4)
    state = first.state_dict()
    assert state["broken"] == [3, 4]
    second = loaded(set(), "replace")  # the files are there again
    second.load_state_dict(state)
    assert not {3, 4} & {sample for batch in batches(second, 8) for sample in batch}


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
def test_a_plan_without_groups_takes_the_next_sample():
    plan = bw.shuffled(60, 6, seed=1)
    loader = plan.loader(Holes({9, 10}), num_workers=0, on_error="replace")
    counts = collections.Counter(sample for batch in loader for sample in batch.tolist())
    assert counts[11] == 3
    assert not counts[9] + counts[10]


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
def test_a_sample_of_a_source_of_a_billion_is_replaced_at_once():
    class Numbered(Numbers):
        def __getitem__(self, index: int) -> int:
            if index % 2:
                raise OSError(f"sample {index} cannot be read")
            return index

    sources = {"small": 7, "large": 10**12}  # without a table of a source, which no memory holds
    loader = bw.mixed(sources, 6).loader(Numbered(7 + 10**12), num_workers=0, on_error="replace")
    batch = next(iter(loader)).tolist()
    assert len(batch) == 6
    assert not any(sample % 2 for sample in batch)
    assert loader.broken


@pytest.mark.parametrize(("workers", "seeded"), [(0, True), (0, False), (1, True)])
def test_refused_samples_are_named(workers, seeded):
    with pytest.raises(OSError, match="sample 3 cannot be read") as error:
        batches(loaded({3}, "refuse", num_workers=workers, seeded=seeded))
    told = str(error.value) + "".join(getattr(error.value, "__notes__", []))
    assert "It was raised by sample 3 of the data set." in told


def test_the_first_one_is_warned_of():
    with pytest.warns(
        bw.PoorWarning, match=r"sample \d+ raised OSError: .*; with on_error='skip' training goes on"
    ) as said:
        batches(loaded({3, 4, 5}, "skip"))
    assert len(said) == 1


@pytest.mark.filterwarnings("ignore:sample .* raised OSError")
def test_pinned_batches_keep_their_report():
    loader = loaded({3}, "replace", collate=lambda samples: torch.tensor(samples))
    batches(loader)
    assert [entry.sample for entry in loader.broken] == [3]


class Ending(Numbers):
    """A data set of which one sample raises `StopIteration`, as `next` of an empty iterator does."""

    def __getitem__(self, index: int) -> int:
        return next(iter(())) if index == 17 else index


class EndingByList(Ending):
    """The same, of one that reads lists at once."""

    def __getitems__(self, numbers: list[int]) -> list[int]:
        return [next(iter(())) if number == 17 else number for number in numbers]


def first_of_the_last(samples: list[int]) -> torch.Tensor:
    """A collate function that raises `StopIteration`."""
    return torch.tensor(next(sample for sample in samples if sample > 30))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seeded", [True, False])
@pytest.mark.parametrize("kind", ["sample", "list", "collate"])
def test_a_stop_iteration_of_a_sample_is_an_error_and_no_end(kind, seeded, workers):
    datasets = {"sample": Ending(60), "list": EndingByList(60), "collate": Numbers(60)}
    collate = first_of_the_last if kind == "collate" else None
    loader = bw.shuffled(60, 4).loader(datasets[kind], collate=collate, seeded=seeded, num_workers=workers)
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(loader)


def test_a_sample_that_raises_stop_iteration_may_be_left_out():
    loader = bw.shuffled(60, 4).loader(Ending(60), on_error="skip", max_errors=1, num_workers=0)
    with pytest.warns(bw.PoorWarning, match="sample 17 raised StopIteration"):
        assert sorted(sample for batch in loader for sample in batch.tolist()) == [n for n in range(60) if n != 17]


EVALUATED = (  # a case of `test_ways_out`
    lambda: bw.evaluation(12, 4).loader(Holes({11}), on_error="replace", check_data=False),
    "on_error is 'replace', and an epoch of <plan: evaluation of 12 samples in 3 micro-batches> has every sample exactly "
    "once: none may be left out or stand for another",
    "leave on_error out; to leave samples out, make the plan for the others alone, numbers=[...], as "
    "bw.evaluation(len(numbers), ...), and pass torch.utils.data.Subset(dataset, numbers)",
    lambda: list(bw.evaluation(11, 4).loader(torch.utils.data.Subset(Holes({11}), range(11)), num_workers=0)),
)


@pytest.mark.parametrize("on_error", ["replace", "skip"])
@pytest.mark.parametrize(
    "plan",
    [
        bw.evaluation(13, 4),
        bw.evaluation(range(1, 14), max_tokens=30),
        bw.evaluation(range(1, 14), capacity=20, order="length"),
        bw.evaluation(13, 4).stepped(2),
        bw.hybrid(range(1, 14), ranks=2, tokens_per_rank=10),
    ],
    ids=repr,
)
def test_no_sample_of_an_evaluation_is_left_out_or_replaced(plan, on_error):
    for options in ({}, {"rank": 1, "world_size": 2}):
        with pytest.raises(bw.Infeasible, match=f"on_error is '{on_error}', and an epoch of <plan: .* exactly once"):
            plan.loader(range(13), num_workers=0, on_error=on_error, **options)
        plan.loader(range(13), num_workers=0, on_error="refuse", **options)
