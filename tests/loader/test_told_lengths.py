"""Lengths that a plan was told and its samples do not have: noticed once; lengths in another unit are left alone.

Warnings are errors here, so a loop that is not within `pytest.warns` also shows that there was none.
"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw

from ..examples import examples

COUNT = 400
REAL = np.clip(np.random.default_rng(0).lognormal(4, 0.8, COUNT), 4, 500).astype(np.int64)
OTHERS = np.clip(np.random.default_rng(1).lognormal(4, 0.8, COUNT), 4, 500).astype(np.int64)
CHARACTERS = (REAL * np.random.default_rng(2).normal(4.2, 0.6, COUNT)).clip(1).astype(np.int64)

COLLATE = bw.Collate(ids=bw.ragged(pad=0))
PLANS = {
    "budgeted": lambda lengths: bw.budgeted(lengths, float(np.max(lengths)) * 12),
    "unpadded": lambda lengths: bw.budgeted(lengths, float(np.max(lengths)) * 6, padded=False),
    "several": lambda lengths: bw.budgeted(
        {"a": lengths, "b": np.ones(COUNT)}, {"a": float(np.max(lengths)) * 12, "b": 40}
    ),
    "grouped": lambda lengths: bw.grouped(lengths, 16),
    "evaluation": lambda lengths: bw.evaluation(lengths, max_tokens=float(np.max(lengths)) * 12, order="length"),
}


def padded(samples):
    """A collate function that users write."""
    return torch.nn.utils.rnn.pad_sequence([sample["ids"] for sample in samples], batch_first=True)


def data(lengths, field="ids"):
    return [{field: torch.ones(int(length), dtype=torch.int64)} for length in lengths]


def loop(plan, dataset, collate=COLLATE, epochs=1, **options):
    loader = plan.loader(dataset, collate=collate, **{"num_workers": 0, "seeded": False, **options})
    return [batch for epoch in loader.epochs(epochs) for batch in epoch]


def warned(plan, dataset, collate=COLLATE, **options):
    """The one warning of two epochs, and the samples, lengths in the plan and lengths found that it names."""
    with pytest.warns(bw.PoorWarning) as caught:
        loop(plan, dataset, collate, epochs=2, **options)
    (warning,) = [each for each in caught if each.category is not DeprecationWarning]  # of the fork, by Python
    text = str(warning.message)
    assert warning.filename == __file__
    assert len(text) <= 600
    words = re.match(
        r"samples (\d+) and (\d+) have lengths (\S+) and (\S+) in the plan, and (\d+) and (\d+) elements|"
        r"sample (\d+) has length (\S+) in the plan and (\d+) elements",
        text,
    )
    numbers = [float(number) for number in words.groups() if number is not None]
    each = len(numbers) // 3
    return text, [int(sample) for sample in numbers[:each]], numbers[each : 2 * each], numbers[2 * each :]


UNITS = {
    "the same": lambda lengths: lengths,
    "without special tokens": lambda lengths: lengths - 3,
    "seconds": lambda lengths: np.round(lengths / 50, 2),
    "whole seconds": lambda lengths: np.ceil(lengths / 50),
    "bytes": lambda lengths: lengths * 4096,
    "frames": lambda lengths: lengths // 3 + 1,
    "work": lambda lengths: lengths.astype(float) ** 2,
    "rounded up": lambda lengths: -(-lengths // 64) * 64,
    "speech, played faster or slower": lambda lengths: lengths * np.random.default_rng(3).choice([0.9, 1, 1.1], COUNT),
}


@pytest.mark.parametrize(
    "collate", [COLLATE, padded, bw.Collate(ids=bw.ragged(pad=0)).packs()], ids=["ours", "own", "packs"]
)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", PLANS)
def test_any_unit_of_the_right_lengths_is_left_alone(kind, unit, collate):
    loop(PLANS[kind](UNITS[unit](REAL)), data(REAL), collate)


WRONG = {
    "shifted": np.roll(REAL, 1),
    "reversed": REAL[::-1],
    "of another split": OTHERS,
    "in seconds of another split": OTHERS / 16_000,
}


@pytest.mark.parametrize("collate", [COLLATE, padded], ids=["ours", "own"])
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", PLANS)
def test_other_lengths_are_noticed_once_with_two_samples_that_show_it(kind, wrong, collate):
    text, samples, told, found = warned(PLANS[kind](WRONG[wrong]), data(REAL), collate)
    assert told == [WRONG[wrong][sample] for sample in samples]
    assert found == [REAL[sample] for sample in samples]
    assert told[0] < told[1]
    assert found[0] > 1.25 * found[1]
    assert "field 'ids'" in text
    assert "check_data=False" in text


@pytest.mark.parametrize("kind", ["budgeted", "grouped", "evaluation"])
def test_characters_in_place_of_tokens_are_noticed_where_batches_are_padded_by_them(kind):
    warned(PLANS[kind](CHARACTERS), data(REAL))


@given(seed=st.integers(0, 2**32), count=st.integers(100, 300))
@examples(25)
def test_any_permutation_of_lengths_is_noticed_and_the_lengths_themselves_are_not(seed, count):
    draw = np.random.default_rng(seed)
    lengths = np.clip(draw.lognormal(4, 0.8, count), 4, 500).astype(np.int64)
    mixed = draw.permutation(lengths)
    loop(bw.budgeted(lengths, 2_000), data(lengths))
    _, samples, told, found = warned(bw.budgeted(mixed, 2_000), data(lengths))
    assert told == mixed[samples].tolist()
    assert found == lengths[samples].tolist()


def test_samples_of_one_length_whatever_the_plan_was_told_are_noticed():
    *_, told, found = warned(bw.budgeted(REAL, 6_000), data(np.full(COUNT, 500)))
    assert told[1] >= 2 * told[0]
    assert found == [500, 500]


@pytest.mark.parametrize("short", [60, 200])
def test_samples_cut_after_they_were_measured_are_noticed(short):
    text, (sample,), (told,), (found,) = warned(bw.budgeted(REAL, 6_000), data(np.minimum(REAL, short)))
    assert (told, found) == (REAL[sample], short)
    assert told > 1.25 * short
    assert "unused" in text
    loop(bw.budgeted(np.minimum(REAL, short), 6_000), data(np.minimum(REAL, short)))


def test_a_plan_that_truncates_notices_samples_that_are_not_truncated():
    plan = bw.budgeted(REAL, 200, too_long="truncate")
    text, (sample,), (told,), (found,) = warned(plan, data(REAL))
    assert (told, found) == (200, REAL[sample])
    assert "exceed" in text
    loop(plan, data(REAL), bw.Collate(ids=bw.ragged(pad=0, truncate_to=plan.truncate_to)))


def test_a_few_samples_that_differ_are_named_by_the_first():
    odd = REAL.copy()
    odd[[17, 90]] = 3 * REAL[[17, 90]] + 50
    _, (sample,), (told,), (found,) = warned(bw.budgeted(REAL, 6_000), data(odd))
    assert sample in (17, 90)
    assert (told, found) == (REAL[sample], odd[sample])


def pairs(one, other):
    return [{**a, **b} for a, b in zip(data(one, "source"), data(other, "target"), strict=True)]


@pytest.mark.parametrize("told", [REAL, OTHERS, REAL + OTHERS, np.maximum(REAL, OTHERS), OTHERS / 50])
@pytest.mark.parametrize(
    "collate", [bw.Collate(source=bw.ragged(pad=0), target=bw.ragged(pad=0)), len], ids=["ours", "own"]
)
def test_a_length_may_be_that_of_any_field_their_sum_or_the_longest(told, collate):
    loop(PLANS["budgeted"](told), pairs(REAL, OTHERS), collate)


def test_a_length_of_none_of_several_fields_is_noticed():
    text, *_ = warned(bw.budgeted(np.roll(REAL, 1), 6_000), pairs(REAL, OTHERS), len)
    assert "field 'source'" in text


SAMPLES = {
    "text beside": lambda sample: {"text": "what they are made of", **sample},
    "an object": lambda sample: [sample["ids"], object()],
    "numbers": lambda sample: len(sample["ids"]),
    "pictures of one size": lambda sample: torch.zeros(3, 2, 2),
}


@pytest.mark.parametrize("shape", SAMPLES)
def test_samples_whose_lengths_cannot_all_be_seen_are_left_alone(shape):
    loop(bw.budgeted(OTHERS, 6_000), [SAMPLES[shape](sample) for sample in data(REAL)], len)


SEEN = {
    "a tensor": lambda sample: sample["ids"],
    "a list": lambda sample: sample["ids"].tolist(),
    "a tuple": lambda sample: (sample["ids"].numpy(), 3),
    "within": lambda sample: {"audio": {"array": sample["ids"].float(), "rate": 16_000}},
    "a spectrogram": lambda sample: torch.zeros(80, len(sample["ids"])),
}


@pytest.mark.parametrize("shape", SEEN)
def test_lengths_are_seen_in_samples_of_many_shapes(shape):
    dataset = [SEEN[shape](sample) for sample in data(REAL)]
    loop(bw.budgeted(REAL, 6_000), dataset, len)
    loop(bw.budgeted(REAL / 50, 200), dataset, len)
    warned(bw.budgeted(OTHERS, 6_000), dataset, len)


@pytest.mark.parametrize("options", [{"fetch": 3}, {"rank": 3, "world_size": 8}, {"num_workers": 2}], ids=str)
def test_they_are_noticed_once_in_any_kind_of_loop(options):
    loop(bw.budgeted(REAL, 2_000), data(REAL), **options)
    warned(bw.budgeted(OTHERS, 2_000), data(REAL), **options)


def test_identified_samples_batches_in_another_order_and_broken_samples():
    warned(bw.budgeted(OTHERS, 6_000), bw.identified(data(REAL)))

    def sorted_(samples):
        batch = COLLATE(samples)
        return batch.sorted_by("ids", descending=False)

    loop(bw.budgeted(REAL, 6_000), data(REAL), sorted_)

    class Holes(list):
        def __getitem__(self, number):
            if number == 7:
                raise OSError("gone")
            return list.__getitem__(self, number)

    with pytest.warns(bw.PoorWarning, match="sample 7 raised"):
        loop(bw.budgeted(REAL, 6_000), Holes(data(REAL)), on_error="replace")


def test_pieces_and_packs():
    declared = bw.Collate(ids=bw.ragged(pad=0))
    plan = bw.packed(REAL, 128, packs=4, too_long="split")
    loop(plan, plan.pieces(data(REAL), cut=["ids"]), declared.packs(capacity=128, packs=4))
    warned(bw.packed(np.roll(REAL, 1), 2_000), data(REAL), declared.packs())
    together = bw.packed(REAL, 2_000, together=np.arange(COUNT) // 2)  # a length is that of a pair
    loop(together, data(REAL), declared.packs(capacity=2_000))


def test_check_data_switches_it_off_and_a_look_says_nothing():
    plan = bw.budgeted(OTHERS, 6_000)
    loop(plan, data(REAL), check_data=False)
    loader = plan.loader(data(REAL), collate=COLLATE, num_workers=0)
    loader.peek()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        next(iter(loader))
    assert len(caught) == 1


def test_few_and_short_samples_say_nothing():
    loop(bw.budgeted([5], 10), data([400]))
    loop(bw.budgeted([1, 2, 3, 4], 10), data([3, 2, 1, 0]))
    loop(bw.budgeted([0, 0], 10), data([0, 0]))
