"""Whether Hugging Face models keep packed samples apart is measured, and every way out that a refusal names is one."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

import batchwright as bw

SIZE = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 97}
MODELS = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZE)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=2, n_layer=2, vocab_size=97)),
    "bert": lambda: BertForMaskedLM(BertConfig(**SIZE, initializer_range=0.5)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZE, sliding_window=4, num_key_value_heads=2)),
}
ALSO: dict[str, Any] = {
    "nothing": None,
    "positions": {"position_ids": "positions"},
    "hugging face": bw.attention.HUGGING_FACE,
    "causal": {"attention_mask": "causal_mask", "position_ids": "positions"},
    "full": {"attention_mask": "full_mask", "position_ids": "positions"},
}
DOCUMENTS = [{"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]}, {"input_ids": [9, 10], "labels": [9, 10]}]


def packs(also: Any, **rules: Any) -> Any:
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    return declared.packs(seams=["labels"], also=also, **rules)


def made(kind: str, attention: str, cached: bool) -> Any:
    torch.manual_seed(1)
    model = MODELS[kind]().eval()
    model.set_attn_implementation(attention)
    model.config.use_cache = cached
    return model


@torch.no_grad()
def off(model: Any, also: Any) -> float:
    """How far the logits of packed documents are from those of each alone: the oracle."""
    collate = packs(also)
    packed = {name: value for name, value in collate(DOCUMENTS).items() if name != "labels"}
    together = model(**packed).logits[0]
    alone = [model(input_ids=torch.tensor([sample["input_ids"]])).logits[0] for sample in DOCUMENTS]
    return float((together - torch.cat(alone)).abs().max() / torch.cat(alone).std())


@pytest.mark.parametrize("also", ALSO)
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_what_is_accepted_keeps_documents_apart_and_the_way_out_of_what_is_not_does(kind, attention, cached, also):
    model = made(kind, attention, cached)
    before = off(model, ALSO[also])
    try:
        bw.attention.check(model, packs(ALSO[also]), DOCUMENTS)
    except bw.Infeasible as refusal:
        assert before > 1e-3
        assert model.config.use_cache is cached
        assert model.config._attn_implementation == attention
        followed(model, ALSO[also], refusal.way_out)
    else:
        assert before < 1e-4


def followed(model: Any, also: Any, way_out: str) -> None:
    """Do what the words say; the logits are then those of each document alone, and the check passes."""
    for words in way_out.split(" and "):
        if words.startswith("pass also="):
            also = eval(words.removeprefix("pass also=").removesuffix(" to packs(...)"))
        elif words.startswith("set model."):
            eval(words.removeprefix("set "), {"model": model})
        else:
            assert words == "set use_cache=False in the model's config"
            model.config.use_cache = False
    assert off(model, also) < 1e-4
    bw.attention.check(model, packs(also), DOCUMENTS)


@pytest.mark.parametrize("lengths", [(4, 2), (3, 3), (1, 1)])
@pytest.mark.parametrize("kind", [list, torch.tensor, np.array])
def test_a_mask_of_each_document_never_reaches_a_model_in_packs(kind, lengths):
    """As tokenizers make them; of equal lengths, the masks would be joined by themselves."""
    rows = [{"input_ids": [5] * n, "labels": [5] * n, "attention_mask": kind([1] * n)} for n in lengths]
    model, also = made("llama", "sdpa", False), ALSO["hugging face"]
    fields: dict[str, Any] = {"input_ids": bw.ragged(), "labels": bw.ragged(pad=-100)}
    for declaration in (None, bw.ragged(), bw.opaque(), bw.stack()):
        own = {} if declaration is None else {"attention_mask": declaration}
        with pytest.raises(bw.Infeasible, match=r"attention_mask = bw.aside\(\)"):
            bw.Collate(**fields, **own).packs(also=also)(rows)
        with pytest.raises(bw.Infeasible, match=r"attention_mask = bw.aside\(\)"):
            bw.attention.check(model, bw.Collate(**fields, **own).packs(also=also), rows)
        with pytest.raises(bw.Infeasible, match=r"attention_mask = bw.aside\(\)"):
            list(
                bw.packed(lengths, 8).loader(rows, collate=bw.Collate(**fields, **own).packs(also=also), num_workers=0)
            )
    declared = bw.Collate(**fields, attention_mask=bw.aside())
    bw.attention.check(model, declared.packs(also=also, seams="labels"), rows)
    dense = declared.packs(also=ALSO["causal"], seams="labels")
    bw.attention.check(model, dense, rows)
    batch = dense(rows)
    for seen in (batch, batch.to("cpu"), pickle.loads(pickle.dumps(batch)), copy.copy(batch), batch | {"spare": 1}):
        assert seen["attention_mask"].shape == (1, 1, sum(lengths), sum(lengths))
        assert [len(sample["attention_mask"]) for sample in seen.unbatch()] == list(lengths)
        assert len(seen.aside.columns["attention_mask"]) == 2


@torch.no_grad()
def test_labels_that_would_reach_into_the_next_document_are_told():
    """With labels masked at the seams, the loss of a pack is that of its documents alone."""
    model, rows = made("llama", "sdpa", False), DOCUMENTS
    prompts = [{**row, "labels": [-100, *row["labels"][1:]]} for row in rows]
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    as_they_are, masked = (declared.packs(also=ALSO["hugging face"], seams=seams) for seams in ((), ["labels"]))
    alone = [float(model(**{name: torch.tensor([ids]) for name, ids in row.items()}).loss) for row in rows]
    mean = (3 * alone[0] + alone[1]) / 4  # of four tokens and of two, the first of each aside
    losses = [float(model(**batch).loss) for batch in (masked(rows), as_they_are(prompts), as_they_are(rows))]
    assert losses[:2] == pytest.approx([mean] * 2)
    assert losses[2] != pytest.approx(mean)
    bw.attention.check(model, masked, rows)
    bw.attention.check(model, as_they_are, prompts)
    with pytest.warns(bw.PoorWarning, match=r"learns the first token of the next sample; pass seams=\['labels'\]"):
        bw.attention.check(model, as_they_are, rows)


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
def test_other_models_in_their_default_are_refused_with_a_way_out(kind):
    model = made(kind, "sdpa", True)
    with pytest.raises(bw.Infeasible, match="does not keep samples in a pack apart") as caught:
        bw.attention.check(model, packs(bw.attention.HUGGING_FACE), DOCUMENTS)
    followed(model, bw.attention.HUGGING_FACE, caught.value.way_out)


@pytest.mark.parametrize("rules", [{"fill": "dummy"}, {"fill": "extend"}, {"align": 4, "fill": "dummy"}])
@pytest.mark.parametrize("shape", ["row", "packs"])
def test_packs_of_every_shape_are_judged(rules, shape):
    collate = packs(bw.attention.HUGGING_FACE, capacity=32, shape=shape, **rules)
    bw.attention.check(made("llama", "sdpa", False), collate, DOCUMENTS)
    with pytest.raises(bw.Infeasible):
        bw.attention.check(made("llama", "sdpa", True), collate, DOCUMENTS)


def test_documents_of_one_token_many_times_and_identified_ones_are_no_hindrance():
    plan = bw.packed([4, 2], capacity=8)
    collate = packs(bw.attention.HUGGING_FACE, packs=plan).with_plan(plan)
    alike = bw.identified([{"input_ids": [3] * n, "labels": [3] * n} for n in (4, 2)])
    bw.attention.check(made("llama", "sdpa", False), collate, (alike[n] for n in range(2)))
    with pytest.raises(bw.Infeasible):
        bw.attention.check(made("llama", "sdpa", True), collate, (alike[n] for n in range(2)))


class Pooled(nn.Module):
    """One output a row."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(97, 4)

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.table(input_ids).mean(1)


@pytest.mark.parametrize(
    ("model", "samples", "said"),
    [
        (Pooled(), DOCUMENTS, "not one row a token"),
        (nn.Linear(1, 1), DOCUMENTS, "get_input_embeddings"),
        (made("llama", "sdpa", False), DOCUMENTS[:1], "fewer than 2"),
        (made("llama", "sdpa", False), [(1, 2)] * 3, "fewer than 2"),
    ],
)
def test_what_cannot_be_tried_is_warned_of(model, samples, said):
    with pytest.warns(bw.PoorWarning, match=f"keeps packed samples apart could not be tried .*{said}"):
        bw.attention.check(model, packs(None), samples)
