"""The evaluation of a language model by HF's Trainer: what it says of rows that differ in their labels."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
)

import batchwright as bw
from batchwright.adapters.transformers import ExactEvaluation, PlanTrainer

BATCH_SIZE = 4


class Exact(ExactEvaluation, Seq2SeqTrainer):
    pass


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    return LlamaForCausalLM(LlamaConfig(vocab_size=20, initializer_range=1.0, use_cache=False, **sizes)).eval()


def rows(samples: int) -> list[dict[str, list[int]]]:
    """Sample i: 3 to 9 tokens, of which the first one to six have no label that counts."""
    return [
        {
            "input_ids": (ids := [(i * 7 + place) % 20 for place in range(3 + i * 5 % 7)]),
            "labels": [-100 if place <= i * 3 % (len(ids) - 1) else number for place, number in enumerate(ids)],
        }
        for i in range(samples)
    ]


def padded(samples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """A batch, as long as its longest sample."""
    longest = max(len(sample["labels"]) for sample in samples)
    fills = {"input_ids": 0, "labels": -100}
    return {
        name: torch.tensor([sample[name] + [fill] * (longest - len(sample[name])) for sample in samples])
        for name, fill in fills.items()
    }


def _nll(outputs: Any, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    logits = outputs["logits"][:, :-1].flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction=reduction)


def by_count(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """A loss of one's own that divides by the count it is given."""
    return _nll(outputs, labels, "sum") / num_items_in_batch


def by_samples(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Another, which is a mean over samples of their sums."""
    return _nll(outputs, labels, "sum") / len(labels)


KINDS: dict[str, tuple[type[Trainer], dict[str, Any], dict[str, Any]]] = {
    "model": (ExactEvaluation, {}, {}),
    "plan": (PlanTrainer, {}, {}),
    "smoothing": (ExactEvaluation, {"label_smoothing_factor": 0.1}, {}),
    "by_count": (ExactEvaluation, {}, {"compute_loss_func": by_count}),
    "by_samples": (ExactEvaluation, {}, {"compute_loss_func": by_samples}),
    "seq2seq": (Exact, {}, {}),
    "in parts": (ExactEvaluation, {"eval_accumulation_steps": 1, "average_tokens_across_devices": False}, {}),
}


def evaluated(
    rank: int, world_size: int, kind: str, sizes: list[int], *, plainly: bool = False
) -> list[dict[str, Any]]:
    """What is said of so many samples: by these trainers, or by `Trainer` itself."""
    trainer, options, given = KINDS[kind]
    found = []
    for samples in sizes:
        own = {"plan": bw.shuffled(samples, BATCH_SIZE), "train_dataset": rows(samples)} if kind == "plan" else {}
        arguments = Seq2SeqTrainingArguments(
            str(Path(tempfile.gettempdir(), "eval_losses")),  # `Trainer` makes it, and nothing is written there
            per_device_eval_batch_size=BATCH_SIZE,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            include_for_metrics=["inputs", "loss"],
            ddp_backend="gloo" if world_size > 1 else None,
            **options,
        )

        def metrics(told: Any) -> dict[str, Any]:
            return {name: told[place].tolist() for place, name in enumerate(("logits", "labels", "inputs", "losses"))}

        made = (Trainer if plainly else trainer)(
            model(),
            arguments,
            data_collator=padded,
            eval_dataset=rows(samples),
            compute_metrics=metrics,
            **given,
            **({} if plainly else own),
        )
        made.remove_callback(PrinterCallback)
        before = dict(vars(arguments))
        said = made.evaluate()
        assert vars(arguments) == before
        found.append({name: said[f"eval_{name}"] for name in ("loss", "logits", "labels", "inputs", "losses")})
    return found
