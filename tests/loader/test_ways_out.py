"""The way out that a loader's refusal names is followed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset

import batchwright as bw

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .datasets import Numbers
from .test_broken import EVALUATED
from .test_other_labels import CASES as OTHER_LABELS
from .test_sent import CASES as NOT_SENT

PLAN = bw.shuffled(12, batch_size=4, seed=3)
LABELS = [0] * 8 + [1] * 4
MANY_LABELS = [*np.random.default_rng(0).integers(0, 2, 70_000).tolist(), 0, 1]  # of these only a part is compared
BALANCED = bw.balanced(LABELS, batch_size=4)
TASKS = {"a": bw.shuffled(8, 4), "b": bw.shuffled(4, 4)}
SPLIT = bw.packed([3, 7, 5], 4, too_long="split")
SEQUENCES = [{"ids": [1] * length} for length in (3, 7, 5)]
NAMED = bw.alternating(TASKS, named=True)
WEB, BOOKS = Numbers(6), Numbers(6)


class Stream(IterableDataset):
    """Samples without numbers."""

    def __iter__(self) -> Any:
        return iter(range(12))


class Broken(Numbers):
    """All samples from `first` on raise."""

    def __init__(self, count: int, first: int) -> None:
        super().__init__(count)
        self.first = first

    def __getitem__(self, index: int) -> int:
        if index >= self.first:
            raise OSError(f"sample {index} cannot be read")
        return index


def made(dataset: Any = None, plan: Any = PLAN, **options: Any) -> Any:
    return plan.loader(Numbers(12) if dataset is None else dataset, **{"num_workers": 0, **options})


def looped(*given: Any, **options: Any) -> Any:
    return list(made(*given, **options))


class Pairs:
    """What a plan of named tasks asks for: pairs of a task and a number."""

    def __getitem__(self, pair: tuple[str, int]) -> int:
        assert pair[0] in TASKS
        return pair[1]

    def __len__(self) -> int:
        return 12


def given_one() -> None:
    loader = made()
    for _ in loader:
        assert loader.real == 4


def told() -> None:
    loader = made()
    for batch in loader:
        assert loader.at().samples.tolist() == batch.tolist()


def after_another_loop() -> None:
    loader = made()
    older = iter(loader)
    next(older)
    next(iter(loader))
    next(older)


def on_its_own() -> None:
    first, second = iter(made()), iter(made())
    assert next(first).tolist() == next(second).tolist()
    assert len(looped(plan=bw.evaluation(12, batch_size=4))) == 3
    assert next(first).tolist() == next(second).tolist()


def loaded(**change: Any) -> None:
    made().load_state_dict({**made().state_dict(), **change})


RAGGED = [{"ids": torch.arange(2 + number % 3)} for number in range(12)]
PACKED = bw.packed([len(sample["ids"]) for sample in RAGGED], 8, packs=2)
PACKED_OF_TWO = bw.packed([len(sample["ids"]) for sample in RAGGED], 8, packs=2, max_per_pack=2)
PADDING = bw.Collate(ids=bw.ragged(pad=0))


TABLE = {
    "samples that torch cannot join": (
        lambda: looped(RAGGED),
        "field 'ids' of sample 1 of the batch has shape",
        "pass collate=bw.Collate(...) to plan.loader, with its fields; declare it: ids = bw.ragged()",
        lambda: looped(RAGGED, collate=bw.Collate(ids=bw.ragged())),
    ),
    "bare tensors that torch cannot join": (
        lambda: looped([sample["ids"] for sample in RAGGED]),
        "sample 1 of the batch has shape (",
        "let the dataset return them as {'x': sample}, and pass collate=bw.Collate(x=bw.ragged()) to plan.loader",
        lambda: looped([{"x": sample["ids"]} for sample in RAGGED], collate=bw.Collate(x=bw.ragged())),
    ),
    "bare lists of packs that torch cannot join": (
        lambda: looped([sample["ids"].tolist() for sample in RAGGED], plan=PACKED),
        " of the batch has shape (",
        "let the dataset return them as {'x': sample}, and pass collate=bw.Collate(x=bw.ragged()).packs(capacity=8, "
        "packs=2) to plan.loader",
        lambda: looped(
            [{"x": sample["ids"].tolist()} for sample in RAGGED],
            plan=PACKED,
            collate=bw.Collate(x=bw.ragged()).packs(capacity=8, packs=2),
        ),
    ),
    "packs that torch cannot join": (
        lambda: looped(RAGGED, plan=PACKED),
        "field 'ids' of sample 1 of the batch has shape",
        "pass collate=bw.Collate(...).packs(capacity=8, packs=2) to plan.loader, with its fields; declare it: ids = "
        "bw.ragged()",
        lambda: looped(RAGGED, plan=PACKED, collate=bw.Collate(ids=bw.ragged()).packs(capacity=8, packs=2)),
    ),
    "packs that are padded": (
        lambda: made(RAGGED, plan=PACKED, collate=PADDING),
        "the plan makes packs, and collate pads every sample of field 'ids' to the longest",
        "pass collate=collate.packs(capacity=8, packs=2)",
        lambda: looped(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=8, packs=2)),
    ),
    "packs by several limits that are padded": (
        lambda: made(RAGGED, plan=PACKED_OF_TWO, collate=PADDING),
        "the plan makes packs, and collate pads every sample of field 'ids' to the longest",
        "pass collate=collate.packs(packs=plan) and bw.identified(dataset) in place of the dataset",
        lambda: looped(bw.identified(RAGGED), plan=PACKED_OF_TWO, collate=PADDING.packs(packs=PACKED_OF_TWO)),
    ),
    "packs of a lower capacity": (
        lambda: made(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=7, packs=2)),
        "the plan was made with capacity=8, the packs of collate with capacity=7",
        "pass capacity=8, packs=2 to collate.packs",
        lambda: looped(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=8, packs=2)),
    ),
    "packs of a higher capacity": (
        lambda: made(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=16, packs=2)),
        "the plan was made with capacity=8, the packs of collate with capacity=16",
        "pass capacity=8, packs=2 to collate.packs; for the plan's packs with more room, pass packs=plan to collate.packs, "
        "and bw.identified(dataset) to plan.loader",
        lambda: (
            looped(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=8, packs=2)),
            looped(bw.identified(RAGGED), plan=PACKED, collate=PADDING.packs(capacity=16, packs=PACKED)),
        ),
    ),
    "packs by the capacity where other limits count": (
        lambda: made(RAGGED, plan=PACKED_OF_TWO, collate=PADDING.packs(capacity=8, packs=2)),
        "the plan's packs have max_per_pack=2, and collate cuts them by the capacity alone",
        "pass packs=plan to collate.packs, and bw.identified(dataset) to plan.loader",
        lambda: looped(bw.identified(RAGGED), plan=PACKED_OF_TWO, collate=PADDING.packs(packs=PACKED_OF_TWO)),
    ),
    "the packs of another plan": (
        lambda: made(bw.identified(RAGGED), plan=PACKED_OF_TWO, collate=PADDING.packs(packs=PACKED)),
        "the packs of collate are those of another plan, which has other limits",
        "pass packs=plan to collate.packs, and bw.identified(dataset) to plan.loader",
        lambda: looped(bw.identified(RAGGED), plan=PACKED_OF_TWO, collate=PADDING.packs(packs=PACKED_OF_TWO)),
    ),
    "fewer packs": (
        lambda: made(RAGGED, plan=PACKED, collate=PADDING.packs(capacity=8)),
        "the plan was made with packs=2, the packs of collate with packs=1",
        "pass capacity=8, packs=2 to collate.packs",
        lambda: looped(bw.identified(RAGGED), plan=PACKED, collate=PADDING.packs(packs=2, capacity=8)),
    ),
    "the size of a batch": (
        lambda: made(batch_size=4),
        "batch_size=4 was given to plan.loader, but the plan decides what is in a batch",
        "leave batch_size out",
        looped,
    ),
    "a sampler in the place of the plan's": (
        lambda: made(sampler=PLAN.sampler()),
        "was given to plan.loader, but the loader makes the plan's sampler itself",
        "leave sampler out",
        looped,
    ),
    "two collate functions": (
        lambda: made(collate=torch.tensor, collate_fn=torch.tensor),
        "collate and collate_fn were given, which mean the same",
        "pass one of them",
        lambda: looped(collate=torch.tensor),
    ),
    "a DataLoader": (
        lambda: made(DataLoader(Numbers(12))),
        "plan.loader was given a DataLoader",
        "pass the data set itself",
        looped,
    ),
    "a stream": (
        lambda: made(Stream()),
        "Stream is an IterableDataset, whose samples have no numbers",
        "pass a map-style data set, or balance the stream with batchwright.online",
        lambda: (looped(), next(iter(bw.online.balanced(Stream(), batch_size=4, key=lambda sample: sample % 2)))),
    ),
    "no data set": (
        lambda: made(12),
        "the data set is of type int, which has no length or no items",
        "pass an object with __getitem__ and __len__",
        looped,
    ),
    "another length": (
        lambda: made(Numbers(20)),
        "the data set has 20 samples, the plan was made for 12",
        "make the plan from this data set, or pass the part of the data set that it was made from",
        lambda: (looped(Numbers(20), plan=bw.shuffled(20, 4)), looped(Subset(Numbers(20), range(12)))),
    ),
    "a class": (
        lambda: made(Numbers),
        "the data set is the class Numbers",
        "pass an object: Numbers(...)",
        lambda: looped(Numbers(12)),
    ),
    "a path": (
        lambda: made("data/train"),
        "the data set is 'data/train'",
        "pass the data set itself, whose items are samples",
        looped,
    ),
    "columns": (
        lambda: made({"x": list(range(12))}),
        "whose items are columns, not samples",
        "pass its rows, as a list or a Dataset of them",
        lambda: looped([{"x": number} for number in range(12)]),
    ),
    "a collate function that is none": (
        lambda: made(collate=3),
        "collate is 3, which cannot be called",
        "pass a function of a list of samples",
        lambda: looped(collate=torch.tensor),
    ),
    "a device that is none": (
        lambda: made(device="gpu"),
        "device is 'gpu': RuntimeError",
        'pass a torch.device or its name, as "cuda:0"',
        lambda: looped(device="cpu"),
    ),
    "an argument that is none": (
        lambda: made(worker=3),
        "plan.loader has no argument 'worker'",
        "pass its own arguments, or those of torch.utils.data.DataLoader (did you mean 'num_workers'?)",
        lambda: looped(num_workers=0, timeout=0),
    ),
    "pairs that raise": (
        lambda: made(Pairs(), plan=NAMED, on_error="skip"),
        "on_error is 'skip', and the plan yields pairs of a task and a number",
        'build the plan with named=False, or pass on_error="refuse"',
        lambda: (looped(Pairs(), plan=NAMED), looped(plan=bw.alternating(TASKS), on_error="skip")),
    ),
    "an evaluation of samples that raise": EVALUATED,
    "a data set that is not cut": (
        lambda: made(SEQUENCES, plan=SPLIT),
        "the data set has 3 samples, the plan yields 5 pieces of samples",
        "pass plan.pieces(dataset, cut=[...]), with the data set that the plan was made from, and the names of what is cut",
        lambda: looped(
            SPLIT.pieces(SEQUENCES, cut=["ids"]),
            plan=SPLIT,
            collate=bw.Collate(ids=bw.ragged()).packs(capacity=4, packs=1),
        ),
    ),
    "parts in another order than the sources": (
        lambda: made(ConcatDataset([Numbers(3), Numbers(9)]), plan=bw.mixed({"web": 9, "code": 3}, 4)),
        "source 'web' of the plan has 9 samples, and in its place the ConcatDataset has a part of 3",
        "concatenate the data sets of the sources in the order of plan.groups.names, or pass check_data=False",
        lambda: looped(ConcatDataset([Numbers(9), Numbers(3)]), plan=bw.mixed({"web": 9, "code": 3}, 4)),
    ),
    "parts of one size in another order than the sources": (
        lambda: made(ConcatDataset([BOOKS, WEB]), plan=bw.mixed({"web": WEB, "books": BOOKS}, 4)),
        "source 'web' of the plan has the samples from 0 on, and its data set begins at sample 6 of the ConcatDataset",
        "concatenate the data sets of the sources in the order of plan.groups.names, or pass check_data=False",
        lambda: looped(ConcatDataset([WEB, BOOKS]), plan=bw.mixed({"web": WEB, "books": BOOKS}, 4)),
    ),
    "a batch that was not given": (
        lambda: made().real,
        "no batch was given yet",
        "ask after a batch was given",
        given_one,
    ),
    "two loops at once": (
        after_another_loop,
        "another loop over this loader has begun since, and its position is that loop's",
        "make a second loader for the other loop: plan.loader(dataset), or bw.evaluation(...).loader(dataset)",
        on_its_own,
    ),
    "damaged broken samples": (
        lambda: loaded(broken=[12]),
        "the state's broken samples are [12], not numbers below 12",
        "load what state_dict() gave, as it was",
        loaded,
    ),
    "more broken samples than are allowed": (
        lambda: _quietly(lambda: looped(Broken(12, 9), on_error="replace", max_errors=2)),
        "3 samples raised, max_errors is 2; the last was sample ",
        "mend the data set, or pass a larger max_errors",
        lambda: (looped(), _quietly(lambda: looped(Broken(12, 9), on_error="replace", max_errors=3))),
    ),
    "a whole group is broken": (
        lambda: looped(Broken(12, 8), plan=BALANCED, on_error="replace"),
        "raised OSError: sample ",
        'mend the data set, or leave such samples out with on_error="skip"',
        lambda: (looped(plan=BALANCED), _quietly(lambda: looped(Broken(12, 8), plan=BALANCED, on_error="skip"))),
    ),
    "a whole batch is broken": (
        lambda: looped(Broken(12, 0), on_error="skip"),
        "every sample of a batch raised: OSError: sample ",
        'mend the data set, or pass on_error="replace"',
        lambda: (looped(), _quietly(lambda: looped(Broken(12, 9), on_error="replace"))),
    ),
    "what is in the last batch before there is one": (
        lambda: made().at(),
        "no batch was given yet",
        "pass the number of a batch, or ask after one was given",
        lambda: (made().at(0), told()),
    ),
}
CASES = cases("refuse message way_out follow", TABLE)


def _quietly(call: Any) -> Any:
    with pytest.warns(bw.PoorWarning, match=r"sample \d+ raised OSError: sample \d+ cannot be read; with on_error="):
        return call()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_refusal_is_told_and_its_way_out_works(case):
    told_and_followed(case)


def test_every_refusal_has_a_case():
    files = sorted((SOURCE / "loader").glob("*.py"))
    check_that_all_are_reached(files, 20, [CASES, NOT_SENT, OTHER_LABELS])


@pytest.mark.parametrize("name", ["shuffle", "sampler", "batch_sampler", "drop_last", "batch_size"])
def test_what_the_plan_decides_is_refused(name):
    with pytest.raises(bw.Infeasible, match=f"{name}=None was given to plan.loader"):
        made(**{name: None})
