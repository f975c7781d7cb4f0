"""What is left to readers is dealt to others, several times over: the corners of sources that restart or cannot be split."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from batchwright import online

from .elsewhere import Plain

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of idle workers
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]

NUMBERS = list(range(60))


class Counting:
    """Goes on from a state of its own."""

    def __init__(self, samples):
        self.samples, self.at = samples, 0

    def __iter__(self):
        while self.at < len(self.samples):
            self.at += 1
            yield self.samples[self.at - 1]
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


ONE_READER = {
    "an iterable": lambda: Plain(NUMBERS),
    "with a state": lambda: Counting(NUMBERS),
    "in a chain": lambda: online.Chain([Plain(NUMBERS[:25]), NUMBERS[25:35], Plain(NUMBERS[35:])]),
    "in a stream": lambda: online.mixed({"only": Plain(NUMBERS)}),
}


def saved(state):
    return json.loads(json.dumps(state))


def packs(source, buffer, **more):
    return online.packed(source, length=lambda sample: 1, capacity=2, buffer=buffer, **more)


@pytest.mark.parametrize(
    "changes", [[(2, 6), (0, 6), (1, 5)], [(0, 7), (2, 4), (0, 3), (3, 5)], [(2, 13), (1, 0), (0, 1)]]
)
@pytest.mark.parametrize("buffer", [4, 100])
@pytest.mark.parametrize("source", sorted(ONE_READER))
def test_what_one_reader_reads_goes_on_through_several_changes(source, buffer, changes):
    given, state = [], None
    for workers, count in [*changes, (0, 10**6)]:
        loader = packs(ONE_READER[source](), buffer).loader(num_workers=workers)
        if state is not None:
            loader.load_state_dict(state)
        for batch in islice(loader, count):
            given += batch
        state = saved(loader.state_dict())
    assert sorted(given) == NUMBERS
