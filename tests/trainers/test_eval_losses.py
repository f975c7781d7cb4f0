"""What HF's Trainer says of an evaluation is what it says on one process: losses, labels, inputs, also of uneven rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .. import processes
from .programs.eval_losses import BATCH_SIZE, KINDS, evaluated, model, padded, rows

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers' own

SIZES = [21, 1, 9]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_it_is_what_trainer_says_on_one_process(kind, world):
    alone = evaluated(0, 1, kind, SIZES, plainly=True)
    for of_rank in processes.run(evaluated, world, kind, SIZES):
        for said, expected in zip(of_rank, alone, strict=True):
            assert said["labels"] == expected["labels"]
            assert said["inputs"] == expected["inputs"]
            assert said["loss"] == pytest.approx(expected["loss"], rel=1e-5)
            np.testing.assert_allclose(said["losses"], expected["losses"], rtol=1e-5)
            np.testing.assert_allclose(said["logits"], expected["logits"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_the_loss_is_the_mean_over_samples_of_the_means_of_batches(world):
    language_model, samples = model(), rows(21)
    batches = [samples[first : first + BATCH_SIZE] for first in range(0, 21, BATCH_SIZE)]
    with torch.no_grad():
        means = [language_model(**padded(batch)).loss.item() for batch in batches]
    expected = sum(mean * len(batch) for mean, batch in zip(means, batches, strict=True)) / 21
    for kind in ("plan", "seq2seq"):
        for (said,) in processes.run(evaluated, world, kind, [21]):
            assert said["loss"] == pytest.approx(expected, rel=1e-5)
