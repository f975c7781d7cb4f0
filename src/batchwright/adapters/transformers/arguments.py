"""What `TrainingArguments` say of training batches: the plan decides it, so it is compared with the plan, or refused."""

from __future__ import annotations

from typing import Any, NamedTuple

from transformers import TrainingArguments

from ...base_plan import BasePlan
from ...errors import Infeasible

__all__ = ["agree"]


class _Decided(NamedTuple):
    """An argument that the plan decides.

    Attributes:
        left: its values that leave that to the plan.
        what: what another value would do.
        way_out: what to do in place of it.
    """

    left: tuple[Any, ...]
    what: str
    way_out: str = ""


_DECIDED = {
    "group_by_length": _Decided(
        (False,), "orders samples by length", ", and make the plan with bw.budgeted or bw.bucketed"
    ),
    "train_sampling_strategy": _Decided(
        ("random",), "orders samples", ", and make the plan with bw.budgeted, bw.bucketed or bw.sequential"
    ),
    "auto_find_batch_size": _Decided(
        (False,), "makes batches smaller when memory is short", ", and make the plan with smaller micro-batches"
    ),
    "dataloader_drop_last": _Decided((False,), "leaves out samples at the end of an epoch"),
    "dataloader_in_order": _Decided((True,), "gives batches in the order in which workers end"),
    "restore_callback_states_from_checkpoint": _Decided((False,), "makes callbacks without their plan"),
}
"""Those of all versions: one that a version does not have is left out."""

_DECIDED_OF_ACCELERATE = {
    "split_batches": _Decided((False,), "divides each batch among the processes"),
    "dispatch_batches": _Decided((None, False), "lets one process read for all"),
    "even_batches": _Decided((True,), "lets processes have different numbers of batches"),
    "use_seedable_sampler": _Decided((True,), "shuffles in another way"),
}


def agree(arguments: TrainingArguments, plan: BasePlan, *, generates: bool) -> None:
    """Check that the arguments say nothing of training batches but what the plan does, and write their size there.

    Args:
        arguments: of the trainer; `per_device_train_batch_size` becomes the plan's, which is a mean if sizes differ.
        plan: the plan of the training batches.
        generates: whether the size says how much is generated at once, and is compared elsewhere.

    Raises:
        Infeasible: an argument is set that the plan decides, and to something else.
    """
    for name, decided in _DECIDED.items():
        if name == "dataloader_drop_last" and _is_of_sentence_transformers(arguments):
            continue  # it is set there where there are several processes; a plan has no last batch to drop
        _check(name, getattr(arguments, name, decided.left[0]), decided)
    for name, decided in _DECIDED_OF_ACCELERATE.items():
        value = getattr(arguments.accelerator_config, name, decided.left[0])
        _check(f"accelerator_config.{name}", value, decided)
    seeds = sorted({value for name, value in plan.identity.items() if name.endswith("seed")})
    if arguments.data_seed is not None and seeds != [str(arguments.data_seed)]:
        raise Infeasible(
            f"TrainingArguments have data_seed={arguments.data_seed}, the plan's seed is {' and '.join(seeds) or 'none'}",
            f"leave data_seed out, and pass seed={arguments.data_seed} to the plan, if it has one",
        )
    if not generates:
        _agree_on_size(arguments, plan.mean_batch_size)


def _is_of_sentence_transformers(arguments: TrainingArguments) -> bool:
    return any(base.__module__.startswith("sentence_transformers.") for base in type(arguments).mro())


def _check(name: str, value: Any, decided: _Decided) -> None:
    if value not in decided.left:
        raise Infeasible(
            f"TrainingArguments have {name}={value!r}, which {decided.what}; the plan decides that",
            f"leave {name} out{decided.way_out}",
        )


def _agree_on_size(arguments: TrainingArguments, size: float) -> None:
    name, devices = "per_device_train_batch_size", max(1, arguments.n_gpu)
    wanted = max(1, round(size / devices))
    default = type(arguments).__dataclass_fields__[name].default
    if getattr(arguments, name) not in (default, wanted):
        raise Infeasible(
            f"TrainingArguments have {name}={getattr(arguments, name)}, the plan's micro-batches have {size:g} samples",
            f"leave {name} out, or pass {wanted}",
        )
    setattr(arguments, name, wanted)
