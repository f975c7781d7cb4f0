"""The small streams that the cases of refusals are made of."""

from __future__ import annotations

from batchwright import online

NUMBERS = list(range(60))


class Plain:
    def __init__(self, samples=NUMBERS):
        self.samples = samples

    def __iter__(self):
        return iter(self.samples)


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
