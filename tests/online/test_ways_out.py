"""Every refusal of a stream: its fact, a message of bounded length, and its way out, which is followed here and works."""

from __future__ import annotations

import datetime
import re
from itertools import islice

import datasets
import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader, IterableDataset

from batchwright import Infeasible, online, targets
from batchwright.online.as_source import as_source
from batchwright.online.replicas import Replica

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .small import NUMBERS, Own, Plain, balance, mix, one, pack, third
from .test_ways_out_of_files import FILES, STATES, folder

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

TEXTS = [str(number) * 500 for number in NUMBERS]


class Standing(Plain):
    """With a state of its own."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Rest(Standing):
    """An iterator with a state."""

    def __next__(self):
        return next(self.samples)


class Anew(Plain):
    """Each of its iterators has a state."""

    def __iter__(self):
        return Rest(iter(self.samples))


class ItsOwnIterator(Rest, IterableDataset):
    def __iter__(self):
        self.samples = iter(NUMBERS)
        return self


def hugging_face(shards=2):
    return datasets.Dataset.from_dict({"n": NUMBERS}).to_iterable_dataset(num_shards=shards)


def short_stream(batch_size):
    """A stream of two samples."""
    return online.balanced([0, 0], key=one, batch_size=batch_size, when_short="redistribute", batches=False)


def of_one_group(groups):
    """Shards of one group each, of which only the first has samples."""
    return online.Sharded(range(len(groups)), lambda at: [groups[0]] * 400 if at == 0 else [], groups=list(groups))


def read(stream):
    assert list(islice(stream, 40))


def state_of(stream, batches=3):
    iterator = iter(stream)
    list(islice(iterator, batches))
    return stream.state_dict()


def resume(stream, state):
    stream.load_state_dict(state)
    read(stream)


def resume_both(saved, stream):
    resume(stream, state_of(saved))


def dealt_to_one():
    """A stream to which was dealt what was left to two readers."""
    both = [pack(Own(shards(6)), rank=rank, world_size=2) for rank in range(2)]
    stream = pack(Own(shards(6)))
    stream.load_state_dict(list(map(state_of, both)))
    return stream


def resume_elsewhere(saved, stream):
    next(iter(saved))
    stream.load_state_dict(saved.state_dict())
    list(stream)


def of_worker(source, **replica):
    return list(as_source(source, name="it").reader(Replica(**replica), 0).open(None))


def shards(number):
    return online.Sharded(range(number), lambda shard: iter(range(10)))


def following(call, number):
    """What is given if a call is made again with the number that its refusal says to pass."""
    try:
        call()
    except Infeasible as refusal:
        return int(re.search(number, refusal.way_out)[1])
    raise AssertionError("it was not refused")


def damaged(**entries):
    return {**state_of(pack()), **entries}


CASES = cases("refuse message follow", {  # what is refused, what is said of it, and what its way out says to do
    "path": (lambda: pack("a.tar"), "source 'source' is a str, 'a.tar'; pass online.tar('a.tar')",
             lambda: read(pack(online.tar(folder() / "a.tar")))),
    "path of no kind": (lambda: pack("data"), "is a str, 'data'; pass the reader of its format (online.tar(path), online",
                        lambda: read(pack(online.parquet(folder() / "a.parquet")))),
    "split already": (
        lambda: read(pack(split_dataset_by_node(hugging_face(), rank=0, world_size=2), rank=0, world_size=2)),
        "source 'source' was split over nodes already, and 2 ranks would split it again; pass the dataset as it was",
        lambda: read(pack(hugging_face(), rank=0, world_size=2))),
    "few shards": (
        lambda: of_worker(hugging_face(), workers=3, all_read=True),
        "source 'it' has 2 shards here and each of 3 workers needs one; pass num_workers=2 to the loader",
        lambda: of_worker(hugging_face(), workers=2, all_read=True)),
    "when_short": (lambda: balance(when_short="x" * 9999), "when_short is 'xxxx", lambda: balance(when_short="wait")),
    "buffer": (lambda: balance(buffer=5), "buffer is 5 and batch_size is 6: when_short='wait' needs 6 places; pass",
               lambda: read(balance(buffer=6))),
    "groups": (lambda: read(balance(range(9999), key=int)), "groups were seen and a buffer of 30 samples has room for 23",
               lambda: read(balance(range(300), key=int, buffer=8 * 300))),
    "a few more groups": (
        lambda: read(balance(range(28), key=int, batch_size=28)), "27 groups were seen and a buffer of 30 samples has room",
        lambda: read(balance(range(28), key=int, batch_size=28, buffer=following(
            lambda: read(balance(range(28), key=int, batch_size=28)), r"=(\d+)")))),
    "bytes without size": (lambda: pack(buffer_bytes=9), "buffer_bytes is given and size is not; pass both or neither",
                           lambda: read(pack(buffer_bytes=9, size=one))),
    "few bytes": (lambda: balance(buffer_bytes=1, size=one, when_short="repeat"),
                  "buffer_bytes is 1, the least is 2; pass buffer_bytes=2 or more",
                  lambda: read(balance([1], key=one, batch_size=1, buffer_bytes=2, size=one, when_short="repeat"))),
    "a share for no group": (
        lambda: read(balance(target={0: 0.25, 1: 0.25, 2: 0.25, "x" * 9999: 0.25}, buffer=99)),
        "was given 25.00% of every batch, source 'source' ended after 60 samples without one of it",
        lambda: read(balance(target={0: 0.25, 1: 0.25, 2: 0.5, 7: 0}))),
    "a share for a group of empty shards": (
        lambda: read(online.balanced(of_one_group("ab"), key=0, batch_size=4, buffer=16)),
        "group 'b' was given 50.00% of every batch, and its shards of source 'shards' have no sample",
        lambda: (read(online.balanced(of_one_group("ab"), key=0, batch_size=4, buffer=16, target={"a": 1, "b": 0})),
                 read(online.balanced(of_one_group("ab"), key=0, batch_size=4, buffer=16, when_short="redistribute")))),
    "a share for no group, others instead": (
        lambda: read(balance(target={0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}, buffer=99)), "group 3 was given 25.00% of every",
        lambda: read(balance(target={0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}, when_short="redistribute"))),
    "key": (lambda: balance(key=None), "key is None; pass key as a function of a sample, or as the name of an entry",
            lambda: (read(balance(key=third)), read(balance([(n, n % 3) for n in NUMBERS], key=1)))),
    "key True": (lambda: balance(key=True), "key is True; pass key as a function", lambda: balance(key=third)),
    "length": (lambda: pack(length=2.5), "length is 2.5; pass length as a function", lambda: pack(length=one)),
    "on_error": (lambda: pack(on_error="ignore"), "on_error is 'ignore'; pass 'raise' or 'skip'",
                 lambda: pack(on_error="skip")),
    "broken sample": (
        lambda: read(pack(length=lambda n: 1 / (n - 1234), source=range(1230, 1260), capacity=9)),
        "sample 0 of source 'source': its length is -0.25, the least is 1; mend the sample, or pass on_error=\"skip\"",
        lambda: read(pack([1, 2, 0, 3], length=int, on_error="skip"))),
    "broken key": (
        lambda: list(balance(range(9000), key=lambda n: 1 // (1234 - n) if n > 1230 else third(n))),
        "sample 1,234 of source 'source': key raised ZeroDivisionError: ",
        lambda: read(balance(key=lambda n: 1 // (5 - n), on_error="skip", when_short="redistribute"))),
    "label None": (lambda: read(balance([(1, None)], key=1, batch_size=1)), "key gives None, and a missing label names no",
                   lambda: read(balance([(1, None), (2, "a")], key=1, batch_size=1, on_error="skip"))),
    "long error": (lambda: read(balance(key=lambda n: {}["x" * 99_999])), "sample 0 of source 'source': key raised KeyError",
                   lambda: read(balance(key=third))),
    "an entry that is missing": (
        lambda: read(balance([{"v": 1}], key="k", batch_size=1)),
        "sample 0 of source 'source': key raised KeyError: 'k' (the sample has ['v']); mend the sample, or pass",
        lambda: read(balance([{"v": 1}], key="v", batch_size=1))),
    "a stream too short for its batches": (
        lambda: read(mix({"a": short_stream(3), "b": NUMBERS}, at_end="all_seen")),
        "source 'a' gave this reader 0 samples and is to restart",
        lambda: read(mix({"a": short_stream(2), "b": NUMBERS}, at_end="all_seen"))),
    "no limit": (lambda: online.budgeted(NUMBERS, length=one), "neither max_tokens nor max_samples is a limit; pass one",
                 lambda: read(online.budgeted(NUMBERS, length=one, max_samples=3))),
    "capacity": (lambda: pack(capacity=0.5), "capacity is 0.5, the least is 1; pass capacity=1 or more",
                 lambda: read(pack(capacity=1))),
    "at_end": (lambda: mix(at_end="go on"), "at_end is 'go on'; pass 'stop', 'continue', 'restart' or 'all_seen'",
               lambda: read(mix(at_end="continue"))),
    "stages": (lambda: mix(target=targets.stages({0: {"a": 0.5, "b": 0.5}, 10: {"a": 0.1, "b": 0.9}})),
              "changes at micro-batches, and the target of a stream changes from epoch to epoch",
              lambda: read(mix(target=targets.schedule({"a": 0.5, "b": 0.5}, {"a": 0.1, "b": 0.9}, epochs=2)))),
    "sizes": (lambda: mix(target="natural"),
              "the sources, and the sizes of streams are not known; pass a share for each source by name",
              lambda: read(mix(target={"a": 0.5, "b": 0.5}))),
    "nothing to restart": (
        lambda: read(mix({"a": NUMBERS, "b": []}, at_end="restart")),
        "source 'b' gave this reader 0 samples and is to restart; pass at_end=\"continue\"",
        lambda: read(mix({"a": NUMBERS, "b": []}, at_end="continue"))),
    "nothing sound to restart": (
        lambda: read(mix({"a": NUMBERS, "b": [0, 0]}, unit=lambda n: n or -1, on_error="skip", at_end="all_seen")),
        "source 'b' gave this reader 2 samples, all skipped, and is to restart; pass at_end=\"continue\", mend the",
        lambda: (read(mix({"a": NUMBERS, "b": [0, 0]}, unit=lambda n: n or -1, on_error="skip", at_end="continue")),
                 read(mix({"a": NUMBERS, "b": [1, 0]}, unit=lambda n: n or -1, on_error="skip", at_end="all_seen")))),
    "rank beyond": (lambda: pack(rank=2, world_size=2), "rank is 2 of a world of 2; pass 0 <= rank < world_size",
                    lambda: read(pack(rank=1, world_size=2))),
    "rank alone": (lambda: pack(rank=1), "rank is 1 and world_size is None; pass both or neither",
                   lambda: read(pack(rank=1, world_size=2))),
    "large state": (
        lambda: state_of(pack(Plain(), state_bytes=50)), "bytes and state_bytes is 50; pass state_bytes=",
        lambda: state_of(pack(Plain(), state_bytes=following(
            lambda: state_of(pack(Plain(), state_bytes=50)), r"state_bytes=(\d+)")))),
    "large state, in shards": (
        lambda: state_of(pack(Plain(TEXTS), state_bytes=2500)), "state_bytes is 2,500; pass state_bytes=",
        lambda: state_of(pack(online.Sharded(range(0, 60, 10), lambda at: TEXTS[at : at + 10]), state_bytes=2500))),
    "no shards": (lambda: online.Sharded([], iter), "source 'shards' has 0 shards; pass at least one",
                  lambda: read(pack(shards(1)))),
    "a set of shards": (lambda: online.Sharded({1, 2}, iter), "the shards of source 'shards' are a set, whose order is anot",
                        lambda: online.Sharded(sorted({1, 2}), iter)),
    "text for shards": (lambda: online.Sharded("ab", iter), "the shards of source 'shards' are 'ab', one str; pass [shards]",
                        lambda: read(pack(online.Sharded(["ab"], iter), length=len))),
    "a set of sources": (lambda: online.Chain({"a", "b"}), "the sources of chain 'chain' are a set, whose order is another",
                         lambda: online.Chain([NUMBERS, NUMBERS])),
    "no sources": (lambda: online.Chain([]), "chain 'chain' has 0 sources; pass at least one",
                   lambda: read(pack(online.Chain([NUMBERS])))),
    "len of entries": (
        lambda: read(pack([{"ids": [1, 2]}] * 9, length=len)), "length=len gives 1, the number of entries of a sample, wh",
        lambda: read(pack([{"ids": [1, 2]}] * 9, length=lambda sample: len(sample["ids"])))),
    "beyond the shards": (
        lambda: resume_both(pack(Own(shards(6))), pack(Own(shards(1)))),
        "of this reader's and source 'shards' has 1 for it; resume with the source that the stream was stopped with",
        lambda: resume_both(pack(Own(shards(6))), pack(Own(shards(6))))),
    "a shard that is gone": (
        lambda: resume_elsewhere(dealt_to_one(), pack(Own(shards(1)))),
        "of source 'shards', which has 1 now; resume with the source that the stream was stopped with",
        lambda: resume_elsewhere(dealt_to_one(), pack(Own(shards(6))))),
    "shorter": (
        lambda: resume_both(pack(Plain()), pack(Plain(NUMBERS[:9]))),
        "the state has read 20 samples where source 'source' has fewer",
        lambda: resume_both(pack(Plain()), pack(Plain()))),
    "shares in order": (
        lambda: balance(target=[0.5, 0.25, 0.25]), "[0.5, 0.25, 0.25] gives shares in the order of the groups, and the gr",
        lambda: read(balance(target={0: 0.5, 1: 0.25, 2: 0.25}))),
    "a function by order": (
        lambda: read(balance(target=lambda counts: [0.5, 0.25, 0.25])), "gives other shares where the groups are in anothe",
        lambda: (read(balance(target={0: 0.5, 1: 0.25, 2: 0.25})),
                 read(balance(target=lambda counts: counts / counts.sum())))),
    "numbers of samples": (
        lambda: balance(target=targets.effective_number(0.9)), "needs the number of samples of each group, which is not k",
        lambda: read(balance(target={0: 0.5, 1: 0.25, 2: 0.25}))),
    "lengths of samples": (
        lambda: balance(target=targets.in_units("uniform", NUMBERS)), "needs a list of the lengths of all samples, which a",
        lambda: (read(balance(unit=one)), read(mix(unit=one)))),
    "target by what is no label": (
        lambda: balance(target={None: 0.5, 1: 0.5}), "target names None, and a missing label names no group; pass target",
        lambda: read(balance(target={0: 0.5, 1: 0.5, 2: 0}))),
    "natural by nan": (
        lambda: balance(target=0.5, natural={float("nan"): 0.5, 1: 0.5}), "natural names nan, which is not equal to",
        lambda: read(balance(target=0.5, natural={0: 0.4, 1: 0.3, 2: 0.3}))),
    "state of the source": (
        lambda: resume_both(pack(Standing()), pack(Plain())),
        "the state holds a state that source 'source' gave, and the source has no load_state_dict now; resume with",
        lambda: resume_both(pack(Standing()), pack(Standing()))),
    "iterator": (
        lambda: state_of(pack(iter(NUMBERS))), "source 'source' is an iterator: it can be read once and has no state_dict",
        lambda: state_of(pack(NUMBERS))),
    "exhausted iterator": (lambda: list(pack(iter(()))), "source 'source' is an iterator, which has no sample left, or",
                           lambda: read(pack(NUMBERS))),
    "iterator again": (lambda: [list(it) for it in [pack(iter(NUMBERS))] * 2], "which was read to its end before; pass",
                       lambda: [list(it) for it in [pack(Plain())] * 2]),
    "iterator that was begun": (
        lambda: [next(iter(it)) for it in [pack(iter(NUMBERS))] * 2], "and a loop before this one has read a part of it;",
        lambda: loop_in_two_parts(pack(iter(NUMBERS)))),
    "no ranks": (lambda: read(pack(Plain(), rank=0, world_size=2)), "source 'source' cannot be split and 2 ranks want to",
                 lambda: (read(pack(online.Strided(Plain()), rank=0, world_size=2)),
                          read(pack(online.SelfSplit(Plain()), rank=0, world_size=2)))),
    "no workers": (lambda: of_worker(Plain(), workers=2, all_read=True), "source 'it' cannot be split and each of 2",
                   lambda: (of_worker(Plain(), workers=1, all_read=True), of_worker(shards(2), workers=2, all_read=True))),
    "strided iterator": (lambda: read(pack(online.Strided(iter(NUMBERS)))), "it can be read once, not by 1 replicas; pass",
                         lambda: read(pack(online.Strided(Plain())))),
    "a number of too many digits": (
        lambda: state_of(pack(Plain([10**5000] * 60))), "the state would hold a value that JSON cannot: Exceeds the limit",
        lambda: state_of(pack(Plain([10**50] * 60)))),
    "labels that are no data": (
        lambda: state_of(balance(key=lambda n: datetime.date(2020, 1, 1 + n % 3))),
        "groups by their labels, and key gives a value of type datetime.date, which cannot be written without pick",
        lambda: (state_of(balance(key=lambda n: str(datetime.date(2020, 1, 1 + n % 3)))), state_of(balance()))),
    "samples that are no data": (
        lambda: state_of(pack(Plain([object()] * 60))), "a value of type builtins.object, which cannot be written without",
        lambda: (state_of(pack([object()] * 60)), state_of(pack(Plain([{"a": 1}] * 60))))),
    "no state": (lambda: pack().load_state_dict(None), "the state is None; load what state_dict() gave",
                 lambda: resume_both(pack(), pack())),
    "other version": (lambda: resume(pack(), damaged(version=1)), "the state is of version 1 and states are of version 6",
                      lambda: read(pack())),
    "no entries": (lambda: resume(pack(), {"version": 6}), "the state has no arguments, contents, epoch, replica, run, next",
                   lambda: resume_both(pack(), pack())),
    "other arguments": (lambda: resume_both(pack(), pack(seed=1)), "with other arguments: seed was 0 and is 1; make th",
                        lambda: resume_both(pack(seed=1), pack(seed=1))),
    "other data": (lambda: resume_both(pack(), pack(NUMBERS[:-9])), "of a pass over other data: source 'source' has 51 sam",
                   lambda: resume_both(pack(), pack())),
    "other kind of source": (
        lambda: resume_both(pack(), pack(Plain())), "make the stream with the arguments it was stopped with",
        lambda: resume_both(pack(Plain()), pack(Plain()))),
    "damaged": (lambda: resume(pack(), damaged(epoch=5)), "the state is not as it was saved: its checksum is",
                lambda: resume_both(pack(), pack())),
    "steps of samples": (lambda: balance(batches=False, steps=3), "steps is 3 batches and the stream gives samples; pass",
                         lambda: read(pack(balance(batches=False), steps=3))),
    "another reader": (
        lambda: resume_both(pack(rank=0, world_size=2), pack(rank=1, world_size=2)),
        "the state is of reader 0 of 2 and this is reader 1 of 2; the states of readers 1 are missing; load the states o",
        lambda: resume_both(pack(rank=1, world_size=2), pack(rank=1, world_size=2))),
    "ended early": (
        lambda: read(pack(steps=99)), "source 'source' ended after 12 of the 99 batches due from reader 0 of 1; pass fewer",
        lambda: (read(pack(steps=12)), read(online.equal_stop(pack())))),
    "report": (lambda: pack().report(), "nothing of source 'source' was read in this process; ask after the first batch",
               lambda: first_and_report(pack())),
    "batches": (lambda: pack(balance()), "stream 'source' gives batches; pass batches=False to it to read samples from it",
                lambda: read(pack(balance(batches=False)))),
    "inner rank": (lambda: pack(balance(batches=False, rank=0, world_size=2)),
                   "stream 'source' is rank 0 of 2 and another stream reads it; pass rank and world_size to the outermost",
                   lambda: read(pack(balance(batches=False), rank=0, world_size=2))),
    "by number": (lambda: pack()[3], "batch 3 is asked for, and a stream has no batches by number: a stream is read from",
                  lambda: (read(pack()), pack().loader().peek())),
    "a look at an iterator": (
        lambda: pack(iter(NUMBERS)).loader().peek(), "source 'source' is an iterator, which can be read once: a look would",
        lambda: pack(NUMBERS).loader().peek()),
    "a look at what has a position": (
        lambda: pack(online.Strided(Standing())).loader().peek(), "has a position of its own (state_dict): a look would",
        lambda: pack(online.Strided(Anew())).loader().peek()),
    "a look at its own iterator": (
        lambda: pack(ItsOwnIterator()).loader().peek(), "source 'source' is its own iterator: a look would move it; let",
        lambda: pack(Plain()).loader().peek()),
    "two loops": (lambda: loop_in_a_loop(pack().loader(), lambda loader: iter(loader)),
                  "another loop over this loader has begun since, and its position is that loop's; make a second loader",
                  lambda: (loop_in_a_loop(pack().loader(), lambda loader: iter(pack().loader())),
                           loop_in_a_loop(pack().loader(), lambda loader: iter([loader.peek()])))),
    "a look at what splits itself": (
        lambda: pack(online.SelfSplit(Plain())).loader(num_workers=2).peek(), "source 'source' splits itself over 2 work",
        lambda: pack(online.SelfSplit(Plain())).loader(num_workers=0).peek()),
    "a look at nothing": (lambda: pack([]).loader().peek(), "epoch 0 of <stream: packed", lambda: pack([1]).loader().peek()),
    "batches of batches": (
        lambda: next(iter(DataLoader(pack(), batch_size=3))), "the loader makes a batch of 3 batches, the first with",
        lambda: (next(iter(DataLoader(pack(), batch_size=None))),
                 next(iter(DataLoader(balance(batches=False), batch_size=3))))),
})  # fmt: skip


def loop_in_a_loop(loader, other):
    for _ in loader:
        next(other(loader))


def loop_in_two_parts(stream):
    batches = iter(stream)
    assert [next(batches), *batches] == list(pack())


def first_and_report(stream):
    next(iter(stream))
    assert stream.report().delivered == 5


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_refusal_says_what_is_wrong_and_its_way_out_works(case):
    told_and_followed(CASES[case], longest=700)


def test_every_refusal_in_the_code_is_among_these():
    check_that_all_are_reached((SOURCE / "online").glob("*.py"), 60, [CASES, FILES, STATES])
