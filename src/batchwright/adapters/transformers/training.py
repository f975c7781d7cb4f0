"""Training of Hugging Face's Trainer on a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.distributed.device_mesh import DeviceMesh
from torch.utils.data import DataLoader
from transformers import Trainer, default_data_collator

from ...collate import Collate, attention
from ...collate.pack_collate import PackCollate
from ...composition import Composition
from ...errors import Infeasible, typed
from ...loader import Loader
from ...loader.joining import Default, declaring
from ...loader.samples import OnError
from ...plans.plan import Plan
from ...run.sampler import BatchSampler
from .arguments import agree
from .evaluation import ExactEvaluation
from .generations import Generations
from .progress import PlacedBatches, PlanProgressCallback, unchanged

__all__ = ["PlanTrainer"]

_LOOP_OF_4 = not hasattr(Trainer, "_init_training_state")
"""Whether training is one long function, as in transformers 4, in which an adapter has few places."""


class PlanTrainer(ExactEvaluation):
    """`transformers.Trainer` with a plan; for another trainer write `class Mine(PlanTrainer, Seq2SeqTrainer)`.

    `evaluate` and `predict` take every sample exactly once, see `ExactEvaluation`.

    It has the arguments below more than `Trainer`. The plan decides what `TrainingArguments` say of training batches: their
    size becomes the plan's, and sampling strategies, `dataloader_drop_last` and the like are refused. Accumulation, workers
    and all other arguments stay. The batches come from `plan.loader`, which seeds the random numbers of each sample.

    TRL's trainers that generate, such as `GRPOTrainer`, take a plan of prompts: a micro-batch has the prompts from which a
    process generates at once, `per_device_train_batch_size * steps_per_generation / num_generations` of them.

    Args:
        plan: the plan of the training batches.
        composition: makes, of the sampler, what to tell `Trainer.log`, and so all of `report_to`, of the batches, such as
            `functools.partial(batchwright.Composition, every=50)`; nothing if left out.
        seeded: see `plan.loader`.
        on_error: see `plan.loader`; every checkpoint names the samples that raised.
        max_errors: see `plan.loader`.
        mesh: see `plan.loader`; for models that are split over processes.
        dims: see `plan.loader`.

    Raises:
        Infeasible: an argument is set that the plan decides, the plan's micro-batches are not those of a generation, or
            packed samples would attend to each other.
    """

    def __init__(
        self,
        *args: Any,
        plan: Plan,
        composition: Callable[[BatchSampler], Composition] | None = None,
        seeded: bool = True,
        on_error: OnError = "refuse",
        max_errors: int = 100,
        mesh: DeviceMesh | None = None,
        dims: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(plan, Plan):
            raise Infeasible(
                f"plan is {typed(plan)}",
                "pass the plan itself, such as bw.balanced(labels, 32); PlanTrainer makes its loader",
            )
        super().__init__(*args, **options)
        self._max_steps = self._epoch_steps = 0  # of the training that runs, and of an epoch of it
        self._reading: dict[str, Any] = {"seeded": seeded, "on_error": on_error, "max_errors": max_errors}
        self._plan_loader: Loader | None = None  # the one that was made last
        self._generations = Generations.of(self, plan)
        self.plan_sampler = plan.sampler(accumulate=self._generations.accumulate, mesh=mesh, dims=dims)
        self._agree()
        self._split = self.plan_sampler.copies > 1
        told = None if composition is None else composition(self.plan_sampler)
        self.plan_progress = PlanProgressCallback(
            self.plan_sampler, told, lambda values, step: self.log(dict(values)), self._generations.uses
        )
        self.add_callback(self.plan_progress)
        if _LOOP_OF_4:  # its `resume` comes before other callbacks see the state
            self.callback_handler.callbacks.insert(0, self.callback_handler.callbacks.pop())
        self._keep_packed_samples_apart()

    def _keep_packed_samples_apart(self) -> None:
        """If samples are packed, switch off the model's cache, and check that samples do not attend to each other."""
        if not isinstance(self.data_collator, PackCollate) or self.is_deepspeed_enabled or self.is_fsdp_enabled:
            return
        for module in self.model.modules():
            if getattr(getattr(module, "config", None), "use_cache", False):
                module.config.use_cache = False  # with a cache, models ignore that positions start again
        dataset = self.train_dataset
        if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
            samples = (self._without_unused(dataset[index]) for index in range(len(dataset)))
            attention.check(self.model, self.data_collator, samples)

    def _without_unused(self, sample: Any) -> Any:
        """A sample with the columns that `Trainer` will keep."""
        if not self.args.remove_unused_columns or not isinstance(sample, Mapping):
            return sample
        self._set_signature_columns_if_needed()
        return {name: value for name, value in sample.items() if name in self._signature_columns}

    def _set_signature_columns_if_needed(self) -> None:
        """The columns of samples that `Trainer` keeps: those of the model, and those that `Collate` declares."""
        super()._set_signature_columns_if_needed()
        if isinstance(self.data_collator, (Collate, PackCollate)):
            model_columns: list[str] = self._signature_columns
            self._signature_columns: list[str] = [
                *model_columns,
                *(name for name in self.data_collator.fields if name not in model_columns),
            ]

    @property
    def plan_uses(self) -> int:
        """How many of the trainer's micro-batches come of one of the plan's: one, unless it generates."""
        return self._generations.uses

    def _agree(self) -> None:
        """Compare the arguments with the plan; they may change between two trainings, as a search for the best does."""
        generates = self._generations.uses > 1 or self._generations.copies > 1
        agree(self.args, self.plan_sampler.plan, generates=generates)
        self._train_batch_size = self.args.train_batch_size

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader of the micro-batches of this process."""
        self._agree()
        loader = super().get_train_dataloader()
        collate = loader.collate_fn
        if self.data_collator is default_data_collator:  # none was passed
            collate = Default(declaring(self.plan_sampler.plan), collate, "data_collator=...")
        self._plan_loader = Loader(
            self.plan_sampler,
            loader.dataset,
            num_workers=loader.num_workers,
            collate=collate,
            device=self.args.device,
            pin_memory=loader.pin_memory,
            persistent_workers=loader.persistent_workers,
            prefetch_factor=loader.prefetch_factor,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            **self._reading,
        )
        batches = PlacedBatches(self._plan_loader, self.plan_progress, self._generations.copies)
        return DataLoader(batches, batch_size=None, collate_fn=unchanged)

    def num_examples(self, dataloader: DataLoader[Any]) -> int:
        """Samples of the data set."""
        placed = dataloader.dataset
        count: int = super().num_examples(placed.loader if isinstance(placed, PlacedBatches) else dataloader)
        return count

    def set_initial_training_values(self, *others: Any, **named: Any) -> tuple[Any, ...]:
        """How long training is; how many samples it sees follows from the plan, not from the data set and the arguments."""
        found: list[Any] = list(super().set_initial_training_values(*others, **named))
        self._max_steps, self._epoch_steps = found[-1], found[1]
        if self._generations.uses == 1:
            each = self.plan_sampler.plan.mean_batch_size * self.plan_sampler.world_size * self.plan_sampler.accumulate
            found[3] = round(self._max_steps * each)  # of which `Trainer` makes train_samples_per_second
        return tuple(found)

    def _init_training_state(self, *others: Any, **named: Any) -> tuple[int, int]:
        """Set where the loop of transformers 5 begins."""
        epoch, _ = super()._init_training_state(*others, **named)
        return self._begin(epoch)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        """What the loop of transformers 4 calls last before it reads where it is to begin, if it resumes."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if _LOOP_OF_4:
            self._begin(0)

    def _load_callback_state(self) -> None:
        """What it calls next, after which it divides `global_step` by the steps of an epoch."""
        super()._load_callback_state()
        if _LOOP_OF_4 and not self.args.ignore_data_skip:
            done = self.state.global_step
            epoch, step = self._begin(done // self._epoch_steps)
            self.state.global_step = epoch * self._epoch_steps + step // self.args.gradient_accumulation_steps
            max_steps = self.state.max_steps

            def resume() -> None:
                self.state.global_step = self._globalstep_last_logged = done
                self.state.max_steps = max_steps

            self.plan_progress.resume = resume

    def _begin(self, epoch: int) -> tuple[int, int]:
        """Let training begin where a checkpoint says; `Trainer`'s own division is wrong in another world size.

        Args:
            epoch: which to begin with if there is no checkpoint, or where it stands is to be left out of account.

        Returns:
            The epoch, and the micro-batches of it that are done.
        """
        assert self._plan_loader is not None  # `Trainer` has just asked for it
        self.plan_progress.source = self._plan_loader
        saved = self.state.stateful_callbacks.setdefault(PlanProgressCallback.__name__, self.plan_progress.state())
        step = 0
        if self.state.global_step and not self.args.ignore_data_skip:
            self._plan_loader.load_state_dict(saved["attributes"]["position"])
            epoch, step = self.plan_sampler.epoch, self.plan_sampler.batches_done * self.plan_uses
            self.state.max_steps = self._max_steps
            if self.args.max_steps <= 0:
                done = epoch * self._epoch_steps + step // self.args.gradient_accumulation_steps
                self.state.max_steps += self.state.global_step - done
        else:
            self.plan_sampler.seek(0, epoch=epoch)
        self.plan_progress.epoch, self.plan_progress.step = epoch, step
        return epoch, step
