"""Reads the domain of each sample, for priors with a row for each domain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..errors import Infeasible
from ..readings import reading

__all__ = ["domain_ids"]

_WAY_OUT = "pass the domain of each sample as an integer tensor (N,)"


def domain_ids(domains: Any, logits: Tensor, *, rows: int, per_sample: int) -> Tensor:
    """The domain of each sample as an int64 tensor (N,).

    Args:
        domains: what was passed.
        logits: they have the samples in dimension 0.
        rows: how many domains there are.
        per_sample: the dimensions of the logits that are not of samples: 1 for the classes, 0 for log-odds.

    Raises:
        Infeasible: there is not one integer from 0 to `rows` - 1 for each sample.
    """
    if isinstance(domains, Tensor):
        ids = domains
    else:
        with reading(domains, "domains", _WAY_OUT):
            ids = torch.as_tensor(domains)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
        raise Infeasible(f"domains has dtype {str(ids.dtype).removeprefix('torch.')}, integers are needed", _WAY_OUT)
    # One id must not stand for all: it would broadcast over samples of other domains.
    if logits.dim() <= per_sample or ids.dim() != 1 or ids.shape[0] != logits.shape[0]:
        raise Infeasible(
            f"domains has shape {tuple(ids.shape)}, the logits have shape {tuple(logits.shape)}",
            f"{_WAY_OUT}, with the samples in dimension 0 of the logits",
        )
    ids = ids.to(torch.int64)
    # On an accelerator a look at them would wait for it, and the device checks them itself.
    if ids.device.type == "cpu" and not torch.compiler.is_compiling() and ids.numel():
        least, most = int(ids.min()), int(ids.max())
        if least < 0 or most >= rows:
            raise Infeasible(
                f"domains has numbers from {least} to {most}, the priors have {rows} rows of domains",
                f"pass numbers from 0 to {rows - 1}",
            )
    return ids
