from __future__ import annotations

import re

import pytest
import torch

from batchwright.demo import correct as demo


def rows_of(printed: str) -> list[dict[str, list[float]]]:
    """The numbers of each arm, table by table, without the spread."""
    tables = []
    for part in printed.split("eights among digits")[1:]:
        lines = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in part.splitlines() if "(0." in line]
        tables.append({name: [float(x) for x in numbers.split() if "(" not in x] for name, numbers in lines})
    return tables


def test_it_prints_every_arm_and_leaves_threads_and_generator_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads, generator = torch.get_num_threads(), torch.get_rng_state()
    demo.run(seeds=1, epochs=1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), generator)
    tables = rows_of(capsys.readouterr().out)
    assert len(tables) == 2
    assert all(len(table) == 5 and all(len(row) == 4 for row in table.values()) for table in tables)


def test_the_test_digits_have_the_natural_prior_and_share_nothing_with_training() -> None:
    digits = demo._digits(0, 0.0)
    assert digits.train_classes.double().mean().item() == pytest.approx(0.02, abs=0.001)
    assert digits.test_classes.double().mean().item() == pytest.approx(0.02, abs=0.0015)  # whole repeats
    # two scans of scikit-learn's digits may be equal pixel by pixel; positives, each held once, are not
    train = {tuple(row.tolist()) for row in digits.train_images[digits.train_classes == 1]}
    assert not train & {tuple(row.tolist()) for row in digits.test_images}


@pytest.mark.long
def test_the_claims_of_the_docs(capsys: pytest.CaptureFixture[str]) -> None:
    demo.run()
    overlapping, by_heart = rows_of(capsys.readouterr().out)
    on_natural, on_sampled = "BN of natural", "BN of sampled"
    assert overlapping["balanced + prior"][0] < overlapping["balanced"][0] / 3
    assert overlapping[on_natural][0] > 10 * overlapping[on_sampled][0]
    assert overlapping[on_natural][3] < overlapping[on_sampled][3] - 0.04
    assert abs(overlapping[on_sampled][3] - overlapping["balanced + prior"][3]) < 0.02
    assert by_heart["balanced + prior"][0] > by_heart["balanced"][0]
