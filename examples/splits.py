"""Train, validation and test sets that keep class fractions, and then also keep every patient on one side."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer

import batchwright as bw


def main() -> None:
    outcome = load_breast_cancer().target
    fractions = {"train": 0.8, "val": 0.1, "test": 0.1}
    plain = bw.split(outcome, fractions)
    print(plain)
    assert plain.off < 1

    patients = np.arange(outcome.size) // 3  # say three samples a patient
    whole = bw.split(outcome, fractions, together=patients)
    print(whole)
    assert not set(patients[whole["train"]]) & set(patients[whole["test"]])
    assert whole.off < 3

    plan = bw.balanced(whole.labels("train"), batch_size=16)
    batch = whole["train"][plan[0]]  # numbers in the whole dataset
    assert np.bincount(outcome[batch]).tolist() == [8, 8]


if __name__ == "__main__":
    main()
