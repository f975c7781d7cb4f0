"""Short programs for what trainers do besides training."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.utils.data import DataLoader

import batchwright as bw

from ..recorder import LABELS, Life, model, plan


def _loader(**options: Any) -> DataLoader:
    return DataLoader(range(len(LABELS)), batch_sampler=plan().sampler(**options))


def _plans_loader(**options: Any) -> bw.loader.Loader:
    return plan().loader(range(len(LABELS)), num_workers=0, **options)


def _trained(base: type, seen: list[list[int]]) -> type:
    """A LightningModule, lightning's or pytorch_lightning's, that notes what it is trained on."""

    class Module(base):
        def __init__(self) -> None:
            super().__init__()
            self.network = model()

        def training_step(self, batch, batch_idx):
            seen.append(batch.tolist())
            return self.network(batch[:, None].float()).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-9)

    return Module


def lightning_validates_and_predicts(rank: int, world_size: int) -> tuple[list[list[int]], list[list[int]]]:
    from lightning.pytorch import LightningModule

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    validated: list[list[int]] = []

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = model()

        def validation_step(self, batch, batch_idx):
            validated.append(batch.tolist())

        def predict_step(self, batch, batch_idx):
            return batch

    life = Life("", epochs=1)
    trainer(life, world_size, []).validate(Module(), _plans_loader(), verbose=False)
    predicted = trainer(life, world_size, []).predict(Module(), _plans_loader())  # what this rank predicted
    return validated, [batch.tolist() for batch in predicted]


def lightning_distributes(rank: int, world_size: int, by: str, from_a_hook: bool) -> list[list[int]] | str:
    """A trainer with `use_distributed_sampler` as it is by default; what Lightning itself says if it cannot."""
    from lightning.pytorch import LightningModule

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    seen: list[list[int]] = []
    made = _plans_loader if by == "loader" else _loader

    Module = _trained(LightningModule, seen)

    class WithHook(Module):
        def train_dataloader(self):
            return made()

    options = {"use_distributed_sampler": True, "enable_checkpointing": False}
    distributing = trainer(Life("", epochs=1), world_size, [], **options)
    try:
        distributing.fit(WithHook()) if from_a_hook else distributing.fit(Module(), made())
    except TypeError as error:
        return str(error)
    return seen


def lightning_is_limited(rank: int, world_size: int, checkpoint: str, resume: bool) -> list[list[int]]:
    """At most 8 batches an epoch, two epochs; saved after 6 of them, or gone on with from there."""
    from lightning.pytorch import LightningModule
    from lightning.pytorch.callbacks import Callback

    from batchwright.adapters.lightning import PlanCallback

    from ..places import made
    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    seen: list[list[int]] = []

    class Save(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if len(seen) == 6 and not resume:
                trainer.save_checkpoint(checkpoint)

    options = {"limit_train_batches": 8, "enable_checkpointing": False}
    limited = trainer(Life("", epochs=2), world_size, [Save(), PlanCallback()], **options)
    path = checkpoint if resume else None
    limited.fit(_trained(LightningModule, seen)(), made(), ckpt_path=path, weights_only=False)
    return seen


def lightning_goes_on(
    rank: int, world_size: int, checkpoint: str, resume: bool, callback: bool = False
) -> list[list[int]]:
    """Two epochs; saved after 16 batches of the second, over all processes, or gone on with from there, by workers."""
    from lightning.pytorch import LightningModule
    from lightning.pytorch.callbacks import Callback

    from batchwright.adapters.lightning import PlanCallback

    from .lightning import trainer

    warnings.filterwarnings("ignore", module="lightning")
    seen: list[list[int]] = []

    class Save(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if len(seen) == len(trainer.train_dataloader) + 16 // world_size and not resume:
                trainer.save_checkpoint(checkpoint)

    options = {"use_distributed_sampler": True, "enable_checkpointing": False}
    callbacks = [Save(), PlanCallback()] if callback else [Save()]
    going = trainer(Life("", epochs=2), world_size, callbacks, **options)
    train = plan().loader(range(len(LABELS)), num_workers=2 if resume else 0)
    path = checkpoint if resume else None
    going.fit(_trained(LightningModule, seen)(), train, ckpt_path=path, weights_only=False)
    return seen


def ignite_goes_on(rank: int, world_size: int, states: dict[str, Any]) -> tuple[list[tuple[int, int]], int]:
    """Three epochs of an engine, from its state and the plan's on."""
    from ignite.engine import Engine

    from batchwright.adapters.ignite import PlanProgress

    from ..places import made, place

    seen: list[tuple[int, int]] = []
    loader = made()
    engine = Engine(lambda engine, batch: seen.append(place(batch)))
    progress = PlanProgress(engine, loader)
    engine.load_state_dict(states["engine"])
    progress.load_state_dict(states["plan"])
    engine.run(loader, max_epochs=3)
    return seen, engine.state.iteration


def older_lightning(rank: int, world_size: int) -> list[list[int]]:
    """pytorch_lightning's own Trainer with the callback made from lightning's, where both are installed."""
    import pytorch_lightning

    from batchwright.adapters.lightning import PlanCallback

    warnings.filterwarnings("ignore", module="pytorch_lightning")
    seen: list[list[int]] = []
    module = _trained(pytorch_lightning.LightningModule, seen)()
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pytorch_lightning.Trainer(accelerator="cpu", max_epochs=1, callbacks=[PlanCallback()], **options)
    trainer.fit(module, _plans_loader())
    return seen


def accelerate_gathers(rank: int, world_size: int) -> list[int]:
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    accelerator = Accelerator(cpu=True)
    gathered: list[int] = []
    for batch in prepare(accelerator, _plans_loader()):
        gathered += accelerator.gather_for_metrics(batch).tolist()
    return gathered


def accelerate_prepares(rank: int, world_size: int, adapter: bool) -> list[tuple[int, int]]:
    from accelerate import Accelerator

    from batchwright.adapters.accelerate import prepare

    from ..places import made, place

    accelerator, loader = Accelerator(cpu=True), made()
    return [place(batch) for batch in (prepare(accelerator, loader) if adapter else accelerator.prepare(loader))]


def accelerate_prepares_the_view(rank: int, world_size: int) -> list[list[int]]:
    from accelerate import Accelerator

    view = _loader(rank=0, world_size=1, accumulate=world_size)
    loader = Accelerator(cpu=True).prepare(view)
    bw.check_ranks(loader)
    return [batch.tolist() for batch in loader]


def accelerate_shards_twice(rank: int, world_size: int) -> str:
    from accelerate import Accelerator

    try:
        bw.check_ranks(Accelerator(cpu=True).prepare(_loader()))
    except bw.Infeasible as infeasible:
        return str(infeasible)
    return ""


def accelerate_divides(rank: int, world_size: int, dispatches: bool) -> str:
    """Draw from a sampler of this rank in Accelerate's own loader, in which the first process may draw for all."""
    from accelerate import Accelerator
    from accelerate.utils import DataLoaderConfiguration

    told = DataLoaderConfiguration(dispatch_batches=dispatches)
    try:
        next(iter(Accelerator(cpu=True, dataloader_config=told).prepare(_loader())))
    except (bw.Infeasible, RuntimeError) as refused:  # where the first process draws, the others lose it
        return str(refused)
    return ""
