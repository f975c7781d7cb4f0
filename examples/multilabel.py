"""Several labels at once: digits tagged by what they look like, every tag brought to its rate."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

import batchwright as bw

TAGS = {
    0: ["loop"],
    1: ["bar"],
    4: ["bar", "corner"],
    5: ["corner"],
    6: ["loop", "hook"],
    7: ["bar", "corner", "rare"],
    8: ["loop"],
    9: ["loop", "hook"],
}


def main() -> None:
    digits = load_digits().target
    tags = [TAGS.get(int(digit), []) for digit in digits]
    wanted = {"loop": 0.4, "bar": 0.3, "corner": 0.35, "hook": 0.2, "rare": 0.1}
    rates = bw.multilabel_weights(tags, target=wanted, max_repeats=4)
    print(rates)
    assert np.abs(rates.reached - rates.wanted).max() < 1e-7
    plan = bw.multilabel(tags, 40, target=wanted, max_repeats=4)
    drawn = np.concatenate([plan[t] for t in range(500)]).tolist()
    for tag, rate in wanted.items():
        reached = sum(tag in tags[index] for index in drawn) / len(drawn)
        assert abs(reached - rate) < 0.001, (tag, reached)


if __name__ == "__main__":
    main()
