"""Hugging Face Trainer."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from batchwright.adapters.transformers import PlanTrainer

from ..recorder import LABELS, Life, Recorder, model, plan


class Rows(Dataset):
    """Sample i as a row of columns."""

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(index)])}


class Model(torch.nn.Module):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.network = model()
        self.recorder = recorder

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.recorder.saw(x)
        return {"loss": self.network(x).mean()}


class Alone(Trainer):
    """`Trainer` with a plan's loader, and nothing else of batchwright."""

    def __init__(self, *positional, plan, **options):
        super().__init__(*positional, **options)
        self.plan = plan

    def get_train_dataloader(self):
        return self.plan.loader(
            self.train_dataset,
            collate=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            accumulate=self.args.gradient_accumulation_steps,
        )


class Watch(TrainerCallback):
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_train_begin(self, args, state, control, **others):
        self.recorder.begin(state.global_step)

    def on_save(self, args, state, control, **others):
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        Path(args.output_dir, f"checkpoint-{state.global_step}", "whole").touch()

    def on_step_begin(self, args, state, control, **others):
        self.recorder.end_of_step()  # of the one before, its checkpoint included


def last_whole_checkpoint(folder: str) -> str | None:
    """Of the checkpoints that every rank had written its files of; a kill leaves others in pieces."""
    whole = [path.parent for path in Path(folder).glob("checkpoint-*/whole")]
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def train(rank: int, world_size: int, life: Life, *, adapter: bool = True) -> None:
    recorder = Recorder(life, rank, world_size)
    optimized = Model(recorder)
    optimizer = torch.optim.SGD(optimized.parameters(), lr=1e-9)
    optimizer.register_step_post_hook(recorder.stepped)
    arguments = TrainingArguments(
        life.folder,
        num_train_epochs=life.epochs,
        gradient_accumulation_steps=life.accumulate,
        dataloader_num_workers=life.workers,
        save_steps=life.checkpoint_every,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_backend="gloo" if world_size > 1 else None,
    )
    options = {"optimizers": (optimizer, None), "callbacks": [Watch(recorder)], "train_dataset": Rows()}
    trainer = (PlanTrainer if adapter else Alone)(optimized, arguments, plan=plan(), **options)
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(life.folder))
