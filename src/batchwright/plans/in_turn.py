"""Training plans whose order is not random: the order of the file, or an order that the user gives."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, Literal

import numpy as np

from ..calls import recorded_counting
from ..errors import Infeasible, warn
from ..groups import Groups
from ..inputs import columns
from ..kernels.deal_arguments import ROUND
from ..orders import InTurn
from ..orders.finite import InFileOrder, Listed
from ..orders.shares import TargetShares, WeightShares
from ..targets import natural
from .balanced import check_batch_arguments, check_sample_count, epoch_batches
from .fixed import FixedPlan
from .poor import faults

__all__ = ["ordered", "sequential"]

_MOST_COUNTED = 1 << 31  # `ordered` keeps 8 bytes for each sample, to know its share: 16 GiB for so many


@recorded_counting
def sequential(samples: int | Sized, batch_size: int, *, epoch: int | Literal["natural"] = "natural") -> FixedPlan:
    """The samples in the order of the file, over and over.

    Use it for training on data whose order matters. To evaluate, use `evaluation` instead. In this plan an epoch is rounded
    up to full micro-batches and to a multiple of the number of ranks; so an epoch may begin in the middle of the file.

    Args:
        samples: how many samples there are, or a dataset that has a length.
        batch_size: samples in every micro-batch.
        epoch: "natural" (the fewest micro-batches that hold every sample once) or a number of micro-batches.

    Returns:
        A plan of micro-batches of one size.

    Raises:
        Infeasible: there are no samples, or the batch size is below 1.

    Warns:
        PoorWarning: a micro-batch has more samples than there are.

    Example:
        >>> import batchwright as bw
        >>> plan = bw.sequential(5, batch_size=2)
        >>> [plan[t].tolist() for t in range(4)]
        [[0, 1], [2, 3], [4, 0], [1, 2]]
    """
    batch_size, _, _ = check_batch_arguments(batch_size, 1, 0)
    count = check_sample_count(samples)
    groups = Groups.from_sizes({"all": count})
    order = InTurn(InFileOrder(count), groups, TargetShares(natural(), groups), batch_size)
    return _plan(order, epoch)


@recorded_counting
def ordered(
    indices: Any,
    batch_size: int,
    *,
    samples: int | Sized | None = None,
    epoch: int | Literal["natural"] = "natural",
) -> FixedPlan:
    """The samples in an order that you give, over and over, such as a curriculum.

    Use it if you decide the order: easy samples first, a recorded order, the samples that active learning selects. An index
    may come several times. A sample whose index is missing is never drawn.

    Args:
        indices: array-like of shape (n_places,), integers: the sample at every place of the order.
        batch_size: samples in every micro-batch.
        samples: how many samples the dataset has, or the dataset. Default: the largest index plus 1.
        epoch: "natural" (the fewest micro-batches that hold the whole order once) or a number of micro-batches.

    Returns:
        A plan of micro-batches of one size.

    Raises:
        Infeasible: there are no indices; they are not integers (a mask, missing values); an index is below 0 or beyond the
            dataset; the batch size is below 1.

    Warns:
        PoorWarning: a micro-batch has more samples than the order has places.

    Example:
        >>> import batchwright as bw
        >>> losses = [0.3, 2.5, 0.1, 0.9]
        >>> plan = bw.ordered(sorted(range(4), key=losses.__getitem__), batch_size=2, samples=losses)
        >>> [batch.tolist() for batch in plan.epoch(0)]
        [[2, 0], [3, 1]]
    """
    batch_size, _, _ = check_batch_arguments(batch_size, 1, 0)
    column = columns.column(indices, called="indices")
    if not column.size:
        raise Infeasible("there are 0 indices", "pass the number of one sample or more")
    listed = columns.sample_numbers(column, called="indices").astype(np.int64)
    if listed.ndim != 1:
        raise Infeasible(f"indices are rows of {listed.shape[1]} numbers", "pass one index for each place")
    if listed.min() < 0:
        place = int(listed.argmin())
        raise Infeasible(f"index {listed[place]} at place {place} is below 0", "pass indices of 0 or more")
    count = int(listed.max()) + 1 if samples is None else columns.sample_count(samples, called="samples")
    if listed.max() >= count:
        place = int(listed.argmax())
        raise Infeasible(
            f"index {listed[place]} at place {place} is beyond the data set of {count} samples",
            f"pass indices from 0 to {count - 1}",
        )
    if count > _MOST_COUNTED:
        raise Infeasible(
            f"a data set of {count} samples, of which each is counted; the most is {_MOST_COUNTED}",
            f"pass indices below {_MOST_COUNTED}, and samples to match",
        )
    # Shares are those of a whole pass through the order: a part of a pass may hold easy samples only.
    often = np.bincount(listed, minlength=count)
    shares = WeightShares(often, ROUND * batch_size)
    shares.shown = "the order given"
    return _plan(InTurn(Listed(listed), Groups.singletons(count), shares, batch_size), epoch)


def _plan(order: InTurn, epoch: Any) -> FixedPlan:
    warn(*faults(order))
    natural_epoch = -(-order.places.count // order.batch_size)
    return FixedPlan(order, epoch_batches=epoch_batches(epoch, natural=natural_epoch))
