"""Packs through real loaders: plans and streams say what lies together, and the collated packs hold just that."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import batchwright as bw

LENGTHS = np.clip(np.random.default_rng(0).lognormal(2.5, 0.8, 160), 1, 60).astype(int)
CAPACITY, PACKS = 64, 3


class Rows(Dataset):
    """Sample i is `lengths[i]` times i."""

    def __init__(self, lengths):
        self.lengths = [int(length) for length in lengths]

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        return {"ids": torch.full((self.lengths[index],), index), "number": index}


def declared() -> bw.Collate:
    return bw.Collate(ids=bw.ragged(pad=-1))


def packs_of(batch: bw.Batch) -> list[list[int]]:
    """The numbers of the samples in each pack."""
    numbers, pack_of = batch["number"].tolist(), batch.aside.columns["pack"].tolist()
    return [[n for n, of in zip(numbers, pack_of, strict=True) if of == pack] for pack in range(pack_of[-1] + 1)]


def check(batch: bw.Batch, shape: str, lengths, align: int = 1, capacity: int = CAPACITY) -> None:
    """The batch shows its packs, each filled up to the capacity, in the shape that was asked for."""
    packs = packs_of(batch)
    rows = torch.full((len(packs), capacity), -1)
    for row, pack in zip(rows, packs, strict=True):
        start = 0
        for number in pack:
            row[start : start + lengths[number]] = number
            start += -(-lengths[number] // align) * align
        assert start <= capacity
    assert batch["ids"].equal({"packs": rows, "row": rows.reshape(1, -1), "flat": rows.reshape(-1)}[shape])


@pytest.mark.parametrize("shape", ["row", "packs", "flat"])
@pytest.mark.parametrize("room", ["dummy", "extend"])
@pytest.mark.parametrize("by", ["number", "plan"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_over_a_plan_makes_the_plans_packs(shape, room, by, workers):
    plan = bw.packed(LENGTHS, CAPACITY, packs=PACKS)
    if by == "plan":
        dataset, collate = bw.identified(Rows(LENGTHS)), declared().packs(packs=plan, fill=room, shape=shape)
    else:
        dataset, collate = Rows(LENGTHS), declared().packs(capacity=CAPACITY, packs=PACKS, fill=room, shape=shape)
    loader = DataLoader(dataset, batch_sampler=plan.sampler(), num_workers=workers, collate_fn=collate)
    batches = list(loader)
    for batch, planned in zip(batches, plan.epoch(0), strict=True):
        assert packs_of(batch) == [pack.tolist() for pack in plan.packs(planned)]
        check(batch, shape, LENGTHS)
    assert max(len(packs_of(batch)) for batch in batches) == PACKS


LIMITS = {
    "one capacity": {},
    "a limit of samples": {"max_per_pack": 2},
    "a limit of samples above all": {"max_per_pack": CAPACITY},
    "pairs": {"together": np.arange(LENGTHS.size) // 2},
    "several capacities": {"capacity": {"elements": CAPACITY, "images": 3}},
    "several capacities, and a limit of samples": {"capacity": {"elements": CAPACITY, "images": 3}, "max_per_pack": 2},
    "longer samples left out": {"capacity": 32, "too_long": "skip"},
}


@pytest.mark.parametrize("packs", [1, 4])
@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("given", [{"capacity": 48}, {"capacity": 64}, {"capacity": 200}, {}])
def test_the_packs_of_a_loader_are_the_plans_or_it_refuses(kind, packs, given):
    options = {"capacity": CAPACITY, **LIMITS[kind]}
    lengths = np.minimum(LENGTHS, CAPACITY // 2) if "together" in options else LENGTHS
    several = isinstance(options["capacity"], dict)
    planned = {"elements": lengths, "images": np.arange(lengths.size) % 4} if several else lengths
    plan = bw.packed(planned, packs=packs, **options)
    collate = declared().packs(**given, packs=packs if given else 1)
    try:
        batches = list(plan.loader(Rows(lengths), collate=collate, num_workers=0))
    except bw.Infeasible as refusal:
        assert packs > 1 or given == {"capacity": 48}
        assert kind not in {"one capacity", "a limit of samples above all"} or given != {"capacity": CAPACITY}
        if "packs=plan" in refusal.way_out:
            collate = declared().packs(packs=plan)
            batches = list(plan.loader(bw.identified(Rows(lengths)), collate=collate, num_workers=0))
        else:
            batches = []
    for batch, of_plan in zip(batches, plan.epoch(0), strict=False):
        assert packs_of(batch) == [pack.tolist() for pack in plan.packs(of_plan)]


@pytest.mark.parametrize("by", ["number", "plan"])
def test_a_plan_for_lengths_as_aligned_is_collated_aligned(by):
    plan = bw.packed(-(-LENGTHS // 8) * 8, CAPACITY, packs=PACKS)
    cut = {"packs": plan} if by == "plan" else {"packs": PACKS, "capacity": CAPACITY}
    collate = declared().packs(align=8, fill="dummy", shape="packs", **cut)
    for batch in DataLoader(bw.identified(Rows(LENGTHS)), batch_sampler=plan.sampler(), collate_fn=collate):
        check(batch, "packs", LENGTHS, align=8)


@pytest.mark.filterwarnings("ignore:samples repeat within a micro-batch:batchwright.PoorWarning")
@pytest.mark.parametrize(
    "limits",
    [
        {"together": np.arange(160) // 4, "capacity": 240},
        {"max_per_pack": 2, "capacity": CAPACITY},
        {"too_long": "split", "capacity": 16},
        {
            "order": bw.balanced(np.arange(160) % 3, 8, target=lambda counts, epoch: [0.5, 0.25, 0.25]),
            "capacity": CAPACITY,
        },
    ],
)
def test_whatever_limits_the_packs_of_a_plan_the_plan_knows_them(limits):
    plan = bw.packed(LENGTHS, **limits, packs=PACKS)
    pieces = plan.pieces(Rows(LENGTHS)) if "too_long" not in limits else plan.pieces(Rows(LENGTHS), cut=["ids"])
    collate = pickle.loads(pickle.dumps(declared().packs(packs=plan, shape="flat")))  # as it comes to a spawned worker
    loader = DataLoader(bw.identified(pieces), batch_sampler=plan.sampler(), collate_fn=collate)
    for batch, planned in zip(loader, plan.epoch(0), strict=True):
        held = np.diff(plan.pack_borders(planned))
        assert np.bincount(batch.aside.columns["pack"]).tolist() == held.tolist()
        assert batch.aside.sample_ids.tolist() == planned.tolist()


def test_several_capacities_are_cut_by_the_plan():
    plan = bw.packed({"text": LENGTHS, "image": LENGTHS[::-1]}, {"text": 80, "image": 70}, packs=2)
    collate = declared().packs(packs=plan, capacity=80, fill="dummy", shape="packs")
    for batch, planned in zip(
        DataLoader(bw.identified(Rows(LENGTHS)), batch_sampler=plan.sampler(), collate_fn=collate),
        plan.epoch(0),
        strict=True,
    ):
        assert packs_of(batch) == [pack.tolist() for pack in plan.packs(planned)]
        check(batch, "packs", LENGTHS, capacity=80)


@pytest.mark.parametrize("shape", ["row", "packs", "flat"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_over_a_stream_makes_the_streams_packs(shape, workers):
    samples = [Rows(LENGTHS)[n] for n in range(160)]
    stream = bw.online.packed(samples, length=lambda sample: len(sample["ids"]), capacity=CAPACITY, packs=PACKS)
    collate = declared().packs(capacity=CAPACITY, fill="dummy", shape=shape)
    seen = []
    for batch in DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=collate):
        assert 1 <= len(packs_of(batch)) <= PACKS
        check(batch, shape, LENGTHS)
        seen += batch["number"].tolist()
    assert sorted(seen) == list(range(160))
    assert max(len(packs_of(batch)) for batch in map(collate, stream)) == PACKS


def test_what_is_known_of_samples_may_be_asked_for_before_packing_or_after():
    plan = bw.packed(LENGTHS, CAPACITY, order=bw.balanced(np.arange(160) % 3, 8))
    dataset = bw.identified(Rows(LENGTHS))
    rows = [dataset[n] for n in plan[0].tolist()]
    first = declared().with_plan(plan).knowing(half=lambda ids: ids // 2).packs()(rows).aside
    then = declared().packs().with_plan(plan).knowing(half=lambda ids: ids // 2)(rows).aside
    assert first.groups.tolist() == then.groups.tolist() == [int(n) % 3 for n in plan[0]]
    assert first.weights.equal(then.weights)
    assert first.columns["half"].equal(then.columns["half"])


@pytest.mark.parametrize(
    ("collate", "said"),
    [
        (
            lambda: declared().packs(capacity=16),
            "4 samples of 40 elements fill 4 packs of 16, packs is 1; make the plan from the lengths of these samples",
        ),
        (lambda: declared().packs(capacity=16, packs=3, align=4), "4 samples of 48 elements fill 4 packs of 16"),
        (lambda: declared().packs(capacity=8, packs=4), "pack 0 of 1 samples holds 10 elements, its capacity is 8"),
        (lambda: declared().packs(packs=bw.packed([10] * 4, 16)), r"these samples have none; wrap .* bw.identified"),
        (lambda: declared().packs(packs=2), "packs=2 are filled up to a capacity, and none is given"),
        (lambda: declared().packs(packs=0), "packs is 0, the least is 1"),
        (
            lambda: declared().packs(packs=bw.budgeted([10] * 4, 16)),
            "packs is of type LengthPlan, whose micro-batches are not made of packs; pass the plan of bw.packed",
        ),
        (lambda: declared().packs(packs="4"), "packs is '4', not a whole number"),
        (lambda: declared().packs(capacity=8.0), "capacity is 8.0, not a whole number"),
        (lambda: declared().packs(align=1.5), "align is 1.5, not a whole number"),
    ],
)
def test_packs_that_cannot_be_cut_are_refused(collate, said):
    rows = [Rows([10] * 4)[n] for n in range(4)]
    with pytest.raises(bw.Infeasible, match=said):
        collate()(rows)


def test_batches_of_another_plan_or_changed_since_are_refused():
    dataset = bw.identified(Rows([10] * 9))
    with pytest.raises(bw.Infeasible, match="samples from 7 to 8 are to be found in a plan over 4"):
        declared().packs(packs=bw.packed([10] * 4, 16))([dataset[8], dataset[7]])
    batch = next(iter(bw.online.packed(Rows([3] * 9), length=lambda sample: len(sample["ids"]), capacity=30)))
    batch.pop()
    with pytest.raises(bw.Infeasible, match="the batch has 8 samples, and by its own account its packs hold 9"):
        declared().packs()(batch)
    with pytest.raises(bw.Infeasible, match="pack 0 is a list and pack 1 is of type dict"):
        declared().packs()([[Rows([3])[0]], Rows([3])[0]])


def test_whole_samples_under_a_plan_of_their_pieces_are_told_to_load_pieces():
    plan = bw.packed([10] * 4, 6, packs=2, too_long="split")
    dataset = bw.identified(Rows([10] * 8))
    with pytest.raises(bw.Infeasible, match=r"its capacity is 6; .* splits samples .* plan.pieces\(dataset, cut="):
        declared().packs(packs=plan)([dataset[0]])
