"""Lists of Python's numbers: their types are found out, not read one by one, and the result is as if they had been read."""

import enum
import fractions

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw
from batchwright.collate import numbers
from tests.examples import examples


class Colour(enum.IntEnum):
    RED, BLUE = 1, 7


class Weight(float):
    pass


class Fails:
    """What adds up like an integer and is none."""

    def __radd__(self, other):
        return other

    def __index__(self):
        raise RuntimeError("no number")


KINDS = (bool, int, float, complex)
ONES = st.sampled_from(
    [0, 1, 2, -1, 5, 2**40, 2**63 - 1, -(2**63), True, False, 0.0, 1.0, -0.0, 2.5, float("nan"), float("inf"), 2.0**60]
)
ODD = st.sampled_from(
    [
        *(2**63, -(2**63) - 1, 10**400, Colour.RED, Colour.BLUE, Weight(2), Weight(0.5), 1j, np.int64(3), np.int32(0)),
        *(np.float64(1), np.float32(0.5), np.bool_(True), torch.tensor(3), torch.tensor(True), torch.tensor(0.5)),
        *(torch.tensor(1.0, requires_grad=True), fractions.Fraction(1), "1", None, [1], np.arange(2), Fails()),
    ]
)
SIZES = st.sampled_from([0, 1, 3, 63, 64, 65, 200, 511, 512, 513, 4096, 4097])


@st.composite
def lists(draw):
    """A batch: lists of numbers of one type, with few others or none among them."""
    own = draw(
        st.sampled_from([[5, 6, 300], [0, 1, 5], [0.5, 2.5], [1.0, 2.0, 0.5], [True, False], [Colour.RED, 9], [1j]])
    )
    found = [
        [own[number % len(own)] for number in range(size)] for size in draw(st.lists(SIZES, min_size=1, max_size=5))
    ]
    for number in draw(st.lists(st.integers(0, len(found) - 1), max_size=2)):
        if found[number]:
            found[number][draw(st.integers(0, len(found[number]) - 1))] = draw(ONES | ODD)
    return found


def counted_as(number):
    """The type of a number, as the module says it."""
    if isinstance(number, np.generic):
        return type(number)
    return next((kind for kind in KINDS if isinstance(number, kind)), type(number))


def expected(values):
    """All numbers as one tensor, each one's type read; None if they are not of one type."""
    kinds = {counted_as(number) for number in values}
    if len(kinds) != 1 or not kinds <= set(KINDS):
        return None
    (kind,) = kinds
    if kind is int and not all(-(2**63) <= number < 2**63 for number in values):
        return None
    return torch.tensor([kind(number) for number in values], dtype=numbers.DTYPES[kind])


def same(found, wanted):
    if found is None or wanted is None:
        return found is wanted
    return (
        found.dtype is wanted.dtype
        and found.shape == wanted.shape
        and torch.allclose(found, wanted, 0, 0, equal_nan=True)
    )


@given(lists())
@examples(300)
def test_lists_of_numbers_are_what_reading_each_type_makes_of_them(batch):
    wanted = expected([number for values in batch for number in values])
    assert same(numbers.joined(batch), wanted)
    for values in batch:
        assert same(numbers.vector_of(values), expected(values))


@given(lists(), st.sampled_from(["left", "right"]), st.sampled_from([0, 1, 7]))
@examples(300)
def test_padded_lists_of_numbers_are_what_reading_each_type_makes_of_them(batch, side, more):
    wanted = expected([number for values in batch for number in values])
    length = max(map(len, batch)) + more
    found = numbers.padded(batch, length, 1, side)
    if wanted is None or wanted.dtype is torch.complex128:
        assert found is None
        return
    rows = torch.full((len(batch), length), 1, dtype=wanted.dtype)
    for row, piece in zip(rows, wanted.split(list(map(len, batch))), strict=True):
        row[length - len(piece) if side == "left" else 0 :][: len(piece)] = piece
    assert same(found, rows)


@pytest.mark.parametrize("count", [3, 64, 600, 5000])
@pytest.mark.parametrize(("odd", "kind"), [(True, int), (0, float), (True, float), (0.0, int), (np.int64(5), int)])
@pytest.mark.parametrize("place", [0, 1, -1])
def test_one_number_of_another_type_is_found_among_many(count, odd, kind, place):
    values = [kind(number + 2) + (0.5 if kind is float else 0) for number in range(count)]
    values[place] = odd
    assert numbers.vector_of(values) is None
    with pytest.raises(bw.Infeasible, match="not numbers of one type"):
        bw.Collate(x=bw.ragged(pad=0))([{"x": [kind(9)]}, {"x": values}])


@pytest.mark.parametrize("count", [3, 64, 600])
def test_an_enumeration_of_integers_is_integers(count):
    values = [5, *[Colour.BLUE] * count]
    for declared in (values, values[::-1]):
        batch = bw.Collate(x=bw.ragged(pad=0))([{"x": declared}, {"x": [1]}])
        assert batch["x"].dtype is torch.int64
        assert batch["x"][0].tolist() == [int(value) for value in declared]
