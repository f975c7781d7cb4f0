"""The way out that a refusal of packs names is followed, and what was refused passes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

import batchwright as bw

from ..refusals import cases, told_and_followed

ONES = torch.ones
ROWS = [{"x": ONES(n)} for n in (2, 3)]
IDENTIFIED = bw.identified(ROWS)
X = bw.Collate(x=bw.ragged())
POINTED = bw.Collate(x=bw.ragged(), span=bw.ragged(shift_by="x"))
TOO_LONG = bw.packed([7, 2], 4, too_long="split")
CUT = bw.packed([7, 2], 4, too_long="truncate")
LONG = bw.identified([{"x": ONES(7)}, {"x": ONES(2)}])
BYTES = [{"x": row["x"].to(torch.uint8)} for row in ROWS]
MASKED = [{**row, "attention_mask": [1] * len(row["x"])} for row in ROWS]
ASIDE = (
    "declare it: attention_mask = bw.aside(), or leave it out of the samples; what keeps them apart are keys of "
    "packs(also=...), such as bw.attention.HUGGING_FACE"
)
OFFERS = (
    "positions, segments, seq_idx, cu_seqlens, real_cu_seqlens, offsets, lengths, max_length, mask, thd, causal_mask, "
    "full_mask, causal_blocks, full_blocks"
)


def pieces_of(plan: Any) -> Any:
    """The micro-batches of a plan over the samples of `LONG`, from its pieces."""
    dataset = bw.identified(plan.pieces([{"x": ONES(7)}, {"x": ONES(2)}], cut=["x"]))
    return list(DataLoader(dataset, batch_sampler=plan.sampler(), collate_fn=X.packs(packs=plan)))


def spans(dtype: torch.dtype) -> list[Any]:
    return [{"x": ONES(60), "span": torch.tensor([59]).to(dtype)}] * 4


def streamed(*, changed: bool = False) -> Any:
    batch = next(iter(bw.online.packed(ROWS, length=lambda row: len(row["x"]), capacity=9)))
    if changed:
        batch.pop()
    return batch


TABLE = {
    "one sample": (
        lambda: X.packs()(ROWS[0]),
        "let the DataLoader make batches: pass batch_size=... or batch_sampler=...",
        lambda: (
            list(DataLoader(ROWS, batch_size=2, collate_fn=X.packs())),
            list(DataLoader(ROWS, batch_sampler=[[0, 1]], collate_fn=X.packs())),
        ),
    ),
    "no packs": (
        lambda: list(DataLoader(ROWS, batch_sampler=[[0], []], collate_fn=X.packs())),
        "leave empty batches out of the batch sampler",
        lambda: list(DataLoader(ROWS, batch_sampler=[[0]], collate_fn=X.packs())),
    ),
    "a pack among samples": (
        lambda: X.packs()([ROWS, ROWS[0]]),
        "pass all packs as lists of samples",
        lambda: X.packs()([ROWS, [ROWS[0]]]),
    ),
    "an empty pack": (
        lambda: X.packs()([ROWS, []]),
        "leave empty packs out of the plan",
        lambda: X.packs()([ROWS]),
    ),
    "a stream's batch that was changed": (
        lambda: X.packs()(streamed(changed=True)),
        "leave the lists of a stream as they are, or pass packs as lists of samples",
        lambda: (X.packs()(streamed()), X.packs()([list(streamed())])),
    ),
    "a column called pack": (
        lambda: X.packs()([bw.identified(ROWS, pack=[5, 6])[0]]),
        "give it another name in bw.identified",
        lambda: X.packs()([bw.identified(ROWS, shelf=[5, 6])[0]]),
    ),
    "an aside field called pack": (
        lambda: bw.Collate(x=bw.ragged(), pack=bw.aside()).packs(),
        "rename it",
        lambda: bw.Collate(x=bw.ragged(), shelf=bw.aside()).packs()([{"x": ONES(2), "shelf": 5}]),
    ),
    "a look-up called pack": (
        lambda: X.packs().knowing(pack=lambda ids: ids),
        "rename it",
        lambda: X.packs().knowing(shelf=lambda ids: ids)([IDENTIFIED[0]]),
    ),
    "a multiple and nothing to fill with": (
        lambda: X.packs(multiple=8),
        "pass fill='dummy' or fill='extend'",
        lambda: [X.packs(multiple=8, fill=fill)(ROWS) for fill in ("dummy", "extend")],
    ),
    "a capacity that is no multiple": (
        lambda: X.packs(multiple=8, align=3, capacity=30, fill="dummy"),
        "pass such a capacity, as capacity=48",
        lambda: X.packs(multiple=8, align=3, capacity=48, fill="dummy")(ROWS),
    ),
    "also as a list": (
        lambda: X.packs(also=["positions"]),
        'pass what each further key holds: also={"position_ids": "positions"}',
        lambda: X.packs(also={"position_ids": "positions"})(ROWS)["position_ids"],
    ),
    "also as nothing that Python takes for False": (
        lambda: X.packs(also=0),
        'pass what each further key holds: also={"position_ids": "positions"}',
        lambda: X.packs(also={"position_ids": "positions"})(ROWS)["position_ids"],
    ),
    "a further key of nothing": (
        lambda: X.packs(also={"first": "first"}),
        f"ask for one of {OFFERS}",
        lambda: [X.packs(also={"key": what})(ROWS)["key"] for what in OFFERS.split(", ")],
    ),
    "further keys of a packed field": (
        lambda: bw.Collate(x=bw.ragged(also={"starts": "first"})).packs(),
        f"leave it out of the declaration; collate.packs(also=...) offers {OFFERS}",
        lambda: bw.Collate(x=bw.ragged()).packs(also={"starts": "offsets"})(ROWS)["starts"],
    ),
    "a further key of a declared field's name": (
        lambda: bw.Collate(x=bw.ragged(), y=bw.stack()).packs(also={"y": "positions"}),
        "rename the one in also, or take the field out of the samples and their declaration",
        lambda: (
            bw.Collate(x=bw.ragged(), y=bw.stack()).packs(also={"z": "positions"})([{**ROWS[0], "y": ONES(1)}])["z"],
            X.packs(also={"y": "positions"})(ROWS)["y"],
        ),
    ),
    "a mask of each sample that is packed too": (
        lambda: bw.Collate(x=bw.ragged(), attention_mask=bw.ragged()).packs(),
        ASIDE,
        lambda: (
            list(bw.Collate(x=bw.ragged(), attention_mask=bw.aside()).packs()(MASKED)),
            X.packs(also=bw.attention.HUGGING_FACE)(ROWS),
        ),
    ),
    "a mask of each sample that is not declared": (
        lambda: X.packs()(MASKED),
        ASIDE,
        lambda: bw.Collate(x=bw.ragged(), attention_mask=bw.aside()).packs(also={"attention_mask": "causal_mask"})(
            MASKED
        )["attention_mask"],
    ),
    "a misspelt name of seams": (
        lambda: bw.Collate(labels=bw.ragged(pad=-100)).packs(seams="label"),
        "declare it: label = bw.ragged() (did you mean 'labels'?)",
        lambda: bw.Collate(labels=bw.ragged(pad=-100)).packs(seams="labels")([{"labels": [1, 2]}]),
    ),
    "seams that are no names": (
        lambda: X.packs(seams=[0]),
        "pass seams as a list of names of fields",
        lambda: bw.Collate(x=bw.ragged(pad=0)).packs(seams=["x"])(ROWS),
    ),
    "packs without a capacity": (
        lambda: X.packs(packs=2),
        "pass capacity=...",
        lambda: X.packs(packs=2, capacity=3)(ROWS),
    ),
    "room without a capacity": (
        lambda: X.packs(fill="dummy"),
        "pass capacity=..., or multiple=...",
        lambda: [X.packs(fill="dummy", **room)(ROWS) for room in ({"capacity": 6}, {"multiple": 6})],
    ),
    "a capacity between two multiples of align": (
        lambda: X.packs(capacity=10, align=4),
        "pass a multiple of align as capacity, such as capacity=12",
        lambda: X.packs(capacity=12, align=4)(ROWS),
    ),
    "packs over their capacity as aligned": (
        lambda: X.packs(capacity=4, align=4)([ROWS]),
        "plan for this capacity and for lengths as aligned; where the plan splits samples load its pieces, "
        "plan.pieces(dataset, cut=[...]), where it truncates them bw.ragged(truncate_to=plan.truncate_to)",
        lambda: X.packs(packs=bw.packed([4, 4], 4, packs=2), align=4)([IDENTIFIED[0], IDENTIFIED[1]]),
    ),
    "whole samples under a plan that splits": (
        lambda: X.packs(packs=TOO_LONG)([LONG[0]]),
        "plan for this capacity and for lengths as aligned; where the plan splits samples load its pieces, "
        "plan.pieces(dataset, cut=[...]), where it truncates them bw.ragged(truncate_to=plan.truncate_to)",
        lambda: pieces_of(TOO_LONG),
    ),
    "whole samples under a plan that truncates": (
        lambda: X.packs(packs=CUT)([LONG[0]]),
        "plan for this capacity and for lengths as aligned; where the plan splits samples load its pieces, "
        "plan.pieces(dataset, cut=[...]), where it truncates them bw.ragged(truncate_to=plan.truncate_to)",
        lambda: bw.Collate(x=bw.ragged(truncate_to=CUT.truncate_to)).packs(packs=CUT)([LONG[0]]),
    ),
    "indices that fit the samples and not the packs": (
        lambda: POINTED.packs(align=128)(spans(torch.uint8)),
        "convert it to a wider integer in the dataset",
        lambda: POINTED.packs(align=128)(spans(torch.int16)),
    ),
    "seams of a pad value that the dtype lacks": (
        lambda: bw.Collate(x=bw.ragged(pad=-100)).packs(seams=["x"])(BYTES),
        "declare it as bw.ragged(pad=...) with a number of its dtype",
        lambda: bw.Collate(x=bw.ragged(pad=255)).packs(seams=["x"])(BYTES),
    ),
    "a selection of a packed batch": (
        lambda: X.packs()(ROWS).select([1]),
        "sort or select before packing, or call unbatch() first",
        lambda: (X.packs()([ROWS[n] for n in [1]]), X(X.packs()(ROWS).unbatch()).select([1])),
    ),
    "a description that packs lack": (
        lambda: X.packs()(ROWS).fields["x"].also("first"),
        f"ask for one of {OFFERS}",
        lambda: [X.packs()(ROWS).fields["x"].also(what) for what in OFFERS.split(", ")],
    ),
}
CASES = cases("refuse way_out follow", TABLE)


@pytest.mark.parametrize("name", CASES)
def test_the_way_out_of_packs_works(name):
    told_and_followed(CASES[name])


def test_packs_that_pad_nothing_need_no_pad_value():
    declared = bw.Collate(x=bw.ragged(pad=-1, form="packed"))
    assert declared.packs()(BYTES)["x"].tolist() == [[1] * 5]
    with pytest.raises(bw.Infeasible, match=r"field 'x': the pad value -1 does not exist in torch\.uint8"):
        declared.packs(align=4)(BYTES)
