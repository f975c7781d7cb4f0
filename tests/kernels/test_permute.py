"""The keyed permutation: a bijection, its oracle's twin, and as random as a stored shuffle."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwright.kernels.permutation import permutation

from . import oracles

KEYS = st.integers(0, 2**64 - 1)


def permuted(points, n, key, *, inverse=False):
    points = np.ascontiguousarray(points, np.int64)
    images = np.empty_like(points)
    permutation(points, n, np.uint64(key), images, inverse)
    return images


def whole(n, key):
    return permuted(np.arange(n), n, key)


@given(n=st.integers(1, 300), key=KEYS)
def test_matches_the_oracle(n, key):
    assert whole(n, key).tolist() == oracles.permutation(n, key)


@pytest.mark.parametrize("n", [65_537, 1_000_003])
def test_matches_the_oracle_where_it_is_large(n):
    points = np.random.default_rng(n).integers(0, n, 50)
    reference = oracles.permutation(n, 77) if n < 100_000 else None
    images = permuted(points, n, 77)
    if reference is not None:
        assert images.tolist() == [reference[point] for point in points]
    assert permuted(images, n, 77, inverse=True).tolist() == points.tolist()


def bijective(n, key):
    images = whole(n, key)
    assert np.array_equal(np.bincount(images, minlength=n), np.ones(n, np.int64)), (n, key)
    assert np.array_equal(permuted(images, n, key, inverse=True), np.arange(n)), (n, key)


def test_is_a_bijection_with_an_inverse_for_small_n():
    for n in range(1, 5001):
        bijective(n, oracles.mix(n))


@pytest.mark.parametrize("power", range(6, 21))
def test_is_a_bijection_around_powers_of_two(power):
    for n in (2**power - 1, 2**power, 2**power + 1):
        bijective(n, oracles.mix(n))


@given(exponent=st.floats(6, 60), place=st.floats(0, 1, exclude_max=True), key=KEYS)
def test_the_inverse_undoes_it_anywhere(exponent, place, key):
    n = int(2**exponent)
    point = min(int(n * place), n - 1)
    image = permuted([point], n, key)
    assert 0 <= image[0] < n
    assert permuted(image, n, key, inverse=True).tolist() == [point]


def standard_score(counts, expected):
    """How many standard deviations chi-square lies from its mean."""
    degrees = len(counts) - 1
    chi_square = ((counts - expected) ** 2 / expected).sum()
    return (chi_square - degrees) / math.sqrt(2 * degrees)


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_every_order_of_a_few_elements_is_as_likely(n):
    number = {order: i for i, order in enumerate(itertools.permutations(range(n)))}
    trials = 60 * len(number) if n == 6 else 12_000
    counts = np.zeros(len(number))
    for trial in range(trials):
        counts[number[tuple(whole(n, oracles.stream(n, trial)).tolist())]] += 1
    assert abs(standard_score(counts, trials / len(number))) < 4


def difference_score(n, lag, key, length=1 << 17):
    """Whether entries `lag` apart differ by every amount alike: a weak cipher's fail here first."""
    length = min(length, n - lag)
    images = permuted(np.arange(length + lag), n, key)
    bins = max(bins for bins in range(2, 257) if n % bins == 0 or n > 1 << 16)
    counts = np.bincount((images[lag:] - images[:-lag]) % n * bins // n, minlength=bins)
    return standard_score(counts, length / bins)


@pytest.mark.parametrize("n", [1000, 4096, 65_536, 65_537, 10**6, 2**24 + 1, 10**9])
def test_successive_differences_are_even(n):
    scores = [difference_score(n, lag, oracles.mix(n + lag)) for lag in (1, 2, 64)]
    assert max(scores) < 4, scores


@pytest.mark.long
@pytest.mark.parametrize("n", [1000, 4096, 65_536, 65_537, 10**6, 2**20, 2**24 + 1, 10**9, 2**40])
def test_successive_differences_are_even_over_many_keys(n):
    scores = np.array([difference_score(n, lag, oracles.stream(n, key)) for key in range(100) for lag in (1, 2, 64)])
    assert scores.max() < 5
    assert abs(scores.mean()) < 0.4


@pytest.mark.parametrize("n", [256, 1000, 10_000])
def test_counts_of_a_marked_tenth_vary_as_in_drawing_without_replacement(n):
    batch, marked, trials = n // 8, n // 10, 4000
    counts = np.array([(whole(n, oracles.stream(n, t))[:batch] < marked).sum() for t in range(trials)])
    share = marked / n
    variance = batch * share * (1 - share) * (n - batch) / (n - 1)
    error = math.sqrt(2 / trials)  # of a variance, as a share of it
    assert abs(counts.var() / variance - 1) < 4 * error
    assert abs(counts.mean() - batch * share) < 4 * math.sqrt(variance / trials)


@pytest.mark.long
@pytest.mark.parametrize("n", [256, 1000, 10_000])
def test_variance_of_counts_within_one_percent(n):
    batch, marked, trials = n // 8, n // 10, 200_000
    counts = np.array([(permuted(np.arange(batch), n, oracles.stream(n, t)) < marked).sum() for t in range(trials)])
    share = marked / n
    assert abs(counts.var() / (batch * share * (1 - share) * (n - batch) / (n - 1)) - 1) < 0.012


@pytest.mark.parametrize("n", [40, 500, 70_000])
def test_neighbouring_keys_are_not_correlated(n):
    """Seeds, passes and groups differ by one number; their orders must have nothing in common."""
    for address in (lambda i: oracles.child(i, 5), lambda i: oracles.child(5, i), lambda i: i):
        first, second = (whole(n, address(i)).astype(float) for i in (1, 2))
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(n)
