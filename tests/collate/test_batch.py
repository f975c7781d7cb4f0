"""The batch object: a mapping for the model, a traveller between processes and devices, and its side channel."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter
from torch.utils.data import DataLoader, Dataset

import batchwright as bw
from batchwright.collate import Fill, memory

COLLATE = bw.Collate(
    ids=bw.ragged(pad=0, also={"attention_mask": "mask"}),
    edges=bw.ragged(dim=-1, shift_by="frames"),
    frames=bw.ragged(form="packed"),
    spectrum=bw.ragged(dim=-1, pad=0.0),
    image=bw.stack(),
    grid=bw.resized(how="pad"),
    label=bw.scalar(),
    name=bw.opaque(),
    split=bw.aside(),
)


def sample(number: int, length: int | None = None) -> dict:
    length = length or number % 4 + 1
    return {
        "ids": torch.arange(length) + number,
        "edges": torch.tensor([[0], [length - 1]]),
        "frames": torch.full((length, 2), float(number)),
        "spectrum": torch.ones(2, length),
        "image": torch.full((3, 2, 2), float(number)),
        "grid": torch.ones(1, length, 2),
        "label": number,
        "name": f"sample {number}",
        "split": "train",
    }


class Numbered(Dataset):
    """Twelve samples."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, number: int) -> dict:
        return sample(number)


class Reported:
    """Collates, and tells which tensors of the batch were in shared memory before the worker sent any."""

    def __call__(self, samples: list) -> tuple[bw.Batch, dict[str, bool]]:
        memory.SMALL = 0  # else only large tensors are made there
        batch = COLLATE(samples)
        names = ("ids", "edges", "frames", "spectrum", "image", "grid", "label")
        return batch, {name: batch[name].is_shared() for name in names}


class EveryTensor:
    """Collates in every way there is, and tells of every tensor that travels whether it was shared in the worker."""

    def __init__(self) -> None:
        forms = {form: bw.ragged(form=form) for form in ("padded", "packed", "jagged", "list")}
        sides = {
            f"dim{dim} {side}": bw.ragged(dim=dim, pad=0.0, side=side) for dim in (0, 1) for side in ("left", "right")
        }
        rest = {
            "both": bw.ragged(dim=(0, 1), pad=0.0),
            "flat": bw.ragged(pad=0),
            "index": bw.ragged(shift_by="packed"),
            "matrix": bw.block_diagonal(),
            "media": bw.media(),
            "grown": bw.resized((5, 5)),
            "pad": bw.resized(how="pad"),
            "nearest": bw.resized((5, 5), mode="nearest"),
            "number": bw.scalar(),
            "stack": bw.stack(),
            "aside": bw.aside(),
        }
        self.collate = bw.Collate({**forms, **sides, **rest})
        self.packs = bw.Collate(ids=bw.ragged(pad=-1)).packs(capacity=16, align=2, fill="dummy", seams=["ids"])

    def sample(self, number: int) -> dict:
        rows, columns = torch.ones(number + 1, 3), torch.ones(3, number + 1)
        square = torch.ones(number + 1, number + 1)
        ragged = {name: columns if name.startswith("dim1") else rows for name in self.collate.fields}
        return (
            ragged
            | dict.fromkeys(("both", "grown", "pad", "nearest"), square)
            | {
                "flat": torch.arange(number),
                "index": torch.tensor([number]),
                "matrix": square.to_sparse(),
                "media": [torch.ones(2)] * number,
                "number": number,
                "stack": torch.ones(3),
                "aside": number,
                "undeclared": 0.5,
            }
        )

    def __call__(self, numbers: list[int]) -> dict[str, list[bool]]:
        memory.SMALL = 0  # else only large tensors are made there
        batch = self.collate([self.sample(number) for number in numbers])
        packed = self.packs([[{"ids": torch.arange(number)} for number in numbers]])
        values = batch.fields | {"packs": packed.fields["ids"]} | {f"label {n}": v for n, v in packed._labels.items()}
        values.pop("list")  # holds the samples' own tensors
        shared: dict[str, list[bool]] = {}
        for name, value in values.items():
            value.transferred(
                lambda tensor, name=name: shared.setdefault(name, []).append(tensor.is_shared()) or tensor
            )
        return shared


def same(left: bw.Batch, right: bw.Batch) -> bool:
    return set(left) == set(right) and all(
        value.equal(right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        for name, value in left.items()
    )


def test_model_takes_it_as_keywords_and_never_sees_the_side_channel():
    batch = COLLATE([sample(0), sample(5)])
    keywords = (lambda **received: received)(**batch)
    assert set(keywords) == {
        "ids", "attention_mask", "edges", "frames", "spectrum", "image", "grid", "label", "name",
    }  # fmt: skip
    assert batch["ids"] is batch["ids"]
    assert "split" not in batch
    assert batch.aside.columns["split"] == ["train", "train"]
    assert batch[-1]["name"] == "sample 5"
    assert batch[1]["split"] == "train"
    assert batch[np.int64(1)]["name"] == batch[torch.tensor(-1)]["name"] == "sample 5"
    for number in (2, -3):
        with pytest.raises(IndexError, match=f"sample {number} of a batch of 2"):
            batch[number]
        with pytest.raises(IndexError):
            batch.select([number])
    with pytest.raises(KeyError, match="'split' is none of the batch's keys ids, "):
        batch["split"]
    for wrong in (slice(0, 2), None, 1.5):
        with pytest.raises(bw.Infeasible):
            batch[wrong]
    with pytest.raises(bw.Infeasible, match="0 samples are selected"):
        batch.select([])


def test_side_channel_knows_ids_groups_repeats_positions_and_scale():
    dataset = bw.identified(Numbered(), group=[f"class {n % 2}" for n in range(12)], task=torch.arange(12) // 6)
    batch = COLLATE([dataset[n] for n in (3, 7, 3)])
    aside = batch.aside
    assert aside.sample_ids.tolist() == [3, 7, 3]
    assert aside.groups == ["class 1"] * 3
    assert aside.tasks.tolist() == [0, 1, 0]
    assert aside.repeats.tolist() == [False, False, True]
    assert aside.fill["ids"] == Fill(12, 0)
    assert COLLATE([sample(0), sample(3)]).aside.fill["ids"] == Fill(5, 3)
    assert aside.loss_scale == 1.0
    assert batch.scaled(0.5).aside.loss_scale == 0.5
    assert batch.scaled(0.5).to("cpu").aside.sample_ids.tolist() == [3, 7, 3]
    with pytest.raises(bw.Infeasible, match="this batch has none"):
        _ = COLLATE([sample(1)]).aside.repeats


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_what_the_plan_knows_comes_with_the_batch_from_workers(method):
    labels = ["rare" if n == 3 else "common" for n in range(12)]
    with pytest.warns(bw.PoorWarning, match="repeat within a batch"):  # which the side channel is to show
        plan = bw.balanced(labels, batch_size=3)
    sampler = plan.sampler(accumulate=2)
    loader = DataLoader(
        bw.identified(Numbered(), task=[n // 6 for n in range(12)]),
        batch_sampler=sampler,
        num_workers=1,
        collate_fn=COLLATE.with_plan(plan, clip=1.5),
        multiprocessing_context=method,
    )
    scale = bw.correct.LossScale(sampler, counts=[n % 4 + 1 for n in range(12)])
    drawn = [batch.tolist() for batch in plan.epoch(0, 2)]
    for number, (batch, factor) in enumerate(scale.over(loader)):
        ids, aside = drawn[number], batch.aside
        both = drawn[number - number % 2] + drawn[number - number % 2 + 1]
        assert aside.sample_ids.tolist() == ids
        assert aside.groups == [labels[n] for n in ids]
        assert aside.tasks.tolist() == [n // 6 for n in ids]
        assert aside.weights.dtype is torch.float32
        assert aside.weights.is_shared()
        assert aside.weights.numpy() == pytest.approx(plan.weights(ids).clip(max=1.5))
        assert aside.repeats.tolist() == [n in ids[:place] for place, n in enumerate(ids)]
        assert aside.loss_scale == factor == 1 / sum(n % 4 + 1 for n in both)
        assert batch.to("cpu").select([2, 0]).aside.weights.equal(aside.weights[[2, 0]])
        assert not {"weight", "group", "task", "sample_id"} & set(batch)
    assert number + 1 == len(drawn)


def test_packs_know_what_the_plan_knows():
    plan = bw.balanced([0, 0, 0, 1], batch_size=2)
    collate = bw.Collate(ids=bw.ragged()).with_plan(plan).packs(also={"positions": "positions"})
    dataset = bw.identified([{"ids": torch.arange(n + 1)} for n in range(4)])
    aside = collate([dataset[[0, 3]], dataset[[1]]]).aside
    assert aside.groups.tolist() == [0, 1, 0]
    assert aside.weights.tolist() == [1.5, 0.5, 1.5]


def test_what_cannot_be_known_is_refused():
    plan = bw.balanced([0, 1], batch_size=2)
    collate = bw.Collate().with_plan(plan)
    with pytest.raises(bw.Infeasible, match="group, weight of each sample is looked up by its id"):
        collate([{"x": 1.0}])
    with pytest.raises(bw.Infeasible, match="'group' comes with the dataset and is also looked up"):
        collate([bw.identified([{"x": 1.0}], group=["a"])[0]])
    short = bw.Collate().knowing(half=lambda ids: ids[:1])
    with pytest.raises(bw.Infeasible, match="'half' gives 1 values for 2 samples"):
        short([bw.identified([{"x": 1.0}])[0]] * 2)
    moving = bw.balanced([0, 0, 1], batch_size=2, target=bw.targets.schedule("natural", "uniform", epochs=2))
    with pytest.raises(bw.Infeasible, match="another weight in another epoch"):
        bw.Collate().with_plan(moving)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_write_into_shared_memory_once_and_send_the_whole_batch(method):
    loader = DataLoader(Numbered(), batch_size=4, num_workers=1, collate_fn=Reported(), multiprocessing_context=method)
    for number, (batch, shared) in enumerate(loader):
        rows = [sample(n) for n in range(4 * number, 4 * number + 4)]
        assert all(shared.values()), shared
        assert all(batch[name].is_shared() for name in shared)
        assert same(batch, COLLATE(rows))
        assert [row["name"] for row in batch.unbatch()] == [row["name"] for row in rows]
        assert batch[3]["edges"].equal(rows[3]["edges"])


def test_every_tensor_that_travels_is_made_in_shared_memory():
    every = EveryTensor()
    (shared,) = DataLoader([1, 2, 3], batch_size=3, num_workers=1, collate_fn=every)
    assert set(shared) == {*every.collate.fields, "undeclared", "packs", "label pack"} - {"list"}
    assert {name for name, tensors in shared.items() if not all(tensors)} == set()


def test_packs_travel_from_workers():
    collate = bw.Collate(ids=bw.ragged()).packs(capacity=12, fill="dummy", also={"positions": "positions"})
    dataset = bw.identified([{"ids": torch.arange(n)} for n in (3, 4, 5, 2)])
    loader = DataLoader(dataset, sampler=[[0, 1], [2, 3]], batch_size=2, num_workers=1, collate_fn=collate)
    (batch,) = loader
    assert batch["ids"].is_shared()
    assert batch["ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 1, 0, 0, 0, 0, 0]]
    assert batch.aside.sample_ids.tolist() == [0, 1, 2, 3]
    assert batch.aside.columns["pack"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("travel", [lambda b: pickle.loads(pickle.dumps(b)), copy.deepcopy, lambda b: b.to("cpu")])
def test_travel_changes_nothing(travel):
    batch = COLLATE([sample(n) for n in range(5)])
    _ = batch["attention_mask"]
    arrived = travel(batch)
    assert same(arrived, batch)
    assert arrived.fields["ids"].layout == batch.fields["ids"].layout
    assert arrived[4]["edges"].equal(sample(4)["edges"])


def test_share_memory_copies_only_what_is_not_shared():
    batch = COLLATE([sample(n) for n in range(3)]).share_memory_()
    assert batch["ids"].is_shared()
    again = batch.share_memory_()
    assert again["ids"].data_ptr() == batch["ids"].data_ptr()


def test_to_moves_tensors_and_their_indices():
    batch = COLLATE([sample(n) for n in range(3)]).to("meta", non_blocking=True)
    ragged = batch.fields["frames"]
    assert {ragged.packed.device.type, ragged.lengths.device.type, ragged.segments.device.type} == {"meta"}
    assert ragged.layout.select([1]).lengths.device.type == "meta"
    assert batch["image"].device.type == "meta"
    assert ragged.max_length == 3


def test_pin_memory_pins_every_tensor_where_there_is_an_accelerator_and_says_so_where_there_is_none():
    batch = COLLATE([sample(n) for n in range(3)])
    if not torch.accelerator.is_available():
        with pytest.raises(RuntimeError, match=r"accelerator|driver"):  # a torch with CUDA looks for one
            batch.pin_memory()
        return
    pinned = batch.pin_memory()
    assert all(value.is_pinned() for value in pinned.values() if isinstance(value, torch.Tensor))
    assert same(pinned.to("cuda", non_blocking=True).to("cpu"), batch)


STEPS = {
    "keys": lambda batch: (batch["ids"] * batch["attention_mask"]).sum() + batch["image"].sum(),
    "indices": lambda batch: torch.zeros(batch.sample_count, 2).index_add(
        0, batch.fields["frames"].segments, batch.fields["frames"].packed
    ),
    "positions": lambda batch: batch.fields["frames"].positions + batch.fields["frames"].first[0],
    "padded": lambda batch: batch.fields["frames"].padded.sum(1),
    "jagged": lambda batch: batch.fields["frames"].jagged.sin().values(),
    "longest": lambda batch: batch["ids"] * batch.fields["ids"].max_length,
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_compiled_functions_take_batches_whole_and_are_soon_compiled_for_all_lengths(step):
    """Nothing is computed beforehand: forms, masks and indices are made within the one graph."""
    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(step, fullgraph=True, backend=counter)

    def same_as_eager(lengths: tuple[int, ...]) -> None:
        batches = [COLLATE([sample(n, length) for n, length in enumerate(lengths)]) for _ in range(2)]
        torch.testing.assert_close(compiled(batches[0]), step(batches[1]))

    for lengths in (*itertools.permutations((2, 3, 4)), (3, 2, 2), (4, 4, 3), (2, 5, 2)):
        same_as_eager(lengths)
    compiled_until_now = counter.frame_count
    for lengths in ((9, 3, 7), (5, 12, 2), (6, 6, 6), (31, 2, 17), (4, 40, 3), (3, 3, 99)):
        same_as_eager(lengths)
    assert counter.frame_count == compiled_until_now


def test_compiled_models_take_it_as_keywords():
    class Model(torch.nn.Module):
        def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor, **others: object) -> torch.Tensor:
            return (ids * attention_mask).sum()

    compiled = torch.compile(Model(), fullgraph=True, backend="eager")
    assert compiled(**COLLATE([sample(0), sample(3)])).item() == sum((0, 3, 4, 5, 6))


def test_trainers_may_rebuild_it_from_a_plain_mapping():
    batch = COLLATE([sample(0), sample(3)])
    rebuilt = type(batch)(dict(batch))
    assert same(rebuilt, batch)


@given(numbers=st.lists(st.integers(0, 11), min_size=1, max_size=8), descending=st.booleans())
def test_sorting_is_undone_for_batch_and_outputs(numbers, descending):
    batch = COLLATE([sample(number) for number in numbers])
    ordered = batch.sorted_by("ids", descending=descending)
    lengths = ordered.fields["ids"].lengths.tolist()
    assert lengths == sorted(lengths, reverse=descending)
    assert same(ordered, COLLATE([sample(numbers[n]) for n in ordered.order.tolist()]))
    assert same(ordered.restore(), batch)
    assert ordered.restore(ordered["label"]).equal(batch["label"])


def test_restore_refuses_what_lost_samples():
    batch = COLLATE([sample(0), sample(1)])
    with pytest.raises(bw.Infeasible, match="left out or repeated"):
        batch.select([0]).select([0, 0]).restore()
    with pytest.raises(bw.Infeasible, match="has no lengths; sort by one of the ragged fields: ids, edges, frames"):
        batch.sorted_by("image")
    with pytest.raises(bw.Infeasible, match="'nope' is no field of this batch"):
        batch.sorted_by("nope")


def test_looking_for_a_key_computes_nothing():
    batch = COLLATE([sample(0), sample(1)])
    assert "attention_mask" in batch
    assert "split" not in batch
    assert batch.get("labels") is None
    assert batch.fields["ids"]._known.keys() == {"padded"}


@pytest.mark.parametrize("one", [int, np.int64, torch.tensor, str])
def test_repeats_are_found_by_ids_of_any_kind(one):
    collate = bw.Collate(sample_id=bw.aside())
    batch = collate([{"sample_id": one(n), "x": 1.0} for n in (3, 7, 3)])
    assert batch.aside.repeats.tolist() == [False, False, True]


def test_descriptions_show_shapes():
    batch = COLLATE([sample(0), sample(3)])
    assert repr(batch).startswith("Batch(2 samples; ids: 2x4 int64, edges: 2x2 int64")
    assert repr(batch.fields["ids"]) == "Ragged(2 samples of up to (4,), dims (0,), torch.int64, form 'padded')"
    assert repr(batch.fields["ids"].layout) == "Layout(2 samples, 5 elements, longest 4)"
