"""Loggers for `Composition`: TensorBoard, Weights & Biases, MLflow.

Each returns a function `log(values, step)` for `Composition.after`. The loggers of trainers need none of these:
`accelerator.log`, `logger.log_metrics` of Lightning and `Trainer.log` of Hugging Face are such functions themselves, and the
adapters of these trainers call them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..composition import Log

__all__ = ["mlflow", "tensorboard", "wandb"]

_PREFIX = "batches/"
_ODD = re.compile(r"[^\w\- ]")  # MLflow takes a few more characters, but not in every store


def tensorboard(writer: Any, *, prefix: str = _PREFIX) -> Log:
    """Log the composition to TensorBoard.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`, or another with `add_scalar(name, value, step)`.
        prefix: before each name.

    Example:
        >>> composition.after(step, tensorboard(writer), epoch=0)  # doctest: +SKIP
    """

    def log(values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(prefix + name, value, step)

    return log


def wandb(run: Any, *, prefix: str = _PREFIX) -> Log:
    """Log the composition to Weights & Biases.

    It has a step of its own, `batches/step`, so that it may be logged beside anything else, in any order.

    Args:
        run: what `wandb.init()` returned.
        prefix: before each name.

    Example:
        >>> composition.after(step, wandb(run), epoch=0)  # doctest: +SKIP
    """
    own = f"{prefix}step"
    run.define_metric(own, hidden=True)
    run.define_metric(f"{prefix}*", step_metric=own)

    def log(values: Mapping[str, float], step: int) -> None:
        run.log({own: step, **{prefix + name: value for name, value in values.items()}})

    return log


def mlflow(run_id: str | None = None, *, prefix: str = _PREFIX) -> Log:
    """Log the composition to MLflow.

    In names of groups, every character other than letters, digits, spaces, `-` and `_` becomes `_`: MLflow refuses others.

    Args:
        run_id: the run; the active one if left out.
        prefix: before each name.

    Example:
        >>> composition.after(step, mlflow(), epoch=0)  # doctest: +SKIP
    """
    import mlflow as library

    def log(values: Mapping[str, float], step: int) -> None:
        named = {
            prefix + "/".join(_ODD.sub("_", part) or "_" for part in name.split("/")): values[name] for name in values
        }
        library.log_metrics(named, step=step, run_id=run_id)

    return log
