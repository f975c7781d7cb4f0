"""Plans whose reports are looked at."""

from __future__ import annotations

import numpy as np

import batchwright as bw

from ..laws import quietly

SIZES = {"cat": 3512, "dog": 993, "eel": 446, "yak": 49}
LENGTHS = np.clip(np.random.default_rng(0).lognormal(5, 1, 4000), 8, 2000).astype(int)
SOURCES = np.repeat(["web", "books", "code"], [2800, 800, 400])


def animals():
    return bw.balanced(bw.Groups.from_sizes(SIZES), 16, target="sqrt")


def corpus():
    order = bw.balanced(SOURCES, 1, target={"web": 0.5, "books": 0.3, "code": 0.2})
    return quietly(lambda: bw.budgeted(LENGTHS, 16_384, order=order, window=16))


def many_groups():
    return bw.balanced(np.arange(60_000) % 10_000 * (np.arange(60_000) % 3 > 0), 64, target="sqrt")
