"""Randomness by address: a 64-bit integer hash of (seed, purpose, where), and nothing else.

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
    LAYERS = 21
    LEVEL = 40
    SPLIT = 41
    SAMPLES = 42
    ONCE = 43


@inner
def mix(word):
    """A bijection of 64-bit words that flips each output bit with probability one half per input bit."""
    word = (word ^ (word >> _U30)) * _FIRST
    word = (word ^ (word >> _U27)) * _SECOND
    return word ^ (word >> _U31)


@inner
def child(key, number):
    """The key at address `number` under `key`: children of one key are distinct, and so are chains of them."""
    return mix(mix(key + GOLDEN) ^ (number * GOLDEN + _ONE))


@inner
def stream(key, number):
    """Word `number` of the sequence under `key` (splitmix64): one hash instead of two, for leaves of the tree of keys."""
    return mix(key + np.uint64(number) * GOLDEN)


@inner
def below(word, bound):
    """The high 32 bits of `word` scaled to 0..bound-1, for bounds up to 2^32 (bias below bound / 2^32)."""
    return ((word >> _U32) * bound) >> _U32


def child_key(key: int, number: int) -> int:
    """`child` in plain Python integers, for the few keys that are made outside a kernel."""
    mask = (1 << 64) - 1
    golden, first, second = int(GOLDEN), int(_FIRST), int(_SECOND)

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * first & mask
        word = (word ^ (word >> 27)) * second & mask
        return word ^ (word >> 31)

    return mixed(mixed((key + golden) & mask) ^ ((number * golden + 1) & mask))
