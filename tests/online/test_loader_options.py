"""What a loader of a stream takes, refuses at once, and says of an empty state and of workers that miss a group."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

import batchwright as bw
from batchwright import online

EVENTS = [(n, "rare" if n % 50 == 0 else "fine") for n in range(5000)]
SHUFFLED = random.Random(0).sample(EVENTS, len(EVENTS))
REFUSED = {
    "misspelt": ({"num_worker": 2}, "stream.loader has no argument 'num_worker'.*did you mean 'num_workers'"),
    "of the stream": ({"steps": 3}, "stream.loader has no argument 'steps'"),
    "no function": ({"collate": 3}, "collate is 3, which cannot be called"),
    "decided": (
        {"persistent_workers": True},
        "persistent_workers was given to stream.loader, but the stream decides it",
    ),
}


def balanced(events=EVENTS, **options):
    return online.balanced(events, key=1, batch_size=16, when_short="repeat", **options)


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=REFUSED)
def test_options_that_mean_nothing_are_refused_at_once(options, said):
    with pytest.raises(bw.Infeasible, match=said):
        balanced().loader(**options)


@pytest.mark.parametrize("options", [{"prefetch_factor": 2}, {"timeout": -1}])
def test_options_that_do_not_go_together_are_refused_at_once_by_torch(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        balanced().loader(**options)


@pytest.mark.filterwarnings("ignore:group 'rare' has:batchwright.PoorWarning")
def test_a_worker_that_meets_a_group_never_is_told():
    """Every second sample is read by one of two workers, and every fiftieth is rare."""
    loader = balanced().loader(num_workers=2)
    with pytest.warns(bw.PoorWarning, match="worker 1 of 2 read none of the 100 samples of group 'rare'"):
        batches = list(loader)
    assert {0, 8} == {sum(kind == "rare" for _, kind in batch) for batch in batches}


@pytest.mark.parametrize("workers", [1, 2])
def test_so_is_none_where_all_meet_all(workers):
    """The way out, with one worker or a shuffled source."""
    batches = list(balanced(SHUFFLED if workers > 1 else EVENTS).loader(num_workers=workers))
    assert Counter(sum(kind == "rare" for _, kind in batch) for batch in batches).most_common(1)[0][0] == 8


def test_an_empty_state_is_told():
    loader = balanced().loader()
    with pytest.warns(
        bw.PoorWarning, match=re.escape("the state is {}, so nothing was loaded: the next loop begins with epo")
    ):
        loader.load_state_dict({})
    assert len(next(iter(loader))) == 16
