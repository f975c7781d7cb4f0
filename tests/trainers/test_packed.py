"""Hugging Face's Trainer on packs: documents are kept apart or refused, and declared fields reach the collate function."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, TrainingArguments

import batchwright as bw
from batchwright.adapters.transformers import PlanTrainer

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainer's own

LENGTHS = [5, 3, 6, 2, 4, 4]
ROWS = [{"input_ids": list(range(n)), "labels": list(range(n)), "spare": n} for n in LENGTHS]


def model(**config: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=31, **sizes, **config))


class Seen(PlanTrainer):
    """Keeps what the model was given."""

    def compute_loss(self, model: Any, inputs: Any, **others: Any) -> Any:
        self.seen = {**getattr(self, "seen", {}), **dict(inputs)}
        return super().compute_loss(model, inputs, **others)


def trainer(folder: Any, collate: Any, *, data: Any = None, trained: Any = None, **arguments: Any) -> Seen:
    settings = {"report_to": [], "use_cpu": True, "save_strategy": "no", "max_steps": 2, "disable_tqdm": True}
    return Seen(
        model=trained or model(),
        args=TrainingArguments(output_dir=str(folder), **settings, **arguments),
        train_dataset=data or Dataset.from_list(ROWS),
        data_collator=collate,
        plan=bw.packed(LENGTHS, capacity=8, packs=2),
    )


def packs(also: Any = bw.attention.HUGGING_FACE, **fields: Any) -> Any:
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100), **fields)
    return declared.packs(capacity=8, packs=2, shape="row", fill="dummy", seams=["labels"], also=also)


def test_packed_documents_are_kept_apart_where_the_cache_was_on(tmp_path):
    """With the cache, the model does not look at where positions restart."""
    trained = model(use_cache=True)
    run = trainer(tmp_path, packs(), trained=trained, use_cache=True)
    run.train()
    assert not trained.config.use_cache
    inputs = {name: value for name, value in run.seen.items() if name != "labels"}
    trained.eval()
    with torch.no_grad():
        together = trained(**inputs).logits[0]
        starts = inputs["cu_seq_lens_q"].tolist()
        for start, stop in pairwise(starts):
            alone = trained(input_ids=inputs["input_ids"][:, start:stop]).logits[0]
            torch.testing.assert_close(together[start:stop], alone, rtol=1e-4, atol=1e-5)


def test_packs_that_say_nothing_of_their_documents_are_refused_before_training(tmp_path):
    with pytest.raises(bw.Infeasible, match=r"does not keep samples in a pack apart.*also=bw.attention.HUGGING_FACE"):
        trainer(tmp_path, packs(also=None))
    trainer(tmp_path, packs()).train()


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
def test_rows_as_tokenizers_make_them_are_refused_before_training_until_their_masks_are_aside(tmp_path, kind):
    rows = [{**row, "attention_mask": [1] * len(row["input_ids"])} for row in ROWS]
    with pytest.raises(bw.Infeasible, match=r"attention_mask = bw.aside\(\)"):
        trainer(tmp_path, packs(), data=kind(rows))
    run = trainer(tmp_path, packs(attention_mask=bw.aside()), data=kind(rows))
    run.train()
    assert "attention_mask" not in run.seen


@pytest.mark.parametrize("kind", [list, Dataset.from_list])
@pytest.mark.parametrize("removing", [True, False])
def test_columns_that_collate_declares_are_kept_and_others_are_removed(tmp_path, kind, removing):
    run = trainer(tmp_path, packs(spare=bw.aside()), data=kind(ROWS), remove_unused_columns=removing)
    run.train()
    assert "input_ids" in run.seen
    rows = [{**row, "other": "words"} for row in ROWS]
    with warnings.catch_warnings():
        warnings.simplefilter("error", bw.PoorWarning)  # the check leaves out what the trainer leaves out
        trainer(tmp_path, packs(spare=bw.aside()), data=kind(rows))
    run = trainer(tmp_path, packs(spare=bw.scalar()), data=kind(rows))
    batch = next(iter(run.get_train_dataloader()))
    assert batch["spare"].tolist() != []
    assert "other" not in batch
