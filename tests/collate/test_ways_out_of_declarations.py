"""The way out that a refusal of a declaration names is followed: arguments, fields, and what `Collate` makes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import batchwright as bw

from ..refusals import cases, told_and_followed

ONES = torch.ones
ROWS = [{"x": ONES(n)} for n in (2, 3)]
GRIDS = [{"x": ONES(n, n + 1)} for n in (2, 3)]
MESH = [
    {
        "verts": ONES(4, 3),
        "faces": torch.zeros(1, 3, dtype=torch.int64),
        "seams": torch.zeros(2, dtype=torch.int64),
    }
]


def meshes(**changed: Any) -> bw.Collate:
    return bw.Collate({"verts": bw.ragged(), "faces": bw.ragged(shift_by="verts"), **changed})


TABLE = {
    "a menu that is a number": (
        lambda: bw.ragged(pad=0, menu=3),
        "pass a list of lengths",
        lambda: bw.Collate(x=bw.ragged(pad=0, menu=[3]))(ROWS),
    ),
    "a shift by a number": (
        lambda: meshes(faces=bw.ragged(shift_by=3)),
        "pass the name of the field that is indexed, or leave it out",
        lambda: (meshes(faces=bw.ragged(shift_by="verts"))(MESH), meshes(faces=bw.ragged(form="list"))(MESH)),
    ),
    "a shift by a list of numbers": (
        lambda: meshes(faces=bw.ragged(shift_by=[3] * 10_000)),
        "pass the name of the field that is indexed, or leave it out",
        lambda: (meshes(faces=bw.ragged(shift_by=["verts"]))(MESH), meshes(faces=bw.ragged(form="list"))(MESH)),
    ),
    "a menu of single lengths for a grid": (
        lambda: bw.ragged(dim=(0, 1), pad=0, menu=[4]),
        "give each entry of menu one length for each ragged dimension",
        lambda: bw.Collate(x=bw.ragged(dim=(0, 1), pad=0, menu=[(4, 4)]))(GRIDS),
    ),
    "a menu of pairs for a row": (
        lambda: bw.ragged(pad=0, menu=[(4, 4)]),
        "give each entry of menu one length for each ragged dimension",
        lambda: bw.Collate(x=bw.ragged(pad=0, menu=[4]))(ROWS),
    ),
    "a grid cut": (
        lambda: bw.ragged(dim=(0, 1), truncate_to=2),
        "cut the samples in the dataset instead",
        lambda: bw.Collate(x=bw.ragged(dim=(0, 1)))([{"x": sample["x"][:2, :2]} for sample in GRIDS]),
    ),
    "a number as a name": (
        lambda: bw.Collate({0: bw.stack()}),
        "name it '0'",
        lambda: bw.Collate({"0": bw.stack()})([{0: ONES(2)}]),
    ),
    "bytes as a name": (
        lambda: bw.Collate(x={b"a": bw.stack()}),
        "name it \"b'a'\"",
        lambda: bw.Collate(x={"b'a'": bw.stack()})([{"x": {b"a": ONES(2)}}]),
    ),
    "no field": (
        lambda: bw.Collate(x=3),
        "declare it: x = bw.stack()",
        lambda: bw.Collate(x=bw.stack())([{"x": ONES(2)}]),
    ),
    "no field in a tuple": (
        lambda: bw.Collate([None, torch.float32]),
        "declare it: bw.Collate([None, bw.stack()])",
        lambda: bw.Collate([None, bw.stack()])([(1, ONES(2))]),
    ),
    "no field of a container": (
        lambda: bw.Collate(x={"a": "stack"}),
        "declare it: x = {'a': bw.stack()}",
        lambda: bw.Collate(x={"a": bw.stack()})([{"x": {"a": ONES(2)}}]),
    ),
    "also of what a ragged field has not": (
        lambda: bw.Collate(x=bw.ragged(also={"m": "masks"})),
        "ask for one of lengths, first, offsets, cu_seqlens, max_length, segments, positions, mask",
        lambda: [
            bw.Collate(x=bw.ragged(also={"m": what}))(ROWS)["m"]
            for what in ("lengths", "first", "offsets", "cu_seqlens", "max_length", "segments", "positions", "mask")
        ],
    ),
    "also of what an image has not": (
        lambda: bw.Collate(x=bw.resized(also={"m": "masks"})),
        "ask for one of sizes, mask",
        lambda: [
            bw.Collate(x=bw.resized(how="pad", also={"m": what}))([{"x": ONES(1, 2, 2)}])["m"]
            for what in ("sizes", "mask")
        ],
    ),
    "also of what media have not": (
        lambda: bw.Collate(x=bw.media(also={"m": "mask"})),
        "ask for one of counts, offsets, segments",
        lambda: [
            bw.Collate(x=bw.media(also={"m": what}))([{"x": ONES(2)}])["m"]
            for what in ("counts", "offsets", "segments")
        ],
    ),
    "a part aside": (
        lambda: bw.Collate(x={"a": bw.aside()}),
        "declare fields of the sample itself aside",
        lambda: bw.Collate(x=bw.aside())([{"x": {"a": 1}, "y": 1}]).aside.columns["x"],
    ),
    "a shift by what is shifted": (
        lambda: meshes(seams=bw.ragged(shift_by="faces")),
        "shift by the field whose rows are indexed",
        lambda: meshes(seams=bw.ragged(shift_by="verts"))(MESH),
    ),
    "a shift of parts by what is shifted": (
        lambda: bw.Collate(mesh=meshes(seams=bw.ragged(shift_by="faces")).fields),
        "shift by the field whose rows are indexed",
        lambda: bw.Collate(mesh=meshes(seams=bw.ragged(shift_by="verts")).fields)([{"mesh": MESH[0]}]),
    ),
    "indices into what is padded": (
        lambda: bw.Collate(verts=bw.ragged(pad=0), faces=bw.ragged(shift_by="verts")),
        "leave pad out of 'verts': batch.fields has its padded form too; or pass form='list' for 'faces', whose indices "
        "then stay those of each sample",
        lambda: (
            bw.Collate(verts=bw.ragged(), faces=bw.ragged(shift_by="verts"))(MESH).fields["verts"].padded,
            bw.Collate(verts=bw.ragged(pad=0), faces=bw.ragged(shift_by="verts", form="list"))(MESH)["faces"],
        ),
    ),
    "packs of another plan": (
        lambda: bw.Collate(x=bw.ragged()).packs(packs=bw.balanced(["a", "b"], batch_size=2)),
        "pass the plan of bw.packed(...), or a number of packs and their capacity",
        lambda: (
            bw.Collate(x=bw.ragged()).packs(packs=bw.packed([2, 3], 6))([bw.identified(ROWS)[n] for n in range(2)]),
            bw.Collate(x=bw.ragged()).packs(packs=1, capacity=6)(ROWS),
        ),
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_is_one(name):
    told_and_followed(CASES[name])
