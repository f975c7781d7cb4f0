"""Raking beside the published `balance` package on random tables, and the time of a large multi-label case.

python benchmarks/raking.py [--samples 1000000]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
import time
import warnings
from pathlib import Path

from limits import Limits
from timing import timed

sys.path.remove(str(Path(__file__).parent))  # `balance` is the published package, not the benchmark beside this one

import numpy as np
import pandas as pd
from balance.weighting_methods.rake import rake
from scipy import sparse

import batchwright as bw


def random_table(seed: int, sides: tuple[int, ...]) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    random = np.random.default_rng(seed)
    samples = 4000
    columns = {
        f"attribute {place}": np.array([f"level {code}" for code in random.integers(0, side, samples)])
        for place, side in enumerate(sides)
    }
    margins = {
        name: {
            f"level {code}": round(float(share), 6) for code, share in enumerate(random.dirichlet(np.full(side, 4.0)))
        }
        for (name, _), side in zip(columns.items(), sides, strict=True)
    }
    for shares in margins.values():
        last = next(reversed(shares))
        shares[last] = round(1 - sum(share for name, share in shares.items() if name != last), 6)
    return columns, margins


def by_balance(columns: dict[str, np.ndarray], margins: dict[str, dict[str, float]]) -> np.ndarray:
    sample = pd.DataFrame(columns)
    target = pd.DataFrame(
        {
            name: np.repeat(list(shares), np.rint(np.array(list(shares.values())) * 1e6).astype(int))
            for name, shares in margins.items()
        }
    )
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        found = rake(
            sample, pd.Series(np.ones(len(sample))), target, pd.Series(np.ones(len(target))), transformations=None,
            convergence_rate=1e-12, rate_tolerance=1e-14, max_iteration=10_000,
        )  # fmt: skip
    weights = np.asarray(found["weight"], float)
    return weights / weights.sum()


def by_batchwright(columns: dict[str, np.ndarray], margins: dict[str, dict[str, float]]) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)
        plan = bw.raked(columns, margins, 64)
    rates: np.ndarray = plan.order.rates(np.arange(4000), 0)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    samples = parser.parse_args().samples
    logging.disable(logging.WARNING)
    for seed, sides in enumerate([(2, 2), (3, 4), (2, 5, 3), (6, 7), (3, 3, 3, 3), (10, 10)]):
        columns, margins = random_table(seed, sides)
        own, ours = timed(lambda: by_batchwright(columns, margins))
        published, theirs = timed(lambda: by_balance(columns, margins))
        apart = np.abs(own / published - 1).max()
        print(f"{' x '.join(map(str, sides)):<16} largest relative difference of a weight from balance's: {apart:.1e}")
        Limits().beside(f"ours / balance: {' x '.join(map(str, sides))} cells", ours / theirs)

    random = np.random.default_rng(0)
    carried = [np.flatnonzero(random.random(samples) < 0.5 / (label + 1)) for label in range(80)]
    rows, columns_ = np.concatenate(carried), np.repeat(np.arange(80), [len(part) for part in carried])
    matrix = sparse.csr_matrix((np.ones(rows.size), (rows, columns_)), shape=(samples, 80))
    for target, repeats in (("uniform", 20), ("sqrt", 10), (0.5, 10), ("uniform", 5)):
        started = time.perf_counter()
        rates = bw.multilabel_weights(matrix, target=target, max_repeats=repeats)
        print(
            f"80 labels x {samples} samples, {target}, at most {repeats} repeats: {time.perf_counter() - started:.1f} s, "
            f"largest gap of a rate {np.abs(rates.reached - rates.wanted).max():.1e}"
        )


if __name__ == "__main__":
    main()
