"""Trainers that generate, such as TRL's `GRPOTrainer`: what they generate from a micro-batch, they train on in parts."""

from __future__ import annotations

from typing import Any, NamedTuple

from ...errors import Infeasible
from ...plans.plan import Plan

__all__ = ["Generations"]


class Generations(NamedTuple):
    """How often a trainer uses each micro-batch of a plan.

    Attributes:
        copies: rows that it is given of each sample, one after another.
        uses: its own micro-batches that come of one of the plan's.
        accumulate: the plan's micro-batches for an optimizer step.
    """

    copies: int
    uses: int
    accumulate: int

    @classmethod
    def of(cls, trainer: Any, plan: Plan) -> Generations:
        """What `GRPOTrainer` and trainers like it need; other trainers use every micro-batch once.

        Raises:
            Infeasible: the trainer generates in another way, or the plan's micro-batches do not have the prompts of one
                generation.
        """
        arguments = trainer.args
        accumulate = arguments.gradient_accumulation_steps
        if not hasattr(trainer, "num_generations"):
            return cls(1, 1, accumulate)
        if not (hasattr(arguments, "steps_per_generation") and hasattr(trainer, "num_iterations")):
            raise Infeasible(
                f"{type(trainer).__name__} generates from each prompt several times, in a way unknown to PlanTrainer",
                "let it draw its prompts itself, without PlanTrainer",
            )
        uses = arguments.steps_per_generation * trainer.num_iterations
        if uses % accumulate and accumulate % uses:
            raise Infeasible(
                f"an optimizer step has {accumulate} micro-batches, {uses} come of one generation: a step would have parts "
                "of generations",
                f"pass gradient_accumulation_steps={uses}",
            )
        return cls(_copies(trainer, plan), uses, max(1, accumulate // uses))


def _copies(trainer: Any, plan: Plan) -> int:
    """How often each sample of a micro-batch is given: once if the plan has all rows of a prompt (`per_class`)."""
    arguments, size = trainer.args, plan.mean_batch_size
    generations: int = trainer.num_generations
    rows = arguments.per_device_train_batch_size * arguments.steps_per_generation
    prompts, left = divmod(rows, generations)
    if left:
        raise Infeasible(
            f"a process generates {rows} rows at once, which is no multiple of num_generations={generations}",
            f"pass per_device_train_batch_size={generations}",
        )
    if size == prompts:
        return generations
    if size == rows and all(len(set(row)) == 1 for row in plan[0].reshape(prompts, generations).tolist()):
        return 1
    raise Infeasible(
        f"a process generates from {prompts} prompts at once, {generations} times from each; the plan has micro-batches of "
        f"{size:g}",
        f"make the plan of the prompts with batch_size={prompts}",
    )
