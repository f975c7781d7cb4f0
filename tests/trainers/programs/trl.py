"""TRL's trainers on plans: tiny models, tokens of numbers, and what was trained on."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import pytest
import torch
from datasets import Dataset

import batchwright as bw

from ...refusals import refusals_noted
from .. import recorder
from ..recorder import Life, Recorder
from .transformers import Watch, last_whole_checkpoint

LENGTHS = [5, 3, 6, 2, 4, 4, 7, 3, 5, 2, 6]
CAPACITY = 8
PROMPT = 1  # tokens of each document that are no completion
ROWS = [
    {"input_ids": [n + 2] * length, "labels": [-100] * PROMPT + [n + 2] * (length - PROMPT)}
    for n, length in enumerate(LENGTHS)
]
PAIRS = [{"prompt": f"w{n + 2}", "chosen": " w5 w3", "rejected": " w4"} for n in range(11)]


def model(vocabulary: int = 40) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **sizes))


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


def train(rank: int, world_size: int, life: Life) -> None:
    """A life of SFT; document n is the token n + 2."""
    from trl import SFTConfig, SFTTrainer

    from batchwright.adapters.transformers import PlanTrainer

    record = Recorder(life, rank, world_size)

    class Supervised(PlanTrainer, SFTTrainer):
        def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            record.saw(inputs["input_ids"][:, 0] - 2)
            return super().compute_loss(model, inputs, *others, **named)

    rows = [{"input_ids": [n + 2] * 2, "labels": [n + 2] * 2} for n in range(len(recorder.LABELS))]
    told = options(world_size) | {"output_dir": life.folder, "num_train_epochs": life.epochs, "logging_strategy": "no"}
    arguments = SFTConfig(
        **told | {"save_strategy": "steps", "save_steps": life.checkpoint_every},
        gradient_accumulation_steps=life.accumulate, dataloader_num_workers=life.workers,
        dataset_kwargs={"skip_prepare_dataset": True},
    )  # fmt: skip
    collate = bw.Collate(input_ids=bw.ragged(pad=0, also={"attention_mask": "mask"}), labels=bw.ragged(pad=-100))
    network = model(vocabulary=len(rows) + 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(record.stepped)
    trainer = Supervised(
        network, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer(), plan=recorder.plan(),
        data_collator=collate, optimizers=(optimizer, None), callbacks=[Watch(record)],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(life.folder))


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


GENERATIONS = 2
PROMPTS = [{"prompt": f"w{n + 2}"} for n in range(11)]


def prompts_plan(form: str = "prompts") -> Any:
    """Three prompts at once; `per_class` makes two rows of each."""
    if form == "prompts":
        return bw.shuffled(len(PROMPTS), 3, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bw.PoorWarning)  # prompts repeat, which is what is wanted
        return bw.balanced(range(len(PROMPTS)), 3 * GENERATIONS, per_class=GENERATIONS, seed=5, epoch=4)


def generations(
    rank: int,
    world_size: int,
    folder: str = "",
    resume: bool = False,
    form: Any = "prompts",
    kind: str = "GRPO",
    **more: Any,
) -> dict[str, Any]:
    """GRPO or RLOO: the prompts of each generation, row by row; what the optimizer's steps trained on; and evaluation.

    Evaluation comes first, and only if its batch size is passed.
    """
    import trl

    from batchwright.adapters.transformers import PlanTrainer

    generated: list[list[int]] = []
    trained: list[list[int]] = []

    evaluated: list[int] = []

    class Generating(PlanTrainer, getattr(trl, f"{kind}Trainer")):  # type: ignore[misc]  # chosen when it runs
        def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            if model.training:
                trained.append([int(row[-1]) - 2 for row in inputs["prompt_ids"]])
            return super().compute_loss(model, inputs, *others, **named)

    def reward(prompts: list[str], completion_ids: list[list[int]], **others: Any) -> list[float]:
        numbers = [int(prompt[1:]) - 2 for prompt in prompts]
        if trainer.model.training:
            generated.append(numbers)
        else:
            evaluated.extend(numbers)
        return [float(len(ids)) for ids in completion_ids]

    given = {
        **options(world_size), "num_generations": GENERATIONS, "max_completion_length": 3,
        "per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "num_train_epochs": 1, **more,
    }  # fmt: skip
    if folder:
        given["output_dir"] = folder
    trainer = Generating(
        model(), reward_funcs=reward, args=getattr(trl, f"{kind}Config")(**given), train_dataset=Dataset.from_list(PROMPTS),
        eval_dataset=Dataset.from_list(PROMPTS),
        processing_class=tokenizer(), plan=prompts_plan(form) if isinstance(form, str) else form,
    )  # fmt: skip
    reward_of_all = trainer.evaluate()["eval_reward"] if "per_device_eval_batch_size" in more else None
    told = list(evaluated)
    trainer.train(resume_from_checkpoint=resume or None)
    found = {"generated": generated, "trained": trained, "steps": trainer.state.global_step}
    return {**found, "evaluated": told, "eval_reward": reward_of_all}


def every_generation(rank: int, world_size: int, folder: str) -> dict[str, Any]:
    """GRPO with the plan of prompts, also gone on with elsewhere; on one process in all other ways too."""
    short = {"save_strategy": "steps", "save_steps": 1, "max_steps": 1}
    evaluating = {"per_device_eval_batch_size": 2}
    found = {"prompts": generations(rank, world_size, **evaluating)}
    found["RLOO"] = generations(rank, world_size, kind="RLOO", beta=0.0, **evaluating)  # without a second model
    if world_size == 1:
        found["per_class"] = generations(rank, world_size, form="per_class")
        found["stopped"] = generations(rank, world_size, folder, **short)
        # Each generation is used in four micro-batches, which are two optimizer steps; stopped after one of them.
        reused = {"num_iterations": 2, "per_device_eval_batch_size": 2, "eval_strategy": "epoch"}
        found["reused"] = generations(rank, world_size, **reused, num_train_epochs=2)
        found["stopped in a generation"] = generations(rank, world_size, f"{folder}/reused", num_iterations=2, **short)
        found["resumed in a generation"] = generations(
            rank, world_size, f"{folder}/reused", resume=True, num_iterations=2, save_strategy="no"
        )
    else:
        found["resumed"] = generations(rank, world_size, folder, resume=True, save_strategy="no")
    return found


def half_a_generation(rank: int, world_size: int) -> list[Any]:
    """One row of two on each process, which TRL takes and a plan does not; then what the way out says."""
    told = "generates 1 rows at once, which is no multiple of num_generations=2; pass per_device_train_batch_size=2"
    short = {"form": bw.shuffled(len(PROMPTS), 1), "gradient_accumulation_steps": 1, "max_steps": 1}
    with refusals_noted() as noted, pytest.raises(bw.Infeasible, match=told):
        generations(rank, world_size, per_device_train_batch_size=1, **short)
    assert len(generations(rank, world_size, per_device_train_batch_size=2, **short)["generated"][0]) == 2
    return noted[-1:]
