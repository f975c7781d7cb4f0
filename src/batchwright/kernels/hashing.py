"""Keyed randomness: every random number is a 64-bit hash of its address (seed, purpose, place).

No generator holds state, so the same address gives the same bits in every process, on every platform and at every
numpy version. The mixer is the finaliser of splitmix64 (Steele, Lea, Flood 2014, constants "variant 13" by Stafford).
"""

from __future__ import annotations

import numpy as np

from .compile import inner

__all__ = ["GOLDEN", "PURPOSE", "below", "child", "child_key", "mix", "stream"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31, _U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE = np.uint64(1)


class PURPOSE:
    """One number for each use of a hash, so that no two uses share bits. Never renumber: results would change."""

    PASS = 1
    PHASE = 2
    GROUP_ORDER = 3
    HAND_OFFSET = 4
    LIGHT_ORDER = 5
    WITHIN_BATCH = 6
    RANDOM_GROUP = 7
    RANDOM_SAMPLE = 8
    CONSTANT_SHARES = 9
    LIGHT_PHASE = 10
    LIGHT_TURN = 11
    TURNS = 12
    STEPS = 20
    LENGTH_STRATA = 21
    LEVEL = 40
    SPLIT = 41
    ONCE = 42
    SAMPLES = 43
    SHARDS = 44
    IN_SHARDS = 45
    IN_THE_PLACE = 46
    LOCAL_SOURCE = 47
    # Of streams.
    TIES = 101
    ROW = 102
    SLOT = 103
    REPEAT = 104
    RESERVOIR = 105
    BUFFER = 106
    STREAM_SHARDS = 107


@inner
def mix(word):
    """Mix the bits of a word: a bijection in which each input bit flips each output bit with probability one half."""
    word = (word ^ (word >> _U30)) * _FIRST
    word = (word ^ (word >> _U27)) * _SECOND
    return word ^ (word >> _U31)


@inner
def child(key, number):
    """The key at address `number` under `key`; the children of one key are distinct.

    Two rounds of `mix`. With one, as in `stream`, child n of a key would be child n - 1 of key + GOLDEN.
    """
    return mix(mix(key + GOLDEN) ^ (number * GOLDEN + _ONE))


@inner
def stream(key, number):
    """Word `number` of the sequence under `key` (splitmix64), for the last step of an address: half the work of `child`."""
    return mix(key + np.uint64(number) * GOLDEN)


@inner
def below(word, bound):
    """Scale the high 32 bits of `word` to 0..bound-1, for bounds up to 2^32.

    The bias is below bound / 2^32. A multiplication in place of a division, which is slow (Lemire 2019).
    """
    return ((word >> _U32) * bound) >> _U32


_PLAIN = (1 << 64) - 1, int(GOLDEN), int(_FIRST), int(_SECOND)


def child_key(key: int, number: int) -> int:
    """`child` in Python integers, for the few keys that are made outside of kernels.

    Written again, because a product of two NumPy integers that overflows gives a warning; one of arrays, with which `mix`
    can be called too, does not.
    """
    mask, golden, first, second = _PLAIN
    word = (key + golden) & mask
    word = (word ^ (word >> 30)) * first & mask
    word = (word ^ (word >> 27)) * second & mask
    word ^= word >> 31 ^ ((number * golden + 1) & mask)
    word = (word ^ (word >> 30)) * first & mask
    word = (word ^ (word >> 27)) * second & mask
    return word ^ (word >> 31)
