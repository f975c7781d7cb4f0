"""The way out that a refusal of collate names is followed, and what was refused passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, default_collate

import batchwright as bw

from ..refusals import SOURCE, cases, check_that_all_are_reached, told_and_followed
from .test_shards import CASES as SHARDS
from .test_ways_out_of_batches import CASES as BATCHES
from .test_ways_out_of_declarations import CASES as DECLARATIONS
from .test_ways_out_of_graphs import CASES as GRAPHS
from .test_ways_out_of_packs import CASES as PACKS
from .test_ways_out_of_ragged_fields import CASES as RAGGED_FIELDS
from .test_ways_out_of_samples import CASES as SAMPLES
from .test_ways_out_of_values import CASES as VALUES

pytestmark = pytest.mark.filterwarnings("ignore:field 'edge_index' holds node numbers")  # graphs are refused too

ONES = torch.ones
FACES = torch.zeros(1, 3, dtype=torch.int64)
ROWS = [{"x": ONES(n)} for n in (2, 3)]
PAIR = bw.Collate(x=bw.ragged(), y=bw.ragged())


def indexed(**changed: Any) -> Any:
    return [{"verts": ONES(4, 3), "faces": FACES, **changed}]


TABLE = {
    "two declarations": (
        lambda: bw.Collate({"x": bw.stack()}, x=bw.stack()),
        "declare it once, in the mapping or by keyword",
        lambda: bw.Collate(x=bw.stack()),
    ),
    "no fields": (
        lambda: bw.Collate(3),
        "name them: bw.Collate(image=bw.stack()), or for samples that are tuples: bw.Collate([bw.stack(), ...])",
        lambda: (bw.Collate(image=bw.stack()), bw.Collate([bw.stack(), bw.stack()])),
    ),
    "two keys": (
        lambda: bw.Collate(x=bw.ragged(also={"y": "mask"}), y=bw.stack()),
        "rename it in `also` of 'x'",
        lambda: bw.Collate(x=bw.ragged(also={"mask": "mask"}), y=bw.stack()),
    ),
    "one sample": (
        lambda: bw.Collate()({"x": 1}),
        "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
        lambda: list(DataLoader([{"x": 1}], batch_size=1, collate_fn=bw.Collate())),
    ),
    "a bare tensor": (
        lambda: bw.Collate()([ONES(2)]),
        "let the dataset return a mapping, a tuple or a dataclass",
        lambda: (bw.Collate()([{"x": ONES(2)}]), bw.Collate()([(ONES(2),)])),
    ),
    "ids of a part": (
        lambda: bw.Collate()([bw.identified(ROWS)[0], ROWS[0]]),
        "wrap the whole dataset, not its parts: bw.identified(ConcatDataset([...]))",
        lambda: bw.Collate()([bw.identified(ConcatDataset([ROWS[:1], ROWS[:1]]))[n] for n in range(2)]),
    ),
    "no ids": (
        lambda: bw.Collate().knowing(y=lambda ids: ids)(ROWS[:1]),
        "wrap the dataset in bw.identified(dataset)",
        lambda: bw.Collate().knowing(y=lambda ids: ids)([bw.identified(ROWS)[0]]),
    ),
    "default_collate of ids": (
        lambda: default_collate([bw.identified(ROWS)[0]]),
        "pass DataLoader(..., collate_fn=bw.Collate())",
        lambda: list(DataLoader(bw.identified(ROWS), 1, collate_fn=bw.Collate())),
    ),
    "a look-up that is none": (
        lambda: bw.Collate().knowing(y=[5, 6]),
        "pass a function: knowing(name=lambda ids: [column[i] for i in ids.tolist()])",
        lambda: bw.Collate().knowing(y=lambda ids: [[5, 6][i] for i in ids.tolist()])([bw.identified(ROWS)[0]]),
    ),
    "a column of both": (
        lambda: bw.Collate().knowing(y=lambda ids: ids)([bw.identified(ROWS, y=[1, 2])[0]]),
        "leave that one out of bw.identified",
        lambda: bw.Collate().knowing(y=lambda ids: ids)([bw.identified(ROWS)[0]]),
    ),
    "other rank": (
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}, {"x": ONES(2, 1)}]),
        "give every sample the same number of dimensions",
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}, {"x": ONES(2, 1)[:, 0]}]),
    ),
    "other dtype": (
        lambda: bw.Collate()([{"x": ONES(2)}, {"x": ONES(2).double()}]),
        "convert them in the dataset: nothing is cast here",
        lambda: bw.Collate()([{"x": ONES(2)}, {"x": ONES(2).double().float()}]),
    ),
    "other device": (
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}, {"x": ONES(2, device="meta")}]),
        "leave samples on the CPU and call batch.to(device)",
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}, {"x": ONES(2)}]).to("meta"),
    ),
    "a masked array": (
        lambda: bw.Collate()([{"x": np.ma.masked_array([1.0], [True])}]),
        "make it two fields in the dataset: array.filled(0) and np.ma.getmaskarray(array)",
        lambda: bw.Collate()(
            [{"x": array.filled(0), "mask": np.ma.getmaskarray(array)} for array in [np.ma.masked_array([1.0], [True])]]
        ),
    ),
    "no such target": (
        lambda: bw.Collate(faces=bw.ragged(shift_by="points"))(indexed()),
        "name a field that every sample has",
        lambda: bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.ragged())(indexed()),
    ),
    "a target without lengths": (
        lambda: bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.stack())(indexed()),
        "shift by a field of whole numbers, or declare 'verts' as bw.ragged()",
        lambda: (
            bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.ragged())(indexed()),
            bw.Collate(faces=bw.ragged(shift_by="count"), verts=bw.stack())(indexed(count=4)),
        ),
    ),
    "an index of floats": (
        lambda: bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.ragged())(indexed(faces=FACES.float())),
        "convert it in the dataset",
        lambda: bw.Collate(faces=bw.ragged(shift_by="verts"), verts=bw.ragged())(indexed(faces=FACES.float().long())),
    ),
    "shift along two": (
        lambda: bw.ragged(dim=(0, 1), shift_by="x"),
        "pass dim=0 or dim=-1",
        lambda: (bw.ragged(dim=0, shift_by="x"), bw.ragged(dim=-1, shift_by="x")),
    ),
    "a menu too short": (
        lambda: bw.Collate(x=bw.ragged(pad=0, menu=[2]))(ROWS),
        "add a longer entry to menu, or cut the samples",
        lambda: (
            bw.Collate(x=bw.ragged(pad=0, menu=[2, 4]))(ROWS),
            bw.Collate(x=bw.ragged(pad=0, menu=[2], truncate_to=2))(ROWS),
        ),
    ),
    "no mapping as also": (
        lambda: bw.ragged(also=["mask"]),
        'pass what each further key holds: also={"batch": "segments"}',
        lambda: bw.Collate(x=bw.ragged(also={"batch": "segments"}))(ROWS),
    ),
    "media's own also": (
        lambda: bw.media(bw.ragged(also={"m": "mask"})),
        "ask the media field for it: bw.media(..., also={'m': 'mask'})",
        lambda: bw.media(bw.ragged(), also={"m": "mask"}),
    ),
    "no fields to pack": (
        lambda: bw.Collate().packs(),
        "declare one as bw.ragged()",
        lambda: bw.Collate(x=bw.ragged()).packs()(ROWS),
    ),
    "too many packs": (
        lambda: bw.Collate(x=bw.ragged()).packs(capacity=3)(ROWS),
        "make the plan from the lengths of these samples, if it was made from others; else pass packs=2 or more, or "
        "packs=plan, the one that bw.packed made",
        lambda: bw.Collate(x=bw.ragged()).packs(capacity=3, packs=2)(ROWS),
    ),
    "seams without a pad": (
        lambda: bw.Collate(x=bw.ragged()).packs(seams=["x"]),
        "declare it: x = bw.ragged(pad=-100)",
        lambda: bw.Collate(x=bw.ragged(pad=-100)).packs(seams=["x"])(ROWS),
    ),
    "seams outside": (
        lambda: bw.Collate(x=bw.ragged(pad=0), y=bw.ragged(pad=0)).packs(along=["x"], seams=["y"]),
        "name it in along too, or leave it out of seams",
        lambda: bw.Collate(x=bw.ragged(pad=0), y=bw.ragged(pad=0)).packs(along=["x", "y"], seams=["y"]),
    ),
    "a plan without ids": (
        lambda: bw.Collate(x=bw.ragged()).packs(packs=bw.packed([2, 3], 6))(ROWS),
        "wrap the dataset in bw.identified(dataset), or pass packs as a number and the capacity",
        lambda: (
            bw.Collate(x=bw.ragged()).packs(packs=bw.packed([2, 3], 6))([bw.identified(ROWS)[n] for n in range(2)]),
            bw.Collate(x=bw.ragged()).packs(packs=1, capacity=6)(ROWS),
        ),
    ),
    "unequal packs": (
        lambda: bw.Collate(x=bw.ragged()).packs(capacity=3, packs=2, shape="packs")(ROWS),
        "pass capacity=... and fill='dummy' or fill='extend'",
        lambda: [
            bw.Collate(x=bw.ragged()).packs(capacity=3, packs=2, shape="packs", fill=room)(ROWS)
            for room in ("dummy", "extend")
        ],
    ),
    "repeats without ids": (
        lambda: bw.Collate()(ROWS[:1]).aside.repeats,
        "wrap the dataset in bw.identified(dataset), or declare sample_id = bw.aside()",
        lambda: (
            bw.Collate()([bw.identified(ROWS)[0]]).aside.repeats,
            bw.Collate(sample_id=bw.aside())([{"sample_id": 3, "x": 1}]).aside.repeats,
        ),
    ),
    "a slice of a batch": (
        lambda: bw.Collate(x=bw.ragged())(ROWS)[0:1],
        "batch.select(range(2)[start:stop]) gives a batch of some",
        lambda: bw.Collate(x=bw.ragged())(ROWS).select(range(2)[0:1]),
    ),
    "a sparse matrix": (
        lambda: bw.Collate(x=bw.block_diagonal())([{"x": torch.eye(2)}]),
        "make it one in the dataset: matrix.to_sparse_coo()",
        lambda: bw.Collate(x=bw.block_diagonal())([{"x": torch.eye(2).to_sparse_coo()}]),
    ),
    "a wide image": (
        lambda: bw.Collate(x=bw.resized((2, 2), how="pad"))([{"x": ONES(1, 3, 3)}]),
        "pass size='largest' or how='resize'",
        lambda: [
            bw.Collate(x=field)([{"x": ONES(1, 3, 3)}])
            for field in (bw.resized("largest", how="pad"), bw.resized((2, 2), how="resize"))
        ],
    ),
    "an image of integers": (
        lambda: bw.Collate(x=bw.resized((2, 2)))([{"x": ONES(1, 3, 3).long()}]),
        "pass mode='nearest' (masks, labels), or convert the image in the dataset",
        lambda: (
            bw.Collate(x=bw.resized((2, 2), mode="nearest"))([{"x": ONES(1, 3, 3).long()}]),
            bw.Collate(x=bw.resized((2, 2)))([{"x": ONES(1, 3, 3).long().float()}]),
        ),
    ),
    "fields of a pack that differ": (
        lambda: PAIR.packs()([{"x": ONES(2), "y": ONES(3)}]),
        "give the fields of a pack equal lengths, or name those that run along each other in `along`",
        lambda: PAIR.packs(along=["x"])([{"x": ONES(2), "y": ONES(3)}]),
    ),
    "a container of declarations": (
        lambda: bw.Collate(x={"a": bw.stack()})([{"x": ONES(2)}]),
        "declare it: x = bw.stack()",
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}]),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])


def test_every_refusal_has_its_way_out():
    """Each place that makes an `Infeasible` is passed by one of the cases."""
    tables = [CASES, BATCHES, DECLARATIONS, GRAPHS, PACKS, RAGGED_FIELDS, SAMPLES, SHARDS, VALUES]
    check_that_all_are_reached((SOURCE / "collate").glob("*.py"), 142, tables)
