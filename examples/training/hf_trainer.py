"""Hugging Face's Trainer: which package of the standard library is a function of? Batches by tokens, ranks alike.

python examples/training/hf_trainer.py
"""

from __future__ import annotations

import ast
import re
import sysconfig
import tempfile
from pathlib import Path

import torch
from transformers import TrainingArguments

import batchwright as bw
from batchwright.adapters.transformers import PlanTrainer

PACKAGES, VOCABULARY = ("asyncio", "email", "unittest", "xml"), 4096


def functions() -> list[dict[str, torch.Tensor]]:
    """Each function's words as numbers (by a hash that is the same in every process), and its package."""
    rows = []
    for label, package in enumerate(PACKAGES):
        for path in sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            for node in ast.walk(ast.parse("\n".join(lines))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    words = re.findall(r"[a-z]{2,}", "\n".join(lines[node.lineno - 1 : node.end_lineno]).lower())
                    ids = [1 + sum(map(ord, word)) * len(word) % (VOCABULARY - 1) for word in words[:300]]
                    rows += [{"input_ids": torch.tensor(ids), "labels": torch.tensor(label)}] * (len(ids) > 5)
    return rows


class Model(torch.nn.Module):
    """The mean of the words' embeddings, then two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(VOCABULARY, 32, padding_idx=0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.ReLU(), torch.nn.Linear(32, len(PACKAGES)))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        mean = self.words(input_ids).sum(1) / (input_ids > 0).sum(1, keepdim=True)
        logits = self.layers(mean)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def main(epochs: int = 6) -> None:
    rows = functions()
    parts = bw.split([int(row["labels"]) for row in rows], {"train": 0.8, "test": 0.2})
    train, test = ([rows[number] for number in parts[name]] for name in ("train", "test"))
    lengths = [len(row["input_ids"]) for row in train]
    plan = bw.budgeted(lengths, max_tokens=4096)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=epochs, learning_rate=5e-3, use_cpu=True, report_to=[], save_strategy="no",
            disable_tqdm=True, logging_strategy="no",
        )  # fmt: skip
        torch.manual_seed(0)
        trainer = PlanTrainer(
            Model(),
            arguments,
            train_dataset=train,
            data_collator=bw.Collate(input_ids=bw.ragged(pad=0)),
            compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
            plan=plan,
        )
        trainer.train()
        accuracy = trainer.evaluate(test)["eval_accuracy"]
    print(f"{len(train)} functions of {min(lengths)} to {max(lengths)} words, padding {plan.summary().padding:.1%}")
    print(f"package recognised for {accuracy:.1%} of {len(test)} other functions")


if __name__ == "__main__":
    main()
