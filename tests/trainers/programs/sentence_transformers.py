"""Sentence Transformers: sentences that are their own numbers, as words."""

from __future__ import annotations

import os
import tempfile
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # models and data are made here

import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

import batchwright as bw
from batchwright.adapters.sentence_transformers import samplers
from batchwright.adapters.transformers import PlanTrainer

from ..recorder import LABELS, Life, Recorder, plan
from .transformers import Watch, last_whole_checkpoint

SIZES = {"a": 60, "b": 39}
TOGETHER = list(range(60)) + list(range(39))


def several_plan() -> Any:
    """One of two data sets for each batch; numbered one after another."""
    return bw.alternating({name: bw.shuffled(rows, 4 if name == "a" else 3, seed=2) for name, rows in SIZES.items()})


def rows(count: int = len(LABELS)) -> Dataset:
    return Dataset.from_dict({side: [f"w{n}" for n in range(count)] for side in ("anchor", "positive")})


def model() -> SentenceTransformer:
    words = Tokenizer(models.WordLevel({f"w{n}": n for n in range(99)} | {"pad": 99}, unk_token="pad"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        bert = BertModel(BertConfig(vocab_size=100, **sizes))
        bert.config.save_pretrained(folder)  # `bert.save_pretrained` would write on the first process alone
        save_file(bert.state_dict(), f"{folder}/model.safetensors", metadata={"format": "pt"})
        PreTrainedTokenizerFast(tokenizer_object=words, pad_token="pad", unk_token="pad").save_pretrained(folder)
        return SentenceTransformer(modules=[Transformer(folder), Pooling(8)], device="cpu")


class Loss(torch.nn.Module):
    """Notes what it is given in training."""

    def __init__(self, network: SentenceTransformer, saw: Any) -> None:
        super().__init__()
        self.network, self.saw = network, saw

    def forward(self, features: Any, labels: Any) -> torch.Tensor:
        features = list(features)
        if self.network.training:
            self.saw(features[0]["input_ids"][:, 0])
        anchors, positives = (self.network(side)["sentence_embedding"] for side in features)
        return ((anchors - positives) ** 2).mean() + 0 * anchors.sum()


class Planned(PlanTrainer, SentenceTransformerTrainer):
    """With batches of a plan."""


def arguments(world_size: int, folder: str, **options: Any) -> SentenceTransformerTrainingArguments:
    quiet = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "logging_strategy": "no", "save_strategy": "no"}
    quiet |= {"ddp_backend": "gloo" if world_size > 1 else None, "ddp_find_unused_parameters": False}
    return SentenceTransformerTrainingArguments(folder, **{**quiet, **options})


def train(rank: int, world_size: int, life: Life) -> None:
    """A life of `PlanTrainer` before the trainer."""
    recorder = Recorder(life, rank, world_size)
    network = model()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    given = arguments(
        world_size, life.folder, num_train_epochs=life.epochs, gradient_accumulation_steps=life.accumulate,
        dataloader_num_workers=life.workers, save_strategy="steps", save_steps=life.checkpoint_every,
    )  # fmt: skip
    trainer = Planned(
        network, given, train_dataset=rows(), loss=Loss(network, recorder.saw), plan=plan(),
        optimizers=(optimizer, None), callbacks=[Watch(recorder)],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(life.folder))


def by_argument(rank: int, world_size: int, folder: str) -> dict[str, Any]:
    """Two epochs of the trainer itself, with the plan as its arguments: one data set, several, and a run that resumes."""

    def run(made: Any, train: Any, resume: str = "", planned: bool = False, **options: Any) -> Any:
        seen: list[list[int]] = []
        network = model()
        told = {} if planned else samplers(made, evaluation=[rows(10)])
        given = arguments(world_size, folder, num_train_epochs=2, per_device_eval_batch_size=4, **told, **options)
        kind, more = (Planned, {"plan": made}) if planned else (SentenceTransformerTrainer, {})
        trainer = kind(
            network, given, train_dataset=train, eval_dataset=rows(10),
            loss=Loss(network, lambda ids: seen.append(ids.tolist())), **more,
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume or None)
        assert 0 <= trainer.evaluate()["eval_loss"] < 1e-3
        return seen

    several = DatasetDict({name: rows(count) for name, count in SIZES.items()})
    found = {
        "one": run(plan(), rows(), save_strategy="steps", save_steps=15),
        "several": run(several_plan(), several),
        "several, planned": run(several_plan(), several, planned=True),
    }
    if world_size == 1:
        found["resumed"] = [run(plan(), rows(), f"{folder}/checkpoint-{step}") for step in (15, 30)]
    return found
