"""TRL's trainers on plans: tiny models, tokens of numbers, and what was trained on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from datasets import Dataset

import batchwright as bw

LENGTHS = [5, 3, 6, 2, 4, 4, 7, 3, 5, 2, 6]
CAPACITY = 8
PROMPT = 1  # tokens of each document that are no completion
ROWS = [
    {"input_ids": [n + 2] * length, "labels": [-100] * PROMPT + [n + 2] * (length - PROMPT)}
    for n, length in enumerate(LENGTHS)
]
PAIRS = [{"prompt": f"w{n + 2}", "chosen": " w5 w3", "rejected": " w4"} for n in range(11)]


def model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes))


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"pad": 0, "end": 1} | {f"w{n}": n for n in range(2, 40)}, unk_token="pad"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="pad", eos_token="end")


def options(world_size: int) -> dict[str, Any]:
    return {
        "output_dir": "unused", "report_to": [], "use_cpu": True, "bf16": False, "disable_tqdm": True,
        "gradient_checkpointing": False, "save_strategy": "no", "logging_steps": 1, "num_train_epochs": 2,
        "ddp_backend": "gloo" if world_size > 1 else None,
    }  # fmt: skip


def packs_plan() -> Any:
    return bw.packed(LENGTHS, capacity=CAPACITY, seed=4)


def packs() -> Any:
    declared = bw.Collate(input_ids=bw.ragged(), labels=bw.ragged(pad=-100))
    return declared.packs(capacity=CAPACITY, shape="row", seams=["labels"], also=bw.attention.HUGGING_FACE)


def supervised(rank: int, world_size: int, folder: str = "", resume: bool = False, **more: Any) -> dict[str, Any]:
    """SFT on packs: the documents of each pack, the labels that count, and the loss of every document alone."""
    from trl import SFTConfig, SFTTrainer

    from batchwright.adapters.transformers import PlanTrainer

    seen: list[list[int]] = []
    labelled: list[list[int]] = []

    class Supervised(PlanTrainer, SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            if model.training:
                starts = inputs["cu_seq_lens_q"].tolist()
                ids, labels = inputs["input_ids"][0].tolist(), inputs["labels"][0].tolist()
                seen.append([ids[start] - 2 for start, stop in pairwise(starts) if stop > start])
                labelled.append(
                    [sum(label != -100 for label in labels[start:stop]) for start, stop in pairwise(starts)]
                )
            return super().compute_loss(model, inputs, *others, **named)

    given = {**options(world_size), **more, **({"output_dir": folder} if folder else {})}
    arguments = SFTConfig(**given, per_device_eval_batch_size=1, dataset_kwargs={"skip_prepare_dataset": True})
    trainer = Supervised(
        model(), arguments, train_dataset=Dataset.from_list(ROWS), eval_dataset=Dataset.from_list(ROWS),
        data_collator=packs(), processing_class=tokenizer(), plan=packs_plan(),
    )  # fmt: skip
    before = trainer.evaluate()["eval_loss"]
    trainer.train(resume_from_checkpoint=resume or None)
    return {"seen": seen, "labelled": labelled, "eval_loss": before}


def preferences(rank: int, world_size: int) -> dict[str, Any]:
    """DPO: the prompts of each batch, and the loss over all pairs of a model that has not been trained: log 2."""
    from trl import DPOConfig, DPOTrainer

    from batchwright.adapters.transformers import PlanTrainer

    seen: list[list[int]] = []
    evaluated: list[int] = []

    class Preferences(PlanTrainer, DPOTrainer):
        def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            prompts = [int(row[0]) - 2 for row in inputs["input_ids"][: len(inputs["input_ids"]) // 2]]
            if model.training:
                seen.append(prompts)
            else:
                evaluated.extend(prompts)
            return super().compute_loss(model, inputs, *others, **named)

    arguments = DPOConfig(**options(world_size), per_device_eval_batch_size=4)
    rows = Dataset.from_list(PAIRS)
    trainer = Preferences(
        model(), ref_model=model(), args=arguments, train_dataset=rows, eval_dataset=rows, processing_class=tokenizer(),
        plan=bw.shuffled(len(PAIRS), 3, seed=5),
    )  # fmt: skip
    loss = trainer.evaluate()["eval_loss"]
    trainer.train()
    return {"seen": seen, "evaluated": evaluated, "eval_loss": loss}
