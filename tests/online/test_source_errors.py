"""What a source raises keeps its type, and names the sample and the source."""

from __future__ import annotations

from itertools import count, islice

import pytest

from batchwright import Infeasible, online

from .small import NUMBERS, Plain, balance, mix, one, pack

pytestmark = pytest.mark.filterwarnings("ignore::batchwright.PoorWarning")  # ways out that give nearly what was asked

NAME = "n" * 5000


class Failing(Plain):
    def __iter__(self):
        yield from range(1500)
        raise OSError("disk gone")


class Closed(Plain):
    def __iter__(self):
        raise OSError("disk gone")


class FailingAt(list):
    def __getitem__(self, number):
        if number == 1500:
            raise OSError("disk gone")
        return super().__getitem__(number)


def endless(shard):
    raise OSError("disk gone")


FAILING = {
    "iterable": (Failing, "while reading sample 1,500 of source 'train'"),
    "sequence": (lambda: FailingAt(range(2000)), "while reading sample 1,500 of source 'train'"),
    "strided": (lambda: online.Strided(Failing()), "while reading sample 1,500 of source 'train'"),
    "chain": (lambda: online.Chain([[1, 2], Failing()]), "while reading sample 1,502 of source 'train'"),
    "shards": (lambda: online.Sharded([0], endless), "while reading sample 0 of source 'train'"),
    "that does not open": (Closed, "while opening source 'train'"),
}


BUILD = {
    "packed": lambda source: pack(source, name="train"),
    "budgeted": lambda source: online.budgeted(source, length=one, max_samples=4, name="train"),
    "balanced": lambda source: balance(source, name="train"),
    "mixed": lambda source: mix({"train": source, "b": count()}, at_end="stop"),
}


def raises_with_note(call, error, said, note):
    """A call raises this error, to which a note says where."""
    with pytest.raises(error, match=said) as raised:
        call()
    assert note in raised.value.__notes__


@pytest.mark.parametrize("build", sorted(BUILD))
@pytest.mark.parametrize("kind", sorted(FAILING))
def test_errors_of_a_source_keep_their_type_and_name_sample_and_source(kind, build):
    make, note = FAILING[kind]
    raises_with_note(lambda: list(BUILD[build](make())), OSError, "disk gone", note)


class StoppingAt(list):
    """A sequence that raises `StopIteration` for one sample, as `next` of an empty iterator does."""

    def __getitem__(self, number):
        if number == 11:
            return next(iter(()))
        return super().__getitem__(number)


STOPPING = {
    "sequence": (lambda: StoppingAt(NUMBERS), "while reading sample 11 of source 'train'"),
    "shards": (
        lambda: online.Sharded([0, 1], lambda shard: StoppingAt(NUMBERS) if shard else NUMBERS[:5]),
        "while reading sample 16 of source 'train'",
    ),
    "chain": (lambda: online.Chain([[1, 2], StoppingAt(NUMBERS)]), "while reading sample 13 of source 'train'"),
    "shard that does not open": (
        lambda: online.Sharded([0], lambda shard: next(iter(()))),
        "while reading sample 0 of source 'train'",
    ),
}


@pytest.mark.parametrize("build", sorted(BUILD))
@pytest.mark.parametrize("kind", sorted(STOPPING))
def test_a_stop_iteration_within_a_sample_is_an_error_and_no_end(kind, build):
    make, note = STOPPING[kind]
    raises_with_note(lambda: list(BUILD[build](make())), RuntimeError, "raised StopIteration", note)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_sample_that_raises_stop_iteration_can_be_skipped(rank):
    stream = pack(StoppingAt(NUMBERS), on_error="skip", rank=rank, world_size=2)
    assert sorted(sample for batch in stream for sample in batch) == [n for n in NUMBERS[rank::2] if n != 11]
    assert stream.report().skipped == rank


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stop_iteration_of_collate_is_an_error_and_no_end(workers):
    def collate(batch):
        return next(sample for sample in batch if sample < 30)

    loader = pack().loader(num_workers=workers, collate=collate)
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(loader)


def test_errors_of_a_source_that_is_read_again_say_so():
    class Once(list):
        broken = False

        def __getitem__(self, number):
            if self.broken:
                raise OSError("disk gone")
            return super().__getitem__(number)

    stream = pack(Once(NUMBERS), name="train")
    iterator = iter(stream)
    list(islice(iterator, 3))
    state = stream.state_dict()
    source = Once(NUMBERS)
    source.broken = True
    again = pack(source, name="train")
    again.load_state_dict(state)
    with pytest.raises(OSError, match="disk gone") as error:
        list(again)
    assert error.value.__notes__ == ["while reading 5 samples again, the first of them 15, of source 'train'"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: pack([0], length=int, name=NAME),
        lambda: pack(online.Sharded([0], lambda shard: [0], name=NAME), length=int),
        lambda: pack(online.Chain([[0]], name=NAME), length=int),
        lambda: pack(online.Strided([0], name=NAME), length=int),
        lambda: mix({NAME: [0]}, unit=int),
        lambda: balance([NAME], key=str, target={"a": 1}),
        lambda: balance([NAME], key=lambda sample: [sample] * 99),
        lambda: pack([NAME], length=lambda sample: [sample] * 99),
        lambda: pack([0], length=lambda sample: {}[NAME]),
    ],
)
def test_messages_are_short_however_long_names_labels_and_errors_are(make):
    with pytest.raises(Infeasible) as refusal:
        list(make())
    assert len(str(refusal.value)) < 700


@pytest.mark.parametrize("name", ["train", None])
def test_a_source_is_called_by_the_streams_name_or_its_own(name):
    for source, own in ((online.Sharded([0], lambda shard: [0], name="tar"), "tar"), ([0], "source")):
        with pytest.raises(Infeasible, match=f"sample 0 of source '{name or own}': its length is 0"):
            list(pack(source, length=int, name=name))
    with pytest.raises(Infeasible, match="sample 0 of source 'b': its unit is 0"):
        list(mix({"a": NUMBERS[1:], "b": online.Sharded([0], lambda shard: [0])}, unit=int))
