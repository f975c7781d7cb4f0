"""Packed samples do not see each other: the same outputs and gradients as one sample at a time."""

from __future__ import annotations

import inspect
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import DataCollatorWithFlattening, LlamaConfig, LlamaForCausalLM

import batchwright as bw
from batchwright.collate import Fill, attention

VOCABULARY, WIDTH, HEADS = 50, 32, 2
LENGTHS = (5, 1, 9, 3)


class SmallTransformer(nn.Module):
    """Two pre-norm layers with learned positions; attention is whatever `attend` makes of queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(64, WIDTH)
        self.projections = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: Tensor, positions: Tensor, attend) -> Tensor:
        """Logits, rows x length x vocabulary."""
        hidden = self.tokens(ids) + self.places(positions)
        for projection, norm in zip(self.projections, self.norms, strict=True):
            query, key, value = projection(norm(hidden)).unflatten(-1, (3, HEADS, -1)).unbind(-3)
            hidden = hidden + attend(query, key, value).flatten(-2)
        return self.head(hidden)


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """The summed next-token loss."""
    return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="sum")


def samples() -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(1, VOCABULARY, (length,), generator=draw) for length in LENGTHS]
    return [{"input_ids": row, "labels": row.clone()} for row in rows]


def model_of() -> SmallTransformer:
    torch.manual_seed(0)
    return SmallTransformer().double()


def gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def one_at_a_time(causal: bool) -> tuple[list[Tensor], Tensor, list[Tensor]]:
    model = model_of()

    def attend(query, key, value):
        heads = (projection.transpose(1, 2) for projection in (query, key, value))
        return scaled_dot_product_attention(*heads, is_causal=causal).transpose(1, 2)

    outputs, total = [], torch.zeros((), dtype=torch.float64)
    for sample in samples():
        logits = model(sample["input_ids"][None], torch.arange(len(sample["input_ids"]))[None], attend)
        outputs.append(logits[0])
        total = total + loss_of(logits, sample["labels"][None])
    total.backward()
    return [output.detach() for output in outputs], total.detach(), gradients(model)


def dense(batch: bw.Batch):
    def attend(query, key, value):
        heads = (projection.transpose(1, 2) for projection in (query, key, value))
        return scaled_dot_product_attention(*heads, attn_mask=batch["attention"]).transpose(1, 2)

    return attend


def jagged(batch: bw.Batch):
    layout = batch.fields["input_ids"].layout

    def attend(query, key, value):
        nested = attention.jagged(layout, query[0], key[0], value[0])
        return attention.values(scaled_dot_product_attention(*nested))[None]

    return attend


def flash_attn_varlen_func(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None, causal=False
):
    """What flash-attention documents of the function of this name, segment by segment: its kernels need a GPU."""
    outputs = []
    bounds = zip(
        *(offsets.tolist()[place:] for offsets in (cu_seqlens_q, cu_seqlens_k) for place in (0, 1)), strict=False
    )
    for start_q, end_q, start_k, end_k in bounds:
        assert end_q - start_q <= max_seqlen_q
        assert end_k - start_k <= max_seqlen_k
        heads = (part.transpose(0, 1) for part in (q[start_q:end_q], k[start_k:end_k], v[start_k:end_k]))
        attended = scaled_dot_product_attention(*heads, dropout_p=dropout_p, scale=softmax_scale, is_causal=causal)
        outputs.append(attended.transpose(0, 1))
    return torch.cat(outputs)


def varlen(causal: bool):
    def of(batch: bw.Batch):
        keywords = attention.keywords(batch.fields["input_ids"].layout)

        def attend(query, key, value):
            return flash_attn_varlen_func(query[0], key[0], value[0], causal=causal, **keywords)[None]

        return attend

    return of


ONE_ROW = ({}, [4])
ALIGNED = ({"align": 4}, [4])
DUMMY = ({"capacity": 24, "fill": "dummy"}, [4])
EXTENDED = ({"capacity": 24, "fill": "extend", "align": 2}, [4])
TWO_PACKS = ({"capacity": 12, "fill": "dummy", "shape": "packs"}, [2, 2])
CASES = [
    *(pytest.param(dense, True, *rules) for rules in (ONE_ROW, ALIGNED, DUMMY, EXTENDED, TWO_PACKS)),
    *(pytest.param(dense, False, *rules) for rules in (ONE_ROW, DUMMY, TWO_PACKS)),  # padding within a segment is seen
    *(pytest.param(varlen(True), True, *rules) for rules in (ONE_ROW, ALIGNED, DUMMY, EXTENDED)),
    *(pytest.param(varlen(False), False, *rules) for rules in (ONE_ROW, DUMMY)),
    *(pytest.param(jagged, False, *rules) for rules in (ONE_ROW, DUMMY)),  # torch's CPU kernel has no causal jagged one
]


def packed_batch(rules: dict, sizes: list[int], what: str) -> bw.Batch:
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    collate = declared.packs(seams=["labels"], also={"position_ids": "positions", "attention": what}, **rules)
    rows = iter(samples())
    return collate([list(islice(rows, size)) for size in sizes])


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage:UserWarning")
@pytest.mark.parametrize(("kind", "causal", "rules", "sizes"), CASES)
def test_packed_equals_one_sample_at_a_time(kind, causal, rules, sizes):
    batch = packed_batch(rules, sizes, "causal_mask" if causal else "full_mask")
    model = model_of()
    logits = model(batch["input_ids"], batch["position_ids"], kind(batch))
    total = loss_of(logits, batch["labels"])
    total.backward()

    outputs, expected_total, expected = one_at_a_time(causal)
    field = batch.fields["input_ids"]
    starts = [field.layout.starts[home] for home in field.plot.homes]
    for start, output in zip(starts, outputs, strict=True):
        torch.testing.assert_close(logits.flatten(0, 1)[start : start + len(output)], output)
    torch.testing.assert_close(total, expected_total)
    torch.testing.assert_close(gradients(model), expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.parametrize("kind", ["causal", "full"])
@pytest.mark.parametrize(("rules", "sizes"), [ONE_ROW, DUMMY, TWO_PACKS])
def test_flex_attention_sees_what_dense_attention_sees(kind, rules, sizes):
    """Outputs match; torch has no backward of flex attention on the CPU, so the masks are compared place by place too."""
    from torch.nn.attention.flex_attention import flex_attention

    blocks = packed_batch(rules, sizes, f"{kind}_blocks")["attention"]
    batch = packed_batch(rules, sizes, f"{kind}_mask")
    allowed = batch["attention"]
    rows, length = batch["input_ids"].shape
    query, key, value = torch.randn(3, rows, HEADS, length, 16, generator=torch.Generator().manual_seed(0))
    expected = scaled_dot_product_attention(query, key, value, attn_mask=allowed)
    torch.testing.assert_close(flex_attention(query, key, value, block_mask=blocks), expected)
    places = torch.arange(length)
    for row in range(rows):
        seen = blocks.mask_mod(torch.tensor(row), torch.tensor(0), places[:, None], places[None, :])
        assert seen.equal(allowed[row, 0])


@pytest.mark.parametrize(
    ("implementation", "also", "use_cache"),
    [
        ("sdpa", bw.attention.HUGGING_FACE, False),
        ("eager", bw.attention.HUGGING_FACE, False),
        ("sdpa", {"position_ids": "positions", "attention_mask": "causal_mask"}, True),
    ],
)
def test_hugging_face_model_takes_packed_samples_without_padding(implementation, also, use_cache):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        attn_implementation=implementation,
        use_cache=use_cache,
    )
    model = LlamaForCausalLM(config).double().eval()
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    batch = declared.packs(seams=["labels"], also=also)(samples())
    packed = model(**batch)
    single_precision = {
        "rtol": 1e-5,
        "atol": 1e-6,
    }  # in which Llama's normalisation computes, whatever the model's dtype
    (packed.loss * (sum(LENGTHS) - len(LENGTHS))).backward()
    got = gradients(model)
    model.zero_grad()
    start = 0
    for sample in samples():
        single = model(input_ids=sample["input_ids"][None])
        end = start + len(sample["input_ids"])
        torch.testing.assert_close(packed.logits[0, start:end], single.logits[0], **single_precision)
        loss_of(single.logits, sample["labels"][None]).backward()
        start = end
    torch.testing.assert_close(got, gradients(model), **single_precision)


def test_hugging_face_keywords_are_those_of_its_own_collator():
    rows = [{name: value.tolist() for name, value in sample.items()} for sample in samples()]
    peer = DataCollatorWithFlattening(return_flash_attn_kwargs=True)(rows)
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    batch = declared.packs(seams=["labels"], also=bw.attention.HUGGING_FACE)(rows)
    assert set(batch) == set(peer)
    for name, value in peer.items():
        assert type(batch[name]) is type(value)
        assert batch[name] == value if isinstance(value, int) else batch[name].equal(value)
        assert isinstance(value, int) or batch[name].dtype is value.dtype


# flash_attn.flash_attn_interface, versions 2.1 to 2.8, without the options
FLASH_ATTENTION_TAKES = ["q", "k", "v", "cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k"]
FLASH_ATTENTION_QKV_TAKES = ["qkv", "cu_seqlens", "max_seqlen"]


@pytest.mark.parametrize(
    ("names", "takes"),
    [
        (attention.FLASH_ATTENTION, FLASH_ATTENTION_TAKES),
        (attention.FLASH_ATTENTION_QKV, FLASH_ATTENTION_QKV_TAKES),
        (attention.TORCH_VARLEN, list(inspect.signature(varlen_attn).parameters)[:7]),
    ],
)
def test_keywords_are_those_of_the_function_int32_offsets_and_a_python_integer(names, takes):
    keywords = attention.keywords(bw.Layout(LENGTHS), names)
    assert list(keywords) == takes[-len(keywords) :]
    assert len(takes) - len(keywords) in (1, 3)  # queries, keys and values, or all three in one tensor
    for name, value in keywords.items():
        if name.startswith("cu_"):
            assert value.equal(torch.tensor([0, 5, 6, 15, 18], dtype=torch.int32))
            assert value.dtype is torch.int32
        else:
            assert (value, type(value)) == (9, int)
    packs = bw.Collate(ids=bw.ragged()).packs(also=names)([{"ids": torch.ones(n)} for n in LENGTHS])
    assert {name: packs[name] for name in keywords if name.startswith("max_")} == {
        name: 9 for name in keywords if name.startswith("max_")
    }


packs_of_lengths = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4), min_size=1, max_size=4)


@given(
    packs=packs_of_lengths,
    align=st.integers(1, 4),
    fill=st.sampled_from(["nothing", "dummy", "extend"]),
    masked=st.booleans(),
)
def test_packs_match_a_loop_and_give_their_samples_back(packs, align, fill, masked):
    aligned = [[-(-length // align) * align for length in pack] for pack in packs]
    capacity = -(-max(map(sum, aligned)) // align) * align + align
    given_packs = [
        [{"ids": torch.arange(1, length + 1) + 10 * n, "tag": n} for n, length in enumerate(pack)] for pack in packs
    ]
    collate = bw.Collate(ids=bw.ragged(pad=-7), tag=bw.opaque()).packs(
        capacity=capacity,
        align=align,
        fill=fill,
        seams=["ids"] if masked else [],
        shape="flat",
        also={"positions": "positions", "segments": "segments", "mask": "mask", "cu_seqlens": "cu_seqlens"},
    )
    ids, positions, segments, mask, ends = [], [], [], [], [0]
    for pack, lengths in zip(given_packs, aligned, strict=True):
        rows = []
        for sample, length in zip(pack, lengths, strict=True):
            own = sample["ids"].tolist()
            shown = [-7, *own[1:]] if masked and own else own
            rows.append((shown + [-7] * (length - len(own)), [True] * len(own) + [False] * (length - len(own))))
        left = capacity - sum(lengths)
        if fill == "dummy":
            rows.append(([-7] * left, [False] * left))
        elif fill == "extend":
            rows[-1] = (rows[-1][0] + [-7] * left, rows[-1][1] + [False] * left)
        for shown, real in rows:
            segments += [len(ends) - 1] * len(shown)
            positions += range(len(shown))
            ids += shown
            mask += real
            ends.append(len(ids))
    batch = collate(given_packs)
    assert batch["ids"].tolist() == ids
    assert batch["positions"].tolist() == positions
    assert batch["segments"].tolist() == segments
    assert batch["mask"].tolist() == mask
    assert batch["cu_seqlens"].tolist() == ends
    assert batch.aside.fill["ids"] == Fill(sum(map(sum, packs)), len(ids) - sum(map(sum, packs)))
    assert batch.aside.columns["pack"].tolist() == [n for n, pack in enumerate(packs) for _ in pack]
    before = [sample for pack in given_packs for sample in pack]
    for after, sample in zip(batch.unbatch(), before, strict=True):
        assert after["ids"].equal(sample["ids"])
        assert after["tag"] == sample["tag"]


def test_packing_never_writes_into_the_samples():
    rows = samples()
    bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100)).packs(seams=["labels"])(rows[:1])
    assert rows[0]["labels"].equal(samples()[0]["labels"])


def test_the_numbers_of_packs_are_not_replaced():
    for collate in (
        bw.Collate(ids=bw.ragged(), pack=bw.aside()),
        bw.Collate(ids=bw.ragged()).knowing(pack=lambda ids: ids),
    ):
        with pytest.raises(bw.Infeasible, match="'pack' is looked up or declared aside"):
            collate.packs()


# megatron.core.packed_seq_params of 0.10.0 to 0.16.1, without what context parallelism adds; of Transformer Engine's
# `DotProductAttention.forward` they are keywords, in 1.10.0 to 2.20.2
PACKED_SEQ_PARAMS = ["qkv_format", "cu_seqlens_q", "cu_seqlens_kv", "cu_seqlens_q_padded", "cu_seqlens_kv_padded"]
PACKED_SEQ_PARAMS += ["max_seqlen_q", "max_seqlen_kv"]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    align=st.integers(1, 4),
    multiple=st.integers(1, 16),
    fill=st.sampled_from(["dummy", "extend"]),
)
def test_megatrons_keywords_say_where_real_tokens_are_and_packs_end_at_a_multiple(lengths, align, multiple, fill):
    rows = [{"ids": torch.arange(n) + 100 * number + 1} for number, n in enumerate(lengths)]
    also = {**attention.MEGATRON, "seq_idx": "seq_idx", "segments": "segments"}
    collate = bw.Collate(ids=bw.ragged(pad=0)).packs(align=align, multiple=multiple, fill=fill, also=also)
    batch = collate(rows)
    assert list(attention.MEGATRON) == PACKED_SEQ_PARAMS
    held = sum(-(-n // align) * align for n in lengths)
    assert batch["ids"].shape == (1, -(-held // multiple) * multiple)
    real, padded = batch["cu_seqlens_q"], batch["cu_seqlens_q_padded"]
    assert real.dtype is padded.dtype is batch["seq_idx"].dtype is torch.int32
    assert real.equal(batch["cu_seqlens_kv"])
    assert padded.equal(batch["cu_seqlens_kv_padded"])
    assert (batch["qkv_format"], type(batch["max_seqlen_q"])) == ("thd", int)
    assert batch["seq_idx"].equal(batch["segments"])
    starts, counts = padded[:-1].tolist(), real.diff().tolist()
    assert counts[: len(lengths)] == lengths  # of a dummy: 0
    assert sum(counts) == sum(lengths)
    for row, start, count in zip(rows, starts, counts, strict=False):
        assert batch["ids"][0, start : start + count].equal(row["ids"])
    assert padded[-1] == batch["ids"].numel()
    assert batch["max_seqlen_kv"] == int(padded.diff().max())


def test_megatrons_keywords_of_a_layout_have_no_padding():
    found = attention.keywords(bw.Layout(LENGTHS), attention.MEGATRON)
    assert list(found) == PACKED_SEQ_PARAMS
    assert found["cu_seqlens_q"].tolist() == found["cu_seqlens_kv_padded"].tolist() == [0, 5, 6, 15, 18]
    assert (found["qkv_format"], found["max_seqlen_q"]) == ("thd", 9)


def test_packs_reach_their_multiple_and_not_their_capacity():
    rows = [{"ids": torch.ones(n)} for n in (5, 6, 4)]
    packs = bw.Collate(ids=bw.ragged(pad=0)).packs(
        capacity=16, packs=2, fill="dummy", multiple=4, also={"n": "lengths", "real": "mask"}
    )
    batch = packs(rows)
    assert batch["n"].tolist() == [5, 6, 4, 1]  # the first pack is filled to 16, the only one: 15 + 1
    assert batch.unbatch()[2]["ids"].tolist() == [1.0] * 4
    apart = packs([rows[:1], rows[1:]])
    assert apart["n"].tolist() == [5, 3, 6, 4, 2]
    assert batch["real"].sum() == apart["real"].sum() == 15
