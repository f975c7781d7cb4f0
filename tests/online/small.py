"""Small sources and streams that several files test."""

from __future__ import annotations

from torch.utils.data import IterableDataset

from batchwright import online

NUMBERS = list(range(60))


class Plain:
    def __init__(self, samples=NUMBERS):
        self.samples = samples

    def __iter__(self):
        return iter(self.samples)


class Standing(IterableDataset):
    """The numbers 1 to 40, with a position of its own, where all that read it go on."""

    at = 0

    def __iter__(self):
        while self.at < 40:
            self.at += 1
            yield self.at
        self.at = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Own:
    """A source of a user's own class, of which nothing is known but how it is read."""

    def __init__(self, source):
        self.name, self.reader, self.deal = source.name, source.reader, source.deal


def one(sample):
    return 1


def third(number):
    return number % 3


def pack(source=NUMBERS, **more):
    return online.packed(source, **{"length": one, "capacity": 5, "buffer": 20} | more)


def balance(source=NUMBERS, **more):
    return online.balanced(source, **{"key": third, "batch_size": 6, "buffer": 30} | more)


def mix(sources=None, **more):
    return online.mixed({"a": NUMBERS, "b": NUMBERS} if sources is None else sources, **{"batch_size": 6} | more)
