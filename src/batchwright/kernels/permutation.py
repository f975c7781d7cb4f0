"""A keyed permutation of [0, n), computed for one point at a time: a shuffle that is never stored.

From 64 elements on: a Feistel network (Luby and Rackoff 1988) over mixed radices a * b >= n with a and b next to the
square root of n, so that fewer than one point in sqrt(n) falls outside and is walked on (cycle walking, Black and
Rogaway 2002). Below 64 elements, where a small cipher is visibly biased, a Fisher-Yates table drawn from the same key.
"""

from __future__ import annotations

import math

import numpy as np

from .compile import allocating, inner, kernel
from .hashing import GOLDEN, below, stream

__all__ = [
    "KEYS", "LEFTS", "PLACES", "RIGHTS", "ROUNDS", "SIZES", "TABLE_LIMIT", "fast_divmod", "fill_table", "new_points",
    "permutation", "permute", "permute_each", "permute_range", "radices", "unpermute",
]  # fmt: skip

TABLE_LIMIT = 64  # below it a table is used; 64, so that a set of its elements fits one 64-bit word
ROUNDS = (
    6  # with four, successive differences were visibly not random; with six, no test found a difference at any n tried
)

# Rows of `new_points`: where a point is, and the permutation that it goes through; the last two are scratch. They share
# one array, since numba counts references to each array of a tuple whenever the tuple is taken apart.
PLACES, SIZES, LEFTS, RIGHTS, KEYS, _HIGHS, _LOWS = range(7)

# Odd, so that multiplying is a bijection, with about as many ones as zeros. The first is the multiplier of degski's
# 64-bit mixer.
_FIRST = np.uint64(0xD6E8FEB86659FD93)
_SECOND = np.uint64(0xCA9B0C7EBA1DA115)
_TOGETHER = 128  # points that are permuted together: their halves stay in the fastest cache
_ZERO, _ONE, _U32 = np.uint64(0), np.uint64(1), np.uint64(32)


@inner
def radices(n):
    """Two factors near sqrt(n) whose product is at least n; IEEE square roots are the same on all platforms."""
    left = np.uint64(math.sqrt(np.float64(n))) + _ONE
    return left, (n + left - _ONE) // left


@inner
def _round(half, key, bound):
    word = (half + key) * _FIRST
    word = (word ^ (word >> _U32)) * _SECOND
    return below(word, bound)


@inner
def fast_divmod(number, divisor):
    """Quotient and remainder of numbers of 0 or more: estimated in floats, which is faster, divided only if that fails."""
    quotient = np.int64(np.float64(number) / np.float64(divisor))
    rest = number - quotient * divisor
    if rest < 0 or rest >= divisor:
        quotient = number // divisor
        rest = number - quotient * divisor
    return quotient, rest


@inner
def permute(k, n, left, right, key):
    """The image of `k` under the permutation of [0, n) of `key`; `left, right = radices(n)`; n is 64 or more."""
    while True:
        quotient, rest = fast_divmod(np.int64(k), np.int64(right))
        high, low = np.uint64(quotient), np.uint64(rest)
        round_key = key
        for _ in range(ROUNDS // 2):
            high += _round(low, round_key, left)
            if high >= left:
                high -= left
            round_key += GOLDEN
            low += _round(high, round_key, right)
            if low >= right:
                low -= right
            round_key += GOLDEN
        k = high * right + low
        if k < n:
            return k


@allocating
def new_points(count):
    """Memory for `count` points, uint64 (7, count); the rows are named above."""
    return np.empty((7, count), np.uint64)


@inner
def permute_each(count, points):
    """Apply `permute` to the first `count` places, each with its own size and key.

    The same network, round by round over all points. Within a point, every round waits for the one before; different
    points do not wait for each other, so the processor works on several at once.
    """
    for i in range(count):
        quotient, rest = fast_divmod(np.int64(points[PLACES, i]), np.int64(points[RIGHTS, i]))
        points[_HIGHS, i], points[_LOWS, i] = np.uint64(quotient), np.uint64(rest)
    for number in range(0, ROUNDS, 2):
        step = np.uint64(number) * GOLDEN
        for i in range(count):
            left, right = points[LEFTS, i], points[RIGHTS, i]
            round_key = points[KEYS, i] + step
            high = points[_HIGHS, i] + _round(points[_LOWS, i], round_key, left)
            high = high - left if high >= left else high
            low = points[_LOWS, i] + _round(high, round_key + GOLDEN, right)
            points[_LOWS, i] = low - right if low >= right else low
            points[_HIGHS, i] = high
    for i in range(count):
        point = points[_HIGHS, i] * points[RIGHTS, i] + points[_LOWS, i]
        if point >= points[SIZES, i]:
            point = permute(point, points[SIZES, i], points[LEFTS, i], points[RIGHTS, i], points[KEYS, i])
        points[PLACES, i] = point


@allocating
def permute_range(start, stop, n, left, right, key, images):
    """Write the images of start..stop-1 under the permutation of `permute` into `images`, of which there are as many.

    Round by round over some points at a time, as in `permute_each`; here all have one key, and need no division each.
    """
    highs, lows = np.empty(_TOGETHER, np.uint64), np.empty(_TOGETHER, np.uint64)
    for begin in range(start, stop, _TOGETHER):
        count = min(_TOGETHER, stop - begin)
        quotient, rest = fast_divmod(np.int64(begin), np.int64(right))
        high, low = np.uint64(quotient), np.uint64(rest)
        for i in range(count):
            highs[i], lows[i] = high, low
            low += _ONE
            if low == right:
                high, low = high + _ONE, _ZERO
        for number in range(0, ROUNDS, 2):
            round_key = key + np.uint64(number) * GOLDEN
            for i in range(count):
                high = highs[i] + _round(lows[i], round_key, left)
                high = high - left if high >= left else high
                low = lows[i] + _round(high, round_key + GOLDEN, right)
                lows[i] = low - right if low >= right else low
                highs[i] = high
        for i in range(count):
            point = highs[i] * right + lows[i]
            if point >= n:
                point = permute(point, n, left, right, key)
            images[begin - start + i] = np.int64(point)


@inner
def unpermute(image, n, left, right, key):
    """The inverse of `permute`: the `k` whose image is `image`."""
    while True:
        quotient, rest = fast_divmod(np.int64(image), np.int64(right))
        high, low = np.uint64(quotient), np.uint64(rest)
        round_key = key + np.uint64(ROUNDS) * GOLDEN
        for _ in range(ROUNDS // 2):
            round_key -= GOLDEN
            step = _round(high, round_key, right)
            low = low - step if low >= step else low + right - step
            round_key -= GOLDEN
            step = _round(low, round_key, left)
            high = high - step if high >= step else high + left - step
        image = high * right + low
        if image < n:
            return image


@inner
def fill_table(table, n, key):
    """Write the permutation of [0, n) of `key` into `table[:n]` (Fisher and Yates)."""
    for i in range(n):
        table[i] = i
    for i in range(n - 1, 0, -1):
        j = np.int64(below(stream(key, i), np.uint64(i + 1)))
        table[i], table[j] = table[j], table[i]


@kernel("void(int64[::1], int64, uint64, int64[::1], boolean)")
def permutation(points, n, key, images, inverse):
    """Write the images of `points` under the permutation of [0, n) of `key` into `images`; or their inverse images."""
    if n < TABLE_LIMIT:
        table = np.empty(TABLE_LIMIT, np.int64)
        fill_table(table, n, key)
        if inverse:
            forward = table.copy()
            for i in range(n):
                table[forward[i]] = i
        for i in range(points.size):
            images[i] = table[points[i]]
        return
    size = np.uint64(n)
    left, right = radices(size)
    for i in range(points.size):
        point = np.uint64(points[i])
        if inverse:
            images[i] = np.int64(unpermute(point, size, left, right, key))
        else:
            images[i] = np.int64(permute(point, size, left, right, key))
