"""A run that stops and goes on with other ranks and workers: nothing is lost, nothing comes twice."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from batchwright import Infeasible, online
from batchwright.online.encoded import decoded, encoded
from batchwright.online.pieces import Piece, dealt_pieces

from ..examples import examples
from .elsewhere import COUNT, EXACT, OTHERS, SAMPLES, SOURCES, STREAMS, Plain, balanced, wander

pytestmark = [
    pytest.mark.filterwarnings("ignore::batchwright.PoorWarning"),  # of small sources
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]


@pytest.mark.parametrize("source", sorted(SOURCES))
@pytest.mark.parametrize("kind", sorted(STREAMS))
def test_a_run_goes_on_with_any_readers(kind, source):
    wander(kind, source, seed=len(kind) + 31 * len(source), changes=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200))
def test_a_run_goes_on_through_many_changes(seed):
    kinds, sources = sorted(STREAMS), sorted(SOURCES)
    wander(kinds[seed % len(kinds)], sources[seed // len(kinds) % len(sources)], seed, changes=1 + seed % 5)


@pytest.mark.parametrize("source", ["list", "strided", "chain"])
def test_what_was_in_full_buffers_goes_on_through_several_changes(source):
    """The source was read to its end by seven; what one reader is left of their buffers is more than its own can hold."""
    given, state = [], None
    for readers, batches in ((7, None), (1, 1), (2, 2), (1, 10**6)):
        streams = [STREAMS["budgeted"](SOURCES[source](), rank=rank, world_size=readers) for rank in range(readers)]
        for stream in streams:
            if state is not None:
                stream.load_state_dict(state)
            for number, batch in enumerate(stream, 1):
                given.append(batch)
                if number == batches or (batches is None and stream.report().read >= COUNT // readers):
                    break
        state = [stream.state_dict() for stream in streams]
    assert Counter(sample for batch in given for sample in batch) == Counter(SAMPLES)


@pytest.mark.parametrize("kind", ["redistributing", "mixed", "packed"])
def test_as_many_readers_go_on_as_if_nothing_had_happened(kind):
    def streams():
        return [STREAMS[kind](SAMPLES, rank=rank, world_size=3) for rank in range(3)]

    whole = [list(stream) for stream in streams()]
    first = streams()
    heads = [list(islice(stream, 5 + rank)) for rank, stream in enumerate(first)]
    state = online.merged([stream.state_dict() for stream in reversed(first)])
    again = streams()
    for stream in again:
        stream.load_state_dict(state)
    assert [head + list(stream) for head, stream in zip(heads, again, strict=True)] == whole


def test_shares_and_deficits_go_on():
    """Of a mixture and of a balanced stream, over all readers before and after."""
    had = Counter()
    state = None
    for readers in (1, 4, 3, 1):
        mixtures = [
            online.mixed({"a": SAMPLES, "b": OTHERS}, target={"a": 0.8, "b": 0.2}, batch_size=1, rank=rank,
                         world_size=readers)
            for rank in range(readers)
        ]  # fmt: skip
        for mixture in mixtures:
            if state is not None:
                mixture.load_state_dict(state)
            for batch in islice(mixture, 37):
                had.update(batch.groups)
        total = sum(had.values())
        assert abs(had["a"] - 0.8 * total) <= 2 + 2 * readers
        assert Counter(mixtures[0].report().had) <= had
        state = [mixture.state_dict() for mixture in mixtures]
    state = None
    for readers in (2, 5, 1):
        streams = [
            balanced(SAMPLES, when_short="redistribute", max_deficit=40, rank=rank, world_size=readers)
            for rank in range(readers)
        ]
        for stream in streams:
            if state is not None:
                stream.load_state_dict(state)
            list(islice(stream, 3))
        reports = [stream.report() for stream in streams]
        owed = Counter()
        for report in reports:
            assert sum(report.deficit.values()) == 0
            owed.update(report.deficit)
        planned, had = (
            sum((Counter(getattr(report, name)) for report in reports), Counter()) for name in ("expected", "had")
        )
        assert {group: planned[group] - had[group] for group in planned} == {group: owed[group] for group in planned}
        state = [stream.state_dict() for stream in streams]


def test_rare_samples_can_be_repeated_by_every_new_reader():
    samples = [(n, int(n < 3)) for n in range(600)]  # the rare ones come first, and never again
    for source in (samples, online.Strided(Plain(samples))):
        first = balanced(source, when_short="repeat")
        list(islice(first, 4))
        for rank in range(3):
            stream = balanced(source, when_short="repeat", rank=rank, world_size=3)
            stream.load_state_dict(first.state_dict())
            batches = list(stream)
            assert len(batches) > 10
            assert all(batch.groups.count(1) == 4 for batch in batches)
            assert {sample for batch in batches for sample in batch if sample[1]} <= set(samples[:3])


def test_a_run_of_steps_has_as_many_in_all():
    def streams(readers):
        return [
            balanced(SAMPLES, when_short="repeat", steps=20, rank=rank, world_size=readers) for rank in range(readers)
        ]

    first = streams(3)
    for stream in first:
        list(islice(stream, 8))
    again = streams(2)
    for stream in again:
        stream.load_state_dict([one.state_dict() for one in first])
    assert [len(list(stream)) for stream in again] == [12, 12]


def test_shards_of_one_class_go_on_too():
    def source():
        shards = [(group, start) for group in "ab" for start in range(0, 200, 50)]
        return online.Sharded(
            shards,
            lambda shard: [(shard[0], n) for n in range(shard[1], shard[1] + 50)],
            groups=[one for one, _ in shards],
        )

    for when_short in ("wait", "repeat", "redistribute"):
        given, state = [], None
        for readers in (3, 2, 1):
            streams = [
                online.balanced(source(), key=0, batch_size=4, when_short=when_short, rank=rank, world_size=readers)
                for rank in range(readers)
            ]
            for stream in streams:
                if state is not None:
                    stream.load_state_dict(state)
                given += islice(stream, 1000 if readers == 1 else 9)
            state = [stream.state_dict() for stream in streams]
        fresh = Counter(sample for batch in given for at, sample in enumerate(batch) if at not in batch.repeats)
        assert max(fresh.values()) == 1
        assert len(fresh) >= 396
        assert all(Counter(batch.groups) == {"a": 2, "b": 2} for batch in given if not batch.redistributed)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(0, 30))), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 7)), min_size=1, max_size=5),
)
@examples(100)
def test_pieces_are_dealt_whole(shards, changes):
    """Of every shard, all numbers that were left are left to one reader, through any number of changes."""
    lengths = [40 + 3 * at for at in range(len(shards))]
    left = [{"pieces": [Piece(at, [[0, 1]], [])], "remembered": []} for at in range(len(shards))]
    done = Counter()
    for readers, taken in changes:
        positions = dealt_pieces(left, readers)
        left = []
        for position in positions:
            pieces = [Piece(*json.loads(json.dumps(piece))) for piece in position["pieces"]]
            after = []
            for piece in pieces:
                numbers = list(islice((n for n in piece.numbers() if n < 10**6), taken))
                numbers = [number for number in numbers if number < lengths[piece.shard]]
                done.update((piece.shard, number) for number in numbers)
                after.append(piece.after(len(numbers)))
            left.append({"pieces": after, "remembered": []})
        runs = Counter(piece.shard for one in left for piece in one["pieces"] for _ in piece.runs)
        assert all(count <= 2 * max(number for number, _ in changes) for count in runs.values())
    for position in dealt_pieces(left, 3):
        for piece in (Piece(*piece) for piece in position["pieces"]):
            for number in piece.numbers():
                if number >= lengths[piece.shard]:
                    break
                done[piece.shard, number] += 1
    assert done == Counter({(at, number): 1 for at, count in enumerate(lengths) for number in range(count)})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
    | st.complex_numbers() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.dictionaries(st.integers(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
@examples(200)
def test_what_is_written_is_read_as_it_was(value):
    again = decoded(json.loads(json.dumps(encoded(value), allow_nan=False)))
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    "value",
    [np.arange(6.0).reshape(2, 3), np.float32(1.5), np.str_("é"), np.array("a"), np.zeros((0, 3), np.uint8),
     frozenset({1, 2}), {3, "b"}, torch.arange(4), torch.ones(2, 2, dtype=torch.bfloat16), torch.tensor(3.5),
     {"a": np.int64(7)}],
    ids=lambda value: type(value).__name__,  # the text of a set differs between processes
)  # fmt: skip
def test_arrays_and_tensors_are_read_as_they_were(value):
    again = decoded(json.loads(json.dumps(encoded(value))))
    assert again == value if isinstance(value, (set, frozenset)) else repr(again) == repr(value)
    assert getattr(again, "dtype", None) == getattr(value, "dtype", None)


def test_a_state_runs_no_code():
    stream = balanced(online.Strided(Plain(SAMPLES)))
    next(iter(stream))
    text = json.dumps(stream.state_dict())
    assert json.loads(text) == stream.state_dict()

    class Own:
        def __hash__(self):
            return 1

    stream = online.packed(Plain([Own()] * 50), length=lambda sample: 1, capacity=5)
    next(iter(stream))
    with pytest.raises(Infeasible, match=r"the state would hold a value of type .*Own, which cannot be written"):
        stream.state_dict()


@pytest.mark.parametrize(("kind", "source"), [("packed", "shards"), ("redistributing", "list"), ("mixed", "strided")])
def test_a_loader_counts_what_reached_the_loop(kind, source):
    """With workers, which read ahead; then with other workers, through an epoch's end."""
    given, state = [], None
    for workers, take in ((2, 11), (3, 7), (0, 10**6)):
        loader = STREAMS[kind](SOURCES[source]()).loader(
            num_workers=workers, collate=unchanged, **{"prefetch_factor": 4} if workers else {}
        )
        if state is not None:
            loader.load_state_dict(json.loads(json.dumps(state)))
            assert loader.state_dict() == state
        given += islice(loader, take)
        state = loader.state_dict()
    fresh = Counter(sample for batch in given for sample in batch)
    assert max(fresh.values()) == 1
    if kind in EXACT:
        assert len(fresh) == COUNT + (len(OTHERS) if kind == "mixed" else 0)
    again = STREAMS[kind](SOURCES[source]()).loader(num_workers=1, collate=unchanged)
    again.load_state_dict(state)
    stream = STREAMS[kind](SOURCES[source]())
    stream.set_epoch(1)
    assert list(islice(again, 3)) == list(islice(stream, 3))


def unchanged(batch):
    return batch


def test_a_loader_that_goes_on_with_as_many_workers_goes_on_exactly():
    def loader():
        return STREAMS["packed"](SOURCES["shards"]()).loader(num_workers=2)

    whole = list(loader())
    for stop in (1, 8, len(whole) - 1, len(whole)):
        first = loader()
        head = list(islice(first, stop))
        again = loader()
        again.load_state_dict(first.state_dict())
        rest = list(again)
        if stop < len(whole):
            assert head + rest == whole
        else:
            assert Counter(length for batch in rest for length in batch) == Counter(s for b in whole for s in b)


def test_states_of_the_loaders_of_all_ranks_are_loaded_by_others():
    given, states = [], []
    for rank in range(2):
        loader = STREAMS["packed"](SAMPLES, rank=rank, world_size=2).loader(num_workers=2)
        given += islice(loader, 5)
        states.append(loader.state_dict())
    for rank in range(3):
        loader = STREAMS["packed"](SAMPLES, rank=rank, world_size=3).loader()
        loader.load_state_dict(states)
        given += loader
    assert Counter(sample for batch in given for sample in batch) == Counter(SAMPLES)


def test_after_a_kill_other_workers_go_on(tmp_path):
    """A child trains, saves and is killed; the next one has other workers. What came after the last save comes again."""
    log, checkpoint = tmp_path / "log", tmp_path / "checkpoint"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for workers, kill_at, code in ((2, 23, -signal.SIGKILL), (1, -1, 0)):
        child = [sys.executable, "-m", __spec__.name, str(log), str(checkpoint), str(workers), str(kill_at)]
        with subprocess.Popen(child, env=environment) as process:
            assert process.wait(120) == code
    runs = [[]]
    for line in log.read_text().splitlines():
        step, batch = json.loads(line)
        if step == 20 and len(runs[0]) > 20:
            runs.append([])
        runs[-1].append(batch)
    assert len(runs[0]) == 23
    seen = Counter(number for batch in runs[0][:20] + runs[1] for number, _ in batch)
    assert seen == Counter(number for number, _ in SAMPLES)


def train(log, checkpoint, workers, kill_at):
    loader, step = STREAMS["packed"](SOURCES["shards"]()).loader(num_workers=workers), 0
    if os.path.exists(checkpoint):
        with open(checkpoint) as file:
            saved = json.load(file)
        loader.load_state_dict(saved["loader"])
        step = saved["step"]
    with open(log, "a") as lines:
        for batch in loader:
            lines.write(json.dumps([step, batch]) + "\n")
            lines.flush()
            step += 1
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if step % 10 == 0:
                with open(f"{checkpoint}.new", "w") as file:
                    json.dump({"loader": loader.state_dict(), "step": step}, file)
                os.replace(f"{checkpoint}.new", checkpoint)


def test_a_state_is_of_the_size_of_shards_and_buffer():
    sizes = []
    for count in (2000, 20_000):
        stream = online.packed([("x" * 1000, n) for n in range(count)], length=lambda sample: 1, capacity=5, buffer=100)
        for _ in islice(stream, count // 10):
            pass
        states = [stream.state_dict()]
        other = online.packed(
            [("x" * 1000, n) for n in range(count)],
            length=lambda sample: 1,
            capacity=5,
            buffer=100,
            rank=0,
            world_size=2,
        )
        other.load_state_dict(states)
        next(iter(other))
        sizes.append(len(json.dumps(other.state_dict())))
    assert max(sizes) < 6000
    assert math.isclose(*sizes, rel_tol=0.2)


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
