"""Random numbers of samples: their own at every draw, the same in any number of workers, after a restart, in any world."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import batchwright as bw

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # more workers than cores


class Augmented(torch.utils.data.Dataset):
    """Samples with random numbers of all three generators."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor, float, float]:
        return index, torch.rand(()), np.random.rand(), random.random()  # noqa: NPY002  # as many transforms do


def _augmented(plan, **options):
    """The random numbers of every draw, by sample."""
    found = {}
    loader = plan.loader(Augmented(), **{"num_workers": 0, **options})
    for epoch in loader.epochs(2):
        for batch in epoch:
            for sample, *numbers in zip(*(part.tolist() for part in batch), strict=True):
                found.setdefault(sample, []).append(tuple(numbers))
    return found


AUGMENTED = {
    "shuffled": bw.shuffled(60, 4, seed=1),
    "balanced": bw.balanced([0] * 50 + [1] * 10, 4, seed=1),
    "budgeted": bw.budgeted(np.arange(1, 61), max_tokens=130, window=4, seed=1),
}


@pytest.mark.parametrize("kind", AUGMENTED)
def test_random_numbers_belong_to_a_sample_and_its_visit(kind):
    plan = AUGMENTED[kind]
    alone = _augmented(plan)
    drawn = [numbers for draws in alone.values() for numbers in draws]
    assert len(set(drawn)) == len(drawn)  # other ones at every draw
    assert len({number for numbers in drawn for number in numbers}) == 3 * len(drawn)
    assert alone == _augmented(plan, num_workers=3)
    ranks = [_augmented(plan, rank=rank, world_size=2) for rank in range(2)]
    for sample, draws in alone.items():
        shared = set(draws) & {numbers for rank in ranks for numbers in rank.get(sample, [])}
        assert len(shared) == len(draws) or kind != "budgeted"  # one epoch, one draw: in any world
        if kind == "shuffled":
            assert len(shared) == len(draws)


def test_random_numbers_after_a_restart():
    plan = AUGMENTED["balanced"]

    def numbers(loader):
        return [[part.tolist() for part in batch] for batch in loader]

    whole = plan.loader(Augmented(), num_workers=2)
    taken = []
    state = None
    for step, batch in enumerate(whole):
        taken.append([part.tolist() for part in batch])
        if step == 6:
            state = whole.state_dict()
    other = plan.loader(Augmented(), num_workers=0)
    other.load_state_dict(state)
    assert numbers(other) == taken[7:]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_generators_of_the_training_process_are_left_alone(workers):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  # the generator that the loader gives back
    random.seed(5)
    before = torch.get_rng_state(), _numpys(), random.getstate()
    list(AUGMENTED["shuffled"].loader(Augmented(), num_workers=workers))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (_numpys(), random.getstate())


def _numpys():
    return np.random.get_state()[1].tolist()  # noqa: NPY002  # the global one is what is compared


def test_unseeded_samples_draw_from_the_generators_as_they_are():
    torch.manual_seed(5)
    first = _augmented(AUGMENTED["shuffled"], seeded=False)
    assert first != _augmented(AUGMENTED["shuffled"], seeded=False)


def test_pairs_of_named_tasks_have_random_numbers_too():
    plan = bw.alternating({"a": bw.shuffled(8, 4), "b": bw.shuffled(4, 4)}, named=True)

    class Pairs:
        def __getitem__(self, pair):
            return pair[1], torch.rand(())

        def __len__(self):
            return 12

    runs = [[batch[1].tolist() for batch in plan.loader(Pairs(), num_workers=workers)] for workers in (0, 2)]
    assert runs[0] == runs[1]
    assert len({number for batch in runs[0] for number in batch}) == 12


@pytest.mark.parametrize("world", [1, 2, 3])
def test_random_numbers_of_an_evaluation_are_those_of_any_world(world):
    plan = bw.evaluation(60, batch_size=4)
    found = {}
    for rank in range(world):
        loader = plan.loader(Augmented(), rank=rank, world_size=world, num_workers=0)
        for batch in loader:
            samples, numbers = (part[: loader.real].tolist() for part in batch[:2])
            found |= dict(zip(samples, numbers, strict=True))
    alone = {
        s: n
        for batch in plan.loader(Augmented(), num_workers=0)
        for s, n in zip(batch[0].tolist(), batch[1].tolist(), strict=True)
    }
    assert found == alone


class OfWorkers(Augmented):
    """Samples with the seed of the worker that reads them."""

    def __getitem__(self, index):
        return torch.utils.data.get_worker_info().seed


def test_the_seeds_of_workers_are_the_plans():
    """Whatever the program has drawn: other ones in each epoch and for each plan, the same after a restart."""

    def seeds(plan, draws, epochs=2, **options):
        torch.manual_seed(draws)
        loader = plan.loader(OfWorkers(), num_workers=2, seeded=False, **options)
        return [sorted({int(seed) for batch in epoch for seed in batch}) for epoch in loader.epochs(epochs)]

    plan = AUGMENTED["shuffled"]
    first = seeds(plan, 1)
    assert first == seeds(plan, 2)
    assert len({seed for epoch in [*first, *seeds(AUGMENTED["balanced"], 1)] for seed in epoch}) == 8
