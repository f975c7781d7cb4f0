"""Evaluation in every trainer, as its user would write it: what counted, in order, and means over it.

Each program returns what its rank saw: the numbers that counted, gathered over all ranks, and their mean.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

import batchwright as bw

from ..recorder import Life, model

Seen = tuple[list[int], float]
BATCH_SIZE = 4


def _loader(samples: int, workers: int = 0) -> bw.loader.Loader:
    return bw.evaluation(samples, BATCH_SIZE).loader(range(samples), num_workers=workers)


def _gathered(numbers: list[int], world_size: int) -> list[int]:
    if world_size == 1:
        return numbers
    ranks: list[Any] = [None] * world_size
    torch.distributed.all_gather_object(ranks, numbers)
    return [number for rank in ranks for number in rank]


def plain(rank: int, world_size: int, samples: int) -> Seen:
    """A loop with workers, a model that is sharded over the processes, and `Means`."""
    loader = _loader(samples, workers=2)
    network = torch.nn.Linear(1, 8)
    if world_size > 1:  # every forward pass gathers the weights: a rank that has no list left would let the others hang
        fully_shard(network, mesh=init_device_mesh("cpu", (world_size,)))
    means = bw.correct.Means(loader.sampler)
    counted: list[int] = []
    for step, batch in enumerate(loader):
        with torch.no_grad():
            network(batch[:, None].float())
        means.add(step, number=batch)
        counted += _gathered(batch[: loader.sampler.real(step)].tolist(), world_size)
    return counted, means.result()["number"]


def _lightning(rank: int, world_size: int, samples: int, stage: str) -> Seen:
    from lightning.pytorch import LightningModule

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    loader = _loader(samples)
    sampler = loader.sampler
    counted: list[int] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model()
            self.means = bw.correct.Means(sampler)

        def validation_step(self, batch, batch_idx):
            self.means.add(batch_idx, number=batch)
            counted.extend(_gathered(batch[: sampler.real(batch_idx)].tolist(), world_size))

        test_step = validation_step

        def on_validation_epoch_end(self):
            self.log_dict(self.means.result())

        on_test_epoch_end = on_validation_epoch_end

        def predict_step(self, batch, batch_idx):
            self.validation_step(batch, batch_idx)
            return batch[: sampler.real(batch_idx)]

    module = Module()
    run = getattr(trainer(Life("", epochs=1), world_size, []), stage)
    if stage == "predict":
        predicted = torch.cat(run(module, loader))
        assert sorted(_gathered(predicted.tolist(), world_size)) == sorted(counted)
        return counted, module.means.result()["number"]
    (logged,) = run(module, loader, verbose=False)
    return counted, logged["number"]


def lightning_validate(rank: int, world_size: int, samples: int) -> Seen:
    return _lightning(rank, world_size, samples, "validate")


def lightning_test(rank: int, world_size: int, samples: int) -> Seen:
    return _lightning(rank, world_size, samples, "test")


def lightning_predict(rank: int, world_size: int, samples: int) -> Seen:
    return _lightning(rank, world_size, samples, "predict")


def accelerate(rank: int, world_size: int, samples: int) -> Seen:
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=3)
    loader = prepare(accelerator, _loader(samples, workers=1))
    counted: list[int] = []
    for batch in loader:
        counted += accelerator.gather_for_metrics(batch).tolist()
    assert accelerator.step == 0
    assert accelerator._custom_objects == []
    return counted, sum(counted) / len(counted)


def accelerate_in_tokens(rank: int, world_size: int, samples: int) -> Seen:
    """Lists of different sizes are gathered as objects."""
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    accelerator = Accelerator(cpu=True)
    lengths = [1 + number % 5 for number in range(samples)]
    loader = prepare(accelerator, bw.evaluation(lengths, max_tokens=12).loader(range(samples), num_workers=0))
    counted: list[int] = []
    for batch in loader:
        counted += accelerator.gather_for_metrics(batch.tolist(), use_gather_object=True)
    return counted, sum(counted) / len(counted)


def accelerate_view(rank: int, world_size: int, samples: int) -> Seen:
    """A loader that goes through `Accelerator.prepare` itself."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    sampler = bw.evaluation(samples, BATCH_SIZE).sampler(rank=0, world_size=1, accumulate=world_size)
    counted: list[int] = []
    for batch in accelerator.prepare(DataLoader(range(samples), batch_sampler=sampler)):
        counted += accelerator.gather_for_metrics(batch).tolist()
    counted = counted[:samples]
    return counted, sum(counted) / len(counted)


class Rows(torch.utils.data.Dataset):
    def __init__(self, samples: int) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(index)]), "labels": torch.tensor(index)}


class Predicting(torch.nn.Module):
    """A model whose loss is the mean of what it is given, and whose prediction is that."""

    def __init__(self) -> None:
        super().__init__()
        self.network = model()

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": x.mean() + 0 * self.network(x).mean(), "logits": x[:, 0]}


def _transformers_arguments(world_size: int, **options: Any) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        "unused",
        per_device_eval_batch_size=BATCH_SIZE,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_backend="gloo" if world_size > 1 else None,
        **options,
    )


def _transformers(world_size: int, samples: int, **options: Any) -> Any:
    from batchwright.adapters.transformers import PlanTrainer

    def metrics(found: Any) -> dict[str, Any]:
        assert found.predictions.astype(int).tolist() == found.label_ids.tolist()
        return {"numbers": found.label_ids.tolist()}

    return PlanTrainer(
        Predicting(),
        _transformers_arguments(world_size, **options),
        plan=bw.shuffled(samples, 4),
        train_dataset=Rows(samples),
        eval_dataset=Rows(samples),
        compute_metrics=metrics,
    )


def transformers_evaluate(rank: int, world_size: int, samples: int) -> Seen:
    trainer = _transformers(world_size, samples, dataloader_num_workers=1)
    found = trainer.evaluate()
    again = trainer.evaluate()  # and the trainer is as it was
    assert trainer.args.per_device_eval_batch_size == BATCH_SIZE
    assert (found["eval_numbers"], found["eval_loss"]) == (again["eval_numbers"], again["eval_loss"])
    return found["eval_numbers"], found["eval_loss"]


def transformers_predict(rank: int, world_size: int, samples: int) -> Seen:
    found = _transformers(world_size, samples).predict(Rows(samples))
    return found.predictions.astype(int).tolist(), found.metrics["test_loss"]


def ignite(rank: int, world_size: int, samples: int) -> Seen:
    """An evaluator with Ignite's own metrics, which are told what counts."""
    from ignite.engine import Engine, Events
    from ignite.metrics import Average

    loader = _loader(samples)

    def evaluate(engine: Engine, batch: torch.Tensor) -> torch.Tensor:
        return batch[: loader.sampler.real(engine.state.iteration - 1), None].double()  # a vector would be one sample

    evaluator = Engine(evaluate)
    Average().attach(evaluator, "mean")
    counted: list[int] = []

    @evaluator.on(Events.ITERATION_COMPLETED)
    def gather(engine: Engine) -> None:
        counted.extend(_gathered(engine.state.output.flatten().long().tolist(), world_size))

    evaluator.run(loader)
    return counted, float(evaluator.state.metrics["mean"])


EVALUATIONS = {
    evaluation.__name__: evaluation
    for evaluation in (
        *(plain, lightning_validate, lightning_test, lightning_predict),
        *(accelerate, accelerate_in_tokens, accelerate_view, transformers_evaluate, transformers_predict, ignite),
    )
}


def evaluate(rank: int, world_size: int, trainer: str, sizes: list[int]) -> list[Seen]:
    """A rank of several evaluations, one after the other, of so many samples."""
    return [EVALUATIONS[trainer](rank, world_size, samples) for samples in sizes]


def transformers_without_a_plan(rank: int, world_size: int) -> float:
    """The loss that `Trainer` says 21 samples have, each of which has its number as its loss."""
    from transformers import Trainer

    return Trainer(Predicting(), _transformers_arguments(world_size), eval_dataset=Rows(21)).evaluate()["eval_loss"]


def lightning_without_a_plan(rank: int, world_size: int) -> float:
    """The same of Lightning, with the mean over processes that its documentation shows."""
    from lightning.pytorch import LightningModule

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model()

        def validation_step(self, batch, batch_idx):
            self.log("loss", batch.double().mean(), sync_dist=True)

    loader = DataLoader(range(21), BATCH_SIZE)
    return trainer(Life("", epochs=1), world_size, []).validate(Module(), loader, verbose=False)[0]["loss"]
