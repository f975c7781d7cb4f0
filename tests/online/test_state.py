from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchdata.stateful_dataloader import StatefulDataLoader

from batchwright import Infeasible, online, targets

from ..examples import examples
from .adversaries import ADVERSARIES, shuffled
from .small import Plain

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata's own call
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
    pytest.mark.filterwarnings(
        "ignore:waiting gave|group .* slots due to it|samples repeat within:batchwright.PoorWarning"
    ),
]

MODES = ["wait", "repeat", "redistribute"]


def halves(shard):
    return ((number, number * number % 7) for number in range(shard, shard + 97))


def listed(shard):
    return [(number, number % 5) for number in range(shard, shard + 60)]


SOURCES = {
    "list": lambda samples: samples,
    "iterable": lambda samples: type("Plain", (), {"__iter__": lambda self: iter(samples)})(),
    "strided": online.Strided,
    "shards": lambda samples: online.Sharded(range(0, 1000, 97), halves, shuffle=True),
    "sequences": lambda samples: online.Sharded(range(0, 1000, 60), listed),
    "chain": lambda samples: online.Chain([online.Sharded([0, 97], halves), samples, samples[:40]]),
    "opaque chain": lambda samples: online.Chain([online.Sharded([0, 97], halves), online.Strided(samples)]),
    "stream": lambda samples: online.balanced(samples, key=1, batch_size=3, buffer=90, batches=False),
}


@given(
    st.sampled_from(sorted(SOURCES)),
    st.sampled_from(ADVERSARIES),
    st.sampled_from(MODES),
    st.integers(0, 60),
    st.integers(1, 9),
    st.booleans(),
)
@examples(80)
def test_going_on_from_a_state_is_never_having_stopped(source, adversary, mode, stop, every, batches):
    def stream():
        samples = SOURCES[source](adversary(700, 6, 1))
        return online.balanced(samples, key=1, batch_size=5, buffer=120, when_short=mode, batches=batches)

    whole = list(stream())
    first = stream()
    iterator = iter(first)
    head, state = [], None
    for number, batch in enumerate(islice(iterator, stop), 1):
        head.append(batch)
        if number % every == 0:
            state = first.state_dict()
    state = copy.deepcopy(first.state_dict())
    list(islice(iterator, 3))
    second = stream()
    second.load_state_dict(state)
    assert second.state_dict() == state
    iter(second)  # loaders ask more than once before they begin
    list(iterator)
    rest = whole[len(head) :] or list(first)  # the next epoch begins where a state leaves nothing of one
    assert list(second) == rest
    assert second.report() == first.report()


def test_a_state_is_cheap_to_ask_for_at_every_batch():
    stream = online.balanced(shuffled(50_000, 10, 1), key=1, batch_size=10, buffer=2000)
    anchors = set()
    for _ in islice(stream, 4000):
        anchors.add(stream.state_dict()["run"]["anchor"])
    assert len(anchors) < 4000 / 20


@pytest.mark.parametrize(
    "source", [Plain, lambda them: online.Strided(Plain(them)), lambda them: online.Chain([[9], Plain(them)])]
)
def test_a_source_that_is_read_again_anyway_is_written_into_few_states(source):
    def anchors(samples):
        loader = online.balanced(source(range(samples)), key=lambda n: n % 7, batch_size=10, buffer=100).loader()
        return len({loader.state_dict()["run"]["anchor"] for _ in loader})

    few, many = anchors(2_000), anchors(16_000)
    assert many - few <= 11  # 10 times a quarter more is 9 times as much; one for each buffer's worth would be 140 more


def test_a_source_with_a_state_resumes_without_composing_much_again():
    source = type("Stateful", (Plain,), {"state_dict": dict, "load_state_dict": lambda self, state: None})(range(9_000))
    loader = online.balanced(source, key=lambda n: n % 7, batch_size=10, buffer=200).loader()
    assert max(loader.state_dict()["run"]["batches"] for _ in loader) <= 20


def test_samples_that_can_be_fetched_again_are_not_in_the_state():
    large = [("x" * 10_000, number % 3) for number in range(600)]
    stream = online.balanced(large, key=1, batch_size=6, buffer=300)
    next(iter(stream))
    assert len(stream.state_dict()["run"]["anchor"]) < 10_000

    plain = type("Plain", (), {"__iter__": lambda self: iter([(str(n) * 5000, n % 3) for n in range(600)])})()
    stream = online.balanced(plain, key=1, batch_size=6, buffer=300, state_bytes=100_000)
    next(iter(stream))
    with pytest.raises(Infeasible, match=r"the state takes [\d,]+ bytes and state_bytes is 100,000; pass state_bytes="):
        stream.state_dict()


def test_a_source_that_cannot_say_where_it_stands_is_refused_when_asked():
    stream = online.balanced(iter(range(1000)), key=lambda n: n % 2, batch_size=4, buffer=100)
    next(iter(stream))
    with pytest.raises(Infeasible, match="is an iterator: it can be read once and has no state_dict"):
        stream.state_dict()


def test_a_state_of_another_stream_or_another_reader_is_refused():
    samples = shuffled(500, 3, 0)
    stream = online.balanced(samples, key=1, batch_size=4, buffer=100)
    next(iter(stream))
    state = stream.state_dict()
    with pytest.raises(Infeasible, match="make the stream with the arguments"):
        online.balanced(samples, key=1, batch_size=5, buffer=100).load_state_dict(state)
    readers = [online.balanced(samples, key=1, batch_size=4, buffer=100, rank=rank, world_size=2) for rank in (0, 1)]
    next(iter(readers[0]))
    readers[1].load_state_dict(readers[0].state_dict())
    with pytest.raises(
        Infeasible, match="the state is of reader 0 of 2 and this is reader 1 of 2; the states of readers 1"
    ):
        iter(readers[1])


def square_roots(counts):
    return counts**0.5 / (counts**0.5).sum()


@pytest.mark.parametrize(
    "target",
    [
        lambda: square_roots,
        lambda: lambda counts: square_roots(counts),
        lambda: targets.schedule("natural", square_roots, epochs=3),
    ],
)
def test_a_function_as_target_is_the_same_in_another_process(target):
    """There it has another address, and here every call makes another function."""

    def stream():
        return online.balanced(shuffled(500, 3, 0), key=1, batch_size=4, buffer=100, target=target())

    first = stream()
    iterator = iter(first)
    next(iterator)
    second = stream()
    second.load_state_dict(first.state_dict())
    assert list(second) == list(iterator)


def test_epochs_advance_by_themselves_and_obey_set_epoch():
    stream = online.balanced(shuffled(400, 4, 0), key=1, batch_size=8, buffer=100)
    first, second = list(stream), list(stream)
    assert first != second
    stream.set_epoch(0)
    assert list(stream) == first
    stream.set_epoch(1)
    iterator = iter(stream)
    head = [next(iterator), next(iterator)]
    state = stream.state_dict()
    stream.load_state_dict(state)
    stream.set_epoch(1)
    assert head + list(stream) == second
    stream.load_state_dict(state)
    stream.set_epoch(0)
    assert list(stream) == first


def test_the_end_of_an_epoch_is_the_beginning_of_the_next():
    def stream(**arguments):
        return online.balanced(shuffled(400, 4, 0), key=1, batch_size=8, buffer=100, **arguments)

    for arguments in ({}, {"steps": 40}, {"batches": False}, {"steps": 20, "rank": 1, "world_size": 2}):
        first = stream(**arguments)
        epochs = [list(first) for _ in range(3)]
        ended, stopped = stream(**arguments), stream(**arguments)
        list(ended)
        list(islice(stopped, len(epochs[0])))  # the last batch was given, and that it was the last is not known yet
        for state in (ended.state_dict(), stopped.state_dict()):
            again = stream(**arguments)
            again.load_state_dict(state)
            assert [list(again), list(again)] == epochs[1:]
            again.load_state_dict(state)
            again.set_epoch(1)
            assert list(again) == epochs[1]


def test_a_rank_that_has_nothing_left_waits_for_the_others():
    def stream():
        return online.balanced(
            shuffled(400, 4, 0), key=1, batch_size=8, buffer=100, rank=1, world_size=2, when_short="redistribute"
        )

    first = stream()
    whole, following = list(first), list(first)
    ended = stream()
    list(ended)
    again = stream()
    again.load_state_dict(ended.state_dict())
    assert [list(again), list(again)] == [[], following]
    assert whole != following


@pytest.mark.parametrize(
    "source",
    [
        lambda seed: online.balanced(range(600), key=lambda n: n % 2, batch_size=8, batches=False, seed=seed),
        lambda seed: online.Sharded(range(0, 600, 50), lambda start: range(start, start + 50), shuffle=True, seed=seed),
        lambda seed: online.Chain([range(100), online.Sharded([7], range, shuffle=True, seed=seed)]),
        lambda seed: online.mixed(
            {"a": online.balanced(range(600), key=lambda n: n % 2, batch_size=8, batches=False, seed=seed)}
        ),
    ],
)
def test_a_state_is_refused_where_what_is_read_has_another_seed(source):
    def stream(seed):
        return online.packed(source(seed), length=lambda n: 1 + n % 5, capacity=20, buffer=50)

    first = stream(0)
    head = list(islice(first, 3))
    assert len(head) == 3
    with pytest.raises(Infeasible, match="make the stream with the arguments it was stopped with"):
        stream(1).load_state_dict(first.state_dict())
    again = stream(0)
    again.load_state_dict(first.state_dict())
    assert head + list(again) == list(stream(0))


def loader(workers, source="shards"):
    samples = SOURCES[source](shuffled(1500, 6, 1))
    stream = online.balanced(samples, key=1, batch_size=5, buffer=150, when_short="repeat")
    return StatefulDataLoader(stream, batch_size=None, num_workers=workers, collate_fn=list)


@pytest.mark.parametrize(("source", "workers"), [("shards", 0), ("shards", 2), ("list", 3), ("strided", 2)])
def test_a_stateful_loader_goes_on_where_it_stopped(workers, source):
    whole = list(loader(workers, source))
    for stop in (1, len(whole) // 2, len(whole) - 1):
        first = loader(workers, source)
        iterator = iter(first)
        head = [next(iterator) for _ in range(stop)]
        state = first.state_dict()
        second = loader(workers, source)
        second.load_state_dict(state)
        assert head + list(second) == whole


def test_after_a_kill_the_sequence_is_the_same(tmp_path):
    """A child trains with two workers, checkpoints, and is killed; the next child goes on."""
    log, checkpoint = tmp_path / "log", tmp_path / "checkpoint"
    child = [sys.executable, "-m", __spec__.name, str(log), str(checkpoint)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([*child, "31"], env=environment) as process:
        assert process.wait(120) == -signal.SIGKILL
    subprocess.run([*child, "-1"], env=environment, check=True, timeout=120)
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    batches = dict(seen)
    assert len(seen) > len(batches), "the killed run went beyond its checkpoint, or this shows nothing"
    assert all(batches[step] == batch for step, batch in seen)
    whole = [json.loads(json.dumps(batch)) for batch in loader(2)]
    assert [batches[step] for step in sorted(batches)] == whole


def train(log, checkpoint, kill_at):
    training, step = loader(2), 0
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, weights_only=False)
        training.load_state_dict(saved["loader"])
        step = saved["step"]
    with open(log, "a") as lines:
        for batch in training:
            lines.write(json.dumps([step, batch]) + "\n")
            lines.flush()
            step += 1
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if step % 10 == 0:
                torch.save({"loader": training.state_dict(), "step": step}, checkpoint)


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], int(sys.argv[3]))
