"""Runs that go on with other ranks and workers: streams, sources, and the laws of what is given in all."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import islice

from batchwright import online

COUNT = 1200
SAMPLES = [(n, 0 if n % 7 else 1 + n % 3) for n in range(COUNT)]
OTHERS = [(n, 9) for n in range(10_000, 10_300)]


class Plain:
    def __init__(self, samples):
        self.samples = samples

    def __iter__(self):
        return iter(self.samples)


def lazily(start):
    return iter(SAMPLES[start : start + 70])


def listed(start):
    return SAMPLES[start : start + 400]


def length(sample):
    return 1 + sample[0] % 37


SOURCES = {
    "list": lambda: SAMPLES,
    "shards": lambda: online.Sharded(range(0, COUNT, 70), lazily, shuffle=True),
    "few shards": lambda: online.Sharded(range(0, COUNT, 400), listed),
    "strided": lambda: online.Strided(Plain(SAMPLES)),
    "chain": lambda: online.Chain([SAMPLES[:490], online.Sharded(range(490, COUNT, 70), lazily)]),
    "opaque chain": lambda: online.Chain([SAMPLES[:490], online.Strided(Plain(SAMPLES[490:]))]),
}


def balanced(source, **more):
    return online.balanced(source, **{"key": 1, "batch_size": 8, "buffer": 60} | more)


def nested(source, **more):
    inner = balanced(source, batches=False, when_short="redistribute", max_deficit=2)
    mixture = online.mixed({"a": inner, "b": OTHERS}, at_end="continue")
    return online.packed(mixture, length=length, capacity=64, buffer=50, **more)


STREAMS = {
    "waiting": balanced,
    "redistributing": lambda source, **more: balanced(source, when_short="redistribute", **more),
    "repeating": lambda source, **more: balanced(source, when_short="repeat", **more),
    "repeating in bytes": lambda source, **more: balanced(
        source, when_short="repeat", buffer_bytes=900, size=length, unit=length, **more
    ),
    "budgeted": lambda source, **more: online.budgeted(source, length=length, max_tokens=200, buffer=60, **more),
    "packed": lambda source, **more: online.packed(source, length=length, capacity=64, packs=2, buffer=60, **more),
    "mixed": lambda source, **more: online.mixed(
        {"a": source, "b": OTHERS}, target={"a": 0.8, "b": 0.2}, batch_size=8, at_end="continue", **more
    ),
    "mixed by units": lambda source, **more: online.mixed(
        {"a": source, "b": OTHERS}, batch_size=8, unit=length, at_end="continue", **more
    ),
    "nested": nested,
}
EXACT = {"budgeted", "packed", "mixed", "mixed by units"}  # every sample once, up to the end


def totals(streams):
    counts = Counter()
    for stream in streams:
        report = stream.report()
        for name in ("read", "delivered", "repeated", "dropped", "skipped", "buffered"):
            counts[name] += getattr(report, name)
    return counts


def check(kind, given, streams, ended):
    """Nothing comes twice; at the end nothing is missing; the counts of all readers go through all changes."""
    fresh = Counter(sample for batch in given for at, sample in enumerate(batch) if at not in batch.repeats)
    assert max(fresh.values()) == 1
    everything = {*SAMPLES, *(OTHERS if kind.startswith(("mixed", "nested")) else ())}
    assert fresh.keys() <= everything
    if streams:
        counts = totals(streams)
        assert counts["delivered"] == sum(map(len, given))
        assert counts["repeated"] == sum(len(batch.repeats) for batch in given)
        accounted = (
            counts["delivered"] - counts["repeated"] + counts["dropped"] + counts["skipped"] + counts["buffered"]
        )
        assert counts["read"] == accounted
        if ended and kind not in ("nested", "waiting"):
            assert counts["read"] == len(everything)
    if ended and kind in EXACT:
        assert fresh.keys() == everything


def wander(kind, source, seed, changes):
    """A run through random numbers of ranks and workers, with states as JSON, loaded in any order or merged."""
    chance = random.Random(seed)
    state, given = None, []
    for change in range(changes + 1):
        readers = chance.randint(1, 6)
        streams = [STREAMS[kind](SOURCES[source](), rank=rank, world_size=readers) for rank in range(readers)]
        last = change == changes
        for stream in streams:
            if state is not None:
                stream.load_state_dict(state)
            batches = iter(stream)
            # Not to the end: a state at the end of an epoch would go on with the next one.
            given += batches if last else islice(batches, chance.randint(1, max(1, 24 // (changes * readers))))
            if not last and chance.random() < 0.3:
                stream.state_dict()  # so that some states are counted from an anchor
                list(islice(batches, 0))
        check(kind, given, streams, last)
        if not last:
            states = [json.loads(json.dumps(stream.state_dict())) for stream in streams]
            chance.shuffle(states)
            state = online.merged(states) if chance.random() < 0.5 else states
    return given
