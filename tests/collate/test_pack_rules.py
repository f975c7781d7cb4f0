"""How packs are laid out: indices and seams in them, and what does not fit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import batchwright as bw


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": "dummy"}, "no.*none is given|none is given"),
        ({"capacity": 10, "align": 4}, "capacity 10 is no multiple of align 4"),
        ({"fill": "full", "capacity": 8}, "fill is 'full'"),
        ({"align": 0}, "align is 0"),
        ({"seams": ["tag"]}, r"seams=\['tag'\]; declare it: tag = bw.ragged"),
        ({"along": ["tag"]}, "ragged along dim 0"),
        ({"along": ["ids"], "seams": ["labels"]}, r"'labels' is masked at the seams and is none of .* \['ids'\]"),
        ({"also": {"labels": "positions"}}, "two keys 'labels'"),
        ({"also": {"places": "positions"}}, "two keys 'places'"),
        ({"also": bw.attention.HUGGING_FACE}, "two keys 'position_ids'"),
        ({"also": {"m": "masks"}}, "no 'masks' to show as 'm'"),
        ({"also": ["positions"]}, r"also is \['positions'\]; pass what each further key holds"),
    ],
)
def test_rules_that_do_not_fit_are_refused(options, message):
    collate = bw.Collate(
        ids=bw.ragged(),
        labels=bw.ragged(pad=-100),
        tag=bw.opaque(),
        position_ids=bw.ragged(dim=1),
        mask=bw.ragged(dim=1, also={"places": "positions"}),
    )
    with pytest.raises(bw.Infeasible, match=message):
        collate.packs(**options)


@pytest.mark.parametrize(
    "dtype",
    [
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.bool,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.complex64,
    ],
)
@pytest.mark.parametrize("align", [1, 4])
def test_seams_are_masked_in_every_dtype(dtype, align):
    rows = [{"x": torch.ones(n).to(dtype)} for n in (3, 0, 2)]
    batch = bw.Collate(x=bw.ragged(pad=0)).packs(seams=["x"], align=align, shape="flat", also={"mask": "mask"})(rows)
    assert batch["x"].dtype is dtype
    assert batch["x"].to(torch.complex64)[batch["mask"]].tolist() == [0, 1, 1, 0, 1]
    for after, before in zip(batch.unbatch(), rows, strict=True):
        assert after["x"].to(torch.complex64).equal(before["x"].to(torch.complex64))


def test_blocks_of_no_elements_at_all_are_refused():
    batch = bw.Collate(ids=bw.ragged()).packs(also={"blocks": "causal_blocks"})([{"ids": torch.ones(0)}])
    with pytest.raises(bw.Infeasible, match="0 elements; leave out batches whose samples are all empty"):
        batch["blocks"]


def test_packs_that_do_not_fit_are_refused():
    collate = bw.Collate(ids=bw.ragged(), other=bw.ragged())
    pack = [{"ids": torch.ones(3), "other": torch.ones(3)}] * 2
    with pytest.raises(bw.Infeasible, match="pack 0 of 2 samples holds 6 elements, its capacity is 5"):
        collate.packs(capacity=5)([pack])
    with pytest.raises(bw.Infeasible, match="hold from 3 to 6 elements"):
        collate.packs(shape="packs")([pack, pack[:1]])
    with pytest.raises(bw.Infeasible, match=r"'other' of sample 1 .* has shape \(2,\), 'ids' has \(3,\)"):
        collate.packs()([[pack[0], {"ids": torch.ones(3), "other": torch.ones(2)}]])
    with pytest.raises(bw.Infeasible, match="pack 1 has 0 samples"):
        collate.packs()([pack, []])
    with pytest.raises(bw.Infeasible, match="0 packs"):
        collate.packs()([])


@given(
    packs=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=4),
    align=st.integers(1, 4),
    fill=st.sampled_from(["nothing", "dummy", "extend"]),
    shape=st.sampled_from(["flat", "row", "packs"]),
    form=st.sampled_from(["packed", "padded", "list"]),
)
def test_indices_point_to_where_the_elements_lie_in_the_packs(packs, align, fill, shape, form):
    if shape == "packs" and fill == "nothing":
        packs = packs[:1]
    capacity = 32 + -32 % align
    given_packs = [
        [
            {
                "ids": torch.arange(length) + 10 * n,
                "span": torch.tensor([length - 1, 0]),
                "edges": torch.tensor([[0], [length - 1]]),
                "deep": {"span": torch.tensor([length - 1])},
                "beside": {"ids": torch.ones(length + 1), "span": torch.tensor([length])},
            }
            for n, length in enumerate(pack)
        ]
        for pack in packs
    ]
    index = bw.ragged(shift_by="ids", form=form)
    collate = bw.Collate(
        ids=bw.ragged(),
        span=index,
        edges=bw.ragged(dim=-1, shift_by=("ids", "ids")),
        deep={"span": index},
        beside={"ids": bw.ragged(), "span": index},
    ).packs(capacity=capacity, align=align, fill=fill, shape=shape)
    batch = collate(given_packs)
    samples = [sample for pack in given_packs for sample in pack]
    ids = batch["ids"].reshape(-1)
    for name in ("span", "deep.span"):
        own = bw.Collate(x=bw.ragged())(
            [
                {"x": sample["ids"][sample["deep"]["span"] if name == "deep.span" else sample["span"]]}
                for sample in samples
            ]
        )["x"]
        assert ids[batch.fields[name].packed].equal(own)
    ends = torch.stack([sample["ids"][[0, -1]] for sample in samples], 1)
    assert ids[batch["edges"]].equal(ends)
    assert batch.fields["beside.span"].packed.equal(batch.fields["beside.ids"].offsets[1:] - 1)
    for after, before in zip(batch.unbatch(), samples, strict=True):
        assert after["span"].equal(before["span"])
        assert after["edges"].equal(before["edges"])
        assert after["deep"]["span"].equal(before["deep"]["span"])


def test_indices_that_fit_the_samples_and_not_the_packs_are_refused():
    samples = [{"ids": torch.zeros(60), "span": torch.tensor([59], dtype=torch.uint8)}] * 4
    collate = bw.Collate(ids=bw.ragged(), span=bw.ragged(shift_by="ids"))
    assert collate.packs()(samples)["span"].tolist() == [59, 119, 179, 239]
    with pytest.raises(bw.Infeasible, match=r"'span' holds torch.uint8, whose largest index is 255, .* 512 elements"):
        collate.packs(align=128)(samples)


def test_keys_and_labels_that_the_samples_have_already_are_refused():
    collate = bw.Collate(ids=bw.ragged()).packs(also=bw.attention.HUGGING_FACE)
    with pytest.raises(bw.Infeasible, match=r"two keys 'position_ids', a field of the samples .* rename the key"):
        collate([{"ids": torch.ones(3), "position_ids": torch.ones(3)}])
    dataset = bw.identified([{"ids": torch.ones(3)}], pack=["a"])
    with pytest.raises(bw.Infeasible, match="'pack' comes with the dataset"):
        collate([dataset[0]])
