"""torchtitan's own trainer, on the CPU.

Its debug model has one layer here, and an attention that needs no GPU: documents of a pack see each other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torchtitan.tools import utils


def _on_the_cpu() -> None:
    """torchtitan looks for a GPU only; the rest of it takes the CPU once it is told so, before the rest is imported."""
    memory = SimpleNamespace(total_memory=2**30)
    answers = {
        "current_device": lambda: 0,
        "empty_cache": lambda: None,
        "get_device_name": lambda device: "cpu",
        "get_device_properties": lambda device: memory,
        "memory_stats": lambda device: {},
        "reset_peak_memory_stats": lambda: None,
    }  # what `torch.cpu` has no answer to
    utils.device_type, utils.device_module = "cpu", SimpleNamespace(**{**vars(torch.cpu), **answers})
    if not hasattr(torch.distributed, "set_timeout"):  # its name before torch 2.14
        torch.distributed.set_timeout = torch.distributed.distributed_c10d._set_pg_timeout


_on_the_cpu()

from torchtitan.components.checkpoint import CheckpointManager
from torchtitan.components.loss import CrossEntropyLoss
from torchtitan.components.optimizer import default_adamw
from torchtitan.components.tokenizer import BaseTokenizer
from torchtitan.config import ParallelismConfig, TrainingConfig
from torchtitan.models.common import ScaledDotProductAttention
from torchtitan.models.llama3 import model_registry
from torchtitan.trainer import Trainer

from batchwright.adapters.torchtitan import PlanDataLoader

from ..packs import LENGTHS, ROWS, SEQ_LEN, plan
from ..recorder import Life, Recorder


class NoTokenizer(BaseTokenizer):
    """Documents are token numbers already, so nothing may be encoded; torchtitan asks for a tokenizer all the same."""

    @dataclass(kw_only=True, slots=True)
    class Config(BaseTokenizer.Config):
        pass

    def __init__(self, config: Config, **others: Any) -> None:
        super().__init__()

    def encode(self, *_: Any, **others: Any) -> list[int]:
        raise NotImplementedError

    def decode(self, *_: Any, **others: Any) -> str:
        raise NotImplementedError

    def get_vocab_size(self) -> int:
        return len(LENGTHS) + 1


def documents(tokenizer: NoTokenizer) -> list[list[int]]:
    """Document n is the token n + 1, as often as it is long; padding is 0."""
    return [[n + 1] * length for n, length in enumerate(LENGTHS)]


def loader(life: Life) -> PlanDataLoader.Config:
    """Finite data where a life is of one epoch."""
    return PlanDataLoader.Config(
        documents=documents, too_long="refuse", num_workers=life.workers, accumulate=life.accumulate,
        infinite=life.epochs > 1,
    )  # fmt: skip


class Watched(Trainer):
    """Notes the documents of each step, and dies when it is to."""

    @dataclass(kw_only=True, slots=True)
    class Config(Trainer.Config):
        recorder: Recorder
        begun: bool = False

    def should_continue_training(self) -> bool:
        """Asked after a checkpoint was loaded, and after each step with its checkpoint."""
        recorder = self.config.recorder
        if self.config.begun:
            recorder.end_of_step()
        else:
            recorder.begin(self.step)
            self.model_parts[0].register_forward_pre_hook(lambda model, given: recorder.saw(found(given[0])))
            next(iter(self.optimizers)).register_step_post_hook(recorder.stepped)
            self.config.begun = True
        return super().should_continue_training()


def found(tokens: torch.Tensor) -> torch.Tensor:
    """The documents of packs, in order."""
    return tokens[tokens > 0].unique_consecutive() - 1


def train(rank: int, world_size: int, life: Life, parts: int = 1) -> None:
    """A life of torchtitan's trainer, with a model of so many parts; on one process it makes its process group itself."""
    if world_size == 1:
        os.environ |= {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": "1",
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": "0",
        }
    step = world_size // parts * life.accumulate
    ends = life.epochs > 1 and not life.dies_after
    steps = -(-life.epochs * plan().epoch_length() // step) if ends else 10**6
    spec = model_registry("debugmodel")
    spec.model.layers = spec.model.layers[:1]
    spec.model.layers[0].attention.inner_attention = ScaledDotProductAttention.Config()  # Flex and Varlen ask for a GPU
    config = Watched.Config(
        recorder=Recorder(life, rank, world_size),
        model_spec=spec,
        dump_folder=life.folder,
        tokenizer=NoTokenizer.Config(),
        dataloader=loader(life),
        training=TrainingConfig(
            local_batch_size=ROWS, global_batch_size=ROWS * step, seq_len=SEQ_LEN, mixed_precision_param="float32",
            steps=steps,
        ),
        parallelism=ParallelismConfig(spmd_backend="partial_dtensor", tensor_parallel_degree=parts),
        loss=CrossEntropyLoss.Config(global_vocab_size=2048),
        optimizer=default_adamw(lr=1e-9),
        checkpoint=CheckpointManager.Config(enable=True, interval=life.checkpoint_every, last_save_model_only=False),
    )  # fmt: skip
    trainer = config.build()
    for module in trainer.model_parts[0].modules():
        if isinstance(module, FSDPModule):
            module.set_force_sum_reduction_for_comms(True)  # gloo does not multiply while it adds
    trainer.train()
    trainer.close()
