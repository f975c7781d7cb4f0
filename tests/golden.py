"""Golden vectors: what plans and streams yielded on the day they were written down, and must always yield.

`python -m tests.golden` compares (with nothing but the package installed), `python -m tests.golden --write` writes them.
A change here is a change of every user's batches: raise the version of the state and say so in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from itertools import islice
from pathlib import Path

import numpy as np

import batchwright as bw

FILE = Path(__file__).with_name("golden.json")
POSITIONS = (0, 1, 88, 89, 12_345, 10**6 + 7, 10**9)
EPOCHS = ((0, 1), (3, 8), (10**6, 6))  # (epoch, step_size) of the plans that are addressed by epoch
NEAR = ((0, 1), (3, 8), (40, 6))  # the same over an order, whose windows are found one after the other
TAIL = [max(1, 2000 // (rank + 1)) for rank in range(300)]


def plans():
    sizes = dict(enumerate(TAIL))
    grouped = bw.Groups.from_sizes(sizes)
    yield "uniform", bw.balanced(grouped, 64)
    yield "natural", bw.balanced(grouped, 64, target="natural", seed=1)
    yield "square root", bw.balanced(grouped, 64, target="sqrt", seed=2)
    yield "blend", bw.balanced(grouped, 50, target=0.3, seed=3)
    yield "effective number", bw.balanced(grouped, 32, target=bw.targets.effective_number(0.999), seed=4)
    yield "repeat factor", bw.balanced(grouped, 32, target=bw.targets.repeat_factor(0.01), seed=5)
    yield "capped", bw.balanced(grouped, 32, target=bw.targets.capped(4), seed=6)
    yield "per class", bw.balanced(grouped, 32, per_class=4, seed=7)
    yield "schedule", bw.balanced(grouped, 64, target=bw.targets.schedule("natural", "uniform", epochs=5), seed=8)
    yield "small groups", bw.balanced(bw.Groups.from_sizes({"a": 3, "b": 70, "c": 500}), 30, seed=9)
    yield "labels", bw.balanced([name for name in "abcde" for _ in range(ord(name))], 12, seed=10)
    yield "many groups", bw.balanced(bw.Groups.from_sizes({g: 1 + g % 5 for g in range(20_000)}), 16, seed=11)
    yield "billion", bw.shuffled(10**9, 32, seed=2**64 - 1)
    yield "trillion in two", bw.balanced(bw.Groups.from_sizes({"a": 10**12, "b": 10**9}), 16, target="natural")
    yield "weighted", bw.weighted(np.arange(1, 5001) ** 2, 32, seed=12)
    yield "weighted, not whole", bw.weighted(np.arange(1, 5001) / 7, 32, seed=13)
    yield "mixture", bw.mixed({"a": 10**6, "b": 300, "c": 5000}, 48, target="sqrt", seed=16)
    inner = bw.mixed({"x": 90, "y": bw.weighted(np.arange(1, 200), 8, seed=17)}, 12, target="uniform", seed=18)
    yield (
        "nested mixture",
        bw.mixed({"plain": 1000, "even": bw.balanced(grouped, 32, seed=19), "inner": inner}, 40, seed=20),
    )
    kind, class_ = np.arange(4000) % 7, np.arange(4000) % 91
    yield "hierarchical", bw.hierarchical([kind, class_], per=[3, 4, 2], seed=21)
    yield "hierarchical by shares", bw.hierarchical([kind % 3, class_], per=[1, 5, 3], target="natural", seed=22)
    yield "drawn cohorts", bw.rotating(class_, 7, per_class=2, seed=23)
    tasks = {"a": bw.shuffled(500, 5, seed=24), "b": bw.balanced(grouped, 7, seed=25), "c": bw.shuffled(90, 3, seed=26)}
    yield "tasks", bw.alternating(tasks, target={"a": 0.5, "b": 0.3, "c": 0.2})
    yield "tasks by blocks", bw.alternating(tasks, target=bw.targets.temperature(3))
    moving = bw.balanced(grouped, 64, target=bw.targets.moving("uniform"), seed=27)
    yield "moved", moving.with_share_changes([moving.share_change_after(1000, moving.natural_prior)])
    yield "random", bw.balanced(grouped, 32, draw="random", seed=14)
    yield "sequential", bw.sequential(10**12 + 39, 16)
    yield "ordered", bw.ordered(np.arange(3000) * 7919 % 1009, 16)
    yield "random weights", bw.weighted(np.arange(1, 5001) ** 2, 32, draw="random", seed=15)


def epoch_plans():
    """Plans whose batches are addressed by epoch; their lengths are formulas, so that no generator is needed."""
    number = np.arange(2000)
    lengths = 16 + number * number * 7919 % 1009 * (number % 7 + 1) // 7
    other = 16 + number * 104_729 % 997
    shapes = np.column_stack([256 + number % 5 * 64, 256 + number % 3 * 128])
    order = bw.balanced(number % 11, 44, target="sqrt", seed=20)
    yield "budgeted", bw.budgeted(lengths, 16_384, window=16, seed=21)
    yield "budgeted, whole epoch", bw.budgeted(lengths, 16_384, window="epoch", seed=22)
    yield "budgeted, sums", bw.budgeted(lengths, 8192, window=16, padded=False, max_samples=30, seed=23)
    yield "budgeted, menu", bw.budgeted(lengths, 16_384, round_length=[256, 512, 1024], round_count=4, seed=24)
    yield "two budgets", bw.budgeted({"a": lengths, "b": other}, {"a": 16_384, "b": 9000}, window=16, seed=25)
    yield "budgeted, an order", bw.budgeted(lengths, 16_384, window=16, order=order, seed=26)
    yield "grouped", bw.grouped(lengths, 16, window=16, seed=27)
    yield "grouped, level", bw.grouped(lengths, 16, window=16, level=True, seed=28)
    yield "bucketed", bw.bucketed(shapes, 16, buckets=4, seed=29)
    yield "packed", bw.packed(lengths, 4096, window=16, seed=30)
    yield "packed, four in one", bw.packed(lengths, 1024, packs=4, window=16, max_per_pack=5, seed=31)
    yield "packed, split", bw.packed(lengths, 700, window=16, too_long="split", seed=32)
    yield "packed, pairs", bw.packed(lengths, 4096, together=number // 2, window=16, seed=33)
    yield "packed, an order", bw.packed(lengths, 4096, window=16, order=order, seed=34)
    yield "bucketed, by windows", bw.bucketed(shapes, 8, buckets=3, window=24, seed=35)
    yield "budgeted, squares by windows", bw.budgeted(lengths, 4_000_000, cost=_squared, window=16, seed=36)
    tasks = {"a": bw.shuffled(500, 5, seed=37), "b": bw.balanced(number % 11, 7, seed=38), "c": bw.shuffled(90, 3)}
    yield "tasks by step", bw.alternating(tasks, target={"a": 0.5, "b": 0.3, "c": 0.2}, unit="step")
    cut = {"short": bw.budgeted(other, 4096, window=8, seed=39), "long": bw.packed(lengths, 4096, window=8, seed=40)}
    yield "tasks by step of budgets and packs", bw.alternating(cut, target=bw.targets.temperature(3), unit="step")
    yield "tasks of budgets and packs", bw.alternating(cut, target="uniform")
    yield "evaluation", bw.evaluation(2003, 16)
    yield "evaluation, shuffled", bw.evaluation(10**6 + 3, 16, order="shuffled", seed=41)
    yield "evaluation, few shuffled", bw.evaluation(50, 4, order="shuffled", seed=42)
    yield "evaluation, longest first", bw.evaluation(lengths, 16, order="length")
    yield "evaluation in tokens", bw.evaluation(lengths, max_tokens=16_384)
    yield "evaluation of sums", bw.evaluation(lengths, capacity=8192, order="shuffled", seed=43)
    yield "evaluation of packs", bw.evaluation(lengths, capacity=4096, order="length")


def _squared(lengths):
    return lengths * lengths


def by_epoch(plan):
    """Micro-batches by "epoch/step_size/number"."""
    found = {}
    for epoch, step_size in EPOCHS if plan.cutter is None or plan.same_samples else NEAR:
        batches = plan.epoch(epoch, step_size)
        for number in (0, 1, len(batches) // 2, len(batches) - 1):
            found[f"{epoch}/{step_size}/{number}"] = batches[number].tolist()
    return found


def _group(number):
    return 0 if number % 17 else 1 + number % 3


def _length(number):
    return 1 + number * 7919 % 101


def _shard(start):
    return range(start, start + 90)


def _lazily(start):
    return iter(range(start, start + 90))


class _Plain:
    """An iterable that cannot go back."""

    def __iter__(self):
        return iter(range(1500))


def streams():
    online = bw.online
    some = range(2000)

    def balanced(source=some, **more):
        return online.balanced(source, **{"key": _group, "batch_size": 12, "buffer": 200} | more)

    def inner(source=some, **more):
        return balanced(source, batches=False, when_short="repeat", **more)

    four = {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1}
    yield "stream, waiting", balanced()
    yield "stream, waiting with patience", balanced(patience=30, target=four, seed=1)
    yield "stream, repeating", balanced(when_short="repeat", target=four, seed=2)
    yield "stream, redistributing", balanced(when_short="redistribute", max_deficit=9, seed=3)
    yield "stream, redistributing with patience", balanced(when_short="redistribute", patience=20, seed=4)
    yield "stream, repeating in bytes", balanced(when_short="repeat", buffer_bytes=4000, size=_length, seed=5)
    yield "stream, waiting in bytes", balanced(buffer_bytes=6000, size=_length, target="sqrt", seed=6)
    yield "stream, natural", balanced(target="natural", when_short="redistribute", seed=7)
    known = {0: 0.94, 1: 0.02, 2: 0.02, 3: 0.02}
    yield "stream, natural shares given", balanced(target=0.5, natural=known, when_short="repeat", seed=8)
    moving = bw.targets.schedule("natural", "uniform", epochs=3)
    yield "stream, schedule", balanced(target=moving, when_short="repeat", seed=9)
    yield "stream, many groups", balanced(key=lambda number: number % 90, batch_size=32, buffer=900, seed=10)
    yield "stream, steps", balanced(when_short="repeat", steps=40, seed=11)
    yield "stream, samples", inner(seed=12)
    shards = online.Sharded(range(0, 1800, 90), _lazily, shuffle=True, seed=13)
    yield "stream of shards", balanced(shards, when_short="repeat", seed=14)
    yield "stream of shards, rank 1 of 3", balanced(shards, when_short="repeat", rank=1, world_size=3, seed=15)
    few = online.Sharded([0, 90], _shard, shuffle=True, seed=16)
    yield (
        "stream of shared shards, rank 4 of 5",
        balanced(few, when_short="redistribute", rank=4, world_size=5, seed=17),
    )
    chain = online.Chain([range(300), shards, _Plain()])
    yield "stream of a chain", balanced(chain, when_short="redistribute", seed=18)
    strided = online.Strided(_Plain())
    yield "stream, strided, rank 2 of 3", balanced(strided, when_short="redistribute", rank=2, world_size=3, seed=19)
    yield "stream, budgeted", online.budgeted(some, length=_length, max_tokens=900, buffer=300, seed=20)
    yield "stream, budgeted by samples", online.budgeted(shards, length=_length, max_samples=9, buffer=250, seed=21)
    yield (
        "stream, budgeted in bytes",
        online.budgeted(
            some, length=_length, max_tokens=700, max_samples=20, buffer=300, buffer_bytes=5000, size=_length, seed=22
        ),
    )
    yield "stream, packed", online.packed(some, length=_length, capacity=512, buffer=300, seed=23)
    yield (
        "stream, packed, three in one",
        online.packed(chain, length=_length, capacity=256, packs=3, buffer=200, seed=24),
    )
    yield (
        "stream, packed in bytes",
        online.packed(some, length=_length, capacity=512, buffer=300, buffer_bytes=5000, size=_length, seed=25),
    )
    two = {"a": some, "b": range(10_000, 10_400)}
    shares = {"a": 0.7, "b": 0.3}
    yield "stream, mixed", online.mixed(two, target=shares, batch_size=10)
    yield "stream, mixed, going on", online.mixed(two, target=shares, batch_size=10, at_end="continue")
    yield "stream, mixed, anew", online.mixed(two, target=shares, batch_size=10, at_end="restart", steps=150)
    yield "stream, mixed by units", online.mixed(two, target=shares, batch_size=10, unit=_length, at_end="continue")
    yield "stream, mixed by a schedule", online.mixed(two, target=bw.targets.schedule(shares, "uniform", epochs=2))
    nested = online.mixed({"even": inner(seed=26), "shards": shards, "few": few}, target="uniform", at_end="restart")
    yield "stream of streams", online.packed(nested, length=_length, capacity=512, buffer=150, steps=90, seed=27)

    yield from streams_of_three_readers()


def streams_of_three_readers():
    """Every kind of stream for one reader and for each of three, and what two readers left, dealt to three."""
    online = bw.online
    some, two = range(1200), {"a": range(900), "b": range(10_000, 10_300)}
    four = {0: 0.4, 1: 0.3, 2: 0.2, 3: 0.1}
    shards = online.Sharded(range(0, 1200, 50), _fifty, shuffle=True, seed=30)
    pure = online.Sharded(
        [(g, s) for g in (0, 1, 2) for s in range(0, 300, 60)], _of_group, groups=[0] * 5 + [1] * 5 + [2] * 5
    )
    three = {0: 0.5, 1: 0.3, 2: 0.2}
    length = {"length": _length, "buffer": 150}
    balanced = {"key": _group, "batch_size": 12, "buffer": 100}
    kinds = {
        "waiting": (online.balanced, some, balanced | {"seed": 31}),
        "repeating": (online.balanced, shards, balanced | {"when_short": "repeat", "target": four, "seed": 32}),
        "redistributing": (online.balanced, shards, balanced | {"when_short": "redistribute", "seed": 33}),
        "of units": (
            online.balanced, some, balanced | {"when_short": "repeat", "unit": _length, "target": four, "seed": 34}
        ),
        "shards of one group": (
            online.balanced, pure, {"key": _first, "batch_size": 10, "target": three, "when_short": "repeat", "seed": 35}
        ),
        "budgeted": (online.budgeted, shards, length | {"max_tokens": 800, "seed": 36}),
        "packed": (online.packed, some, length | {"capacity": 256, "packs": 2, "seed": 37}),
        "mixed": (online.mixed, two, {"target": {"a": 0.7, "b": 0.3}, "batch_size": 10, "at_end": "continue"}),
        "mixed by units": (online.mixed, two, {"unit": _length, "batch_size": 10, "at_end": "continue"}),
        "mixed until all are seen": (online.mixed, two, {"batch_size": 10, "at_end": "all_seen"}),
    }  # fmt: skip
    for kind, (make, source, arguments) in kinds.items():
        yield f"stream, {kind}, one reader", make(source, **arguments)
        for rank in range(3):
            yield f"stream, {kind}, reader {rank} of three", make(source, **arguments, rank=rank, world_size=3)
        yield f"stream, {kind}, dealt to three", _Dealt(make, source, arguments)


def _fifty(start):
    return iter(range(start, start + 50))


def _first(sample):
    return sample[0]


def _of_group(shard):
    group, start = shard
    return [[group, start + number] for number in range(60)]


class _Dealt:
    """What three readers give of what two had left after seven batches each."""

    def __init__(self, make, source, arguments):
        self.make = lambda rank, world_size: make(source, **arguments, rank=rank, world_size=world_size)
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def state_dict(self):
        return self.make(0, 1).state_dict()

    def __iter__(self):
        states = []
        for rank in range(2):
            stream = self.make(rank, 2)
            stream.set_epoch(self.epoch)
            list(islice(stream, 7))
            states.append(stream.state_dict())
        for rank in range(3):
            stream = self.make(rank, 3)
            stream.load_state_dict(states)
            yield from stream


def told(item):
    """A batch with all that it knows of itself."""
    if not isinstance(item, bw.online.StreamBatch):
        return item
    return [item, list(item.groups), list(item.packs), list(item.repeats), sorted(item.redistributed.items())]


def by_pass(stream):
    """What a stream gives by "epoch/number", and of all that it gives in an epoch the count and a digest."""
    found = {}
    for epoch in (0, 1, 10**6):
        stream.set_epoch(epoch)
        items = list(stream)
        digest = hashlib.sha256(json.dumps(list(map(told, items))).encode()).hexdigest()[:16]
        found[f"{epoch}"] = [len(items), digest]
        for number in (0, 1, len(items) // 2, len(items) - 1) if items else ():
            found[f"{epoch}/{number}"] = items[number]
    return found


def vectors():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        endless = {name: {str(t): plan[t].tolist() for t in POSITIONS} for name, plan in plans()}
        return endless | {name: by_epoch(plan) for name, plan in epoch_plans()} | given_by_streams()


def given_by_streams():
    return {name: by_pass(stream) for name, stream in streams()}


def fingerprints():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        of_plans = {name: plan.fingerprint for name, plan in [*plans(), *epoch_plans()]}
        return of_plans | {name: _digest(stream.state_dict()["arguments"]) for name, stream in streams()}


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> int:
    found = {"fingerprints": fingerprints(), "vectors": vectors()}
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(found, separators=(",", ":")).replace('},"', '},\n"') + "\n")
        return 0
    same = found == json.loads(FILE.read_text())
    count = sum(len(rows) for rows in found["vectors"].values())
    verdict = "hold" if same else "DO NOT HOLD"
    print(f"{count} golden vectors {verdict} on Python {sys.version.split()[0]}, numpy {np.__version__}")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
